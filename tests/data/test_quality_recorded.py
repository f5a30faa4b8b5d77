"""The known defects of the recorded series are found, and what else is found was looked at and is written down here."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.clock import iso
from data.market import SeriesKey, short_symbol
from data.observations import METRIC_COLUMNS, Observations
from data.quality import inspect
from data.quality_agreement import compare, compare_mark, compare_symbols
from data.quality_findings import Finding
from data.quality_observations import inspect_funding, inspect_observations
from data.quality_survey import survey
from data.timeframes import DAY_MS, timeframe_ms
from tests.data.frame_store import FrameStore
from tests.data.recorded_series import milliseconds, names, recorded, recorded_funding
from tests.data.test_resample import EXCEPTIONS, TIMEFRAMES

pytestmark = pytest.mark.data

# Every doubtful or bad finding of a series by itself, as kind@time x bars. Reviewed one by one: the zero volumes are
# outages of the exchange; 2019-09 is the market's first weeks; 2021-03-02 (64 coins in an hour), 2023-11-10, 2024-10-28
# and 2025-01-29 were read too early; 2021-07-26 is a false print (21 % from the mark price). The rest are true prices
# that look odd: the minutes before the inflation figures of 2022-10-13, the falls of 2023-05-08 and 2023-08-17, a
# quiet quarter on 2023-04-10, and the first bar after the outage of 2025-08-29: nine of forty-seven.
REVIEWED = {
    "BNB 5m": "zero_volume@2025-01-29T01:25x2 zero_volume@2025-08-29T06:20x3",
    "BTC 5m": "partial_volume@2023-04-10T06:45x1 zero_volume@2023-09-12T08:35x3 zero_volume@2025-01-29T01:25x2 "
    "partial_volume@2025-01-29T02:40x1 zero_volume@2025-08-29T06:20x3",
    "DOGE 5m": "zero_volume@2025-01-29T01:25x2 partial_volume@2025-01-29T02:40x1 zero_volume@2025-08-29T06:20x3",
    "ETH 5m": "zero_volume@2023-09-12T08:35x3 partial_volume@2023-11-10T15:05x1 zero_volume@2025-01-29T01:25x2 "
    "partial_volume@2025-01-29T02:40x1 zero_volume@2025-08-29T06:20x3",
    "LTC 5m": "zero_volume@2023-09-12T08:35x3",
    "SOL 5m": "zero_volume@2025-01-29T01:25x2 zero_volume@2025-08-29T06:20x3 partial_volume@2025-08-29T06:35x1",
    "XRP 5m": "zero_volume@2025-01-29T01:25x2 zero_volume@2025-08-29T06:20x3",
    "BTC 15m": "partial_volume@2022-10-13T12:15x1 outlier@2023-08-17T21:30x1 zero_volume@2024-10-28T20:00x4",
    "DOGE 15m": "partial_volume@2022-10-13T12:15x1 partial_volume@2023-04-10T06:45x1 zero_volume@2024-10-28T20:00x4",
    "ETH 15m": "partial_volume@2022-10-13T12:15x1 outlier@2023-08-17T21:30x1 zero_volume@2024-10-28T20:00x4",
    "SOL 15m": "partial_volume@2023-05-08T01:30x1 zero_volume@2024-10-28T20:00x4",
    "XRP 15m": "zero_volume@2022-05-01T22:30x1 zero_volume@2022-05-28T16:45x2 zero_volume@2024-10-28T20:00x4",
    "BTC 1h": "partial_volume@2019-09-08T17:00x1 zero_volume@2019-09-08T18:00x1 zero_volume@2019-09-09T00:00x2 "
    "partial_volume@2019-09-09T23:00x1 partial_volume@2019-09-19T03:00x1 partial_volume@2019-09-24T18:00x2 "
    "partial_volume@2021-03-02T01:00x1 outlier@2021-07-26T01:00x1",
    "DOGE 1h": "zero_volume@2024-10-28T20:00x1",
    "ETH 1h": "zero_volume@2024-10-28T20:00x1",
    "SOL 1h": "zero_volume@2024-10-28T20:00x1",
    "XRP 1h": "partial_volume@2024-10-28T21:00x1",
}

# 15m bars known to be partial (the manifest of the data), where a witness of that symbol tells it.
KNOWN_15M = {
    "2023-11-10T15:00": "BTC ETH ADA SOL BNB DOGE LTC",
    "2023-11-10T16:30": "BTC ETH ADA SOL BNB DOGE LTC",
    "2024-10-28T20:00": "BTC ETH SOL DOGE XRP BNB ADA",
    "2024-10-28T20:45": "BTC ETH SOL DOGE XRP BNB ADA",
    "2024-10-28T21:00": "BTC BNB ADA XRP",
    "2024-10-28T21:45": "BTC BNB ADA XRP",
    "2025-01-14T13:30": "BTC BNB SOL",
    "2025-01-14T15:00": "BTC BNB SOL",
    "2025-01-29T01:30": "BTC ETH BNB SOL",
    "2025-01-29T02:30": "BTC ETH BNB SOL",
}


def when(ms: int) -> str:
    return str(iso(ms))[:16]


def told(found: list[Finding]) -> list[str]:
    return [f"{f.kind}@{when(f.start_ms)}x{f.bars}" for f in found if f.level != "info"]


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h"])
def test_what_is_doubtful_in_recorded_series_is_known_and_reviewed(shared_data: Path, timeframe: str) -> None:
    found: dict[str, list[str]] = {}
    bars = 0
    for name in names(shared_data, timeframe):
        frame = recorded(shared_data, name)
        bars += len(frame)
        words = told(inspect(frame))
        if words:
            found.setdefault(f"{short_symbol(frame.key.symbol)[:-4]} {timeframe}", []).extend(words)
    assert found == {k: v.split() for k, v in REVIEWED.items() if k.endswith(f" {timeframe}")}
    assert sum(map(len, found.values())) < 4 * bars / 100_000 + 15


def test_minutes_and_other_exchanges_raise_few_doubts(shared_data: Path) -> None:
    minutes = [f for name in names(shared_data, "1m") for f in told(inspect(recorded(shared_data, name)))]
    assert len(minutes) <= 25  # of 826,000 thin minutes
    for exchange, timeframe, most in (("bybit_um", "5m", 0), ("okx_um", "1h", 8)):
        others = names(shared_data, timeframe, exchange)
        assert sum(len(told(inspect(recorded(shared_data, n, exchange)))) for n in others) <= most


@pytest.mark.parametrize(("fine", "coarse"), list(combinations(TIMEFRAMES, 2)))
def test_timeframes_that_disagree_are_named_and_no_others(shared_data: Path, fine: str, coarse: str) -> None:
    found: dict[str, set[str]] = {}
    step = timeframe_ms(coarse)
    for name in names(shared_data, fine):
        symbol = name.split("-")[0]
        for other in names(shared_data, coarse):
            if other.startswith(f"{symbol}-"):
                for f in compare(recorded(shared_data, name), recorded(shared_data, other)):
                    assert f.kind in ("partial_volume", "disagreement")
                    assert f.end_ms - f.start_ms == f.bars * timeframe_ms(f.series.timeframe)
                    buckets = found.setdefault(symbol.removesuffix("USDT"), set())
                    buckets.update(when(t) for t in range(f.start_ms, f.end_ms, step))
    assert found == {symbol: set(times.split()) for symbol, times in EXCEPTIONS[fine, coarse].items()}


@pytest.fixture(scope="module")
def stored(shared_data: Path) -> FrameStore:
    store = FrameStore()
    for timeframe in ("5m", "15m", "1h"):
        for name in names(shared_data, timeframe):
            store.add(recorded(shared_data, name))
    for timeframe in ("1h", "8h"):
        for name in names(shared_data, timeframe, kind="mark"):
            store.add(recorded(shared_data, name, kind="mark"))
    return store


def test_the_known_partial_bars_are_found_in_the_survey(stored: FrameStore) -> None:
    found: dict[str, list[Finding]] = {}
    for info, findings in survey(stored, stored.series()):
        assert all(f.series == info.key for f in findings)
        kinds = [f for f in findings if f.kind in ("partial_volume", "zero_volume") and f.level != "info"]
        found.setdefault(short_symbol(info.key.symbol)[:-4], []).extend(kinds)
    for time, symbols in KNOWN_15M.items():
        at = int(np.datetime64(time, "ms").astype(np.int64))
        for symbol in symbols.split():
            assert any(f.start_ms <= at < f.end_ms for f in found[symbol]), (time, symbol)
    outage = int(np.datetime64("2025-08-29T06:20", "ms").astype(np.int64))
    for symbol in ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE"):
        (silent,) = (f for f in found[symbol] if f.start_ms == outage)
        assert (silent.kind, silent.bars, when(silent.end_ms)) == ("zero_volume", 3, "2025-08-29T06:35")


def test_prices_far_from_the_mark_price_are_the_known_four(shared_data: Path) -> None:
    found = [
        (f.level, when(f.start_ms))
        for timeframe in ("1h", "8h")
        for name in names(shared_data, timeframe, kind="mark")
        for other in names(shared_data, "1h")
        if other.split("-")[0] == name.split("-")[0]
        for f in compare_mark(recorded(shared_data, other), recorded(shared_data, name, kind="mark"))
    ]
    assert found == [
        ("warn", "2020-03-12T08:00"), ("warn", "2020-12-17T00:00"), ("bad", "2021-07-26T01:00"),
        ("warn", "2021-12-04T05:00"),
    ]  # fmt: skip


def test_symbols_of_a_timeframe_agree_on_how_busy_the_market_is(shared_data: Path) -> None:
    for timeframe, most in (("5m", 1), ("15m", 0), ("1h", 0)):
        assert len(compare_symbols([recorded(shared_data, n) for n in names(shared_data, timeframe)])) <= most


def test_the_hole_and_the_november_of_solanas_funding_are_named(shared_data: Path) -> None:
    found = inspect_funding(recorded_funding(shared_data, "SOLUSDT-8h-20220625_20250730"))
    (hole,) = (f for f in found if f.kind == "funding_gap")
    assert (when(hole.start_ms), when(hole.end_ms), hole.bars) == ("2023-04-29T08:00", "2023-05-24T08:00", 75)
    assert "75 settlements missing (25.0 days)" in hole.words
    changes = [(when(f.start_ms), f.bars, f.detail) for f in found if f.kind == "funding_interval"]
    assert changes == [
        ("2022-11-09T20:00", 3, "3 settlements 4 h apart instead of 8 h"),
        ("2022-11-10T06:00", 98, "98 settlements 2 h apart instead of 8 h"),
    ]
    spikes = [f for f in found if f.kind == "funding_spike"]
    assert (when(spikes[0].start_ms), spikes[0].bars) == ("2022-11-09T00:00", 14)
    assert "up to -2.00%" in spikes[0].words


def test_other_funding_has_no_hole_and_few_spikes(shared_data: Path) -> None:
    folder = shared_data / "funding" / "binance_um"
    found = {
        p.stem: inspect_funding(recorded_funding(shared_data, p.stem))
        for p in sorted(folder.glob("*.parquet")) if not p.stem.startswith("SOLUSDT-8h-2022")
    }  # fmt: skip
    assert {f.kind for findings in found.values() for f in findings} == {"funding_spike"}
    assert {name.split("-")[0]: len(f) for name, f in found.items() if f} == {"BNBUSDT": 2, "BTCUSDT": 6, "ETHUSDT": 1}


def test_the_two_holes_of_the_long_short_ratio_are_found(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "oi_liq_lsr/binance_BTCUSDT_long_short_account_ratio_30m_2024.parquet")
    values = np.full((len(table), len(METRIC_COLUMNS)), np.nan)
    values[:, METRIC_COLUMNS.index("account_ratio")] = table["longShortRatio"].to_numpy()
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "30m", "metrics")
    found = inspect_observations(Observations.of(key, milliseconds(table), values))
    long = [f for f in found if f.end_ms - f.start_ms > 2 * DAY_MS]
    assert [(when(f.start_ms), f.bars) for f in long] == [("2024-08-23T19:00", 124), ("2024-09-06T14:00", 124)]
    assert all("(2.6 days)" in f.words for f in long)
    assert {f.kind for f in found} == {"gap"}
    assert len(found) == 7  # five shorter ones besides


def test_recorded_trades_are_whole(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "orderbook/binance_usdm_btcusdt_20240808_trades.parquet")
    side = np.where(table["buyer_is_maker"].to_numpy(), -1.0, 1.0)
    values = np.column_stack([table["price"].to_numpy(), table["qty"].to_numpy(), side])
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "trades")
    ids = table["trade_id"].to_numpy()
    assert inspect_observations(Observations.of(key, milliseconds(table), values, id=ids)) == []

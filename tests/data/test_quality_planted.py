"""Defects planted at random places of recorded series: all found, at the bar, and next to nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.market import Frame, FundingFrame, SeriesKey
from data.observations import BOOK_COLUMNS, Observations
from data.quality import inspect
from data.quality_agreement import compare, compare_mark, compare_symbols
from data.quality_bars import PRICE_NAMES
from data.quality_findings import Finding, local_median
from data.quality_observations import inspect_funding, inspect_observations
from data.resample import resample
from tests.data.recorded_series import MINUTE, milliseconds, recorded, recorded_funding

pytestmark = pytest.mark.data

SERIES = ("BTCUSDT-5m-20241231_20250930", "SOLUSDT-15m-20220625_20250731", "ADAUSDT-1h-20220625_20250731",
          "XRPUSDT-1m-20250504_20250624")  # fmt: skip
PLACES = 20
HOUR = 60 * MINUTE

Where = tuple[int, int, int]  # start, end, bars
Plant = Callable[[Frame, np.ndarray, np.random.Generator], tuple[Frame, set[Where]]]


def places(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Rows far from each other, from the ends, and from bars that have no volume."""
    rows = np.sort(rng.choice(np.arange(5, len(frame) // 50 - 5), PLACES, replace=False) * 50 + 7)
    return rows[[frame.volume[r - 12 : r + 12].all() for r in rows]]


def put(frame: Frame, name: str, rows: np.ndarray, values: np.ndarray | float) -> Frame:
    changed = getattr(frame, name).copy()
    changed[rows] = values
    return replace(frame, **{name: changed})


def spots(frame: Frame, rows: np.ndarray, bars: int = 1) -> set[Where]:
    step = frame.key.step_ms
    return {(int(t), int(t) + bars * step, bars) for t in frame.open_time[rows]}


def hole(frame: Frame, rows: np.ndarray, rng: np.random.Generator) -> tuple[Frame, set[Where]]:
    lengths = rng.integers(1, 6, len(rows))
    gone = np.concatenate([np.arange(r, r + n) for r, n in zip(rows, lengths, strict=True)])
    expected = set().union(*(spots(frame, np.array([r]), int(n)) for r, n in zip(rows, lengths, strict=True)))
    return frame.take(~np.isin(np.arange(len(frame)), gone)), expected


def twice(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    return frame.take(np.sort(np.concatenate([np.arange(len(frame)), rows]))), spots(frame, rows)


def swapped(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    order = np.arange(len(frame))
    order[rows], order[rows + 1] = rows + 1, rows
    return frame.take(order), spots(frame, rows)


def off_grid(frame: Frame, rows: np.ndarray, rng: np.random.Generator) -> tuple[Frame, set[Where]]:
    moved = put(frame, "open_time", rows, frame.open_time[rows] + rng.integers(1, frame.key.step_ms, len(rows)))
    return moved, spots(moved, rows)


def no_price(frame: Frame, rows: np.ndarray, rng: np.random.Generator) -> tuple[Frame, set[Where]]:
    return put(frame, str(rng.choice(PRICE_NAMES)), rows, -1.0), spots(frame, rows)


def crossed(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    return put(frame, "high", rows, frame.low[rows] * 0.9999), spots(frame, rows)


def negative_volume(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    return put(frame, "volume", rows, -frame.volume[rows]), spots(frame, rows)


def spike(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    size = 18.0 * local_median(np.log(frame.high / frame.low))[rows]
    return put(frame, "high", rows, frame.high[rows] * np.exp(size)), spots(frame, rows)


def silent(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    return put(frame, "volume", rows, 0.0), spots(frame, rows)


def partial(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    return put(frame, "volume", rows, frame.volume[rows] * 0.01), spots(frame, rows)


def stuck(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    run = (rows[:, None] + np.arange(8)).ravel()
    held = np.repeat(frame.close[rows - 1], 8)
    for name in PRICE_NAMES:
        frame = put(frame, name, run, held)
    return frame, spots(frame, rows, 8)


def again(frame: Frame, rows: np.ndarray, _: np.random.Generator) -> tuple[Frame, set[Where]]:
    rows = rows[frame.high[rows - 1] > frame.low[rows - 1]]
    for name in (*PRICE_NAMES, "volume"):
        frame = put(frame, name, rows, getattr(frame, name)[rows - 1])
    return frame, spots(frame, rows)


# kind, how it is planted, what may be found besides (a moved bar leaves a hole; a frozen price ends in a jump)
DEFECTS: dict[str, tuple[str, Plant, set[str]]] = {
    "holes": ("gap", hole, set()),
    "bars twice": ("duplicate", twice, set()),
    "neighbours swapped": ("disorder", swapped, set()),
    "bars off the grid": ("off_grid", off_grid, {"gap"}),
    "negative prices": ("bad_price", no_price, set()),
    "crossed bars": ("crossed", crossed, set()),
    "negative volume": ("bad_volume", negative_volume, set()),
    "spikes without volume": ("outlier", spike, set()),
    "no volume": ("zero_volume", silent, set()),
    "one percent of the volume": ("partial_volume", partial, set()),
    "a frozen price": ("stuck", stuck, set()),
    "a bar told again": ("repeated", again, {"partial_volume"}),
}


def located(found: list[Finding], kind: str) -> set[Where]:
    return {(f.start_ms, f.end_ms, f.bars) for f in found if f.kind == kind}


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("name", SERIES)
def test_every_planted_defect_is_found_at_its_bar_and_hardly_anything_else(
    shared_data: Path, name: str, defect: str, record_property: Callable[[str, object], None]
) -> None:
    kind, plant, besides = DEFECTS[defect]
    clean = recorded(shared_data, name)
    rng = np.random.default_rng(len(defect) + len(name))
    broken, expected = plant(clean, places(clean, rng), rng)
    assert len(expected) >= PLACES - 3
    before = {(f.kind, f.start_ms) for f in inspect(clean)}
    found = inspect(broken)
    assert expected - located(found, kind) == set()
    fresh = [f for f in found if f.level != "info" and (f.kind, f.start_ms) not in before and f.kind not in besides]
    right = sum((f.start_ms, f.end_ms, f.bars) in expected and f.kind == kind for f in fresh)
    record_property("precision", right / len(fresh))
    assert right / len(fresh) >= 0.9, [f.words for f in fresh if (f.start_ms, f.end_ms, f.bars) not in expected][:5]


@pytest.mark.parametrize("value", [np.nan, 0.0, -3.0, np.inf])
def test_each_way_of_being_no_price_is_found(shared_data: Path, value: float) -> None:
    clean = recorded(shared_data, SERIES[2])
    for k, name in enumerate(PRICE_NAMES):
        rows = np.array([500 + k, 9_000 + 7 * k])
        assert spots(clean, rows) <= located(inspect(put(clean, name, rows, value)), "bad_price")


def test_two_bars_of_one_time_that_differ_are_worse_than_the_same_one_twice(shared_data: Path) -> None:
    clean = recorded(shared_data, SERIES[2])
    double = clean.take(np.sort(np.append(np.arange(len(clean)), 400)))
    (same,) = (f for f in inspect(double) if f.kind == "duplicate")
    (other,) = (f for f in inspect(put(double, "close", np.array([401]), clean.open[400])) if f.kind == "duplicate")
    assert (same.level, other.level) == ("warn", "bad")


def test_volume_that_is_lost_in_one_timeframe_is_found_by_the_other(shared_data: Path) -> None:
    fine = recorded(shared_data, SERIES[0])
    coarse = resample(fine, "1h")
    rng = np.random.default_rng(3)
    rows = np.sort(rng.choice(np.arange(20, len(coarse) - 20, 5), PLACES, replace=False))
    rows = rows[coarse.volume[rows] > 0]
    short = compare(fine, put(coarse, "volume", rows, coarse.volume[rows] * 0.7))
    assert {(f.start_ms, f.end_ms, f.bars) for f in short} == spots(coarse, rows)
    assert {(f.kind, f.level, f.series) for f in short} == {("partial_volume", "warn", coarse.key)}
    assert all("without 30.000% of the volume that 5m has" in f.words for f in short)
    parts = np.array([int(np.searchsorted(fine.open_time, coarse.open_time[r])) + 3 for r in rows])
    parts = parts[fine.volume[parts] > 0]
    lost = compare(put(fine, "volume", parts, fine.volume[parts] * 0.5), coarse)
    assert {(f.start_ms, f.end_ms) for f in lost} == {(t // HOUR * HOUR, t // HOUR * HOUR + HOUR)
                                                     for t in fine.open_time[parts].tolist()}  # fmt: skip
    assert {(f.kind, f.series, f.bars) for f in lost} == {("partial_volume", fine.key, 12)}
    moved = compare(fine, put(coarse, "close", rows, coarse.low[rows]))
    assert {f.start_ms for f in moved} <= set(coarse.open_time[rows].tolist())
    assert {(f.kind, f.level) for f in moved} == {("disagreement", "bad")}
    assert compare(fine, coarse) == []


def test_a_print_far_from_the_mark_price_is_found_in_the_finer_bar(shared_data: Path) -> None:
    fine = recorded(shared_data, SERIES[0])
    mark = recorded(shared_data, "BTCUSDT-1h-mark-20241231_20250930", kind="mark")
    rows = places(fine, np.random.default_rng(4))
    assert compare_mark(fine, mark) == []
    found = compare_mark(put(fine, "high", rows, fine.high[rows] * 1.15), mark)
    assert {(f.start_ms, f.end_ms, f.bars) for f in found} == spots(fine, rows)
    assert {(f.kind, f.level) for f in found} == {("mark_disagreement", "bad")}
    small = compare_mark(put(fine, "low", rows, fine.low[rows] * 0.92), mark)
    assert {f.level for f in small} == {"warn"}


def test_a_symbol_that_lacks_volume_alone_is_found_among_its_peers(shared_data: Path) -> None:
    group = [recorded(shared_data, f"{s}USDT-5m-20241231_20250930") for s in ("BTC", "ETH", "SOL", "XRP", "DOGE")]
    rows = places(group[2], np.random.default_rng(5))
    before = compare_symbols(group)
    group[2] = put(group[2], "volume", rows, group[2].volume[rows] * 0.03)
    found = [f for f in compare_symbols(group) if f not in before]
    assert spots(group[2], rows) <= {(f.start_ms, f.end_ms, f.bars) for f in found}
    assert {f.series for f in found} == {group[2].key}
    assert len(found) <= len(rows) + 1
    assert compare_symbols(group[:2]) == []


def test_a_series_without_news_is_stale_when_the_moment_is_told(shared_data: Path) -> None:
    frame = recorded(shared_data, SERIES[2]).slice(0, 200)
    end = int(frame.open_time[-1]) + HOUR
    assert not located(inspect(frame), "stale")
    assert not located(inspect(frame, now_ms=end + 2 * HOUR), "stale")
    assert located(inspect(frame, now_ms=end + 5 * HOUR + 1), "stale") == {(end, end + 5 * HOUR + 1, 5)}


def test_lost_settlements_spikes_and_changes_of_the_interval_are_found(shared_data: Path) -> None:
    clean = recorded_funding(shared_data, "ETHUSDT-8h-20241231_20250930")
    assert inspect_funding(clean) == []
    rng = np.random.default_rng(6)
    rows = np.sort(rng.choice(np.arange(5, len(clean) - 5, 6), PLACES, replace=False))

    def funding(keep: np.ndarray, rate: np.ndarray) -> FundingFrame:
        return replace(clean, time=clean.time[keep], rate=rate[keep], mark_price=clean.mark_price[keep])

    whole = np.ones(len(clean), dtype=bool)
    keep = whole.copy()
    keep[rows] = False
    found = inspect_funding(funding(keep, clean.rate))
    assert [(f.kind, f.start_ms, f.bars) for f in found] == [("funding_gap", int(clean.time[r]), 1) for r in rows]
    rate = clean.rate.copy()
    rate[rows[::2]], rate[rows[1::2]] = 0.01, np.nan
    found = inspect_funding(funding(whole, rate))
    assert [(f.kind, f.start_ms) for f in found] == [
        ("bad_rate" if k % 2 else "funding_spike", int(clean.time[r])) for k, r in enumerate(rows)
    ]
    early, late = clean.time[:300], np.arange(int(clean.time[299]) + 4 * HOUR, int(clean.time[500]), 4 * HOUR)
    time = np.concatenate([early, late, clean.time[500:]])
    settled = replace(clean, time=time, rate=np.full(len(time), 1e-4), mark_price=np.full(len(time), np.nan))
    (change,) = inspect_funding(settled)
    assert (change.kind, change.start_ms, change.level) == ("funding_interval", int(late[0]), "info")
    assert "4 h apart instead of 8 h" in change.detail
    fewer = np.delete(np.arange(len(time)), 350)
    holed = replace(settled, time=time[fewer], rate=settled.rate[fewer], mark_price=settled.mark_price[fewer])
    (lost,) = (f for f in inspect_funding(holed) if f.level == "bad")
    assert (lost.start_ms, lost.bars) == (int(time[350]), 1)


@pytest.fixture(scope="module")
def trades(shared_data: Path) -> Observations:
    import pyarrow.parquet as pq

    table = pq.read_table(shared_data / "orderbook/binance_usdm_btcusdt_20240808_trades.parquet").slice(0, 8_000)
    side = np.where(table["buyer_is_maker"].to_numpy(), -1.0, 1.0)
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "trades")
    values = np.column_stack([table["price"].to_numpy(), table["qty"].to_numpy(), side])
    return Observations.of(key, milliseconds(table), values, id=table["trade_id"].to_numpy())


def test_lost_and_impossible_trades_are_found(trades: Observations) -> None:
    assert inspect_observations(trades) == []
    rows = np.sort(np.random.default_rng(7).choice(np.arange(50, 7_900, 11), PLACES, replace=False))
    found = inspect_observations(trades.take(~np.isin(np.arange(len(trades)), rows)))
    assert {(f.kind, f.bars) for f in found} == {("id_gap", 1)}
    assert [f.start_ms for f in found] == [int(trades.time[r - 1]) for r in rows]
    values = trades.values.copy()
    values[rows[::2], 0] *= 1.05
    values[rows[1::2], 1] = 0.0
    found = inspect_observations(replace(trades, values=values))
    assert sorted((f.start_ms, f.kind) for f in found) == sorted(
        (int(trades.time[r]), "bad_value" if k % 2 else "outlier") for k, r in enumerate(rows)
    )


def test_crossed_and_one_sided_books_are_found() -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "book")
    level = np.arange(10)
    row = np.concatenate([100.0 - 0.1 * level, np.full(10, 2.0), 100.1 + 0.1 * level, np.full(10, 3.0)])
    values = np.tile(row, (200, 1))
    book = Observations.of(key, np.arange(200) * 1_000, values)
    assert len(BOOK_COLUMNS) == values.shape[1]
    assert inspect_observations(book) == []
    values[30, :10] += 0.2
    values[60, 20:40] = np.nan
    values[90, 12] = -1.0
    values[120, 21] = 99.0
    found = inspect_observations(Observations.of(key, book.time, values))
    assert [(f.kind, f.start_ms) for f in found] == [
        ("crossed_book", 30_000), ("one_sided_book", 60_000), ("bad_value", 90_000), ("bad_value", 120_000),
    ]  # fmt: skip


def test_holes_and_jumps_of_metrics_are_found() -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "5m", "metrics")
    rng = np.random.default_rng(8)
    values = np.exp(rng.normal(0, 0.01, (600, 6)).cumsum(axis=0) * 0.1)
    time = np.arange(600) * 300_000
    rows = Observations.of(key, time, values)
    assert inspect_observations(rows) == []
    keep = ~np.isin(np.arange(600), [100, 101, 400])
    found = inspect_observations(rows.take(keep))
    assert [(f.kind, f.start_ms, f.bars) for f in found] == [("gap", 100 * 300_000, 2), ("gap", 400 * 300_000, 1)]
    values[50, 2] *= 10.0
    values[70, 0] = -1.0
    values[80] = np.nan
    found = inspect_observations(Observations.of(key, time, values))
    assert [(f.kind, f.start_ms // 300_000) for f in found] == [("outlier", 50), ("bad_value", 70), ("bad_value", 80)]


def test_a_mark_price_far_from_its_index_is_found() -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "premium")
    values = np.tile([100.0, 100.1, 1e-4, 1e12, 2.88e7], (50, 1))
    values[10, 0], values[20, 1], values[30, 2] = 107.0, 0.0, 0.2
    found = inspect_observations(Observations.of(key, np.arange(50) * 1_000, values))
    assert [(f.kind, f.start_ms) for f in found] == [
        ("mark_disagreement", 10_000), ("bad_value", 20_000), ("bad_value", 30_000),
    ]  # fmt: skip

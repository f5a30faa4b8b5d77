"""The data report names what is missing and what looks wrong, with its time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data import quality_findings
from data.clock import iso
from data.importing import ImportRequest, plan_import
from data.market import Frame, SeriesKey
from data.quality import Gap, gaps, inspect
from data.synthetic import random_walk
from data.timeframes import parse_time

MINUTE = 60_000


@pytest.fixture
def clean() -> Frame:
    return random_walk("BTCUSDT", "1m", 1000, 7)[0]


def without(frame: Frame, *rows: int) -> Frame:
    keep = np.setdiff1d(np.arange(len(frame)), rows)
    columns = (getattr(frame, n)[keep] for n in ("open_time", "open", "high", "low", "close", "volume"))
    return Frame.of(frame.key, *columns)


def changed(frame: Frame, column: str, row: int, value: float) -> Frame:
    values = getattr(frame, column).copy()
    values[row] = value
    return replace(frame, **{column: values})


def test_a_clean_series_has_no_finding(clean: Frame) -> None:
    assert inspect(clean) == []
    assert gaps(clean) == []


def test_holes_are_named_with_their_span(clean: Frame) -> None:
    start = int(clean.open_time[0])
    frame = without(clean, 10, 11, 500)
    assert gaps(frame) == [
        Gap(start + 10 * MINUTE, start + 12 * MINUTE, 2),
        Gap(start + 500 * MINUTE, start + 501 * MINUTE, 1),
    ]
    assert [f.kind for f in inspect(frame)] == ["gap", "gap"]


def test_runs_without_volume_are_one_finding(clean: Frame) -> None:
    frame = clean
    for row in (20, 21, 22):
        frame = changed(frame, "volume", row, 0.0)
    (finding,) = inspect(frame)
    assert (finding.kind, finding.bars, finding.start_ms) == ("zero_volume", 3, int(clean.open_time[20]))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_price_that_is_none_is_found(clean: Frame, value: float) -> None:
    (finding,) = inspect(changed(clean, "low", 30, value))
    assert (finding.kind, finding.start_ms) == ("bad_price", int(clean.open_time[30]))


def test_a_crossed_bar_is_found(clean: Frame) -> None:
    found = inspect(changed(clean, "high", 30, clean.low[30] * 0.9999))
    assert [(f.kind, f.start_ms) for f in found] == [("crossed", int(clean.open_time[30]))]


def test_a_spike_that_comes_back_is_an_outlier_and_a_lasting_move_is_not(clean: Frame) -> None:
    spike = changed(clean, "high", 400, clean.high[400] * 1.03)
    assert [(f.kind, f.start_ms) for f in inspect(spike)] == [("outlier", int(clean.open_time[400]))]
    names = ("open", "high", "low", "close")
    factor = np.where(np.arange(len(clean)) >= 400, 1.03, 1.0)
    moved = replace(clean, **{n: getattr(clean, n) * factor for n in names})
    assert inspect(moved) == []


def test_a_thin_market_stands_still_by_chance_and_a_frozen_one_does_not(clean: Frame) -> None:
    """Three bars in ten without a move give runs of some five; twenty in a row are no chance."""

    def stand(frame: Frame, rows: np.ndarray) -> Frame:
        columns = {name: getattr(frame, name).copy() for name in ("open", "high", "low", "close")}
        for row in rows:
            for column in columns.values():
                column[row] = columns["close"][row - 1]
        return replace(frame, **columns)

    thin = stand(clean, np.flatnonzero(np.random.default_rng(2).random(len(clean)) < 0.3)[1:])
    assert not [f for f in inspect(thin) if f.kind == "stuck"]
    frozen = stand(thin, np.arange(500, 520))
    (found,) = (f for f in inspect(frozen) if f.kind == "stuck")
    assert found.start_ms <= int(clean.open_time[500])
    assert found.end_ms >= int(clean.open_time[519]) + MINUTE


def test_bars_off_the_grid_and_out_of_order_are_found(clean: Frame) -> None:
    times = clean.open_time.copy()
    times[50] += 1
    assert "off_grid" in {f.kind for f in inspect(replace(clean, open_time=times))}
    times[50] = times[49]
    assert {f.kind for f in inspect(replace(clean, open_time=times))} == {"duplicate", "gap"}
    times[50] = times[48] - 1
    assert "off_grid" in {f.kind for f in inspect(replace(clean, open_time=times))}


def test_a_finding_says_when_what_and_what_to_do(clean: Frame) -> None:
    (finding,) = inspect(without(clean, 10, 11))
    assert (finding.level, finding.series) == ("bad", clean.key)
    when = str(iso(int(clean.open_time[10])))[:16].replace("T", " ")
    assert finding.words == f"{when}: 2 bars missing; fetch it again (quality --repair)."


def test_every_kind_has_its_advice() -> None:
    sources = [p.read_text(encoding="utf-8") for p in Path(quality_findings.__file__).parent.glob("quality_*.py")]
    named = set(re.findall(r'"([a-z]+(?:_[a-z]+)*)",\s*"(?:bad|warn|info)"', "".join(sources)))
    assert {"outlier", "crossed", "partial_volume"} <= named
    assert named - {"info"} <= set(quality_findings.ADVICE)


def test_tiny_series_are_fine() -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
    assert inspect(Frame.empty(key)) == []
    for bars in (1, 2, 3, 5):
        assert inspect(random_walk("BTCUSDT", "1m", bars, 7)[0]) == []


@pytest.mark.data
@pytest.mark.parametrize("symbol", ["BTC", "ETH", "SOL", "XRP", "BNB", "DOGE"])
def test_the_minutes_of_august_2025_without_volume_are_found_in_recorded_data(shared_data: Path, symbol: str) -> None:
    path = shared_data / f"ohlcv/binance_um/5m/{symbol}USDT-5m-20241231_20250930.parquet"
    frame = plan_import([path], ImportRequest(f"{symbol}USDT")).content
    assert isinstance(frame, Frame)
    runs = [f for f in inspect(frame) if f.kind == "zero_volume"]
    outage = parse_time("2025-08-29T06:20"), parse_time("2025-08-29T06:35")
    assert any(f.start_ms < outage[1] and f.end_ms > outage[0] for f in runs)

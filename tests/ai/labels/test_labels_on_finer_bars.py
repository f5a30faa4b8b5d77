"""First touch decided on finer bars: recorded minutes inside recorded quarter hours, and small tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ai.exits import DistanceUnit, ExitProfile, exit_profile
from ai.features.leak_audit import audit_labels
from ai.labels import Doubt, Labels, labelled, stop_distances, triple_barrier
from ai.labels_finer import finer_bars
from data.errors import UserError
from data.market import BarMark, Frame, SeriesKey
from data.resample import resample

Array = npt.NDArray[np.float64]
EVEN = exit_profile("even", "15m")
TIGHT = ExitProfile("tight", DistanceUnit.PERCENT, 0.0015, 1.0, 24, 1.0, 0.0, False)


def read(path: Path, symbol: str, timeframe: str) -> Frame:
    table = pd.read_parquet(path)
    times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    columns = [table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    return Frame.of(SeriesKey("binanceusdm", f"{symbol}/USDT:USDT", timeframe), times, *columns)


@pytest.fixture(scope="module", params=["BTC", "SOL"])
def recorded(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Frame, Frame]:
    """Some 4,900 recorded quarter hours and the recorded minutes of the same weeks."""
    folder, coin = shared_data / "ohlcv/binance_um", request.param
    (fine_path,) = sorted(folder.glob(f"1m/{coin}USDT-1m-20250504_*.parquet"))
    (coarse_path,) = sorted(folder.glob(f"15m/{coin}USDT-15m-*_20250731.parquet"))
    fine = read(fine_path, coin, "1m")
    coarse = read(coarse_path, coin, "15m").between(int(fine.open_time[0]) - 86_400_000, int(fine.open_time[-1]))
    return coarse, fine


def labels_of(frame: Frame, profile: ExitProfile, fine: Frame | None = None, distance: Array | None = None) -> Labels:
    d = stop_distances(profile, frame.close) if distance is None else distance
    finer = None if fine is None else finer_bars(frame, fine)
    return triple_barrier(frame.open, frame.high, frame.low, frame.close, d, profile, finer=finer)


def minute_truth(coarse: Frame, fine: Frame, t: int, d: float, profile: ExitProfile, side: int) -> tuple[int, float]:
    """One side walked minute by minute from the open of quarter hour t + 1: (outcome, return)."""
    first = int(np.searchsorted(fine.open_time, coarse.open_time[t + 1]))
    entry = coarse.open[t + 1]
    stop, target = entry - side * d, entry + side * profile.target_ratio * d
    last = first + profile.limit_bars * 15
    for j in range(first, last):
        adverse, favourable = (fine.low[j], fine.high[j]) if side == 1 else (fine.high[j], fine.low[j])
        if side * (adverse - stop) <= 0:
            fill = fine.open[j] if side * (fine.open[j] - stop) < 0 else stop
            return -1, side * (fill / entry - 1)
        if side * (favourable - target) >= 0:
            return 1, side * (target / entry - 1)
    return 0, side * (fine.close[last - 1] / entry - 1)


@pytest.mark.data
def test_every_label_with_recorded_minutes_inside_is_the_label_that_the_minutes_tell(
    recorded: tuple[Frame, Frame],
) -> None:
    coarse, fine = recorded
    made, plain = labels_of(coarse, TIGHT, fine), labels_of(coarse, TIGHT)
    d = stop_distances(TIGHT, coarse.close)
    inside = finer_bars(coarse, fine).begin >= 0
    assert inside.sum() > 4_800
    known = np.append(0, np.cumsum(~inside))
    both = settled = 0
    for t in range(len(coarse) - TIGHT.limit_bars - 1):
        if known[t + TIGHT.limit_bars + 1] > known[t + 1]:
            continue
        long, short = (minute_truth(coarse, fine, t, d[t], TIGHT, side) for side in (1, -1))
        assert (made.long_outcome[t], made.short_outcome[t]) == (long[0], short[0])
        assert (made.long_return[t], made.short_return[t]) == pytest.approx((long[1], short[1]), abs=1e-12)
        if plain.long_outcome[t] == -1 and plain.short_outcome[t] == -1:  # equal distances: one bar touched both
            both += 1
            settled += (long[0] == 1) or (short[0] == 1)
    assert both > 200
    assert settled > 0.9 * both  # few single minutes touch both


@pytest.mark.data
def test_where_nothing_touches_both_finer_bars_change_no_outcome(recorded: tuple[Frame, Frame]) -> None:
    coarse, fine = recorded
    made, plain = labels_of(coarse, TIGHT, fine), labels_of(coarse, TIGHT)
    assert np.array_equal(made.complete, plain.complete)
    assert np.array_equal(made.end, plain.end)
    clear = ~((plain.long_outcome == -1) & (plain.short_outcome == -1))
    assert np.array_equal(made.label[clear], plain.label[clear])
    assert (made.long_outcome >= plain.long_outcome).all()  # without them the reading is the more cautious one
    assert (made.short_outcome >= plain.short_outcome).all()


@pytest.mark.data
def test_it_is_counted_how_many_sides_one_bar_left_open_and_the_finer_bars_decided(
    recorded: tuple[Frame, Frame],
) -> None:
    coarse, fine = recorded
    made, plain = labels_of(coarse, TIGHT, fine), labels_of(coarse, TIGHT)
    columns = (coarse.open, coarse.high, coarse.low, coarse.close, stop_distances(TIGHT, coarse.close))
    open_rows = plain.complete & (plain.long_outcome == -1) & (plain.short_outcome == -1)  # equal distances
    settled = open_rows & ((made.long_outcome == 1) | (made.short_outcome == 1))
    assert labelled(*columns, TIGHT)[1] == Doubt(2 * int(open_rows.sum()), 0)
    assert labelled(*columns, TIGHT, finer=finer_bars(coarse, fine))[1] == Doubt(
        2 * int(open_rows.sum()), 2 * int(settled.sum())
    )
    assert settled.sum() > 200


@pytest.mark.data
def test_labels_on_finer_bars_do_not_see_beyond_their_end(recorded: tuple[Frame, Frame]) -> None:
    coarse, fine = recorded
    assert audit_labels(lambda frame: labels_of(frame, TIGHT, fine), coarse.slice(0, 2_000), cuts=6) == []
    whole, cut = labels_of(coarse, TIGHT, fine), 1_500
    until = fine.between(0, int(coarse.open_time[cut]) + coarse.key.step_ms)
    part = labels_of(coarse.slice(0, cut + 1), TIGHT, until)
    rows = np.flatnonzero(whole.complete & (whole.end <= cut))
    for column in dataclasses.fields(Labels):
        assert np.array_equal(getattr(whole, column.name)[rows], getattr(part, column.name)[rows])


# Quarter hours from five-minute bars; the second of three may touch both barriers at 90 and 110.
def market(middle: list[tuple[float, float, float, float]]) -> tuple[Frame, Frame]:
    quiet = (100.0, 101.0, 99.0, 100.0)
    bars = np.array([quiet] * 3 + middle + [quiet] * 12).T
    key = SeriesKey("test", "BTC/USDT:USDT", "5m")
    fine = Frame.of(key, np.arange(18, dtype=np.int64) * 300_000, *bars, np.ones(18))
    return resample(fine, "15m"), fine


UP, DOWN, BOTH = (100, 110, 99, 100), (100, 101, 90, 100), (100, 110, 90, 100)
QUIET = (100, 101, 99, 100)
GAP = (85, 100, 84, 100)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        ([UP, DOWN, QUIET], (1, 1, -1, 0.10, -0.10)),
        ([DOWN, QUIET, UP], (-1, -1, 1, -0.10, 0.10)),
        ([QUIET, BOTH, UP], (0, -1, -1, -0.10, -0.10)),
        ([UP, BOTH, QUIET], (1, 1, -1, 0.10, -0.10)),
        ([QUIET, GAP, UP], (-1, -1, 1, -0.15, 0.10)),
    ],
    ids=["up first", "down first", "one finer bar touches both", "decided before", "gap inside the bar"],
)
def test_the_order_inside_a_bar_decides(middle: list[tuple[float, ...]], expected: tuple[float, ...]) -> None:
    coarse, fine = market(middle)  # type: ignore[arg-type]
    made = labels_of(coarse, EVEN, fine, np.full(6, 10.0))
    assert (made.label[0], made.long_outcome[0], made.short_outcome[0]) == expected[:3]
    assert (made.long_return[0], made.short_return[0]) == pytest.approx(expected[3:])
    assert made.end[0] == 1


def test_finer_bars_that_are_incomplete_suspect_or_tell_another_market_are_not_used() -> None:
    coarse, fine = market([UP, DOWN, QUIET])  # type: ignore[list-item]
    assert finer_bars(coarse, fine).begin.tolist() == [0, 3, 6, 9, 12, 15]
    missing = fine.take(np.arange(18) != 4)
    mark = fine.mark.copy()
    mark[4] = BarMark.SUSPECT
    low = fine.low.copy()
    low[4] = 91.0
    close = fine.close.copy()
    close[5] = 100.5
    others = (missing, dataclasses.replace(fine, mark=mark), dataclasses.replace(fine, low=low),
              dataclasses.replace(fine, close=close))  # fmt: skip
    for other in others:
        assert finer_bars(coarse, other).begin[1] == -1
        assert (finer_bars(coarse, other).begin >= 0).sum() == 5
        assert labels_of(coarse, EVEN, other, np.full(6, 10.0)).label[0] == 0
    assert (finer_bars(coarse, fine.slice(0, 0)).begin == -1).all()
    assert finer_bars(coarse, fine.slice(0, 7)).begin.tolist() == [0, 3, -1, -1, -1, -1]


def test_finer_bars_of_another_symbol_or_a_longer_timeframe_are_refused() -> None:
    coarse, fine = market([QUIET] * 3)  # type: ignore[list-item]
    other = dataclasses.replace(fine, key=SeriesKey("test", "ETH/USDT:USDT", "5m"))
    with pytest.raises(UserError, match="of another symbol"):
        finer_bars(coarse, other)
    with pytest.raises(UserError, match="choose finer"):
        finer_bars(fine, coarse)
    with pytest.raises(UserError, match="belong to 6 bars, not to these 18"):
        d = np.ones(18)
        triple_barrier(fine.open, fine.high, fine.low, fine.close, d, EVEN, finer=finer_bars(coarse, fine))


def test_costs_move_the_payoff_of_both_barriers_of_both_sides() -> None:
    coarse, fine = market([UP, DOWN, QUIET])  # type: ignore[list-item]
    made = labels_of(coarse, EVEN, fine, np.full(6, 10.0))
    long, short = made.net(0.0012)
    assert (long[0], short[0]) == pytest.approx((0.10 - 0.0012, -0.10 - 0.0012))
    assert np.array_equal(np.isnan(long), ~made.complete)


def test_barriers_scaled_by_volatility_scale_with_the_market() -> None:
    generator = np.random.default_rng(3)
    moves = generator.normal(0.0, 0.001, 600)
    made = []
    for size in (1.0, 4.0):
        close = 100.0 * np.exp(np.cumsum(size * moves))
        opened = np.concatenate(([100.0], close[:-1]))
        high, low = np.maximum(opened, close), np.minimum(opened, close)
        volatility = np.full(600, size * 0.001)
        d = stop_distances(EVEN, close, volatility)
        made.append(triple_barrier(opened, high, low, close, d, EVEN))
    assert 0.2 < np.mean(made[0].label != 0) < 0.8
    assert np.mean(made[0].label == made[1].label) > 0.95  # four times the volatility: the same labels

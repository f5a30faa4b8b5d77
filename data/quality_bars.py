"""Checks of one series of bars by itself: order, numbers, moves, volume."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from data.market import Float64Array, Frame
from data.quality_findings import Finding, Flags, count, local_median, runs, spans

PRICE_NAMES = ("open", "high", "low", "close")
OUTLIER_SCALE = 12.0  # times the local median move ...
BARE_SCALE = 6.0  # ... or so many without the volume that such a move takes
OUTLIER_RETURN = 0.5  # a return beyond ±50 % within a bar is named whatever its surroundings
BARE_VOLUME = 1.0  # log units under what the range lets expect: the market did not go there
THIN_SHARE = 0.01  # a market with more bars than this without a trade is thin: one more says little
SHORT_VOLUME = 2.0  # log units under what the range lets expect (e^-2: 14 %) ...
SHORT_QUANTILE, SHORT_TIMES = 0.99, 2.2  # ... and well beyond what one bar in a hundred of the series has
CUT_VOLUME = 0.8  # log units that are enough where the next bar opens away from the close as well
JUMP_SHARE = 0.3  # of the local range, between a close and the next open
JUMP_TICKS = 3.0
STUCK_BARS = 3
CHANCE = 0.01  # a run is named where fewer than so many of its length would come by chance


def order_findings(frame: Frame) -> tuple[Frame, list[Finding]]:
    """The frame in order, each time on the grid once (the first one given), and what stood in the way."""
    times, key, step = frame.open_time, frame.key, frame.key.step_ms
    off_grid = np.asarray(times % step != 0)
    if len(times) < 2 or ((np.diff(times) > 0).all() and not off_grid.any()):
        off = list(runs(key, times, step, off_grid, "off_grid", "bad", lambda a, b: _off(b - a)))
        return frame.take(~off_grid) if off_grid.any() else frame, off
    order = np.argsort(times, kind="stable")
    again = np.zeros(len(times), dtype=np.bool_)
    again[order[1:]] = np.diff(times[order]) == 0
    behind = np.zeros(len(times), dtype=np.bool_)
    behind[1:] = times[1:] < np.maximum.accumulate(times)[:-1]
    found = [
        *runs(key, times, step, off_grid, "off_grid", "bad", lambda a, b: _off(b - a)),
        *runs(key, times, step, behind & ~again, "disorder", "bad", lambda a, b: f"{count(b - a)} behind a later one"),
        *_duplicates(frame, again, order),
    ]
    return frame.take(order[~(again | off_grid)[order]]), found


def _off(bars: int) -> str:
    return f"{count(bars)} off the timeframe's grid"


def _duplicates(frame: Frame, again: Flags, order: npt.NDArray[np.intp]) -> Iterator[Finding]:
    """Rows whose time was given before, each against the first row of that time."""
    ordered = frame.open_time[order]
    table = np.column_stack([frame.open, frame.high, frame.low, frame.close, frame.volume])
    for i in np.flatnonzero(again):
        time = int(frame.open_time[i])
        first = order[np.searchsorted(ordered, time)]
        same = np.array_equal(table[i], table[first], equal_nan=True)
        words = "the bar is there twice" if same else "two bars of one time say different things"
        yield Finding("duplicate", time, time + frame.key.step_ms, 1, words, "warn" if same else "bad", frame.key)


def number_findings(frame: Frame) -> tuple[Frame, list[Finding]]:
    """The bars whose numbers can be true, and those whose cannot."""
    key, times, step = frame.key, frame.open_time, frame.key.step_ms
    prices = np.column_stack([frame.open, frame.high, frame.low, frame.close])
    bad = np.asarray(~(np.isfinite(prices) & (prices > 0)).all(axis=1))
    crossed = ((frame.high < prices.max(axis=1)) | (frame.low > prices.min(axis=1))) & ~bad
    volume = np.asarray(~(np.isfinite(frame.volume) & (frame.volume >= 0)))

    def numbers(a: int, b: int) -> str:
        return f"{count(b - a)} with a price that is zero, negative or no number (close {frame.close[a]:g})"

    def order(a: int, b: int) -> str:
        return (
            f"{count(b - a)} whose high {frame.high[a]:g} or low {frame.low[a]:g} does not hold its open "
            f"{frame.open[a]:g} and close {frame.close[a]:g}"
        )

    found = [
        *runs(key, times, step, bad, "bad_price", "bad", numbers),
        *runs(key, times, step, crossed, "crossed", "bad", order),
        *runs(key, times, step, volume, "bad_volume", "bad",
              lambda a, b: f"{count(b - a)} whose volume is negative or no number ({frame.volume[a]:g})"),
    ]  # fmt: skip
    unsound = bad | crossed | volume
    return frame.take(~unsound) if unsound.any() else frame, found


def trade_findings(frame: Frame) -> list[Finding]:
    """What moves and volume say, of a frame in order with sound numbers."""
    if len(frame) < 3:
        return []
    traded = frame.key.kind == "ohlcv"
    missing = short_volume(frame) if traded else np.full(len(frame), np.inf)
    size, spikes = _outliers(frame, missing)
    found = [*_spike_findings(frame, size, spikes, missing), *_still_findings(frame)]
    return [*found, *_volume_findings(frame, missing, spikes)] if traded else found


def _spike_findings(frame: Frame, size: Float64Array, spikes: Flags, missing: Float64Array) -> Iterator[Finding]:
    """A spike that comes back: worth a warning where the volume does not say that the market was there."""
    key, times, step = frame.key, frame.open_time, frame.key.step_ms
    bare = missing > BARE_VOLUME

    def spike(a: int, b: int) -> str:
        return f"{count(b - a)} far outside the moves around: {size[a:b].max():.2%} and back"

    yield from runs(key, times, step, spikes & bare, "outlier", "warn", spike)
    yield from runs(key, times, step, spikes & ~bare, "outlier", "info",
                    lambda a, b: f"{spike(a, b)}, with the volume for it")  # fmt: skip


def _still_findings(frame: Frame) -> Iterator[Finding]:
    """Stuck prices, and bars told twice."""
    key, times, step = frame.key, frame.open_time, frame.key.step_ms
    joined = _joined(frame)
    flat = (frame.high == frame.low) & joined
    flat[1:] &= frame.open[1:] == frame.close[:-1]
    least = _longest_by_chance(flat)
    for first, stop in spans(flat):
        if stop - first >= least and (key.kind != "ohlcv" or frame.volume[first:stop].all()):
            words = f"the price stands at {frame.close[first]:g} for {count(stop - first)} while trades go on"
            yield Finding("stuck", int(times[first]), int(times[stop - 1]) + step, stop - first, words, "warn", key)
    told = joined & (frame.high > frame.low)
    for column in (frame.open, frame.high, frame.low, frame.close):
        told[1:] &= column[1:] == column[:-1]
    if key.kind == "ohlcv":
        told[1:] &= (frame.volume[1:] == frame.volume[:-1]) & (frame.volume[1:] > 0)
    yield from runs(key, times, step, told, "repeated", "bad", lambda a, b: f"{count(b - a)} told once more, unchanged")


def _volume_findings(frame: Frame, missing: Float64Array, spikes: Flags) -> Iterator[Finding]:
    """Bars without volume, with too little for their range, or cut short."""
    key, times, step = frame.key, frame.open_time, frame.key.step_ms
    empty = frame.volume == 0
    moved = frame.high > frame.low
    thin = float(np.mean(empty)) > THIN_SHARE

    def still(a: int, b: int) -> str:
        return f"{count(b - a)} without any volume"

    yield from runs(key, times, step, empty & moved, "zero_volume", "bad",
                    lambda a, b: f"{still(a, b)}, though the price moved")  # fmt: skip
    yield from runs(key, times, step, empty & ~moved, "zero_volume", "info" if thin else "warn", still)
    if thin:
        return
    jump, sharp = _jumps(frame)
    limit = max(SHORT_VOLUME, SHORT_TIMES * float(np.quantile(missing, SHORT_QUANTILE)))
    other = ~(empty | spikes)
    cut = sharp & (missing > CUT_VOLUME) & other
    short = (missing > limit) & other & ~cut

    def share(a: int, b: int) -> str:
        part = math.exp(-float(missing[a:b].max()))
        return f"{count(b - a)} with {part:.0%} of the volume that the range lets expect"

    yield from runs(key, times, step, short, "partial_volume", "warn", share)
    yield from runs(key, times, step, cut, "partial_volume", "warn",
                    lambda a, b: f"{share(a, b)}, and the next opens {jump[b - 1]:.2%} away")  # fmt: skip
    yield from runs(key, times, step, sharp & ~cut & ~empty, "jump", "info",
                    lambda _, b: f"the next bar opens {jump[b - 1]:.2%} from this one's close")  # fmt: skip


def short_volume(frame: Frame) -> Float64Array:
    """By how many log units each bar has less volume than its range lets expect: ``[T]``.

    Volume and range go together bar by bar, each measured against its surroundings; one slope a series.
    """
    floor = max(float(np.median(frame.volume)), 1e-12) * 1e-4
    volume = np.log(np.maximum(frame.volume, floor))
    size = np.log(frame.high / frame.low)
    usual = float(np.median(size))
    if usual <= 0:
        return np.zeros(len(frame))
    size = np.log(np.maximum(size, usual * 0.05))
    x, y = size - local_median(size), volume - local_median(volume)
    slope = float(np.dot(x, y) / max(np.dot(x, x), 1e-12))
    return slope * x - y


def _joined(frame: Frame) -> Flags:
    """Bars that follow the one before without a gap."""
    joined = np.zeros(len(frame), dtype=np.bool_)
    joined[1:] = np.diff(frame.open_time) == frame.key.step_ms
    return joined


def _jumps(frame: Frame) -> tuple[Float64Array, Flags]:
    """From each close to the next open, as a fraction ``[T]``, and where that is much (it was cut short)."""
    jump = np.zeros(len(frame))
    distance = np.abs(frame.open[1:] - frame.close[:-1])
    jump[:-1] = np.where(_joined(frame)[1:], distance / frame.close[:-1], 0.0)
    size = np.log(frame.high / frame.low)
    local = np.maximum(local_median(size), float(np.median(size)) * JUMP_SHARE)
    tick = float(np.min(distance[distance > 0])) if distance.any() else 0.0
    beyond = jump > JUMP_SHARE * local
    beyond[:-1] &= distance > JUMP_TICKS * tick
    return jump, beyond & (jump > 0)


def _longest_by_chance(flat: Flags) -> int:
    """The shortest run that chance does not explain, were flat bars scattered over the series."""
    share = float(np.mean(flat))
    if share <= 0:
        return STUCK_BARS
    if share >= 0.5:
        return len(flat) + 1
    return max(STUCK_BARS, math.ceil(math.log(CHANCE / len(flat)) / math.log(share)))


def _outliers(frame: Frame, missing: Float64Array) -> tuple[Float64Array, Flags]:
    """Sizes of the moves, and bars that jump away and come back at once, or move by half their price."""
    log_close = np.log(frame.close)
    reach = np.maximum(np.log(frame.high) - log_close, log_close - np.log(frame.low))
    move = np.abs(np.diff(log_close, prepend=np.log(frame.open[0])))
    move[1:][~_joined(frame)[1:]] = 0.0
    size = np.maximum(reach, move)
    scale = size / np.maximum(local_median(size), max(float(np.median(size)) * 0.5, 1e-12))
    beyond = (scale > OUTLIER_SCALE) | ((scale > BARE_SCALE) & (missing > 2 * BARE_VOLUME) & np.isfinite(missing))
    returns = reach > move * 2
    returns[1:-1] |= np.abs(log_close[2:] - log_close[:-2]) < 0.5 * move[1:-1]
    return size, np.asarray((beyond & returns) | (size > OUTLIER_RETURN), dtype=np.bool_)

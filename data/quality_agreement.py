"""Series held against each other: timeframes of one symbol, traded against mark price, a symbol against its peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from data.market import Float64Array, Frame
from data.quality_bars import PRICE_NAMES, number_findings, order_findings, short_volume
from data.quality_findings import Finding, Flags, Level, count, runs, spans
from data.resample import resample

SAME_SHARE = 1e-9  # sums of decimals differ in their last bits
SMALL_SHARE = 0.01  # of the volume: less than this is told as good to know
MARK_WARNING = 0.05  # a price that far from the mark price is unusual ...
MARK_LIMIT = 0.10  # ... and that far it is not to be believed (as ``spike_limit`` of the settings)
LEAST_PEERS = 3
PEER_SHORT = 1.8  # log units of volume that one symbol lacks and its peers have at the same moment (17 %) ...
PEER_QUANTILE, PEER_TIMES = 0.99, 2.6  # ... and well beyond what one bar in a hundred of it lacks


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """The same buckets from the finer series and as stored, the latter's key, and the bars that make one bucket."""

    made: Frame
    stored: Frame
    fine: Frame
    parts: int


def compare(fine: Frame, coarse: Frame) -> list[Finding]:
    """Buckets in which two timeframes of one symbol tell different stories, in order of time.

    The series that lacks volume was read too early: ``partial_volume`` of that series (bad where prices differ too).
    Equal volumes with other prices are a ``disagreement`` of the longer series. Buckets that either side has not whole
    are left out: their gaps are found in the series alone.
    """
    sound = [number_findings(order_findings(frame)[0])[0] for frame in (fine, coarse)]
    made = resample(sound[0], coarse.key.timeframe)
    _, i, j = np.intersect1d(made.open_time, sound[1].open_time, assume_unique=True, return_indices=True)
    parts = coarse.key.step_ms // fine.key.step_ms
    pair = _Pair(made.take(i), sound[1].take(j), fine, parts)
    found: list[Finding] = []
    lack = (pair.stored.volume - pair.made.volume) / np.maximum(
        np.maximum(pair.made.volume, pair.stored.volume), 1e-300
    )
    volume_differs, fine_short = np.abs(lack) > SAME_SHARE, lack > SAME_SHARE
    prices = np.zeros(len(i), dtype=np.bool_)
    for name in PRICE_NAMES:
        a, b = getattr(pair.made, name), getattr(pair.stored, name)
        prices |= np.abs(a - b) > SAME_SHARE * b
    small = ~prices & (np.abs(lack) < SMALL_SHARE)
    levels: tuple[tuple[Level, Flags], ...] = (("bad", prices), ("warn", ~prices & ~small), ("info", small))
    for level, of_level in levels:
        found += _partial(pair, fine_short & of_level, level, of_fine=True)
        found += _partial(pair, volume_differs & ~fine_short & of_level, level, of_fine=False)
    found += runs(coarse.key, pair.stored.open_time, coarse.key.step_ms, prices & ~volume_differs, "disagreement",
                  "bad", lambda a, b: f"{count(b - a)} of {coarse.key.timeframe} with prices other than their "
                  f"{fine.key.timeframe} bars have ({_differences(pair, a)})")  # fmt: skip
    return sorted(found, key=lambda f: (f.start_ms, f.kind))


def _partial(pair: _Pair, flags: Flags, level: Level, of_fine: bool) -> list[Finding]:
    """Runs of buckets in which one side lacks volume, as findings of that side."""
    short, whole = (pair.made, pair.stored) if of_fine else (pair.stored, pair.made)
    step = pair.stored.key.step_ms
    key = pair.fine.key if of_fine else pair.stored.key
    other = pair.stored.key if of_fine else pair.fine.key
    found = []
    for a, b in spans(flags):
        for first, stop in _unbroken(pair.stored, a, b):
            share = short.volume[first:stop].sum() / whole.volume[first:stop].sum()
            bars = (stop - first) * (pair.parts if of_fine else 1)
            words = (
                f"{count(bars)} without {1.0 - share:.3%} of the volume that {other.timeframe} has for the same time"
            )
            differences = _differences(pair, first)
            words += f" ({differences})" if differences else ""
            start, end = int(pair.stored.open_time[first]), int(pair.stored.open_time[stop - 1]) + step
            found.append(Finding("partial_volume", start, end, bars, words, level, key))
    return found


def _unbroken(frame: Frame, first: int, stop: int) -> list[tuple[int, int]]:
    """Rows ``first:stop`` cut where neighbours are not neighbours in time."""
    cuts = first + 1 + np.flatnonzero(np.diff(frame.open_time[first:stop]) != frame.key.step_ms)
    edges = [first, *cuts.tolist(), stop]
    return list(pairwise(edges))


def _differences(pair: _Pair, row: int) -> str:
    """``close 37184 against 37118.4``: made against stored, of one bucket."""
    told = []
    for name in PRICE_NAMES:
        a, b = float(getattr(pair.made, name)[row]), float(getattr(pair.stored, name)[row])
        if abs(a - b) > SAME_SHARE * b:
            told.append(f"{name} {a:.10g} against {b:.10g}")
    return ", ".join(told)


def compare_mark(
    frame: Frame, mark: Frame, *, warning: float = MARK_WARNING, limit: float = MARK_LIMIT
) -> list[Finding]:
    """Bars whose high, low or close is far from the mark price of the same time (the coarser of the two timeframes).

    Mark prices move with the index of several exchanges: one exchange's false print does not move them.
    """
    step = max(frame.key.step_ms, mark.key.step_ms)
    timeframe = frame.key.timeframe if frame.key.step_ms == step else mark.key.timeframe
    sound = [number_findings(order_findings(f)[0])[0] for f in (frame, mark)]
    traded, marked = (resample(f, timeframe) for f in sound)
    _, i, j = np.intersect1d(traded.open_time, marked.open_time, assume_unique=True, return_indices=True)
    traded, marked = traded.take(i), marked.take(j)
    away = np.zeros(len(i))
    for name in ("high", "low", "close"):
        away = np.maximum(away, np.abs(getattr(traded, name) / getattr(marked, name) - 1.0))

    def words(a: int, b: int) -> str:
        return f"{count(b - a)} up to {away[a:b].max():.1%} from the mark price"

    found: list[Finding] = []
    levels: tuple[tuple[Level, Flags], ...] = (("bad", away > limit), ("warn", (away > warning) & (away <= limit)))
    for level, flags in levels:
        named = runs(frame.key, traded.open_time, step, flags, "mark_disagreement", level, words)
        found += [_located(finding, sound[0], step) for finding in named]
    return sorted(found, key=lambda f: f.start_ms)


def _located(finding: Finding, frame: Frame, step_ms: int) -> Finding:
    """A finding of longer bars, narrowed to the finer bar with the extreme price where it is a single bucket."""
    if frame.key.step_ms == step_ms or finding.bars > 1:
        return finding
    part = frame.between(finding.start_ms, finding.end_ms)
    middle = float(np.median(part.close))
    worst = int(np.argmax(np.maximum(part.high / middle, middle / part.low)))
    start = int(part.open_time[worst])
    return replace(finding, start_ms=start, end_ms=start + frame.key.step_ms)


def compare_symbols(frames: Sequence[Frame]) -> list[Finding]:
    """Bars in which one symbol lacks volume for its range while the others of the same timeframe have theirs.

    Markets are busy and quiet together; what the middle of the peers lacks is taken off. With fewer than three series
    nothing can be said.
    """
    sound = [f for f in (number_findings(order_findings(frame)[0])[0] for frame in frames) if len(f) > 2]
    if len(sound) < LEAST_PEERS:
        return []
    times = np.unique(np.concatenate([f.open_time for f in sound]))
    table = np.full((len(sound), len(times)), np.nan)
    for s, frame in enumerate(sound):
        missing = short_volume(frame)
        missing[frame.volume == 0] = np.nan  # told as zero_volume
        table[s, np.searchsorted(times, frame.open_time)] = missing
    enough = np.isfinite(table).sum(axis=0) >= LEAST_PEERS
    found: list[Finding] = []
    middle = np.full(len(times), np.nan)
    middle[enough] = np.nanmedian(table[:, enough], axis=0)
    for s, frame in enumerate(sound):
        alone: Float64Array = table[s] - middle
        known = np.isfinite(alone)
        if not known.any():
            continue
        limit = max(PEER_SHORT, PEER_TIMES * float(np.quantile(alone[known], PEER_QUANTILE)))
        flags = known & (np.nan_to_num(alone) > limit)
        found += runs(frame.key, times, frame.key.step_ms, flags, "partial_volume", "warn", _peer_words(alone))
    return sorted(found, key=lambda f: (f.start_ms, str(f.series)))


def _peer_words(alone: Float64Array) -> Callable[[int, int], str]:
    return lambda a, b: f"{count(b - a)} with {np.exp(-alone[a:b].max()):.0%} of the volume that its peers let expect"

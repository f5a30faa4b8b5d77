"""Checks of settlements, metrics, trades, book tops and mark/index prices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.market import Float64Array, FundingFrame, Int64Array, SeriesKey
from data.observations import BOOK_DEPTH, Observations
from data.quality_findings import Finding, Flags, Gap, Level, count, runs, spans
from data.timeframes import HOUR_MS

INTERVALS = tuple(h * HOUR_MS for h in (1, 2, 4, 8))  # between settlements, as exchanges use them
RATE_SCALE = 20.0  # times the usual size of the rate is a spike ...
USUAL_RATE = 1e-4  # ... which is at least this (0.01 % in 8 h is the exchanges' base rate)
IMPOSSIBLE_RATE = 0.05  # no exchange lets a single settlement exceed 4 %
SPIKE_SHARE = 0.02  # a trade that far from both its neighbours, which agree with each other
PREMIUM_LIMIT = 0.05  # mark price from index price
RATIO_CHANGE = 1.0  # log units from one row to the next and back


def funding_key(funding: FundingFrame) -> SeriesKey:
    """The series that settlements are stored as."""
    return SeriesKey(funding.exchange, funding.symbol, "8h", "funding", funding.source)


def settlement_intervals(time: Int64Array) -> Int64Array:
    """The interval in force before each settlement but the first, ms ``[N - 1]``.

    It differs by symbol and changes: a distance counts as an interval if exchanges use it and a neighbouring distance
    is the same, or it lies between the two neighbouring intervals (a change on the way); any other is a hole in the
    longer of them.
    """
    distance = np.diff(time)
    usual = np.isin(distance, INTERVALS)
    same = np.zeros(len(distance), dtype=np.bool_)
    same[1:] |= distance[1:] == distance[:-1]
    same[:-1] |= distance[:-1] == distance[1:]
    regular = np.flatnonzero(usual & same)
    if not len(regular):
        shortest = int(distance[usual].min()) if usual.any() else INTERVALS[-1]
        return np.full(len(distance), shortest, dtype=np.int64)
    after = np.minimum(np.searchsorted(regular, np.arange(len(distance))), len(regular) - 1)
    before = np.maximum(np.searchsorted(regular, np.arange(len(distance)), side="right") - 1, 0)
    longer = np.maximum(distance[regular[before]], distance[regular[after]])
    return np.where(usual & (distance <= longer), distance, longer).astype(np.int64)


def funding_gaps(funding: FundingFrame) -> list[Gap]:
    """Holes between settlements at the interval that is in force there."""
    distance, interval = np.diff(funding.time), settlement_intervals(funding.time)
    missing = np.rint(distance / interval).astype(np.int64) - 1
    return [
        Gap(int(funding.time[i] + interval[i]), int(funding.time[i + 1]), int(missing[i]))
        for i in np.flatnonzero(distance >= 1.5 * interval)
    ]


def inspect_funding(funding: FundingFrame, *, now_ms: int | None = None) -> list[Finding]:
    """Holes, changes of the interval, spikes and impossible rates, in order of time."""
    key, time, rate = funding_key(funding), funding.time, funding.rate
    found = [Finding("funding_gap", g.start_ms, g.end_ms, g.bars,
                     f"{count(g.bars, 'settlement')} missing ({(g.end_ms - g.start_ms) / 86_400_000:.1f} days)",
                     "bad", key) for g in funding_gaps(funding)]  # fmt: skip
    if not len(funding):
        return found
    impossible = ~(np.isfinite(rate) & (np.abs(rate) <= IMPOSSIBLE_RATE))
    found += runs(key, time, 1, impossible, "bad_rate", "bad",
                  lambda a, b: f"{count(b - a, 'rate')} that cannot be ({rate[a]:.4g})")  # fmt: skip
    usual = max(USUAL_RATE, float(np.median(np.abs(rate[~impossible]))) if not impossible.all() else 0.0)
    spike = ~impossible & (np.abs(rate) >= RATE_SCALE * usual)

    def extreme(a: int, b: int) -> str:
        worst = rate[a:b][np.argmax(np.abs(rate[a:b]))]
        return f"{count(b - a, 'settlement')} up to {worst:+.2%} (usual size {usual:.3%})"

    found += runs(key, time, 1, spike, "funding_spike", "warn", extreme)
    found += _interval_changes(key, time)
    if now_ms is not None and now_ms - int(time[-1]) > 2 * INTERVALS[-1]:
        words = f"no settlement for {(now_ms - int(time[-1])) / HOUR_MS:.0f} hours"
        found.append(Finding("stale", int(time[-1]) + 1, now_ms, 1, words, "warn", key))
    return sorted(found, key=lambda f: (f.start_ms, f.kind))


def _interval_changes(key: SeriesKey, time: Int64Array) -> list[Finding]:
    """Stretches whose interval is not the one that the series mostly has."""
    interval = settlement_intervals(time)
    if not len(interval):
        return []
    lengths, times = np.unique(interval, return_counts=True)
    mostly = int(lengths[np.argmax(times)])
    found = []
    for length in lengths[lengths != mostly]:
        for first, stop in spans(interval == length):
            words = f"{count(stop - first, 'settlement')} {length // HOUR_MS} h apart instead of {mostly // HOUR_MS} h"
            start, end = int(time[first + 1]), int(time[stop]) + 1
            found.append(Finding("funding_interval", start, end, stop - first, words, "info", key))
    return found


def inspect_observations(rows: Observations, *, now_ms: int | None = None) -> list[Finding]:
    """Findings of one series of observations, by what its kind can tell, in order of time."""
    checks: dict[str, Callable[[Observations], list[Finding]]] = {
        "metrics": _metrics, "trades": _trades, "book": _book, "premium": _premium, "liquidations": _liquidations,
    }  # fmt: skip
    found = checks[rows.key.kind](rows) if len(rows) else []
    if now_ms is not None and len(rows) > 1:
        usual = float(np.median(np.diff(rows.time)))
        late = now_ms - int(rows.time[-1])
        if usual > 0 and late > max(3 * usual, 60_000):
            words = f"nothing for {late / 60_000:.0f} minutes, usually a row every {usual / 1000:g} s"
            found.append(Finding("stale", int(rows.time[-1]) + 1, now_ms, 1, words, "warn", rows.key))
    return sorted(found, key=lambda f: (f.start_ms, f.kind))


def _flagged(
    rows: Observations, flags: Flags | np.bool_, kind: str, level: Level, words: str
) -> list[Finding]:  # fmt: skip
    each = np.broadcast_to(flags, len(rows))
    return list(runs(rows.key, rows.time, 1, each, kind, level, lambda a, b: f"{count(b - a, 'row')} {words}"))


def _metrics(rows: Observations) -> list[Finding]:
    """Holes at the usual distance, values that cannot be, jumps that come back."""
    distance = np.diff(rows.time)
    found = []
    if len(distance):
        lengths, times = np.unique(distance, return_counts=True)
        step = int(lengths[np.argmax(times)])
        for i in np.flatnonzero(distance > 1.5 * step):
            missing = round(int(distance[i]) / step) - 1
            words = f"{count(missing, 'row')} missing ({distance[i] / 86_400_000:.1f} days)"
            found.append(
                Finding("gap", int(rows.time[i]) + step, int(rows.time[i + 1]), missing, words, "bad", rows.key)
            )
    unusable = np.isinf(rows.values).any(axis=1) | np.isnan(rows.values).all(axis=1) | (rows.values < 0).any(axis=1)
    found += _flagged(rows, unusable, "bad_value", "bad", "with a value that is negative or no number")
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.log(rows.values)
    away = np.zeros(len(rows), dtype=np.bool_)
    if len(rows) > 2:
        left, right, across = size[1:-1] - size[:-2], size[1:-1] - size[2:], size[2:] - size[:-2]
        least = np.minimum(np.abs(left), np.abs(right))
        away[1:-1] = ((least > RATIO_CHANGE) & (np.abs(across) < 0.5 * least)).any(axis=1)
    found += _flagged(rows, away & ~unusable, "outlier", "warn", "far from the rows beside, which agree")
    return found


def _trades(rows: Observations) -> list[Finding]:
    """Missing ids, ids out of order, impossible numbers, single prices far from their neighbours."""
    price, quantity, side = rows.values.T
    bad = ~(np.isfinite(price) & (price > 0) & np.isfinite(quantity) & (quantity > 0) & (np.abs(side) == 1))
    found = _flagged(rows, bad, "bad_value", "bad", "with a price, quantity or side that cannot be")
    steps = np.diff(rows.id)
    for i in np.flatnonzero(steps > 1):
        missing = int(steps[i]) - 1
        words = f"{count(missing, 'trade')} missing between ids {rows.id[i]} and {rows.id[i + 1]}"
        found.append(Finding("id_gap", int(rows.time[i]), int(rows.time[i + 1]) + 1, missing, words, "bad", rows.key))
    behind = np.zeros(len(rows), dtype=np.bool_)
    behind[1:] = steps <= 0
    found += _flagged(rows, behind, "disorder", "warn", "whose id does not follow the one before")
    return found + _lone_prices(rows, price, bad)


def _lone_prices(rows: Observations, price: Float64Array, bad: Flags) -> list[Finding]:
    sound = np.flatnonzero(~bad)
    log_price = np.log(price[sound])
    lone = np.zeros(len(rows), dtype=np.bool_)
    if len(sound) > 2:
        left, right = log_price[1:-1] - log_price[:-2], log_price[1:-1] - log_price[2:]
        least = np.where(np.sign(left) == np.sign(right), np.minimum(np.abs(left), np.abs(right)), 0.0)
        lone[sound[1:-1]] = least > SPIKE_SHARE
    return _flagged(rows, lone, "outlier", "warn", f"over {SPIKE_SHARE:.0%} from the trades before and after")


def _book(rows: Observations) -> list[Finding]:
    """One-sided or crossed tops, levels out of order, sizes that cannot be."""
    bids, bid_sizes, asks, ask_sizes = (rows.values[:, k * BOOK_DEPTH : (k + 1) * BOOK_DEPTH] for k in range(4))
    one_sided = np.isnan(bids[:, 0]) | np.isnan(asks[:, 0])
    crossed = ~one_sided & (bids[:, 0] >= asks[:, 0])
    bad = (np.diff(bids, axis=1) >= 0).any(axis=1) | (np.diff(asks, axis=1) <= 0).any(axis=1)
    bad |= (bid_sizes <= 0).any(axis=1) | (ask_sizes <= 0).any(axis=1) | (bids <= 0).any(axis=1)
    return [
        *_flagged(rows, one_sided, "one_sided_book", "bad", "with an empty side"),
        *_flagged(rows, crossed, "crossed_book", "bad", "whose best bid is not below the best ask"),
        *_flagged(rows, bad, "bad_value", "bad", "with levels out of order or sizes that are not positive"),
    ]


def _premium(rows: Observations) -> list[Finding]:
    """Prices and rates that cannot be, and a mark price far from its index."""
    mark, index, rate = rows.column("mark_price"), rows.column("index_price"), rows.column("funding_rate")
    bad = (mark <= 0) | (index <= 0) | np.isinf(mark) | np.isinf(index) | (np.abs(rate) > IMPOSSIBLE_RATE)
    away = ~bad & (np.abs(mark - index) > PREMIUM_LIMIT * index)
    far = f"whose mark price is over {PREMIUM_LIMIT:.0%} from the index"
    return [
        *_flagged(rows, bad, "bad_value", "bad", "with a price or rate that cannot be"),
        *_flagged(rows, away, "mark_disagreement", "warn", far),
    ]


def _liquidations(rows: Observations) -> list[Finding]:
    price, quantity, side = rows.values.T
    bad = ~((price > 0) & (quantity > 0) & (np.abs(side) == 1)) | np.isinf(price) | np.isinf(quantity)
    return _flagged(rows, bad, "bad_value", "bad", "with a price, quantity or side that cannot be")

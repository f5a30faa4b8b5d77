"""The compiled run: over time, inside it symbols in fixed order, calling exactly the functions the service calls."""

from __future__ import annotations

from data.compiled import kernel
from data.market import Float64Array, Int64Array, Record, UInt8Array
from trading.accounting import apply_fill, apply_funding, mark, roll_day
from trading.desk import decide, place_entry, place_exit
from trading.matching import match_bar, match_open
from trading.records import Action, ExitReason, Reason
from trading.risk.system import watch

_ABSTAIN, _BLOCKED = int(Action.ABSTAIN), int(Action.BLOCKED)
_EXIT_SIGNAL, _SIGNAL = int(Reason.EXIT_SIGNAL), int(ExitReason.SIGNAL)
CODE_SHIFT = 4  # a bar's code is ``action | reason << 4``


@kernel
def run_bars(
    start: int, stop: int, account: Record, positions: Record, ring: Float64Array, instruments: Record, rules: Record,
    limits: Float64Array, plans: Record, intent: Record,
    open_time: Int64Array, open_: Float64Array, high: Float64Array, low: Float64Array, close: Float64Array,
    volume: Float64Array, present: UInt8Array, funding_start: Int64Array, funding_time: Int64Array,
    funding_rate: Float64Array, funding_mark: Float64Array,
    X: Float64Array, bits: UInt8Array, forecasts: Float64Array,
    codes: UInt8Array, equity: Record, fills: Record, trades: Record, decisions: Record, counts: Int64Array,
) -> int:  # fmt: skip
    """Run bars ``start:stop`` of columns ``[S, T]``; returns the bar it came to.

    It stops early when a buffer could overflow within the next bar. ``counts`` = rows used of fills, trades and
    decisions (plans only). ``forecasts`` is ``[S, T or 1, WIDTH]``, ``codes`` ``[S, T]``, ``equity`` ``[T]``.
    """
    S = open_.shape[0]
    modelled = forecasts.shape[1] > 1 or open_.shape[1] == 1
    step = rules[0]["step"]
    for t in range(start, stop):
        if (
            counts[0] + 2 * S > fills.shape[0] or counts[1] + 2 * S > trades.shape[0]
            or counts[2] + S > decisions.shape[0] - 1
        ):  # fmt: skip
            return t
        at = open_time[t]
        roll_day(account, ring, rules, at)
        for s in range(S):
            if present[s, t] and match_open(positions, instruments, rules, s, at, open_[s, t], volume[s, t], intent):
                counts[1] += apply_fill(
                    account, positions, instruments, rules, s, intent, fills, counts[0], trades, counts[1]
                )
                counts[0] += 1
        for s in range(S):
            if funding_start[s, t + 1] > funding_start[s, t]:
                apply_funding(
                    account, positions, instruments, s, funding_start[s, t], funding_start[s, t + 1], funding_time,
                    funding_rate, funding_mark, at + step, present[s, t] != 0, open_[s, t], close[s, t],
                )  # fmt: skip
        for s in range(S):
            if present[s, t] and match_bar(
                positions, instruments, rules, s, at, high[s, t], low[s, t], close[s, t], volume[s, t], intent
            ):
                counts[1] += apply_fill(
                    account, positions, instruments, rules, s, intent, fills, counts[0], trades, counts[1]
                )
                counts[0] += 1
        mark(account, positions, instruments, ring, rules, at, equity, t)
        for s in range(S):
            row = counts[2]
            action = decide(
                account, positions, plans, instruments, rules, limits, s, at, present[s, t] != 0, volume[s, t],
                bits[s, t], X, t, forecasts, t if modelled else 0, decisions, row,
            )  # fmt: skip
            reason = decisions[row]["reason"]
            codes[s, t] = action | reason << CODE_SHIFT
            if action == _ABSTAIN:
                if reason == _EXIT_SIGNAL:
                    place_exit(positions, s, _SIGNAL)
                continue
            counts[2] += 1
            if action != _BLOCKED:
                place_entry(positions, plans, s)
        watch(account, positions, rules, limits, at + step)
    return stop

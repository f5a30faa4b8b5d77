"""The compiled run: over time, inside it symbols in fixed order, calling exactly the functions the service calls."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from data.compiled import kernel_allocating
from data.market import Float64Array, Int64Array, Record, UInt8Array
from trading.accounting import apply_fill, apply_funding, exposure_of, mark, roll_day, unrealised_of
from trading.desk import decide, glance, place_entry, place_exit
from trading.finer import target_first
from trading.margin import share_wallet
from trading.matching import match_bar, match_open, quiet, see_close
from trading.protection import protect
from trading.quiet import BLOCK, quiet_bars
from trading.records import CODE_SHIFT, Action, ExitReason, Purpose, Reason
from trading.risk.held import cut_held, look_due
from trading.risk.history import close_days
from trading.risk.market import see_book
from trading.risk.system import halt, must_flatten, shocked, watch
from trading.scaling import add_due, plan_add

_ABSTAIN, _BLOCKED = int(Action.ABSTAIN), int(Action.BLOCKED)
_EXIT_SIGNAL, _SIGNAL = int(Reason.EXIT_SIGNAL), int(ExitReason.SIGNAL)
_EMERGENCY, _OPEN, _ENTRY = int(ExitReason.EMERGENCY), int(Reason.POSITION_OPEN), int(Purpose.ENTRY)
_REDUCED = int(ExitReason.LIMIT)
FILLS = 12  # of one symbol on one bar, more than there can be: an entry, its rest, the targets, the stop, twice


@kernel_allocating
def run_bars(  # noqa: C901  (a call per branch would cost a third of the run)
    start: int, stop: int, account: Record, positions: Record, ring: Float64Array, days: Float64Array,
    instruments: Record, rules: Record, limits: Float64Array, plans: Record, intent: Record,
    open_time: Int64Array, open_: Float64Array, high: Float64Array, low: Float64Array, close: Float64Array,
    volume: Float64Array, present: npt.NDArray[np.bool_], funding_start: Int64Array, funding_time: Int64Array,
    funding_rate: Float64Array, funding_mark: Float64Array,
    marks: Float64Array, finer_high: Float64Array, finer_low: Float64Array, finer_begin: Int64Array, finer_parts: int,
    X: Float64Array, bits: UInt8Array, forecasts: Float64Array,
    codes: UInt8Array, equity: Record, fills: Record, trades: Record, decisions: Record, counts: Int64Array,
) -> int:  # fmt: skip
    """Run bars ``start:stop`` of columns ``[S, T]``; returns the bar it came to.

    It stops early when a buffer could overflow within the next bar, and after a bar on which a gate halts. ``counts`` =
    rows used of fills, trades and decisions (plans only). ``forecasts`` is ``[S, T or 1, WIDTH]``, ``codes``
    ``[S, T]``, ``equity`` ``[T]``.
    ``finer_begin`` is ``[S, T]``, or ``[S, 0]`` without finer bars; ``marks`` ``[S, 4, T]``, or ``[S, 4, 0]``.
    """
    S = open_.shape[0]
    a = account[0]
    rule = rules[0]
    work = intent[0]
    per_bar = forecasts.shape[1] == open_.shape[1]  # else one blank row for all bars
    step = rule["step"]
    row_sigma, row_shock, row_distance = rule["row_volatility"], rule["row_black_swan"], rule["row_distance"]
    row_atr = rule["row_atr"]
    finer, marked = finer_begin.shape[1] > 0, marks.shape[2] > 0
    mark_open = mark_high = mark_low = mark_close = math.nan
    gain, gross = np.empty(BLOCK), np.empty(BLOCK)
    calm = np.zeros(S, dtype=np.bool_)  # symbols to whose position the bar does nothing
    managed, adding, cross = rule["managed"] == 1, rule["adds"] > 0, rule["cross"] == 1
    reducing = rule["reduces"] == 1
    n_fills = counts[0]
    n_trades = counts[1]
    n_rows = counts[2]
    t = start
    while t < stop:
        if n_fills + FILLS * S > len(fills) or n_trades + 2 * S > len(trades) or n_rows + S >= len(decisions):
            break
        if not marked:
            came_to = quiet_bars(
                t, stop, a, positions, instruments, rule, open_time, open_, high, low, close, present, funding_start,
                X, bits, codes, equity, gain, gross,
            )  # fmt: skip
            if came_to > t:
                t = came_to
                continue
        at = open_time[t]
        if at >= a["next_midnight"]:
            close_days(a, positions, instruments, days, at)
            roll_day(a, ring, rule, at)
        for s in range(S):
            p = positions[s]
            calm[s] = False
            if not present[s, t] or (p["side"] == 0 and p["work_side"] == 0):
                continue
            if marked:
                mark_open, mark_close = marks[s, 0, t], marks[s, 3, t]
            if quiet(p, instruments[s], rule, at, open_[s, t], high[s, t], low[s, t], close[s, t], mark_close):
                calm[s] = True
                continue
            while match_open(p, instruments[s], rule, at, open_[s, t], mark_open, volume[s, t], work):
                n_trades += apply_fill(a, p, instruments[s], rule, s, work, fills[n_fills], trades[n_trades])
                n_fills += 1
                if p["side"] == 0 or work["purpose"] == _ENTRY:
                    break
        for s in range(S):
            for k in range(funding_start[s, t], funding_start[s, t + 1]):
                apply_funding(
                    a, positions[s], instruments[s], funding_time[k], funding_rate[k], funding_mark[k], at + step,
                    present[s, t] != 0, open_[s, t], close[s, t],
                )  # fmt: skip
        unrealised = 0.0
        exposure = 0.0
        for s in range(S):
            p = positions[s]
            if present[s, t] and not calm[s]:
                if marked:
                    mark_high, mark_low, mark_close = marks[s, 1, t], marks[s, 2, t], marks[s, 3, t]
                if p["side"] == 0 and p["work_side"] == 0:
                    see_close(p, instruments[s], close[s, t], mark_close)
                else:
                    more = True
                    while more:
                        first = finer and target_first(
                            p, instruments[s], rule, finer_high, finer_low, finer_begin[s, t], finer_parts
                        )
                        more = match_bar(
                            p, instruments[s], rule, at, high[s, t], low[s, t], close[s, t], mark_high, mark_low,
                            mark_close, volume[s, t], first, work,
                        )  # fmt: skip
                        if more:
                            n_trades += apply_fill(
                                a, p, instruments[s], rule, s, work, fills[n_fills], trades[n_trades]
                            )  # fmt: skip
                            n_fills += 1
                            more = p["side"] != 0
            if p["side"] != 0:
                unrealised += unrealised_of(p, instruments[s])
                exposure += exposure_of(p, instruments[s])
        mark(a, rule, unrealised, exposure, at, equity[t])
        if at + step >= a["next_midnight"]:
            close_days(a, positions, instruments, days, at + step)
            roll_day(a, ring, rule, at + step)
        if managed:
            for s in range(S):
                if positions[s]["side"] != 0 and present[s, t]:
                    protect(positions[s], instruments[s], rule, X[s, row_atr, t] if row_atr >= 0 else math.nan)
        if cross:
            share_wallet(a, positions, instruments)
        shock = False
        for s in range(S):
            p = positions[s]
            feature = X[s, row_distance, t] if row_distance >= 0 else 1.0
            reason = glance(a, p, rule, present[s, t] != 0, bits[s, t], X[s, row_sigma, t], X[s, row_shock, t], feature)
            shock = shock or shocked(p, rule)
            action = _ABSTAIN
            adds = adding and reason == _OPEN and add_due(a, p, rule)
            if reason == 0 or adds:
                see_book(p, rule, X, s, t)
                action = decide(
                    account, positions, plans, instruments, days, rules, limits, s, at, volume[s, t], bits[s, t],
                    feature, forecasts, t if per_bar else 0, decisions, n_rows, reason,
                )  # fmt: skip
                if adds:
                    action = plan_add(
                        account, positions, plans, instruments, days, rules, limits, s, at, decisions, n_rows
                    )  # fmt: skip
                reason = decisions[n_rows]["reason"]
            codes[s, t] = action | reason << CODE_SHIFT
            if action != _ABSTAIN:
                n_rows += 1
                if action != _BLOCKED:
                    place_entry(p, plans[s])
            elif reason == _EXIT_SIGNAL:
                place_exit(p, _SIGNAL)
        failed = watch(a, rule, shock)
        if failed != 0:
            halt(a, positions, failed, at + step)
            if must_flatten(a, rule):
                for s in range(S):
                    if positions[s]["exit_at_open"] in (0, _REDUCED):
                        place_exit(positions[s], _EMERGENCY)
        if reducing and look_due(a) and cut_held(a, positions, instruments, days, rule, limits) != 0:
            for s in range(S):
                if positions[s]["cut_lots"] > 0 and positions[s]["exit_at_open"] == 0:
                    place_exit(positions[s], _REDUCED)
        t += 1
        if failed != 0:
            break
    counts[0] = n_fills
    counts[1] = n_trades
    counts[2] = n_rows
    return t

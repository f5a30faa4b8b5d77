"""The kernels as the service calls them: arrays and an index instead of records.

Called from Python a record argument costs microseconds and an array does not; inside the compiled run it is the other
way round. Each step below is one call of the same function that ``run_bars`` calls.
"""

from __future__ import annotations

import math

from data.compiled import kernel
from data.market import Float64Array, Int64Array, Record
from trading import accounting, desk, finer, margin, matching, protection, scaling
from trading.records import Reason
from trading.risk import held, history, market, system, tightening

_apply_fill, _apply_funding, _mark, _roll_day = (
    accounting.apply_fill, accounting.apply_funding, accounting.mark, accounting.roll_day,
)  # fmt: skip
_unrealised_of, _exposure_of = accounting.unrealised_of, accounting.exposure_of
_match_open, _match_bar, _close_out = matching.match_open, matching.match_bar, matching.close_out
_quiet = matching.quiet
_glance, _decide, _place_entry, _place_exit = desk.glance, desk.decide, desk.place_entry, desk.place_exit
_protect, _share_wallet, _target_first = protection.protect, margin.share_wallet, finer.target_first
_add_due, _plan_add, _OPEN = scaling.add_due, scaling.plan_add, int(Reason.POSITION_OPEN)
_close_days, _see_book, _cut_held, _loosen = history.close_days, market.see_book, held.cut_held, tightening.loosen
_look_due = held.look_due
_halt, _shocked, _watch, _resume = system.halt, system.shocked, system.watch, system.resume_trading


@kernel
def match_open(
    positions: Record, instruments: Record, rules: Record, s: int, open_time: int, open_: float, mark_open: float,
    volume: float, intent: Record,
) -> bool:  # fmt: skip
    """:func:`trading.matching.match_open` for symbol ``s``."""
    return _match_open(positions[s], instruments[s], rules[0], open_time, open_, mark_open, volume, intent[0])


@kernel
def quiet(
    positions: Record, instruments: Record, rules: Record, s: int, open_time: int, open_: float, high: float,
    low: float, close: float, mark_close: float,
) -> bool:  # fmt: skip
    """:func:`trading.matching.quiet` for symbol ``s``."""
    return _quiet(positions[s], instruments[s], rules[0], open_time, open_, high, low, close, mark_close)


@kernel
def match_bar(
    positions: Record, instruments: Record, rules: Record, s: int, open_time: int, high: float, low: float,
    close: float, mark_high: float, mark_low: float, mark_close: float, volume: float, finer_high: Float64Array,
    finer_low: Float64Array, finer_begin: int, finer_parts: int, intent: Record,
) -> bool:  # fmt: skip
    """:func:`trading.matching.match_bar` for symbol ``s``, after :func:`trading.finer.target_first`."""
    p, instrument, rule = positions[s], instruments[s], rules[0]
    order = _target_first(p, instrument, rule, finer_high, finer_low, finer_begin, finer_parts)
    return _match_bar(
        p, instrument, rule, open_time, high, low, close, mark_high, mark_low, mark_close, volume, order, intent[0]
    )


@kernel
def close_out(
    positions: Record, instruments: Record, rules: Record, s: int, reason: int, time: int, volume: float, intent: Record
) -> bool:
    """:func:`trading.matching.close_out` for symbol ``s``."""
    return _close_out(positions[s], instruments[s], rules[0], reason, time, volume, intent[0])


@kernel
def apply_fill(
    account: Record, positions: Record, instruments: Record, rules: Record, s: int, intent: Record,
    fills: Record, fill_row: int, trades: Record, trade_row: int,
) -> int:  # fmt: skip
    """:func:`trading.accounting.apply_fill` for symbol ``s`` into the given rows."""
    return _apply_fill(
        account[0], positions[s], instruments[s], rules[0], s, intent[0], fills[fill_row], trades[trade_row]
    )


@kernel
def settle(
    account: Record, positions: Record, instruments: Record, s: int, first: int, last: int, times: Int64Array,
    rates: Float64Array, marks: Float64Array, close_time: int, present: bool, open_: float, close: float,
) -> int:  # fmt: skip
    """:func:`trading.accounting.apply_funding` for settlements ``first:last`` of symbol ``s``; how many had effect."""
    paid = 0
    for k in range(first, last):
        paid += _apply_funding(
            account[0], positions[s], instruments[s], times[k], rates[k], marks[k], close_time, present, open_, close
        )
    return paid


@kernel
def roll_day(
    account: Record, positions: Record, instruments: Record, ring: Float64Array, days: Float64Array, rules: Record,
    moment: int,
) -> None:  # fmt: skip
    """:func:`trading.risk.history.close_days`, then :func:`trading.accounting.roll_day`."""
    _close_days(account[0], positions, instruments, days, moment)
    _roll_day(account[0], ring, rules[0], moment)


@kernel
def mark(
    account: Record, positions: Record, instruments: Record, ring: Float64Array, days: Float64Array, rules: Record,
    open_time: int, rows: Record, row: int,
) -> None:  # fmt: skip
    """Value every open position, :func:`trading.accounting.mark` into ``rows[row]``, then roll the day if it ends."""
    unrealised = 0.0
    exposure = 0.0
    for s in range(len(positions)):
        if positions[s]["side"] != 0:
            unrealised += _unrealised_of(positions[s], instruments[s])
            exposure += _exposure_of(positions[s], instruments[s])
    _mark(account[0], rules[0], unrealised, exposure, open_time, rows[row])
    _close_days(account[0], positions, instruments, days, open_time + rules[0]["step"])
    _roll_day(account[0], ring, rules[0], open_time + rules[0]["step"])


@kernel
def decide(
    account: Record, positions: Record, plans: Record, instruments: Record, days: Float64Array, rules: Record,
    limits: Float64Array, s: int, open_time: int, present: bool, volume: float, bits: int, X: Float64Array, t: int,
    forecasts: Float64Array, rows: Record, k: int,
) -> int:  # fmt: skip
    """:func:`trading.desk.glance`, :func:`trading.desk.decide`, at column ``t`` of ``X[S, F, T]``.

    Where an addition to the position is due, :func:`trading.scaling.plan_add` decides instead.
    """
    rule = rules[0]
    feature = X[s, rule["row_distance"], t] if rule["row_distance"] >= 0 else 1.0
    sigma, shock = X[s, rule["row_volatility"], t], X[s, rule["row_black_swan"], t]
    reason = _glance(account[0], positions[s], rule, present, bits, sigma, shock, feature)
    _see_book(positions[s], rule, X, s, t)
    action = _decide(
        account, positions, plans, instruments, days, rules, limits, s, open_time, volume, bits, feature, forecasts, 0,
        rows, k, reason,
    )  # fmt: skip
    if rule["adds"] > 0 and reason == _OPEN and _add_due(account[0], positions[s], rule):
        return _plan_add(account, positions, plans, instruments, days, rules, limits, s, open_time, rows, k)
    return action


@kernel
def protect(positions: Record, instruments: Record, rules: Record, s: int, X: Float64Array, t: int) -> int:
    """:func:`trading.protection.protect` for symbol ``s`` at column ``t`` of ``X[S, F, T]``; returns Moved."""
    row = rules[0]["row_atr"]
    if positions[s]["side"] == 0:
        return 0
    return _protect(positions[s], instruments[s], rules[0], X[s, row, t] if row >= 0 else math.nan)


@kernel
def share_wallet(account: Record, positions: Record, instruments: Record) -> None:
    """:func:`trading.margin.share_wallet`."""
    _share_wallet(account[0], positions, instruments)


@kernel
def place_entry(positions: Record, plans: Record, s: int) -> None:
    """:func:`trading.desk.place_entry` for symbol ``s``."""
    _place_entry(positions[s], plans[s])


@kernel
def place_exit(positions: Record, s: int, reason: int) -> bool:
    """:func:`trading.desk.place_exit` for symbol ``s``."""
    return _place_exit(positions[s], reason)


@kernel
def watch(account: Record, positions: Record, rules: Record, moment: int) -> bool:
    """:func:`trading.risk.system.watch` over every symbol; True when the account halted now."""
    shock = False
    for s in range(len(positions)):
        shock = shock or _shocked(positions[s], rules[0])
    failed = _watch(account[0], rules[0], shock)
    if failed == 0:
        return False
    _halt(account[0], positions, failed, moment)
    return True


@kernel
def halt(account: Record, positions: Record, reason: int, moment: int) -> None:
    """:func:`trading.risk.system.halt`."""
    _halt(account[0], positions, reason, moment)


@kernel
def resume(account: Record) -> None:
    """:func:`trading.risk.system.resume_trading`."""
    _resume(account[0])


@kernel
def cut_held(
    account: Record, positions: Record, instruments: Record, days: Float64Array, rules: Record, limits: Float64Array
) -> int:
    """:func:`trading.risk.held.cut_held`, where :func:`trading.risk.held.look_due`."""
    if not _look_due(account[0]):
        return 0
    return _cut_held(account[0], positions, instruments, days, rules[0], limits)


@kernel
def loosen(account: Record) -> None:
    """:func:`trading.risk.tightening.loosen`."""
    _loosen(account[0])

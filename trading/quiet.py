"""Bars on which nothing can happen: no level is reached, nothing is decided. They change prices and equity alone.

The compiled run takes them by blocks. A bar is quiet only where every test of the long way is sure to say no; what is
nearly reached goes the long way. Values come from the same functions in the same order, so both give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from data.compiled import kernel_part
from data.market import Float64Array, Int64Array, Record, UInt8Array
from trading.accounting import unrealised_at, write_equity
from trading.costs import price_of, quantity_of, ticks_of
from trading.desk import first_reason
from trading.matching import see_close
from trading.records import CODE_SHIFT, Action, Reason, Row
from trading.risk.held import look_due
from trading.risk.market import see_volatility
from trading.risk.passing import passes
from trading.risk.system import is_shock, watch
from trading.risk.tightening import may_tighten
from trading.state import Trading

_ABSTAIN, _OPEN = int(Action.ABSTAIN), int(Reason.POSITION_OPEN)
_HALTED = int(Trading.HALTED)
_CLEAR = 2  # ticks that a price must stay away from a level: no rounding can reach it
BLOCK = 256  # bars that are looked at before they are valued


@kernel_part
def _may_be_quiet(a: Row, positions: Record, rules: Row) -> bool:
    """Whether no order waits for the next open and no level moves by itself."""
    held = False
    for s in range(positions.shape[0]):
        p = positions[s]
        if p["work_side"] != 0 or (p["side"] != 0 and p["exit_at_open"] != 0):
            return False
        held = held or p["side"] != 0
    if held and (rules["managed"] != 0 or rules["adds"] > 0 or rules["cross"] != 0):
        return False
    return not (held and rules["reduces"] == 1 and look_due(a)) and watch(a, rules, False) == 0


@kernel_part
def _last_bar(start: int, stop: int, a: Row, positions: Record, rules: Row, open_time: Int64Array) -> int:
    """The end of the block: before the day's last bar and before a deadline."""
    until = a["next_midnight"]
    for s in range(positions.shape[0]):
        if positions[s]["side"] != 0:
            until = min(until, positions[s]["deadline"])
    end: int = min(stop, start + BLOCK)
    step = rules["step"]
    end = min(end, start + max(0, (until - open_time[start] - 1) // step))  # without gaps, exactly
    while end > start and open_time[end - 1] + step >= until:
        end -= 1
    return end


@kernel_part
def _bounds(p: Row, instrument: Row) -> tuple[float, float]:
    """Prices between which neither stop, target nor liquidation is reached."""
    if p["side"] == 0:
        return -math.inf, math.inf
    side = p["side"]
    guard = side * max(side * p["stop"], side * p["liquidation"])
    below, above = (guard, p["next_target"]) if side > 0 else (p["next_target"], guard)
    return price_of(below + _CLEAR, instrument), price_of(above - _CLEAR, instrument)


@kernel_part
def _undisturbed(
    s: int, start: int, end: int, a: Row, p: Row, instrument: Row, rules: Row, open_: Float64Array,
    high: Float64Array, low: Float64Array, present: npt.NDArray[np.bool_], funding_start: Int64Array, X: Float64Array,
    bits: UInt8Array, codes: UInt8Array,
) -> int:  # fmt: skip
    """The first bar on which symbol ``s`` may need the long way; the codes of those before."""
    bottom, top = _bounds(p, instrument)
    flat = p["side"] == 0
    row_sigma, row_shock, row_distance = rules["row_volatility"], rules["row_black_swan"], rules["row_distance"]
    for t in range(start, end):
        if not present[s, t] or funding_start[s, t] != funding_start[s, t + 1] or is_shock(X[s, row_shock, t], rules):
            return t
        feature = X[s, row_distance, t] if row_distance >= 0 else 1.0
        reason = first_reason(a, p, rules, True, bits[s, t], X[s, row_sigma, t], feature)
        if flat:
            if reason == 0:
                return t
        elif reason != _OPEN or not (
            low[s, t] >= bottom and open_[s, t] >= bottom and high[s, t] <= top and open_[s, t] <= top
        ):
            return t
        codes[s, t] = _ABSTAIN | reason << CODE_SHIFT
    return end


@kernel_part
def _value(
    s: int, start: int, end: int, p: Row, instrument: Row, close: Float64Array, gain: Float64Array, gross: Float64Array
) -> None:
    """Add unrealised profit and notional of symbol ``s`` at the closes."""
    quantity = quantity_of(p["lots"], instrument)
    for t in range(start, end):
        last = ticks_of(close[s, t], instrument)
        gain[t - start] += unrealised_at(p, instrument, last)
        gross[t - start] += price_of(last, instrument) * quantity


@kernel_part
def _see(
    s: int, start: int, end: int, p: Row, instrument: Row, rules: Row, high: Float64Array, low: Float64Array,
    close: Float64Array, X: Float64Array,
) -> None:  # fmt: skip
    """What symbol ``s`` keeps of the bars: the last close, the extremes while held."""
    see_close(p, instrument, close[s, end - 1], math.nan)
    see_volatility(p, X[s, rules["row_volatility"], end - 1], X[s, rules["row_black_swan"], end - 1])
    side = p["side"]
    if side == 0:
        return
    top, bottom = high[s, start], low[s, start]
    for t in range(start + 1, end):
        top, bottom = max(top, high[s, t]), min(bottom, low[s, t])
    best, worst = ticks_of(top, instrument), ticks_of(bottom, instrument)
    if side < 0:
        best, worst = worst, best
    p["best"] = side * max(side * p["best"], side * best)
    p["worst"] = side * min(side * p["worst"], side * worst)


@kernel_part
def _account(
    start: int, end: int, a: Row, rules: Row, open_time: Int64Array, gain: Float64Array, gross: Float64Array,
    equity: Record,
) -> int:  # fmt: skip
    """Equity after each bar, up to the one on which a limit is looked at; that one's number."""
    watched = rules["enforce"] == 1 and a["state"] != _HALTED
    reducing = rules["reduces"] == 1
    cash, high_water = a["cash"], a["high_water"]
    limit, tighten, most_gross = rules["limit_drawdown"], a["tightness"] > rules["tighten_factor"], a["looked_gross"]
    t = start
    while t < end:
        now = cash + gain[t - start]
        top = max(high_water, now)
        drawdown = 1.0 - now / top
        if watched and not passes(drawdown, limit, False):
            break
        if tighten and may_tighten(a, rules, drawdown):
            break
        if reducing and gross[t - start] > now * most_gross:
            break
        high_water = top
        write_equity(equity[t], open_time[t], now, cash, gain[t - start], drawdown, gross[t - start])
        t += 1
    if t > start:
        row = equity[t - 1]
        a["high_water"], a["drawdown"], a["last_bar"] = high_water, row["drawdown"], row["open_time"]
        a["unrealised"], a["exposure"], a["equity"] = row["unrealised"], row["exposure"], row["equity"]
    return t


@kernel_part
def quiet_bars(
    start: int, stop: int, a: Row, positions: Record, instruments: Record, rules: Row,
    open_time: Int64Array, open_: Float64Array, high: Float64Array, low: Float64Array, close: Float64Array,
    present: npt.NDArray[np.bool_], funding_start: Int64Array, X: Float64Array, bits: UInt8Array, codes: UInt8Array,
    equity: Record, gain: Float64Array, gross: Float64Array,
) -> int:  # fmt: skip
    """Go over quiet bars from ``start``, a block at most; the first bar that is not quiet, or the block's end."""
    if not _may_be_quiet(a, positions, rules):
        return start
    end = _last_bar(start, stop, a, positions, rules, open_time)
    for s in range(positions.shape[0]):
        end = _undisturbed(
            s, start, end, a, positions[s], instruments[s], rules, open_, high, low, present, funding_start, X, bits,
            codes,
        )  # fmt: skip
    if end == start:
        return start
    for k in range(end - start):
        gain[k] = gross[k] = 0.0
    for s in range(positions.shape[0]):
        if positions[s]["side"] != 0:
            _value(s, start, end, positions[s], instruments[s], close, gain, gross)
    end = _account(start, end, a, rules, open_time, gain, gross, equity)
    if end > start:
        for s in range(positions.shape[0]):
            _see(s, start, end, positions[s], instruments[s], rules, high, low, close, X)
    return end

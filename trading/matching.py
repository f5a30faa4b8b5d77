"""Matching on bars: what the working orders do at the open and within the bar. Changes no money.

Each function finds at most one fill and writes it as an INTENT; ``trading.accounting.apply_fill`` books it.
A fill at the open is timed at the open, any other at the close. Taker fills pay half the spread and the impact and
are rounded to the tick against the taker; a target is a resting limit order and fills as maker at its price.
Between two levels touched by one bar the worse one counts.
"""

from __future__ import annotations

import math

from data.compiled import kernel
from trading.costs import quantity_of, slip_of, taker_ticks, ticks_of, volume_share, whole_lots
from trading.records import ExitReason, Purpose, Row

TRADE_THROUGH = 1  # ticks beyond a limit price that the market must trade before the limit counts as filled
_ENTRY = int(Purpose.ENTRY)
_EXIT = int(Purpose.EXIT)
_STOP = int(ExitReason.STOP)
_TARGET = int(ExitReason.TARGET)
_TIME = int(ExitReason.TIME)
_LIQUIDATION = int(ExitReason.LIQUIDATION)


@kernel
def _write(
    intent: Row, purpose: int, reason: int, maker: int, side: int, time: int, ticks: int, reference: int, lots: int
) -> None:
    intent["purpose"] = purpose
    intent["reason"] = reason
    intent["maker"] = maker
    intent["side"] = side
    intent["time"] = time
    intent["ticks"] = ticks
    intent["reference"] = reference
    intent["lots"] = lots


@kernel
def _exit_taker(
    position: Row, instrument: Row, rules: Row, reason: int, time: int, reference: int, volume: float,
    intent: Row,
) -> None:  # fmt: skip
    """A market exit of the whole position at ``reference``, a liquidation no worse than the bankruptcy price."""
    side = position["side"]
    quantity = quantity_of(position["lots"], instrument)
    slip = slip_of(rules, position["sigma"], volume_share(quantity, volume))
    ticks = taker_ticks(reference, -side, slip)
    if reason == _LIQUIDATION:
        room = position["margin"] / quantity * instrument["tick_den"] / instrument["tick_num"]
        if side > 0:
            ticks = max(ticks, math.floor(position["entry"] - room), 1)
        else:
            ticks = min(ticks, math.ceil(position["entry"] + room))
    _write(intent, _EXIT, reason, 0, -side, time, ticks, reference, position["lots"])


@kernel
def _enter(
    position: Row, instrument: Row, rules: Row, open_time: int, open_ticks: int, volume: float, intent: Row
) -> bool:
    """The working entry at the open: at most a share of the bar's volume, the rest is cancelled."""
    lots = min(position["work_lots"], whole_lots(rules["volume_share"] * volume, instrument))
    if open_time >= position["work_until"] or lots < 1:
        position["work_side"] = 0
        return False
    side = position["work_side"]
    slip = slip_of(rules, position["sigma"], volume_share(quantity_of(lots, instrument), volume))
    _write(intent, _ENTRY, 0, 0, side, open_time, taker_ticks(open_ticks, side, slip), open_ticks, lots)
    return True


@kernel
def match_open(p: Row, instrument: Row, rules: Row, open_time: int, open_: float, volume: float, intent: Row) -> bool:
    """Working orders of POSITION ``p`` at the open of a bar; True when ``intent`` holds a fill."""
    side = p["side"]
    if side == 0 and p["work_side"] == 0:
        return False
    at = ticks_of(open_, instrument)
    if side == 0:
        return _enter(p, instrument, rules, open_time, at, volume, intent)
    if side * (at - p["liquidation"]) <= 0:
        _exit_taker(p, instrument, rules, _LIQUIDATION, open_time, at, volume, intent)
    elif p["exit_at_open"] != 0:
        _exit_taker(p, instrument, rules, p["exit_at_open"], open_time, at, volume, intent)
    elif side * (at - p["stop"]) <= 0:
        _exit_taker(p, instrument, rules, _STOP, open_time, at, volume, intent)
    elif side * (at - p["target"]) >= TRADE_THROUGH:
        _write(intent, _EXIT, _TARGET, 1, -side, open_time, p["target"], p["target"], p["lots"])
    else:
        return False
    return True


@kernel
def see_close(position: Row, instrument: Row, close: float) -> None:
    """Remember a bar's close."""
    position["last"] = ticks_of(close, instrument)


@kernel
def match_bar(
    p: Row, instrument: Row, rule: Row, open_time: int, high: float, low: float, close: float, volume: float,
    intent: Row,
) -> bool:  # fmt: skip
    """Stop, target and time limit of POSITION ``p`` within a bar; True when ``intent`` holds a fill.

    Liquidation is tested on the bar's low or high (bars carry no mark price).
    """
    see_close(p, instrument, close)
    side = p["side"]
    if side == 0:
        return False
    high_ticks = ticks_of(high, instrument)
    low_ticks = ticks_of(low, instrument)
    adverse = low_ticks if side > 0 else high_ticks
    favourable = high_ticks if side > 0 else low_ticks
    close_time = open_time + rule["step"]
    stopped = side * (adverse - p["stop"]) <= 0
    if side * (adverse - p["liquidation"]) <= 0 and (not stopped or side * (p["liquidation"] - p["stop"]) >= 0):
        _exit_taker(p, instrument, rule, _LIQUIDATION, close_time, p["liquidation"], volume, intent)
        return True
    if stopped:
        _exit_taker(p, instrument, rule, _STOP, close_time, p["stop"], volume, intent)
        return True
    if side * (favourable - p["target"]) >= TRADE_THROUGH:
        _write(intent, _EXIT, _TARGET, 1, -side, close_time, p["target"], p["target"], p["lots"])
        return True
    if side * (favourable - p["best"]) > 0:
        p["best"] = favourable
    if side * (adverse - p["worst"]) < 0:
        p["worst"] = adverse
    if close_time >= p["deadline"]:
        _exit_taker(p, instrument, rule, _TIME, close_time, p["last"], volume, intent)
        return True
    return False


@kernel
def close_out(p: Row, instrument: Row, rules: Row, reason: int, time: int, volume: float, intent: Row) -> bool:
    """Close ``p`` at its last close, at market (the end of a back-test)."""
    p["work_side"] = 0
    if p["side"] == 0:
        return False
    _exit_taker(p, instrument, rules, reason, time, p["last"], volume, intent)
    return True

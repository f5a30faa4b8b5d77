"""Matching on bars: what the working orders do at the open and within the bar. Changes no money.

Each function finds at most one fill and writes it as an INTENT; ``trading.accounting.apply_fill`` books it. Where a
fill leaves something held, the function is called again: several partial targets may fill on one bar. A fill at the
open is timed at the open, any other at the close. Taker fills pay half the spread and the impact and are rounded to the
tick against the taker; limit orders fill as maker at their price. Between two levels touched by one bar the worse one
counts, unless finer bars say otherwise. ``docs/matching.md`` lists every rule with its test.

Liquidation is tested on the mark price where its candle is known (NaN: not), else on last prices; stops and market
targets on last prices, or with ``on_mark`` on the mark price. When within a bar the mark price reached a level the last
price is not known: what is sold or bought at market then gets the worst last price of the bar.
"""

from __future__ import annotations

import math

from data.compiled import kernel, kernel_part
from trading.costs import quantity_of, slip_of, taker_ticks, ticks_of, volume_share, whole_lots
from trading.positions import next_lots, within_risk
from trading.records import Entry, ExitReason, Purpose, Row

TRADE_THROUGH = 1  # ticks beyond a limit price that the market must trade before the limit counts as filled
_ENTRY = int(Purpose.ENTRY)
_EXIT = int(Purpose.EXIT)
_TARGET = int(ExitReason.TARGET)
_TIME = int(ExitReason.TIME)
_LIQUIDATION = int(ExitReason.LIQUIDATION)
_REDUCED = int(ExitReason.LIMIT)
_MARKET, _LIMIT = int(Entry.MARKET), int(Entry.LIMIT)


@kernel
def through(rules: Row) -> int:
    """Ticks that the market must trade beyond a target's level before the target counts as reached."""
    return 0 if rules["take_market"] == 1 else TRADE_THROUGH


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
def _exit_lots(p: Row, instrument: Row, rules: Row, reason: int, open_time: int, volume: float) -> int:
    """Lots of a market exit on this bar: all, or what the volume allows, once; the rest goes on at the next open."""
    lots: int = min(p["lots"], p["cut_lots"]) if reason == _REDUCED else p["lots"]
    if rules["exit_share"] == 0 or reason == _LIQUIDATION:
        return lots
    allowed = 0 if p["exit_bar"] == open_time else whole_lots(rules["volume_share"] * volume, instrument)
    if allowed < lots:
        p["exit_at_open"] = reason
        p["exit_bar"] = open_time
    return min(lots, allowed)


@kernel
def _exit_taker(
    p: Row, instrument: Row, rules: Row, reason: int, lots: int, time: int, reference: int, volume: float, intent: Row
) -> bool:
    """A market exit of ``lots`` at ``reference``; a liquidation costs no more than the money behind the position."""
    if lots < 1:
        return False
    side = p["side"]
    quantity = quantity_of(lots, instrument)
    slip = slip_of(rules, p["sigma"], volume_share(quantity, volume))
    ticks = taker_ticks(reference, -side, slip)
    if reason == _LIQUIDATION:
        room = p["wallet"] / quantity * instrument["tick_den"] / instrument["tick_num"]
        paid = p["cost"] / p["lots"]
        ticks = max(ticks, math.floor(paid - room), 1) if side > 0 else min(ticks, math.ceil(paid + room))
    _write(intent, _EXIT, reason, 0, -side, time, ticks, reference, lots)
    return True


@kernel
def _leave(
    p: Row, instrument: Row, rules: Row, reason: int, open_time: int, time: int, reference: int, volume: float,
    intent: Row,
) -> bool:  # fmt: skip
    """A market exit of what the bar's volume allows."""
    lots = _exit_lots(p, instrument, rules, reason, open_time, volume)
    return _exit_taker(p, instrument, rules, reason, lots, time, reference, volume, intent)


@kernel
def _at_target(
    p: Row, instrument: Row, rules: Row, open_time: int, time: int, reference: int, volume: float, intent: Row
) -> bool:
    """The next target is reached: a limit fills as maker at its price, a market order as taker at ``reference``.

    What the volume leaves of a partial target stays that target; of the last one it goes on at the next open.
    """
    level = p["next_target"]
    lots = next_lots(p)
    if rules["take_market"] == 0:
        _write(intent, _EXIT, _TARGET, 1, -p["side"], time, level, level, lots)
        return True
    if p["next_part"] >= p["parts"]:
        return _leave(p, instrument, rules, _TARGET, open_time, time, reference, volume, intent)
    if rules["exit_share"] == 1:
        given = p["exit_bar"] == open_time
        lots = 0 if given else min(lots, whole_lots(rules["volume_share"] * volume, instrument))
        p["exit_bar"] = open_time
    return _exit_taker(p, instrument, rules, _TARGET, lots, time, reference, volume, intent)


@kernel
def _enter(p: Row, instrument: Row, rules: Row, time: int, reference: int, volume: float, intent: Row) -> bool:
    """The working entry at ``reference``: at most a share of the bar's volume, and within the risk it was sized for."""
    side = p["work_side"]
    maker = 1 if p["work_kind"] == _LIMIT else 0
    lots = min(p["work_lots"], whole_lots(rules["volume_share"] * volume, instrument))
    ticks: int = reference
    if maker == 0 and lots > 0:
        slip = slip_of(rules, p["sigma"], volume_share(quantity_of(lots, instrument), volume))
        ticks = taker_ticks(reference, side, slip)
    if p["side"] != 0:
        lots = within_risk(p, instrument, rules, ticks, lots)
    if lots < 1:
        if rules["entry_rest"] == 0:
            p["work_side"] = 0
        return False
    _write(intent, _ENTRY, 0, maker, side, time, ticks, reference, lots)
    return True


@kernel
def _enter_at_open(p: Row, instrument: Row, rules: Row, open_time: int, at: int, volume: float, intent: Row) -> bool:
    """A working entry at the open; one that is no longer valid is dropped."""
    if open_time >= p["work_until"]:
        p["work_side"] = 0
        return False
    kind = p["work_kind"]
    if kind == _MARKET:
        return _enter(p, instrument, rules, open_time, at, volume, intent)
    beyond = p["work_side"] * (at - p["work_price"])
    if kind == _LIMIT:
        return beyond <= -TRADE_THROUGH and _enter(p, instrument, rules, open_time, p["work_price"], volume, intent)
    return beyond >= 0 and _enter(p, instrument, rules, open_time, at, volume, intent)


@kernel
def _enter_within(
    p: Row, instrument: Row, rules: Row, close_time: int, high: int, low: int, volume: float, intent: Row
) -> bool:
    """A limit or stop entry that the bar reaches, at its level."""
    side, level = p["work_side"], p["work_price"]
    if p["work_kind"] == _LIMIT:
        reached = side * (level - (low if side > 0 else high)) >= TRADE_THROUGH
    else:
        reached = side * ((high if side > 0 else low) - level) >= 0
    return bool(reached) and _enter(p, instrument, rules, close_time, level, volume, intent)


@kernel
def match_open(
    p: Row, instrument: Row, rules: Row, open_time: int, open_: float, mark_open: float, volume: float, intent: Row
) -> bool:
    """Working orders of POSITION ``p`` at the open of a bar; True when ``intent`` holds a fill."""
    side = p["side"]
    if side == 0 and p["work_side"] == 0:
        return False
    at = ticks_of(open_, instrument)
    if side == 0:
        return _enter_at_open(p, instrument, rules, open_time, at, volume, intent)
    marked = at if math.isnan(mark_open) else ticks_of(mark_open, instrument)
    seen = marked if rules["on_mark"] == 1 else at
    if side * (marked - p["liquidation"]) <= 0:
        worse = side * min(side * at, side * p["liquidation"])
        return _leave(p, instrument, rules, _LIQUIDATION, open_time, open_time, worse, volume, intent)
    stopped = side * (seen - p["stop"]) <= 0
    if p["exit_at_open"] != 0 and not (stopped and p["exit_at_open"] == _REDUCED):
        if p["exit_bar"] == open_time:
            return False  # this bar has given its share
        return _leave(p, instrument, rules, p["exit_at_open"], open_time, open_time, at, volume, intent)
    if stopped:
        return _leave(p, instrument, rules, p["stop_reason"], open_time, open_time, at, volume, intent)
    if side * ((seen if rules["take_market"] == 1 else at) - p["next_target"]) >= through(rules) and _at_target(
        p, instrument, rules, open_time, open_time, at, volume, intent
    ):
        return True
    if p["work_side"] != 0:
        return _enter_at_open(p, instrument, rules, open_time, at, volume, intent)
    return False


@kernel
def see_close(position: Row, instrument: Row, close: float, mark_close: float) -> None:
    """Remember a bar's close, and that the day has one; without a mark price the position is valued at it."""
    position["seen"] = 1
    position["last"] = ticks_of(close, instrument)
    position["mark"] = position["last"] if math.isnan(mark_close) else ticks_of(mark_close, instrument)


@kernel
def _note_range(p: Row, rules: Row, adverse: int, favourable: int, prize: int) -> None:
    """Extremes of last prices while held; ``prize``: the best price that moved levels follow where it is the mark's."""
    side = p["side"]
    if side * (favourable - p["best"]) > 0:
        p["best"] = favourable
    if rules["on_mark"] == 1 and side * (prize - p["peak"]) > 0:
        p["peak"] = prize
    if side * (adverse - p["worst"]) < 0:
        p["worst"] = adverse


@kernel_part
def quiet(
    p: Row, instrument: Row, rules: Row, open_time: int, open_: float, high: float, low: float, close: float,
    mark_close: float,
) -> bool:  # fmt: skip
    """Whether a bar does nothing to a held POSITION ``p``: nothing works at market, no level is reached, no time is up.

    Then its close and range are noted here, and :func:`match_open` and :func:`match_bar` would do no more: most bars of
    a run are such. Bars with a mark price are left to these two.
    """
    side = p["side"]
    if side == 0 or p["work_side"] != 0 or p["exit_at_open"] != 0 or open_time + rules["step"] >= p["deadline"]:
        return False
    if rules["on_mark"] == 1 or not math.isnan(mark_close) or not low <= open_ <= high:
        return False
    adverse = ticks_of(low if side > 0 else high, instrument)
    favourable = ticks_of(high if side > 0 else low, instrument)
    if side * (adverse - p["stop"]) <= 0 or side * (adverse - p["liquidation"]) <= 0:
        return False
    if side * (favourable - p["next_target"]) >= through(rules):
        return False
    see_close(p, instrument, close, mark_close)
    _note_range(p, rules, adverse, favourable, favourable)
    return True


@kernel
def match_bar(
    p: Row, instrument: Row, rule: Row, open_time: int, high: float, low: float, close: float, mark_high: float,
    mark_low: float, mark_close: float, volume: float, target_first: bool, intent: Row,
) -> bool:  # fmt: skip
    """Entry level, stop, targets and time limit of POSITION ``p`` within a bar; True when ``intent`` holds a fill.

    ``target_first``: finer bars of last prices show that the next target was reached before the stop. On the bar within
    which an entry fills only stop and liquidation count after it.
    """
    see_close(p, instrument, close, mark_close)
    if p["side"] == 0 and p["work_side"] == 0:
        return False
    high_ticks = ticks_of(high, instrument)
    low_ticks = ticks_of(low, instrument)
    close_time = open_time + rule["step"]
    taken = p["filled_at"] == close_time or p["filled_at"] == open_time  # the volume's share of this bar
    within = p["work_side"] != 0 and p["work_kind"] != _MARKET and not taken
    if within and _enter_within(p, instrument, rule, close_time, high_ticks, low_ticks, volume, intent):
        return True
    if p["work_side"] != 0 and close_time >= p["work_until"]:
        p["work_side"] = 0
    if p["side"] == 0:
        return False
    adverse, favourable = (low_ticks, high_ticks) if p["side"] > 0 else (high_ticks, low_ticks)
    danger, prize = adverse, favourable  # as the mark price saw them
    marked = not math.isnan(mark_close)
    if marked:
        danger = ticks_of(mark_low if p["side"] > 0 else mark_high, instrument)
        prize = ticks_of(mark_high if p["side"] > 0 else mark_low, instrument)
    return _exit_within(
        p, instrument, rule, open_time, adverse, favourable, marked, danger, prize, volume, target_first, intent
    )


@kernel
def _exit_within(
    p: Row, instrument: Row, rule: Row, open_time: int, adverse: int, favourable: int, marked: bool, danger: int,
    prize: int, volume: float, target_first: bool, intent: Row,
) -> bool:  # fmt: skip
    """Exits of a held position within a bar that went from ``adverse`` to ``favourable``; where ``marked``, the mark
    price from ``danger`` to ``prize``."""
    side = p["side"]
    close_time = open_time + rule["step"]
    entered = p["filled_at"] == close_time
    by_mark = marked and rule["on_mark"] == 1
    best = prize if by_mark and rule["take_market"] == 1 else favourable
    reached = side * (best - p["next_target"]) >= through(rule) and not entered
    before = target_first and reached and not by_mark and p["exit_bar"] != open_time
    stopped = side * ((danger if by_mark else adverse) - p["stop"]) <= 0 and not before
    liquidated = side * (danger - p["liquidation"]) <= 0 and (marked or not before)
    ruin = side * min(side * adverse, side * p["liquidation"]) if marked else p["liquidation"]
    reducing = p["exit_at_open"] == _REDUCED  # what stays is still stopped out, and has no targets
    leaving = p["exit_at_open"] != 0 and not reducing
    if liquidated and (leaving or not stopped or side * (p["liquidation"] - p["stop"]) >= 0):
        return _leave(p, instrument, rule, _LIQUIDATION, open_time, close_time, ruin, volume, intent)
    if leaving:
        return False  # a market exit goes on at the next open
    if stopped:
        at = adverse if by_mark else p["stop"]
        if _leave(p, instrument, rule, p["stop_reason"], open_time, close_time, at, volume, intent):
            return True  # what the volume leaves of it is looked at again
        return bool(liquidated) and _leave(
            p, instrument, rule, _LIQUIDATION, open_time, close_time, ruin, volume, intent
        )
    at = adverse if by_mark else p["next_target"]
    if reached and not reducing and _at_target(p, instrument, rule, open_time, close_time, at, volume, intent):
        return True
    if not entered:
        _note_range(p, rule, adverse, favourable, prize)
    elif side * (adverse - p["worst"]) < 0:
        p["worst"] = adverse
    if close_time >= p["deadline"] and not entered:
        return _leave(p, instrument, rule, _TIME, open_time, close_time, p["last"], volume, intent)
    return False


@kernel
def close_out(p: Row, instrument: Row, rules: Row, reason: int, time: int, volume: float, intent: Row) -> bool:
    """Close ``p`` at its last close, at market (the end of a back-test)."""
    p["work_side"] = 0
    if p["side"] == 0:
        return False
    return _exit_taker(p, instrument, rules, reason, p["lots"], time, p["last"], volume, intent)

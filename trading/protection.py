"""Stops that move: trailing, to break-even, and to keep a share of the best profit.

Levels move at a bar's close, to the safer side only, and count from the next bar on. A level that the close has crossed
already closes the position at the next open, because no exchange would take it as a stop. With ``on_mark`` profit and
crossing are those of the mark price.
"""

from __future__ import annotations

import math
from enum import IntEnum

from data.compiled import kernel
from trading.records import ExitReason, Row

_TRAILING, _REDUCED = int(ExitReason.TRAILING), int(ExitReason.LIMIT)


class Moved(IntEnum):
    """What :func:`protect` did, the highest level's reason."""

    NOT = 0
    BREAK_EVEN = 1
    TRAILED = 2
    KEPT_PROFIT = 3
    CROSSED = 4  # the level lies beyond the close: out at the next open


WORDS = {
    Moved.BREAK_EVEN: "moved to break-even", Moved.TRAILED: "trailed",
    Moved.KEPT_PROFIT: "moved to keep profit", Moved.CROSSED: "crossed by the close",
}  # fmt: skip
_NOT, _BREAK_EVEN, _TRAILED, _KEPT, _CROSSED = (int(m) for m in Moved)


@kernel
def break_even(p: Row, instrument: Row, rules: Row) -> int:
    """Level at which the position pays its costs: entry, the taker fees of both fills and half the spread."""
    side = p["side"]
    paid = p["cost"] / p["lots"]
    taker = instrument["taker"]
    level: float = side * paid * (1.0 + side * (taker + rules["half_spread"])) / (1.0 - side * taker)
    return int(side * math.ceil(level))


@kernel
def _safest(p: Row, instrument: Row, rules: Row, atr: float) -> tuple[int, int]:
    """The safest level that the rules of RULES ask for, never worse than the stop that stands, and its Moved."""
    side, origin, distance = p["side"], p["origin"], p["distance"]
    best = p["peak"] if rules["on_mark"] == 1 else p["best"]
    gain = side * (best - origin)
    level = p["stop"]
    why = _NOT
    if rules["break_even_after"] > 0.0 and gain >= rules["break_even_after"] * distance:
        asked = break_even(p, instrument, rules)
        if side * (asked - level) > 0:
            level, why = asked, _BREAK_EVEN
    if rules["trailing"] > 0.0 and gain >= rules["trailing_after"] * distance:
        away: float = rules["trailing"] * distance
        if rules["row_atr"] >= 0:
            away = rules["trailing"] * atr * instrument["tick_den"] / instrument["tick_num"]
        if away > 0.0:
            asked = best - side * max(1, math.ceil(away))
            if side * (asked - level) > 0:
                level, why = asked, _TRAILED
    if rules["give_back"] > 0.0 and gain >= rules["give_back_after"] * distance:
        profit: float = side * (best - p["cost"] / p["lots"])
        asked = best - side * math.floor(rules["give_back"] * max(0.0, profit))
        if side * (asked - level) > 0:
            level, why = asked, _KEPT
    return level, why


@kernel
def protect(p: Row, instrument: Row, rules: Row, atr: float) -> int:
    """Move the stop of a held POSITION ``p`` at a bar's close, if a rule asks for it; returns Moved.

    ``atr`` is ATR in quote units, read where the trailing distance is in ATR; NaN: nothing trails on this bar.
    """
    if p["exit_at_open"] != 0 and p["exit_at_open"] != _REDUCED:
        return _NOT
    level, why = _safest(p, instrument, rules, atr)
    if why == _NOT:
        return _NOT
    if p["side"] * ((p["mark"] if rules["on_mark"] == 1 else p["last"]) - level) <= 0:
        p["exit_at_open"] = _TRAILING
        p["cut_lots"] = 0
        return _CROSSED
    p["stop"] = level
    p["stop_reason"] = _TRAILING
    return why

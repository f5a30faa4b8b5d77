"""A position from flat to flat: how fills change it, its partial targets, and what it may lose at its stop.

Money is reckoned from ``cost``, the ticks × lots paid for what is held: a part closed takes its share of it, rounded to
a whole step, so that the parts sum to the whole exactly.
"""

from __future__ import annotations

import math

from data.compiled import kernel
from trading.costs import slip_of, value_of
from trading.margin import reprice
from trading.records import ExitReason, Row

_STOP, _TARGET, _REDUCED = int(ExitReason.STOP), int(ExitReason.TARGET), int(ExitReason.LIMIT)
_ROUNDING = 1e-9


@kernel
def _aim(p: Row) -> None:
    """Set the target that comes next."""
    k = p["next_part"]
    p["next_target"] = p["part_ticks"][k] if k < p["parts"] else p["target"]


@kernel
def next_lots(p: Row) -> int:
    """Lots that the target that comes next closes."""
    k = p["next_part"]
    lots: int = min(p["part_lots"][k], p["lots"]) if k < p["parts"] else p["lots"]
    return lots


@kernel
def loss_at_stop(p: Row, instrument: Row, rules: Row, stop: int, ticks: int, lots: int) -> float:
    """Loss in quote units if the position, with ``lots`` more bought at ``ticks``, is closed at ``stop``, fees paid and
    due, half the spread and the impact of the largest share of a bar's volume included. Negative: a sure profit."""
    held = p["lots"] + lots
    slip = slip_of(rules, p["sigma"], rules["volume_share"])
    lost = p["side"] * value_of(p["cost"] + ticks * lots - stop * held, instrument)
    fees = p["fees"] + value_of(ticks * lots, instrument) * instrument["taker"]
    return float(lost + fees + value_of(stop * held, instrument) * (instrument["taker"] + slip) - p["realised"])


@kernel
def within_risk(p: Row, instrument: Row, rules: Row, ticks: int, lots: int) -> int:
    """Most of ``lots`` that a held position can take at ``ticks`` without losing more at its stop than it may."""
    base = loss_at_stop(p, instrument, rules, p["stop"], ticks, 0)
    each = (loss_at_stop(p, instrument, rules, p["stop"], ticks, lots) - base) / max(1, lots)
    room = p["work_risk"] * (1.0 + _ROUNDING) - base
    if each <= 0.0:
        return lots
    if room < each:
        return 0
    most: float = room / each
    return lots if most >= lots else math.floor(most)


@kernel
def set_parts(p: Row, instrument: Row, rules: Row) -> None:
    """Partial targets of a position that none has been taken of: those nearer than the target, in whole lots.

    Where the shares leave nothing, the last of them becomes the target of all that is left.
    """
    side, left, count, total = p["side"], p["lots"], 0, 0.0
    for k in range(rules["parts"]):
        total += rules["part_share"][k]
        away: float = rules["part_at"][k] * p["distance"]
        level = max(1, p["origin"] + side * math.ceil(away - _ROUNDING))
        if side * (p["target"] - level) <= 0:
            break
        if total >= 1.0 - _ROUNDING:
            p["target"] = level
            break
        share: float = rules["part_share"][k] * p["lots"]
        lots = math.floor(share + _ROUNDING)
        if lots < instrument["min_lots"] or left - lots < instrument["min_lots"]:
            continue
        p["part_ticks"][count] = level
        p["part_lots"][count] = lots
        left -= lots
        count += 1
    p["parts"] = count
    p["next_part"] = 0
    _aim(p)


@kernel
def open_position(p: Row, rules: Row, intent: Row) -> None:
    """The first fill: stop and target keep their distance from the price really paid."""
    side, ticks = intent["side"], intent["ticks"]
    p["side"] = side
    p["lots"] = 0
    p["cost"] = 0
    p["opened"] = 0
    p["spent"] = 0
    p["sold"] = 0
    p["realised"] = 0.0
    p["origin"] = ticks
    p["distance"] = p["work_stop"]
    p["first_lots"] = intent["lots"]
    p["entry_time"] = intent["time"]
    p["stop"] = max(1, ticks - side * p["work_stop"])
    p["first_stop"] = p["stop"]
    p["stop_reason"] = _STOP
    p["target"] = max(1, ticks + side * p["work_target"])
    p["next_target"] = p["target"]
    p["deadline"] = intent["time"] + rules["limit_bars"] * rules["step"]
    p["plan_id"] = p["work_plan"]
    p["exit_at_open"] = 0
    p["cut_lots"] = 0
    p["cuts"] = 0
    p["exit_bar"] = 0
    p["adds"] = 0
    p["parts"] = 0
    p["next_part"] = 0
    p["best"] = ticks
    p["peak"] = ticks
    p["worst"] = ticks
    p["margin"] = 0.0
    p["fees"] = 0.0
    p["funding"] = 0.0
    p["slippage"] = 0.0
    p["risk_amount"] = 0.0


@kernel
def increase(a: Row, p: Row, instrument: Row, rules: Row, intent: Row, notional: float) -> None:
    """An entry fill of ``notional`` quote units, the first or a further one."""
    lots = intent["lots"]
    p["lots"] += lots
    p["cost"] += intent["ticks"] * lots
    p["opened"] += lots
    p["spent"] += intent["ticks"] * lots
    p["entry"] = (2 * p["cost"] + p["lots"]) // (2 * p["lots"])
    p["margin"] += notional / p["work_leverage"]
    p["wallet"] = a["equity"] - a["maintenance"] if rules["cross"] == 1 else p["margin"]
    p["risk_amount"] += (p["work_risk"] - p["risk_amount"]) * lots / p["work_lots"]
    p["filled_at"] = intent["time"]
    p["filled_plan"] = p["work_plan"]
    p["work_lots"] -= lots
    if rules["entry_rest"] == 0 or p["work_lots"] < 1:
        p["work_side"] = 0
    reprice(p, instrument)
    if rules["parts"] > 0:
        set_parts(p, instrument, rules)


@kernel
def _fit_parts(p: Row, instrument: Row) -> None:
    """Partial targets that fit no longer into what is held go with the target."""
    left = p["lots"]
    for k in range(p["next_part"], p["parts"]):
        left -= p["part_lots"][k]
        if left < instrument["min_lots"]:
            p["parts"] = k
            break


@kernel
def reduce(p: Row, instrument: Row, intent: Row) -> float:
    """A part of the position, or all of it, is closed; its gross profit in quote units. What still works to enter ends.

    A partial target that was filled is done; after any other part of a market exit the rest follows at the next open.
    """
    lots = intent["lots"]
    share = p["cost"] if lots == p["lots"] else (2 * p["cost"] * lots + p["lots"]) // (2 * p["lots"])
    realised = p["side"] * value_of(intent["ticks"] * lots - share, instrument)
    p["margin"] = p["margin"] * (p["lots"] - lots) / p["lots"]
    p["cost"] -= share
    p["lots"] -= lots
    p["sold"] += intent["ticks"] * lots
    p["realised"] += realised
    p["work_side"] = 0
    if intent["reason"] == _REDUCED:
        p["cut_lots"] -= lots
        if p["cut_lots"] < 1:
            p["exit_at_open"] = 0
        _fit_parts(p, instrument)
        _aim(p)
    k = p["next_part"]
    if k < p["parts"] and intent["reason"] == _TARGET:
        p["part_lots"][k] -= lots
        if p["part_lots"][k] < 1:
            p["next_part"] = k + 1
            _aim(p)
    return float(realised)


@kernel
def keep_rest(p: Row, instrument: Row, rules: Row) -> None:
    """After a part was closed: wallet, liquidation level and partial targets of what is still held."""
    if rules["cross"] == 0:
        p["wallet"] = p["margin"]
    reprice(p, instrument)

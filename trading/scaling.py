"""Adding to a winning position: a plan of its own, judged by the same gates, within the risk of the first one."""

from __future__ import annotations

import math

from data.compiled import kernel
from data.market import Float64Array, Record
from trading.costs import price_of, quantity_of, slip_of, taker_ticks
from trading.desk import held_margin, judge
from trading.plan import most_lots
from trading.positions import loss_at_stop
from trading.records import Action, Entry, ExitReason, Reason, Row
from trading.risk.limits import Gate
from trading.risk.room import exposure_room
from trading.risk.tightening import limit_of
from trading.state import Trading

_RUNNING = int(Trading.RUNNING)
_ABSTAIN, _BLOCKED = int(Action.ABSTAIN), int(Action.BLOCKED)
_MARKET, _NONE, _TRAILING = int(Entry.MARKET), int(Reason.NONE), int(ExitReason.TRAILING)
_MARGIN = int(Gate.MARGIN)
_ROUNDING = 1e-9


@kernel
def add_due(a: Row, p: Row, rules: Row) -> bool:
    """Whether POSITION ``p`` is to be added to at this close: after a profit of ``add_after`` stop distances for each
    addition, while nothing else works or leaves and no part has been closed."""
    if p["adds"] >= rules["adds"] or a["state"] != _RUNNING:
        return False
    if p["work_side"] != 0 or p["exit_at_open"] != 0 or p["sold"] != 0:
        return False
    gain = p["side"] * (p["last"] - p["origin"])
    return bool(gain >= (p["adds"] + 1) * rules["add_after"] * p["distance"])


@kernel
def _stop_for(p: Row, instrument: Row, rules: Row, ticks: int, lots: int) -> int:
    """The stop at which the position with ``lots`` more loses no more than it may, never worse than its own."""
    stop = p["stop"]
    loss = loss_at_stop(p, instrument, rules, stop, ticks, lots)
    if loss <= p["risk_amount"]:
        return int(stop)
    step = quantity_of(p["lots"] + lots, instrument) * instrument["tick_num"] / instrument["tick_den"]
    cost = instrument["taker"] + slip_of(rules, p["sigma"], rules["volume_share"])
    nearer: float = (loss - p["risk_amount"]) / (step * (1.0 - p["side"] * cost))
    return int(stop + p["side"] * math.ceil(nearer + _ROUNDING))


@kernel
def _add_lots(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, limits: Float64Array, s: int,
    price: float,
) -> int:  # fmt: skip
    """Lots to add: the setting's share of the first quantity, within the margin limit, tiers and order size, and, as
    every size, cut down to what the portfolio leaves; where that is no order the gates block it."""
    p = positions[s]
    instrument = instruments[s]
    most = limit_of(a, limits, s, _MARGIN) * a["equity"] - p["margin"]
    margin = min(most, a["equity"] - held_margin(positions, instruments))
    room = min(margin * rules["leverage"], instrument["max_notional"] - price * quantity_of(p["lots"], instrument))
    share: float = rules["add_share"] * p["first_lots"]
    lots = min(most_lots(max(0.0, room), price, instrument), instrument["max_lots"] - p["lots"])
    lots = min(lots, math.floor(share + _ROUNDING))
    if lots < instrument["min_lots"] or quantity_of(lots, instrument) * price < instrument["min_notional"]:
        return 0
    if rules["within"] == 0:
        return int(lots)
    room = exposure_room(
        a, positions, instruments, days, rules, limits, s, p["side"], price * quantity_of(lots, instrument),
        rules["leverage"],
    )  # fmt: skip
    less = most_lots(room * (1.0 + _ROUNDING), price, instrument)
    return int(min(lots, less)) if less > 0 else int(lots)


@kernel
def _write_add(
    a: Row, p: Row, plan: Row, instrument: Row, rules: Row, row: Row, lots: int, stop: int, entry_time: int
) -> None:
    """The addition as a plan. Its risk is that of the whole position at the stop it will have."""
    a["plans"] += 1
    side = p["side"]
    plan["plan_id"] = a["plans"]
    plan["side"] = side
    plan["lots"] = lots
    plan["kind"] = _MARKET
    plan["price"] = 0
    plan["stop"] = p["distance"]
    plan["target"] = side * (p["target"] - p["origin"])
    plan["deadline"] = p["deadline"]
    plan["until"] = entry_time + rules["step"]
    plan["leverage"] = rules["leverage"]
    plan["risk"] = p["risk_amount"]
    row["plan_id"] = plan["plan_id"]
    row["signal"] = side
    row["reason"] = _NONE
    row["expected_value"] = math.nan
    row["confidence"] = math.nan
    row["entry"] = price_of(p["last"], instrument)
    row["stop"] = price_of(stop, instrument)
    row["target"] = price_of(p["target"], instrument)
    row["quantity"] = quantity_of(lots, instrument)
    row["leverage"] = plan["leverage"]
    row["time_limit"] = p["deadline"]
    row["valid_until"] = plan["until"]


@kernel
def plan_add(
    account: Record, positions: Record, plans: Record, instruments: Record, days: Float64Array, rules: Record,
    limits: Float64Array, s: int, open_time: int, rows: Record, k: int,
) -> int:  # fmt: skip
    """Where :func:`add_due`: the addition as plan, size and judged DECISION ``rows[k]``; returns the Action.

    The distances that the position gate judges are those the position was opened with. Where the addition is sent, the
    stop moves at once to where the larger position loses no more than the first plan did.
    """
    a = account[0]
    rule = rules[0]
    p = positions[s]
    instrument = instruments[s]
    row = rows[k]
    side = p["side"]
    price = price_of(p["last"], instrument)
    lots = _add_lots(a, positions, instruments, days, rule, limits, s, price)
    if lots == 0:
        return _ABSTAIN
    ticks = taker_ticks(p["last"], side, slip_of(rule, p["sigma"], rule["volume_share"]))
    stop = _stop_for(p, instrument, rule, ticks, lots)
    if side * (p["last"] - stop) <= 0 or stop < 1:
        return _ABSTAIN
    _write_add(a, p, plans[s], instrument, rule, row, lots, stop, open_time + rule["step"])
    risk = loss_at_stop(p, instrument, rule, stop, ticks, lots)
    reward = side * (p["target"] - p["last"]) * row["quantity"] * instrument["tick_num"] / instrument["tick_den"]
    row["risk_amount"] = max(0.0, risk)
    row["reward_to_risk"] = reward / risk if risk > 0.0 else math.nan
    judge(
        row, a, positions, instruments, days, rule, limits, s, p["distance"] / p["origin"],
        abs(p["target"] - p["origin"]) / p["origin"],
    )  # fmt: skip
    action = int(row["action"])
    if action != _BLOCKED:
        p["adds"] += 1
        if stop != p["stop"]:
            p["stop"] = stop
            p["stop_reason"] = _TRAILING
    return action

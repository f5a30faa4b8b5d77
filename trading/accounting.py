"""Money: fills, funding and the mark. ``apply_fill`` is the only function in which a fill changes money."""

from __future__ import annotations

import math

from data.compiled import kernel, kernel_part
from data.market import Float64Array
from data.timeframes import DAY_MS
from trading.costs import price_of, quantity_of, ticks_of, value_of
from trading.positions import increase, keep_rest, open_position, reduce
from trading.records import ExitReason, Purpose, Row
from trading.risk.system import measure_sharpe, resume_by_rule
from trading.risk.tightening import tighten_by_day, tighten_by_drawdown
from trading.state import RING_DAYS

_ENTRY = int(Purpose.ENTRY)
_LIQUIDATION = int(ExitReason.LIQUIDATION)


@kernel
def _write_trade(trade: Row, trade_id: int, s: int, p: Row, instrument: Row, fill: Row) -> None:
    """A closed position as a TRADE row: prices are averages over all its fills, the stop is the plan's."""
    side = p["side"]
    exit_ticks = ticks_of(fill["price"], instrument)
    best = max(p["best"] * side, exit_ticks * side) * side
    worst = min(p["worst"] * side, exit_ticks * side) * side
    entry = p["spent"] / p["opened"]
    trade["trade_id"] = trade_id
    trade["plan_id"] = p["plan_id"]
    trade["symbol"] = s
    trade["side"] = side
    trade["exit_reason"] = fill["reason"]
    trade["_pad"] = 0
    trade["entry_time"] = p["entry_time"]
    trade["exit_time"] = fill["time"]
    trade["entry_price"] = entry * instrument["tick_num"] / instrument["tick_den"]
    trade["exit_price"] = p["sold"] / p["opened"] * instrument["tick_num"] / instrument["tick_den"]
    trade["quantity"] = quantity_of(p["opened"], instrument)
    trade["fees"] = p["fees"]
    trade["funding"] = p["funding"]
    trade["pnl"] = p["realised"] - p["fees"] + p["funding"]
    trade["stop"] = price_of(p["first_stop"], instrument)
    trade["target"] = price_of(p["target"], instrument)
    trade["risk_amount"] = p["risk_amount"]
    trade["mfe"] = side * (best - entry) / entry
    trade["mae"] = side * (worst - entry) / entry
    trade["slippage"] = p["slippage"]


@kernel
def _write_fill(fill: Row, fill_id: int, s: int, plan_id: int, work: Row, price: float, quantity: float) -> None:
    """What a FILL row says besides money."""
    fill["fill_id"] = fill_id
    fill["plan_id"] = plan_id
    fill["symbol"] = s
    fill["purpose"] = work["purpose"]
    fill["reason"] = work["reason"]
    fill["maker"] = work["maker"]
    fill["side"] = work["side"]
    fill["_pad"] = 0
    fill["time"] = work["time"]
    fill["price"] = price
    fill["quantity"] = quantity


@kernel
def apply_fill(a: Row, p: Row, instrument: Row, rules: Row, s: int, work: Row, fill: Row, trade: Row) -> int:
    """Book the fill in INTENT ``work``: account, position, FILL ``fill`` and, if nothing is left, TRADE ``trade``.

    Returns 1 when a trade was closed, else 0.
    """
    price = price_of(work["ticks"], instrument)
    quantity = quantity_of(work["lots"], instrument)
    entry = work["purpose"] == _ENTRY
    fee = price * quantity * (instrument["maker"] if work["maker"] == 1 else instrument["taker"])
    realised = 0.0
    plan_id = p["work_plan"] if entry else p["plan_id"]
    if entry:
        if p["side"] == 0:
            open_position(p, rules, work)
        if p["filled_plan"] != plan_id:
            a["trades_today"] += 1
        increase(a, p, instrument, rules, work, price * quantity)
    else:
        wallet = p["wallet"]
        realised = reduce(p, instrument, work)
        if work["reason"] == _LIQUIDATION:
            fee = min(price * quantity * instrument["liquidation_fee"], max(0.0, wallet + realised))
    slippage = max(0.0, work["side"] * price_of(work["ticks"] - work["reference"], instrument)) * quantity
    p["fees"] += fee
    p["slippage"] += slippage
    a["realised"] += realised
    a["fees"] += fee
    a["cash"] = a["start"] + a["realised"] - a["fees"] + a["funding"]
    a["fills"] += 1
    _write_fill(fill, a["fills"], s, plan_id, work, price, quantity)
    fill["fee"] = fee
    fill["realised"] = realised
    fill["slippage"] = slippage
    if entry:
        return 0
    if p["lots"] > 0:
        keep_rest(p, instrument, rules)
        return 0
    a["trades"] += 1
    a["closed_today"] += 1
    _write_trade(trade, a["trades"], s, p, instrument, fill)
    a["loss_streak"] = a["loss_streak"] + 1 if trade["pnl"] < 0.0 else 0
    p["side"] = 0
    p["exit_at_open"] = 0
    p["cut_lots"] = 0
    return 1


@kernel
def apply_funding(
    a: Row, p: Row, instrument: Row, time: int, rate: float, mark_price: float, close_time: int,
    present: bool, open_: float, close: float,
) -> int:  # fmt: skip
    """One settlement due in a bar, on the quantity held after the open's fills: cash ``-side·qty·mark·rate``.

    Without a stored mark price the last price at T stands in: the close at the close, else the open.
    Returns 1 when the position paid or received, else 0.
    """
    if p["funding_time"] > 0:
        p["funding_step"] = time - p["funding_time"]
    p["funding_time"] = time
    p["funding_rate"] = rate
    if p["side"] == 0:
        return 0
    price = mark_price
    if math.isnan(price):
        price = (close if time >= close_time else open_) if present else price_of(p["last"], instrument)
    cash = -p["side"] * quantity_of(p["lots"], instrument) * price * rate
    p["funding"] += cash
    a["funding"] += cash
    a["cash"] = a["start"] + a["realised"] - a["fees"] + a["funding"]
    return 1


@kernel
def roll_day(a: Row, ring: Float64Array, rules: Row, moment: int) -> None:
    """Close every UTC day that ends at or before ``moment``: its return enters the ring, its counters start anew."""
    if moment < a["next_midnight"]:
        return
    if a["next_midnight"] == 0:
        a["next_midnight"] = (moment // DAY_MS + 1) * DAY_MS
        return
    while moment >= a["next_midnight"]:
        tighten_by_day(a, rules)
        slot = a["days"] % RING_DAYS
        ring[0, slot] = a["equity"] / a["day_start"] - 1.0 if a["day_start"] > 0.0 else 0.0
        ring[1, slot] = a["closed_today"]
        a["days"] += 1
        a["day_start"] = a["equity"]
        a["trades_today"] = 0
        a["closed_today"] = 0
        a["loss_streak"] = 0
        a["next_midnight"] += DAY_MS
    measure_sharpe(a, ring, rules)
    resume_by_rule(a, rules, moment)


@kernel_part
def unrealised_at(p: Row, instrument: Row, ticks: int) -> float:
    """Profit of an open position at a price in ticks, in quote units."""
    return float(p["side"] * value_of(ticks * p["lots"] - p["cost"], instrument))


@kernel
def unrealised_of(p: Row, instrument: Row) -> float:
    """Profit of an open position at the close of the mark price, where unknown at the last close; quote units."""
    return unrealised_at(p, instrument, p["mark"])


@kernel
def exposure_of(p: Row, instrument: Row) -> float:
    """Notional of an open position at the same price, in quote units."""
    return price_of(p["mark"], instrument) * quantity_of(p["lots"], instrument)


@kernel_part
def write_equity(
    row: Row, open_time: int, equity: float, cash: float, unrealised: float, drawdown: float, exposure: float
) -> None:
    """EQUITY ``row``: the account after the closes of a bar."""
    row["open_time"] = open_time
    row["equity"] = equity
    row["cash"] = cash
    row["unrealised"] = unrealised
    row["drawdown"] = drawdown
    row["exposure"] = exposure


@kernel
def mark(a: Row, rules: Row, unrealised: float, exposure: float, open_time: int, row: Row) -> None:
    """Value the account at the closes of a bar and write EQUITY ``row``; the day is rolled after it."""
    equity = a["cash"] + unrealised
    a["unrealised"] = unrealised
    a["exposure"] = exposure
    a["equity"] = equity
    a["high_water"] = max(a["high_water"], equity)
    a["drawdown"] = 1.0 - equity / a["high_water"]
    a["last_bar"] = open_time
    tighten_by_drawdown(a, rules)
    write_equity(row, open_time, equity, a["cash"], unrealised, a["drawdown"], exposure)

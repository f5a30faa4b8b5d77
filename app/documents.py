"""Ledger rows as JSON rows with the keys of the command line's contract: one place for every command."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ai.forecast import ABSTAIN_WORDS, Abstain
from data.clock import iso
from data.market import Record
from trading.journal import OrderRow
from trading.records import Action, ExitReason, Purpose, Reason

if TYPE_CHECKING:
    from trading.halts import Halt
    from trading.risk.gates import Verdict

Row = dict[str, Any]

SIDES = {1: "long", -1: "short", 0: "none"}
REASON_WORDS: dict[Reason, str] = {
    Reason.NONE: "",
    Reason.WARMING_UP: "features are still warming up",
    Reason.NO_SIGNAL: "no signal",
    Reason.NO_MODEL: "no trained model covers this bar",
    Reason.BELOW_THRESHOLD: "the probability is below the threshold",
    Reason.NEGATIVE_EV: "the expected value after costs is not positive",
    Reason.POSITION_OPEN: "a position is open already",
    Reason.TOO_SMALL: "the order would be below the minimum notional",
    Reason.PAUSED: "entries are paused",
    Reason.HALTED: "trading is halted",
    Reason.INVALID_FORECAST: "the forecast is not valid",
    Reason.BAR_MISSING: "the bar is missing",
    Reason.EXIT_SIGNAL: "the strategy closes the position",
    Reason.LATE_BAR: "the bar came too late to act on",
    Reason.CLOCK_SKEW: "the clock is too far from the exchange's",
    Reason.MODELS_ADVISE_AGAINST: "the models advise against acting on the forecast",
    Reason.MODEL_DISAGREES: "the models take the other side than the rule",
    Reason.RULE_FORBIDS: "the rule does not allow the side that the models take",
    Reason.ENTRY_WORKING: "an entry order of the symbol still works",
    Reason.NOT_TRADING: "the exchange does not take new positions in this symbol",
}


def number(value: Any) -> float | None:
    """A float, ``None`` where it is not a number."""
    plain = float(value)
    return plain if math.isfinite(plain) else None


def exit_name(code: int) -> str:
    """``stop target trailing time liquidation signal emergency end``; empty for none."""
    return ExitReason(code).name.lower() if code else ""


def trade_rows(trades: Record, symbols: Sequence[str]) -> list[Row]:
    """TRADE records as rows: id symbol side qty entry_time entry_price exit_time exit_price exit_reason fees funding
    pnl, and what the trade risked and reached."""
    return [
        {
            "id": int(t["trade_id"]), "symbol": symbols[int(t["symbol"])], "side": SIDES[int(t["side"])],
            "qty": float(t["quantity"]), "entry_time": iso(int(t["entry_time"])),
            "entry_price": float(t["entry_price"]), "exit_time": iso(int(t["exit_time"])),
            "exit_price": float(t["exit_price"]), "exit_reason": exit_name(int(t["exit_reason"])),
            "fees": float(t["fees"]), "funding": float(t["funding"]), "pnl": float(t["pnl"]),
            "plan_id": int(t["plan_id"]), "stop": number(t["stop"]), "target": number(t["target"]),
            "risk_amount": number(t["risk_amount"]), "mfe": number(t["mfe"]), "mae": number(t["mae"]),
            "slippage": number(t["slippage"]),
        }
        for t in trades
    ]  # fmt: skip


def halt_rows(halts: Sequence[Halt]) -> list[Row]:
    """Halts of a back-test as rows: at gate why resumed_at (none: not within the run)."""
    return [{"at": iso(h.at), "gate": h.gate, "why": h.words, "resumed_at": iso(h.resumed)} for h in halts]


def fill_rows(fills: Record, symbols: Sequence[str]) -> list[Row]:
    """FILL records as rows."""
    return [
        {
            "id": int(f["fill_id"]), "time": iso(int(f["time"])), "symbol": symbols[int(f["symbol"])],
            "side": "buy" if f["side"] > 0 else "sell", "purpose": Purpose(int(f["purpose"])).name.lower(),
            "qty": float(f["quantity"]), "price": float(f["price"]), "fee": float(f["fee"]),
            "slippage": number(f["slippage"]), "liquidity": "maker" if f["maker"] else "taker",
            "reason": exit_name(int(f["reason"])), "realised": float(f["realised"]), "plan_id": int(f["plan_id"]),
        }
        for f in fills
    ]  # fmt: skip


def order_rows(orders: Sequence[OrderRow]) -> list[Row]:
    """Orders with their story."""
    return [
        {
            "client_id": o.client_id, "plan_id": o.plan_id, "symbol": o.symbol, "purpose": o.purpose, "side": o.side,
            "kind": o.kind, "quantity": o.quantity, "price": o.price, "reduce_only": o.reduce_only,
            "status": o.status, "created": iso(o.created_ms), "updated": iso(o.updated_ms),
            "history": [{"time": iso(at), "status": status, "words": words} for at, status, words in o.history],
        }
        for o in orders
    ]  # fmt: skip


def decision_row(decision: Record, symbols: Sequence[str], step_ms: int, number_: int, digest: str = "") -> Row:
    """One DECISION record as a row; ``time`` is the close of the bar that was decided on."""
    planned = int(decision["plan_id"]) != 0
    row: Row = {
        "id": number_, "time": iso(int(decision["open_time"]) + step_ms), "bar": iso(int(decision["open_time"])),
        "symbol": symbols[int(decision["symbol"])], "action": Action(int(decision["action"])).name.lower(),
        "why": why(decision), "signal": SIDES[int(decision["signal"])], "hash": digest,
    }  # fmt: skip
    for key in ("p_long", "p_short", "p_neutral", "threshold", "confidence", "risk_score", "expected_value"):
        row[key] = number(decision[key])
    for key in ("entry", "stop", "target", "leverage", "risk_amount", "reward_to_risk"):
        row[key] = number(decision[key]) if planned else None
    row["qty"] = number(decision["quantity"]) if planned else None
    row["plan_id"] = int(decision["plan_id"]) if planned else None
    row["time_limit"] = iso(int(decision["time_limit"])) if planned else None
    row["blocked_by"] = ", ".join(blocking_gates(decision)) if action_of(decision) == Action.BLOCKED else None
    return row


def action_of(decision: Record) -> Action:
    """What the decision came to."""
    return Action(int(decision["action"]))


def why(decision: Record) -> str:
    """In words, why it did or did not trade."""
    action, reason = action_of(decision), Reason(int(decision["reason"]))
    if action == Action.BLOCKED:
        return f"blocked by {', '.join(blocking_gates(decision))}"
    if action in (Action.LONG, Action.SHORT):
        return f"{action.name.lower()} signal, every gate passed"
    if reason in (Reason.NO_MODEL, Reason.INVALID_FORECAST, Reason.WARMING_UP):
        return ABSTAIN_WORDS[Abstain(int(decision["abstain"]))] or REASON_WORDS[reason]
    return REASON_WORDS[reason]


def blocking_gates(decision: Record) -> list[str]:
    """Names of the gates that block."""
    from trading.risk.limits import GATES

    return [spec.name for g, spec in enumerate(GATES) if int(decision["failed"]) >> g & 1]


def gate_rows(decision: Record) -> list[Row]:
    """Every gate's value, limit and verdict; none where no plan was made."""
    from trading.risk.gates import verdicts

    return verdict_rows(verdicts(decision))


def verdict_rows(judged: Sequence[Verdict]) -> list[Row]:
    """Verdicts as rows."""
    return [
        {
            "gate": v.gate, "tier": v.tier, "value": number(v.value), "limit": number(v.limit), "unit": v.unit,
            "verdict": ("passed" if v.passed else "blocked") if v.measured else "not measured", "words": v.words,
        }
        for v in judged
    ]  # fmt: skip

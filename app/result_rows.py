"""Parts of a result, as :mod:`trading.analysis` gives them, as rows of the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.contract.judgement import NamedAmount
from app.contract.results import GroupRow, TradeRow
from app.projection_context import base, digits
from data.timeframes import parse_time

Document = Mapping[str, Any]


def group_rows(rows: Sequence[Document]) -> tuple[GroupRow, ...]:
    """Groups of :func:`trading.analysis.groups`."""
    return tuple(
        GroupRow(
            r["name"], r["trades"], r["wins"], r["net"], r["gross"], r["fees"] + r["slippage"] - r["funding"],
            r["profit_factor"], r["expectancy"],
        )
        for r in rows
    )  # fmt: skip


def cost_parts(costs: Document) -> tuple[NamedAmount, ...]:
    """From what the moves of the price made to what is left."""
    return (
        NamedAmount("Gross", costs["gross"]), NamedAmount("Fees", -costs["fees"]),
        NamedAmount("Slippage", -costs["slippage"]), NamedAmount("Funding", costs["funding"]),
        NamedAmount("Net", costs["net"]),
    )  # fmt: skip


def trade_row(t: Document) -> TradeRow:
    """A trade of the document."""
    price_digits, quantity_digits = digits(t["symbol"])
    risk = t["risk_amount"]
    return TradeRow(
        trade_id=t["id"], symbol=t["symbol"], side=t["side"], quantity=t["qty"], base=base(t["symbol"]),
        entry_ms=parse_time(t["entry_time"]), entry=t["entry_price"], exit_ms=parse_time(t["exit_time"]),
        exit=t["exit_price"], exit_reason=t["exit_reason"], fees=t["fees"], funding=t["funding"],
        slippage=t["slippage"] or 0.0, pnl=t["pnl"], pnl_r=t["pnl"] / risk if risk else None, mfe=t["mfe"],
        mae=t["mae"], price_digits=price_digits, quantity_digits=quantity_digits,
    )  # fmt: skip

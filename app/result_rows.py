"""Parts of a result, as :mod:`trading.analysis` gives them, as rows of the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.contract.judgement import NamedAmount
from app.contract.results import GroupRow

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

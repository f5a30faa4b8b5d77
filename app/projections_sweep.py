"""A stored sweep as a map over its two parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.backtest_jobs import form_of
from app.backtest_verdict import sweep_finding
from app.contract.backtest_views import SweepCell, SweepView
from data.market import short_symbol

Document = Mapping[str, Any]


def sweep_view(number: int, made_ms: int, body: Document) -> SweepView:
    """A sweep from what :func:`app.backtest_jobs.sweep` made; what was not run has a cell without figures."""
    document: Document = body["document"]
    keys = [*(str(key) for key, _ in body["grid"]), ""][:2]
    columns, lines = (tuple(map(written, document["grid"].get(key, [None]))) for key in keys)
    found = {tuple(written(row["parameters"].get(key)) for key in keys): row for row in document["runs"]}
    cells = tuple(
        _cell(x, y, [pair for pair in zip(keys, (column, line), strict=True) if pair[0]], found.get((column, line)))
        for y, line in enumerate(lines) for x, column in enumerate(columns)
    )  # fmt: skip
    best = document["best"]
    at = None if best is None else tuple(written(best["parameters"].get(key)) for key in keys)
    symbol = short_symbol(document["symbol"])
    gates = "gates enforced" if document["gates"] == "enforce" else "gates observed"
    return SweepView(
        number, made_ms, document["strategy"],
        f"{symbol} {document['timeframe']} · {document['from'][:10]} … {document['to'][:10]} · {gates}",
        form_of(body["form"]), sweep_finding(document), keys[0], columns, keys[1], lines, cells,
        None if at is None else (columns.index(at[0]), lines.index(at[1])), int(document["planned"]),
        int(document["trials"]), tuple(document.get("assumptions", ())),
    )  # fmt: skip


def written(value: object) -> str:
    """A value of an axis as a person writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)


def _cell(x: int, y: int, parameters: list[tuple[str, str]], row: Document | None) -> SweepCell:
    if row is None:
        return SweepCell(x, y, tuple(parameters))
    return SweepCell(
        x, y, tuple(parameters), row["sharpe"], row["net_return"], row["max_drawdown"], row["trades"],
        row["error"] or "",
    )  # fmt: skip

"""One line of the result, and both ways of showing it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its peer's. ``ratio`` says how many times better than the peer; ``ok`` None: not measured."""

    id: str
    what: str
    figure: float | None
    unit: str
    peer: str | None
    peer_figure: float | None
    ratio: float | None
    reach: str
    ok: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row is to reach: ``ratio`` times the peer, or a figure in the row's own unit."""

    words: str
    ratio: float | None = None
    at_most: float | None = None
    at_least: float | None = None


def absent(row_id: str, what: str, unit: str, reach: str, reason: str, peer: str | None = None) -> Row:
    """A row that is not measured, and why."""
    return Row(row_id, what, None, unit, peer, None, None, reach, None, reason)


def measured(
    row_id: str, what: str, figure: float, unit: str, goal: Goal, peer: str | None = None,
    peer_figure: float | None = None, note: str = "", *, more_is_better: bool = False,
) -> Row:  # fmt: skip
    """A row with its ratio and verdict; a goal that is a ratio has no verdict without the peer's figure."""
    ratio = None
    if peer_figure is not None:
        ratio = figure / peer_figure if more_is_better else peer_figure / figure
    ok: bool | None = None
    if goal.ratio is not None:
        ok = None if ratio is None else ratio >= goal.ratio
    elif goal.at_most is not None:
        ok = figure <= goal.at_most
    elif goal.at_least is not None:
        ok = figure >= goal.at_least
    return Row(row_id, what, figure, unit, peer, peer_figure, ratio, goal.words, ok, note)


def number(value: float | None) -> str:
    """Three significant digits, thousands apart."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def as_json(rows: Sequence[Row], conditions: dict[str, object]) -> str:
    """One document."""
    return json.dumps({"rows": [asdict(row) for row in rows], "conditions": conditions}, ensure_ascii=False, indent=1)


def as_table(rows: Sequence[Row], conditions: dict[str, object]) -> str:
    """Aligned columns; notes stand below the row that they are about."""
    verdict = {True: "yes", False: "NO", None: "–"}
    head = ("row", "work", "figure", "peer", "its figure", "ratio", "reach", "ok")
    lines = [
        (
            r.id, r.what, "–" if r.figure is None else f"{number(r.figure)} {r.unit}", r.peer or "–",
            number(r.peer_figure),
            "–" if r.ratio is None else f"{number(r.ratio)}×", r.reach, verdict[r.ok],
        )
        for r in rows
    ]  # fmt: skip
    widths = [max(len(line[k]) for line in (head, *lines)) for k in range(len(head))]
    out = ["  ".join(f"{k}: {v}" for k, v in conditions.items()), ""]
    for line, note in zip((head, *lines), ("", *(r.note for r in rows)), strict=True):
        out.append("  ".join(cell.ljust(wide) for cell, wide in zip(line, widths, strict=True)).rstrip())
        if note:
            out.append(" " * (widths[0] + 2) + "· " + note)
    return "\n".join(out)

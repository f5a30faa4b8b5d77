"""A sweep's result as tables: ranked rows, a heat map over two parameters, files for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.output import jsonable
from data.errors import UserError

Document = dict[str, Any]

FIGURES = ("trades", "net_return", "sharpe", "max_drawdown", "equity_end", "halted_at")
MAPPED = ("sharpe", "net_return", "max_drawdown", "trades")
SUFFIXES = (".csv", ".json")


def ranked(rows: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """Rows with a Sharpe ratio, the best first; of equal ones the higher return, then the first of the grid."""
    known = [k for k, row in enumerate(rows) if row["sharpe"] is not None and math.isfinite(row["sharpe"])]
    yield from sorted(known, key=lambda k: (-rows[k]["sharpe"], -rows[k]["net_return"]))


def ranked_rows(document: Mapping[str, Any]) -> list[Document]:
    """The runs, best first; those without a Sharpe ratio at the end."""
    rows = document["runs"]
    order = list(ranked(rows))
    return [rows[k] for k in [*order, *(k for k in range(len(rows)) if k not in set(order))]]


def varied(document: Mapping[str, Any]) -> list[str]:
    """Keys of the grid that have several values."""
    return [key for key, values in document["grid"].items() if len(values) > 1]


def heat_map(document: Mapping[str, Any], rows: str, columns: str) -> Document:
    """Figures over two keys of the grid: ``{figure}[i][j]`` is that of ``row_values[i]`` and ``column_values[j]``.

    Further keys stand at the values of the best run (of the first run where there is no best). A combination that was
    not run, or has no such figure, is ``None``. ``best``: where the best run stands, ``[i, j]``.

    Raises:
        UserError: one of the keys is not in the grid.
    """
    grid, runs, best = document["grid"], document["runs"], document["best"]
    for key in (rows, columns):
        if key not in grid:
            raise UserError(f"'{key}' is no key of this grid: it has {', '.join(grid)}.")
    centre = (best or runs[0])["parameters"]
    ways = {key: list(values) for key, values in grid.items()}
    figures: dict[str, list[list[Any]]] = {
        name: [[None] * len(ways[columns]) for _ in ways[rows]] for name in MAPPED
    }  # fmt: skip
    for run in runs:
        chosen = run["parameters"]
        if all(chosen[key] == centre[key] for key in grid if key not in (rows, columns)):
            i, j = ways[rows].index(chosen[rows]), ways[columns].index(chosen[columns])
            for name in MAPPED:
                figures[name][i][j] = run[name]
    return {
        "rows": rows, "columns": columns, "row_values": ways[rows], "column_values": ways[columns],
        "beside": {key: centre[key] for key in grid if key not in (rows, columns)}, **figures,
        "best": None if best is None else [ways[key].index(centre[key]) for key in (rows, columns)],
    }  # fmt: skip


# ---- files -----------------------------------------------------------------------------------------------------------


def target(text: str) -> Path:
    """Where the result is to be written; asked for before anything is run.

    Raises:
        UserError: the name ends otherwise, or there is no such folder.
    """
    path = Path(text).expanduser().absolute()
    if path.suffix not in SUFFIXES:
        raise UserError(f"'{text}': a sweep is saved as {' or '.join(SUFFIXES)}: give a name that ends so.")
    if not path.parent.is_dir() or path.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent} to write a file of this name into.")
    return path


def save(document: Mapping[str, Any], path: Path) -> None:
    """Write the whole document (``.json``) or its runs in the order of the grid (``.csv``), whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    if path.suffix == ".json":
        text = json.dumps(jsonable(document), ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    else:
        text = _csv(document)
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: the sweep cannot be written ({error.strerror}).") from None


def _csv(document: Mapping[str, Any]) -> str:
    out = io.StringIO()
    keys = list(document["grid"])
    writer = csv.writer(out)
    writer.writerow([*keys, *FIGURES, "best", "error"])
    for run in document["runs"]:
        chosen = [run["parameters"][key] for key in keys]
        said = [json.dumps(value) if isinstance(value, list) else value for value in chosen]
        best = document["best"] is not None and run["parameters"] == document["best"]["parameters"]
        writer.writerow([*said, *(run[name] for name in FIGURES), int(best), run["error"]])
    return out.getvalue()

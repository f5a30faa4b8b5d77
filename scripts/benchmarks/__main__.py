"""``scripts/bench``: every row that can be measured here, beside its peer."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Sequence

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.environments import Peers
from scripts.benchmarks.rows import Row, absent, as_json, as_table

SECTIONS = {
    "P1": "engine_rows:backtest", "P2": "engine_rows:sweep", "P3": "feature_rows:indicators",
    "P4": "feature_rows:one_bar", "P5": "monte_carlo_rows:simulating", "P6": "model_rows:decision_cycle",
    "P7": "feature_rows:labels",
    "P8": "feature_rows:features", "P9": "model_rows:prediction", "P10": "chart_rows:panning", "P11": "chart_rows:tick",
    "P12": "storage_rows:inserting", "P13": "storage_rows:reading", "P14": "model_rows:lateness",
    "P15": "walk_rows:walking",
    "P16": "start_rows:starting", "P17": "engine_rows:service",
    "D1": "revision_rows:revising", "D2": "revision_rows:inserting", "D3": "revision_rows:reading",
    "D4": "stream_rows:books", "D5": "stream_rows:trades", "D6": "feed_rows:filling", "D7": "table_rows:importing",
    "D8": "table_rows:resampling", "D9": "table_rows:joining", "D10": "feed_rows:holding",
}  # fmt: skip
ROWS = (*(f"P{n}" for n in range(1, 18)), *(f"D{n}" for n in range(1, 11)))  # D: the data floor


def perform(wanted: Sequence[str], bench: Bench) -> list[Row]:
    """The rows in order; one that fails says why and the others go on."""
    rows: list[Row] = []
    for row_id in wanted:
        sys.stderr.write(f"{row_id} …\n")
        module, _, function = SECTIONS[row_id].partition(":")
        try:
            rows += getattr(importlib.import_module(f"scripts.benchmarks.{module}"), function)(bench)
        except Exception as failure:
            rows.append(absent(row_id, function.replace("_", " "), "", "–", f"{type(failure).__name__}: {failure}"))
    return rows


def conditions(bars: int) -> dict[str, object]:
    """What the figures depend on."""
    load = [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {"bars": bars, "cores": os.cpu_count(), "load": load, "python": platform.python_version()}


def read_only(text: str) -> list[str]:
    """Row names, by commas."""
    named = [part.strip().upper() for part in text.split(",") if part.strip()]
    unknown = [name for name in named if name not in ROWS]
    if unknown or not named:
        raise argparse.ArgumentTypeError(f"unknown row '{', '.join(unknown)}': use P1 to P17 and D1 to D10")
    return [row_id for row_id in ROWS if row_id in named]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Speeds beside a peer measured in the same run.")
    parser.add_argument("--only", type=read_only, default=list(ROWS), metavar="P1,P4", help="these rows (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--bars", type=int, default=1_000_000, help="one-minute bars (default: 1000000); fewer to try")
    parser.add_argument("--no-install", action="store_true", help="install no peer; leave out those that are not there")
    given = parser.parse_args()
    if given.bars < 2000:
        parser.error("--bars: at least 2000")
    before = conditions(given.bars)
    rows = perform(given.only, Bench(given.bars, Peers(install=not given.no_install)))
    print((as_json if given.json else as_table)(rows, before))
    return 0


if __name__ == "__main__":
    sys.exit(main())

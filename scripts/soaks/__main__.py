"""``scripts/soak``: long runs in simulated time, each ending in a document of figures; exit code 1: unsound."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.soaks.live_day import Plan, live_day


def parser() -> argparse.ArgumentParser:
    """One sub-command for each soak."""
    top = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    top.add_argument("--json", action="store_true", help="print the document as JSON")
    soaks = top.add_subparsers(dest="soak", required=True)
    day = soaks.add_parser("live-day", help="a live market of many symbols on loopback, faults on")
    day.add_argument("--hours", type=float, default=24.0)
    day.add_argument("--symbols", type=int, default=20)
    day.add_argument("--seed", type=int, default=7)
    day.add_argument("--no-streams", action="store_true", help="REST only")
    day.add_argument("--no-faults", action="store_true")
    day.add_argument("--trace", action="store_true", help="count Python's own memory too (slower)")
    for each in soaks.choices.values():
        each.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one soak and print its document."""
    options = parser().parse_args(arguments)
    plan = Plan(
        hours=options.hours, symbols=options.symbols, seed=options.seed, streams=not options.no_streams,
        faults=not options.no_faults, trace=options.trace,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        document = asyncio.run(live_day(plan, Path(folder), lambda line: print(line, file=sys.stderr)))
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for name, value in document.items():
            print(f"{name:24} {value}")
    return 0 if document["sound"] else 1


if __name__ == "__main__":
    sys.exit(main())

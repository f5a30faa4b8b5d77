"""``scripts/soak``: long runs, each ending in a document of figures; exit code 1: unsound."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import UserError


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
    for name, words in (
        ("walks", "random walks: nothing is found and nothing promoted"),
        ("flipped", "recorded markets with a coin's directions: likewise"),
        ("planted", "one planted edge: found, and its size within the band"),
    ):
        proof = soaks.add_parser(name, help=words)
        proof.add_argument("--seeds", type=int, default=10, help="markets of each kind")
        # What is planted has to be learnt first: with 8,000 rows to train on a model falls short of what there is.
        bars, train, test = (70_000, 35_000, 7000) if name == "planted" else (12_000, 4000, 1000)
        proof.add_argument("--bars", type=int, default=bars, help="of each market (default: %(default)s)")
        proof.add_argument("--train", type=int, default=train, help="bars of a training window (default: %(default)s)")
        proof.add_argument("--test", type=int, default=test, help="bars of a test window (default: %(default)s)")
        proof.add_argument("--members", help="names by commas (default: the settings')")
        proof.add_argument("--no-promotions", action="store_true", help="send no candidates through the registry")
        if name != "walks":
            proof.add_argument("--data", help="folder of recorded series (default: QUANTAI_TEST_DATA)")
    research = soaks.add_parser("research", help="a walk-forward over years of recorded quarter hours, all members")
    research.add_argument("--symbols", default="BTCUSDT,ETHUSDT,SOLUSDT")
    research.add_argument("--members", help="names by commas (default: all that are installed)")
    research.add_argument("--workers", type=int, help="processes (default: one for each core)")
    research.add_argument("--bars", type=int, help="only the newest so many (default: three years)")
    research.add_argument("--coin", type=int, help="seed of a coin that draws every bar's direction, as a control")
    research.add_argument("--data", help="folder of recorded series (default: QUANTAI_TEST_DATA)")
    research.add_argument("--out", help="folder for one report in JSON for each symbol")
    random = soaks.add_parser("scenarios", help="random markets, orders and settings: both engines keep I1-I5")
    random.add_argument("--count", type=int, default=10_000)
    random.add_argument("--seed", type=int, default=0, help="the first one")
    for each in soaks.choices.values():
        each.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _live_day(options: argparse.Namespace) -> dict[str, Any]:
    from scripts.soaks.live_day import Plan, live_day

    plan = Plan(
        hours=options.hours, symbols=options.symbols, seed=options.seed, streams=not options.no_streams,
        faults=not options.no_faults, trace=options.trace,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(live_day(plan, Path(folder), _tell))


def _proof(options: argparse.Namespace) -> dict[str, Any]:
    from scripts.soaks.markets import data_folder
    from scripts.soaks.proofs import Proof, flipped, planted, walks

    members = {"members": tuple(options.members.split(","))} if options.members else {}
    proof = Proof(
        options.seeds, options.bars, options.train, options.test, promotions=not options.no_promotions, **members
    )
    if options.soak == "walks":
        return walks(proof, _tell)
    if options.soak == "flipped":
        return flipped(proof, _tell, data_folder(options.data))
    return planted(proof, _tell, data_folder(options.data))


def _research(options: argparse.Namespace) -> dict[str, Any]:
    from scripts.soaks.markets import data_folder
    from scripts.soaks.research import Study, research

    members = tuple(options.members.split(",")) if options.members else None
    study = Study(tuple(options.symbols.split(",")), members, options.workers, options.bars, options.coin)
    return research(study, data_folder(options.data), Path(options.out) if options.out else None, _tell)


def _scenarios(options: argparse.Namespace) -> dict[str, Any]:
    from scripts.soaks.scenarios import scenarios

    return scenarios(options.count, options.seed, _tell)


SOAKS = {
    "live-day": _live_day,
    "walks": _proof,
    "flipped": _proof,
    "planted": _proof,
    "research": _research,
    "scenarios": _scenarios,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one soak and print its document."""
    options = parser().parse_args(arguments)
    try:
        document = SOAKS[options.soak](options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for name, value in document.items():
            if not isinstance(value, list) or not value or not isinstance(value[0], dict):
                print(f"{name:24} {value}")
    return 0 if document["sound"] else 1


if __name__ == "__main__":
    sys.exit(main())

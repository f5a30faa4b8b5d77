"""A replay that kills itself: HOME STEP COUNT [words of run…]. It dies at the COUNT-th time the journal's STEP is
reached (``bar``: after that many bars); STEP ``none`` runs to the end. Says ``reached`` before it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from app.cli.tree import invoke
from app.jobs import Jobs
from app.options import RunOptions
from app.output import Output
from app.service import TradingService
from app.wiring import Workplace
from database.journal import SqliteJournal


def die(step: str) -> None:
    sys.stdout.write(f"reached {step}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def main(home: str, step: str, count: int, words: list[str]) -> None:
    taken: list[RunOptions] = []
    invoke(["run", *words], home, Output(), taken.append)
    seen = 0

    def hook(reached: str) -> None:
        nonlocal seen
        seen += reached == step
        if reached == step and seen == count:
            die(step)

    with Workplace.opened(Path(home)) as place, place.home.lock():
        place.database.journal = SqliteJournal(place.database, hook, audit=place.database.audit, clock=place.clock)
        jobs = Jobs()
        service = TradingService(place, taken[0], lambda _: None, lambda _: hook("bar"), jobs)
        document = asyncio.run(service.run())
        jobs.close()
    sys.stdout.write(f"{document['state']}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])

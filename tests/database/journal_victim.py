"""A process that journals the story and kills itself at a named step: HOME STEP BATCH LAST.

Step ``none`` goes on to the end; ``random`` too, one batch for each line it is sent.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from database.home import Home
from database.journal import SqliteJournal
from tests.database import ledger_story


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def main(home_path: str, step: str, fatal_batch: int, last: int) -> None:
    home = Home(Path(home_path))
    db = home.open()
    current = 0

    def hook(reached: str) -> None:
        if reached == step and current == fatal_batch:
            say(f"reached {step}")
            os.kill(os.getpid(), signal.SIGKILL)

    journal = SqliteJournal(db, hook, audit=db.audit, clock=home.clock)
    account = journal.open_account(ledger_story.KEY, ledger_story.EQUITY_START, 1_000, ledger_story.ABOUT)
    checkpoint = journal.checkpoint(account)
    if checkpoint is not None:
        done = (checkpoint.last_bar_ms - ledger_story.START) // ledger_story.STEP // ledger_story.BARS
        current = int(done) + 1
    while current <= last:
        if step == "random":
            sys.stdin.readline()  # one line from the parent lets one batch go
            say(f"batch {current}")
        journal.commit(ledger_story.batch(current, account))
        current += 1
    db.close()
    say("finished")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

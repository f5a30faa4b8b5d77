"""A home in an empty folder and its open database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.clock import ManualClock
from database.home import Home
from database.repositories import Repositories
from tests.database import ledger_story


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000_000)


@pytest.fixture
def home(tmp_path: Path, clock: ManualClock) -> Home:
    return Home(tmp_path / "home", clock)


@pytest.fixture
def db(home: Home) -> Iterator[Repositories]:
    with home.open() as database:
        yield database


@pytest.fixture
def account(db: Repositories) -> int:
    return db.journal.open_account(ledger_story.KEY, ledger_story.EQUITY_START, 1_000, ledger_story.ABOUT)

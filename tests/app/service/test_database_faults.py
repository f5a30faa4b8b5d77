"""A disk that fills up, or a database that stays locked, during a run: one sentence, and a restart continues."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from data.errors import Retryable
from database.connection import Database
from database.journal import SqliteJournal
from tests.app.service.conftest import REPLAY, plain_trades

RULE = ("--strategy", "rsi-oversold")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTAI_TRADING__PAPER__BATCH_BARS", "100")


def failing(home: Path, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints on stderr that ends with exit code 1."""
    from app.main import main

    capfd.readouterr()
    assert main(["--home", str(home), *words]) == 1
    return capfd.readouterr().err


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("Error: ")]


def continues(home: Path, other: Path, ask, failed: str) -> None:
    """The failed run said it in one sentence, kept the bars before, and its continuation is the uninterrupted run."""
    assert len(errors(failed)) == 1 and "Traceback" not in failed
    before = ask(home, "decisions", "--limit", "10000")["decisions"]
    assert 0 < len(before) < 2400
    assert ask(home, "audit", "verify")["ok"]
    rest = ask(home, "run", *REPLAY, *RULE)
    whole = ask(other, "run", *REPLAY, *RULE)
    assert rest["bars"] == whole["bars"] == 2400
    assert plain_trades(rest) == plain_trades(whole) and rest["trades"]
    assert rest["equity"] == whole["equity"]
    assert ask(home, "reconcile")["differences"] == []


def test_f34_a_full_disk_ends_the_run_in_one_sentence(
    market, stocked, tmp_path, ask, capfd, monkeypatch, small_batches
):
    other = Path(shutil.copytree(market, tmp_path / "other"))
    opened = Database._open_writer

    def small(self: Database) -> sqlite3.Connection:
        """The file may grow by 60 pages only, as on a disk that is nearly full."""
        connection = opened(self)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 60}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_open_writer", small)
        failed = failing(stocked, capfd, "run", *REPLAY, *RULE)
    assert "full" in failed
    continues(stocked, other, ask, failed)


def test_f35_a_database_that_stays_locked_ends_the_run_in_one_sentence(
    market, stocked, tmp_path, ask, capfd, monkeypatch, small_batches
):
    other = Path(shutil.copytree(market, tmp_path / "other"))
    commit, count = SqliteJournal.commit, 0

    def locked(self: SqliteJournal, batch) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise Retryable("The database is kept busy by another program: stop it and start again.")
        commit(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", locked)
        failed = failing(stocked, capfd, "run", *REPLAY, *RULE)
    assert "kept busy" in failed
    continues(stocked, other, ask, failed)


def test_a_commit_that_fails_once_loses_no_order(market, stocked, tmp_path, ask, capfd, monkeypatch, small_batches):
    other = Path(shutil.copytree(market, tmp_path / "other"))
    commit, count = SqliteJournal.commit, 0

    def refused(self: SqliteJournal, batch) -> None:
        nonlocal count
        count += bool(batch.orders)
        if batch.orders and count == 3:
            raise Retryable("The database is kept busy by another program: stop it and start again.")
        commit(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", refused)
        failed = failing(stocked, capfd, "run", *REPLAY, *RULE)
    assert count > 3, "what the failed commit held was not offered again"
    continues(stocked, other, ask, failed)
    assert orders(stocked) == orders(other)


def orders(home: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(home / "quantai.sqlite")) as connection:
        return connection.execute(
            "SELECT plan_id, purpose, kind, quantity, price, status, history FROM orders ORDER BY 1, 2"
        ).fetchall()

"""The home folder and its schema: made whole or not at all, refused in one sentence."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data.clock import ManualClock
from data.errors import Halt, Retryable, UserError
from database.home import Home
from database.migrations import runner
from database.migrations.runner import MIGRATIONS, Migration, migrate, schema_version
from tests.database import ledger_story as story

REPOSITORY = Path(__file__).resolve().parents[2]
LATEST = len(MIGRATIONS)
TABLES = {
    "market_data", "market_chunk", "feature_data", "trades", "model_metrics", "equity_curve", "settings", "logs",
    "orders", "fills", "plans", "decisions", "funding", "models", "audit", "accounts", "checkpoints", "forecasts",
    "model_switches", "series", "observations", "superseded",
}  # fmt: skip


def test_a_new_home_has_its_folders_and_every_table(home: Home) -> None:
    with home.open() as db:
        names = {row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names >= TABLES
    assert sorted(p.name for p in home.path.iterdir()) == ["audit", "logs", "migration.lock", "models",
                                                           "quantai.sqlite", "reports"]  # fmt: skip
    assert home.migration is not None and home.migration.applied == tuple(m.name for m in MIGRATIONS)


@pytest.mark.parametrize("table", ["orders", "fills", "trades", "equity_curve", "decisions", "plans", "checkpoints"])
def test_every_ledger_row_carries_its_account(home: Home, table: str) -> None:
    with home.open() as db:
        columns = {row[1]: row[3] for row in db.rows(f"PRAGMA table_info({table})")}
    assert "account" in columns


def test_the_home_is_named_by_option_then_variable_then_platform(tmp_path: Path) -> None:
    environment = {"QUANTAI_HOME": str(tmp_path / "variable")}
    assert Home.default(tmp_path / "option", environment).path == tmp_path / "option"
    assert Home.default(None, environment).path == tmp_path / "variable"


def test_without_a_name_the_home_is_the_platforms_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_a, **_k: str(tmp_path / "platform"))
    assert Home.default(None, {}).path == tmp_path / "platform"


def test_a_home_under_a_regular_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"home folder .* cannot be used") as error:
        Home(tmp_path / "file" / "home")
    assert "\n" not in str(error.value)


def test_a_home_on_a_full_disk_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="disk is full"):
        Home(tmp_path / "home")


def test_a_file_that_is_no_database_or_another_programs_is_refused(home: Home) -> None:
    home.database_path.write_bytes(b"certainly not a database" * 100)
    with pytest.raises(UserError, match="not a QuantAI database"):
        home.open()
    home.database_path.unlink()
    with sqlite3.connect(home.database_path) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(UserError, match="not a QuantAI database"):
        home.open()


def test_a_database_of_a_newer_program_is_refused(home: Home) -> None:
    home.open().close()
    with sqlite3.connect(home.database_path) as newer:
        newer.execute("PRAGMA user_version=999")
    newer.close()
    for opening in (home.open, home.open_reader):
        with pytest.raises(UserError, match=r"newer program \(schema 999"):
            opening()


def test_f36_damage_is_found_at_the_start_after_a_kill(home: Home) -> None:
    with home.open() as db:
        account = db.journal.open_account(story.KEY, 1.0, 1, story.ABOUT)
        for k in range(30):
            db.journal.commit(story.batch(k, account))
    data = bytearray(home.database_path.read_bytes())
    data[4096 * 4 :] = b"\x55" * (len(data) - 4096 * 4)
    home.database_path.write_bytes(data)
    home.database_path.with_name("quantai.sqlite-wal").write_bytes(b"left by a killed program")
    with home.lock(), pytest.raises(Halt, match="is damaged"):
        home.open()


# ---- migrations --------------------------------------------------------------------------------------------------


def add_column(db: object) -> None:
    db.execute("ALTER TABLE trades ADD COLUMN note TEXT")  # type: ignore[attr-defined]


def next_step(apply: Callable[..., None] = add_column) -> tuple[Migration, ...]:
    return (*MIGRATIONS, Migration(LATEST + 1, "notes on trades", apply))


@pytest.fixture
def filled(home: Home) -> Home:
    with home.open() as db:
        account = db.journal.open_account(story.KEY, story.EQUITY_START, 1, story.ABOUT)
        db.journal.commit(story.batch(0, account))
    return home


def test_migrations_are_numbered_without_gaps() -> None:
    assert [m.number for m in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_f39_a_migration_keeps_all_rows_and_the_old_file(filled: Home, clock: ManualClock) -> None:
    report = migrate(filled.database_path, clock, next_step())
    assert (report.before, report.after, report.applied) == (LATEST, LATEST + 1, ("notes on trades",))
    assert schema_version(filled.database_path) == LATEST + 1
    with sqlite3.connect(filled.database_path) as new:
        assert new.execute("SELECT count(*), count(note) FROM trades").fetchone() == (1, 0)
        assert new.execute("SELECT number, name FROM schema_history").fetchall() == [
            *((m.number, m.name) for m in MIGRATIONS),
            (LATEST + 1, "notes on trades"),
        ]
    new.close()
    assert report.backup is not None and schema_version(report.backup) == LATEST
    assert migrate(filled.database_path, clock, next_step()).applied == ()


def test_f39_a_migration_that_fails_leaves_the_old_file_in_place(filled: Home, clock: ManualClock) -> None:
    def half(db: object) -> None:
        add_column(db)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        migrate(filled.database_path, clock, next_step(half))
    assert not list(filled.path.glob("*.migrating*"))
    with filled.open() as db:
        assert db.trading.counts(1).trades == 1 and db.integrity() == "ok"


KILLED = """
import os, signal, sys
from pathlib import Path
from data.clock import ManualClock
from database.migrations import runner
def die(*_):
    print("reached", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
def step(db):
    db.execute("ALTER TABLE trades ADD COLUMN note TEXT")
    if sys.argv[2] == "inside": die()
if sys.argv[2] == "before the swap": runner._swap = die
next_step = runner.Migration(len(runner.MIGRATIONS) + 1, "notes", step)
runner.migrate(Path(sys.argv[1]), ManualClock(), (*runner.MIGRATIONS, next_step))
"""


@pytest.mark.parametrize("moment", ["inside", "before the swap"])
def test_f39_a_migration_that_is_killed_leaves_the_old_file_in_place(
    filled: Home, clock: ManualClock, moment: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(filled.database_path), moment],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (killed.returncode, killed.stdout.strip()) == (-signal.SIGKILL, "reached"), killed.stderr
    assert schema_version(filled.database_path) == LATEST
    with filled.open() as db:
        assert db.trading.counts(1).trades == 1
    assert migrate(filled.database_path, clock, next_step()).after == LATEST + 1


def test_f39_a_full_disk_in_a_migration_leaves_the_old_file(
    filled: Home, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(db: object) -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        db.execute(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]
        db.execute("CREATE TABLE large AS SELECT zeroblob(1000000) AS x")  # type: ignore[attr-defined]

    with pytest.raises(Halt, match="disk is full"):
        migrate(filled.database_path, clock, next_step(fill))
    assert schema_version(filled.database_path) == LATEST


def test_a_migration_is_refused_while_another_program_has_the_file_open(filled: Home, clock: ManualClock) -> None:
    with filled.open(), pytest.raises((UserError, Retryable), match=r"in use|busy"):
        migrate(filled.database_path, clock, next_step())
    assert schema_version(filled.database_path) == LATEST


def test_an_older_database_is_not_migrated_under_a_running_instance(
    filled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = next_step()
    monkeypatch.setattr("database.home.MIGRATIONS", newer)
    monkeypatch.setattr("database.home.migrate", lambda path, clock: runner.migrate(path, clock, newer))
    monkeypatch.setattr("database.home.check_not_newer", lambda path, version: None)
    other = Home(filled.path)
    with filled.lock(), pytest.raises(UserError, match="Another instance"):
        other.open()
    assert schema_version(filled.database_path) == LATEST
    other.open().close()
    assert schema_version(filled.database_path) == LATEST + 1

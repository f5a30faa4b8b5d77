"""Bringing a database file to this program's schema: on a copy, which takes the file's place when it is whole.

An interruption at any moment leaves the old file as it was; what is left of a copy is thrown away at the next start.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.clock import Clock
from data.errors import UserError
from database.faults import folder_faults, translated
from database.migrations.m0001_initial import create_tables
from database.migrations.m0002_observations import add_observations
from database.migrations.m0003_data_checks import add_data_checks
from database.migrations.m0004_instrument_rules import add_instrument_rules
from database.migrations.m0005_trials import add_trials
from database.migrations.m0006_tunings import add_tunings
from database.migrations.m0007_trial_returns import add_trial_returns
from database.migrations.m0008_said import add_said
from database.migrations.m0009_backtests import add_backtests

if TYPE_CHECKING:
    import sqlite_utils

APPLICATION_ID = 0x51414954  # "QAIT": how a QuantAI database is told from any other SQLite file


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, numbered from 1 without gaps. ``apply`` runs inside the runner's transaction."""

    number: int
    name: str
    apply: Callable[[sqlite_utils.Database], None]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "initial", create_tables),
    Migration(2, "observations", add_observations),
    Migration(3, "data checks", add_data_checks),
    Migration(4, "instrument rules", add_instrument_rules),
    Migration(5, "trials", add_trials),
    Migration(6, "tunings", add_tunings),
    Migration(7, "trial returns", add_trial_returns),
    Migration(8, "said", add_said),
    Migration(9, "backtests", add_backtests),
)


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What was done: versions before and after, the names of the steps, and where the old file is kept."""

    before: int
    after: int
    applied: tuple[str, ...]
    backup: Path | None


def schema_version(path: Path) -> int:
    """The schema number of a database file; 0 for a missing or empty one.

    Raises:
        UserError: the file is no QuantAI database.
        Halt: the file is damaged.
    """
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with translated(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    if owner != APPLICATION_ID:
        raise UserError(f"{path} is not a QuantAI database: move it away or name another home folder with --home.")
    return int(version)


def check_not_newer(path: Path, version: int, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuse a file that a newer program has written.

    Raises:
        UserError: its schema is above what this program knows.
    """
    latest = len(migrations)
    if version > latest:
        raise UserError(
            f"{path} comes from a newer program (schema {version}, this one knows {latest}): update the program."
        )


def migrate(path: Path, clock: Clock, migrations: Sequence[Migration] = MIGRATIONS) -> MigrationReport:
    """Bring ``path`` to the newest schema, making it if it is missing. The caller holds the home's migration lock.

    Raises:
        UserError: the file is no QuantAI database, is newer than this program, or is open in another program.
        Halt: the disk is full or the file is damaged; the old file is unchanged.
    """
    version = schema_version(path)
    check_not_newer(path, version, migrations)
    pending = [m for m in migrations if m.number > version]
    if not pending:
        return MigrationReport(version, version, (), None)
    copy = path.with_name(path.name + ".migrating")
    try:
        with folder_faults(path.parent):
            _discard(copy)
            with translated(copy):
                _build(copy, path if version else None, pending, clock)
            backup = _swap(copy, path, version)
    except BaseException:
        _discard(copy)
        raise
    return MigrationReport(version, pending[-1].number, tuple(m.name for m in pending), backup)


def _build(copy: Path, source: Path | None, pending: Sequence[Migration], clock: Clock) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as target:
        if source is not None:
            with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as old:
                old.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
        target.execute("PRAGMA synchronous=FULL")
        target.execute(f"PRAGMA application_id={APPLICATION_ID}")
        for migration in pending:
            _apply(target, migration, clock)
        target.execute(
            "PRAGMA journal_mode=WAL"
        )  # recorded in the file; its log is empty and goes with this connection


def _apply(connection: sqlite3.Connection, migration: Migration, clock: Clock) -> None:
    import sqlite_utils  # only where a schema changes: an ordinary start does without it

    connection.execute("BEGIN IMMEDIATE")
    try:
        migration.apply(sqlite_utils.Database(connection, execute_plugins=False))
        connection.execute(
            "INSERT INTO schema_history (number, name, applied_ms) VALUES (?, ?, ?)",
            (migration.number, migration.name, clock.now_ms()),
        )
        connection.execute(f"PRAGMA user_version={migration.number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _swap(copy: Path, path: Path, version: int) -> Path | None:
    """Put the copy in the file's place by one rename; the old file stays beside it as the backup."""
    backup = None
    if version:
        _fold_wal(path)
        backup = path.with_name(f"{path.name}.schema-{version}.backup")
        backup.unlink(missing_ok=True)
        try:
            os.link(path, backup)
        except OSError:  # a file system without hard links
            shutil.copy2(path, backup)
    _sync(copy)
    copy.replace(path)
    _sync(path.parent)
    return backup


def _fold_wal(path: Path) -> None:
    """Fold the write-ahead log into the file: a log left over would be replayed into the new one."""
    with translated(path), closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    if mode != "delete":
        raise UserError(f"The database {path} is in use by another program: close it, then start again to update it.")


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(copy: Path) -> None:
    for name in (copy.name, copy.name + "-journal", copy.name + "-wal", copy.name + "-shm"):
        copy.with_name(name).unlink(missing_ok=True)

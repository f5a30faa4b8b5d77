"""The home folder: where everything that a person's installation knows is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from data.clock import Clock, SystemClock
from data.errors import Halt
from database.faults import folder_faults
from database.lock import FileLock
from database.migrations.runner import MIGRATIONS, MigrationReport, check_not_newer, migrate, schema_version
from database.repositories import Repositories
from database.settings import StorageSettings

FOLDERS = ("models", "logs", "audit", "reports")
VARIABLE = "QUANTAI_HOME"


class Home:
    """``quantai.sqlite models/ logs/ audit/ reports/ settings.toml`` under one folder, made if it is missing.

    Raises:
        UserError: the folder cannot be made or written to.
    """

    def __init__(self, path: Path, clock: Clock | None = None, settings: StorageSettings | None = None) -> None:
        self.path = path.expanduser().absolute()
        self.clock: Clock = clock or SystemClock()
        self.settings = settings or StorageSettings()
        self.migration: MigrationReport | None = None
        self._lock: FileLock | None = None
        with folder_faults(self.path):
            for name in FOLDERS:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            _probe(self.path)

    @classmethod
    def default(
        cls, home: str | Path | None = None, environment: Mapping[str, str] | None = None, clock: Clock | None = None
    ) -> Home:
        """The home named by ``--home``, else by ``QUANTAI_HOME``, else the platform's user-data folder."""
        named = home or (os.environ if environment is None else environment).get(VARIABLE)
        if named:
            return cls(Path(named), clock)
        import platformdirs  # only where neither names the folder

        return cls(Path(platformdirs.user_data_dir("quantai-trad", appauthor=False)), clock)

    @property
    def database_path(self) -> Path:
        """The database file."""
        return self.path / "quantai.sqlite"

    @property
    def settings_path(self) -> Path:
        """The person's settings file (it need not exist)."""
        return self.path / "settings.toml"

    @property
    def models(self) -> Path:
        """Folder of model files."""
        return self.path / "models"

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self.path / "logs"

    @property
    def audit(self) -> Path:
        """Folder of the audit head and exports."""
        return self.path / "audit"

    @property
    def reports(self) -> Path:
        """Folder of reports."""
        return self.path / "reports"

    @property
    def head_path(self) -> Path:
        """The file that holds the newest audit entry's number and hash."""
        return self.audit / "head"

    def lock(self) -> FileLock:
        """Take the home for a running service; hold the result until it has stopped.

        Raises:
            UserError: another instance holds it.
        """
        self._lock = FileLock(self.path / "lock")
        return self._lock

    def open(self) -> Repositories:
        """The database for reading and writing, brought to this program's schema first.

        Raises:
            UserError: the file is no QuantAI database, is newer than this program, or cannot be opened.
            Halt: the disk is full or the file is damaged.
        """
        self._prepare()
        unclean = self._ended_unclean()
        db = Repositories(self.database_path, self.head_path, self.clock, self.settings)
        if unclean and (verdict := db.integrity()) != "ok":
            db.close()
            raise Halt(
                f"The database {self.database_path} is damaged ({verdict}): restore the newest backup beside it, "
                "then import or download what is missing."
            )
        return db

    def open_reader(self) -> Repositories:
        """The database for reading only: what a second instance gets. A missing database is made first.

        Raises:
            UserError: as ``open``; or the schema is older and a running instance holds the home.
        """
        self._prepare()
        return Repositories(self.database_path, self.head_path, self.clock, self.settings, read_only=True)

    def _ended_unclean(self) -> bool:
        """Whether the last program on this home was killed. Known only to who holds the lock: no one else writes."""
        log = self.database_path.with_name(self.database_path.name + "-wal")
        held = self._lock is not None and self._lock.held
        return held and log.exists() and log.stat().st_size > 0

    def _prepare(self) -> None:
        path = self.database_path
        version = schema_version(path)
        check_not_newer(path, version)
        if version == len(MIGRATIONS):
            return
        with FileLock(self.path / "migration.lock", wait=True):
            version = schema_version(path)
            if version == len(MIGRATIONS):
                return
            if version == 0 or (self._lock is not None and self._lock.held):
                self.migration = migrate(path, self.clock)
                return
            with FileLock(self.path / "lock"):  # no running instance may have the old file open
                self.migration = migrate(path, self.clock)


def _probe(path: Path) -> None:
    """Write and remove a small file: being allowed to make folders does not mean there is room for a byte."""
    probe = path / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"QuantAI")
    finally:
        probe.unlink(missing_ok=True)

"""An open home database with everything that is kept in it, each in its own repository."""

from __future__ import annotations

from pathlib import Path

from data.clock import Clock
from database.accounts import Accounts
from database.audit import Audit
from database.backtests import Backtests
from database.candles import Candles
from database.connection import Database
from database.coverage import Coverage
from database.data_checks import DataChecks
from database.export import Export
from database.features import Features
from database.forecasts import Forecasts
from database.instruments import Instruments
from database.journal import Hook, SqliteJournal
from database.logs import Logs
from database.models import Models
from database.preferences import Preferences
from database.settings import StorageSettings
from database.trading import Trading
from database.trials import Trials
from database.tunings import Tunings


class Repositories(Database):
    """What ``Home.open`` gives. ``settings`` are the persisted changes; ``storage`` the database's own settings."""

    def __init__(
        self, path: Path, head_path: Path, clock: Clock, storage: StorageSettings | None = None, *,
        read_only: bool = False, hook: Hook | None = None,
    ) -> None:  # fmt: skip
        super().__init__(path, storage, read_only=read_only)
        try:
            self.audit = Audit(self, head_path, clock)
        except BaseException:
            self.close()
            raise
        self.accounts = Accounts(self)
        self.backtests = Backtests(self, clock)
        self.candles = Candles(self)
        self.coverage = Coverage(self)
        self.checks = DataChecks(self)
        self.features = Features(self)
        self.instruments = Instruments(self)
        self.journal = SqliteJournal(self, hook, audit=self.audit, clock=clock)
        self.trading = Trading(self)
        self.trials = Trials(self, clock)
        self.tunings = Tunings(self)
        self.models = Models(self, self.audit, clock)
        self.forecasts = Forecasts(self)
        self.settings = Preferences(self, self.audit, clock)
        self.logs = Logs(self)
        self.export = Export(self)

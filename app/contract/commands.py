"""What a person may ask the service to do. Each is answered by an ``Outcome``; none raises for a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from app.contract.forms import BacktestForm


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether it was done, and one sentence for the person who asked."""

    ok: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Start:
    """STOPPED → WARMING_UP, or HALTED → RUNNING by a person (a new drawdown base goes to the audit)."""


@dataclass(frozen=True, slots=True)
class Pause:
    """No new entries; exits and protection go on."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Entries are allowed again."""


@dataclass(frozen=True, slots=True)
class LoosenLimits:
    """Limits that tightened by themselves are as set again; noted in the audit with the reason."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run cleanly; open positions stay open with their stops."""


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """Halt entries, cancel entry orders, close every position at market. Acts at once."""

    reason: str = "emergency stop from the window"


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Close one position at market."""

    symbol: str


@dataclass(frozen=True, slots=True)
class SetSetting:
    """Change one setting; ``value`` is text as a person types it, refused with its range where it does not fit."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class ResetSetting:
    """Back to the default."""

    key: str


@dataclass(frozen=True, slots=True)
class RunWalkForward:
    """Start a walk-forward job; empty symbol and timeframe: what the run trades."""

    symbol: str = ""
    timeframe: str = ""


@dataclass(frozen=True, slots=True)
class TuneModels:
    """Start a search for the models' hyper-parameters; empty symbol and timeframe: what the run trades.

    A cancelled search goes on where it stopped when it is started again.
    """

    symbol: str = ""
    timeframe: str = ""


@dataclass(frozen=True, slots=True)
class RunBacktest:
    """Start a back-test job by the compiled engine; its result is kept. ``parameters``: numbers of the strategy."""

    form: BacktestForm
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RunSweep:
    """Start a sweep job; ``grid``: values as typed, separated by commas, by key. Cancelled, it keeps what it has."""

    form: BacktestForm
    grid: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RemoveBacktest:
    """Put the result of a back-test or a sweep away."""

    number: int


@dataclass(frozen=True, slots=True)
class ExportBacktest:
    """Write the trades of a back-test, or the rows of a sweep, to a ``.csv`` file."""

    number: int
    path: str


@dataclass(frozen=True, slots=True)
class PromoteModel:
    """Make this model the active one (paper)."""

    model_id: str


@dataclass(frozen=True, slots=True)
class RollbackModel:
    """Make the model active that was active before."""


@dataclass(frozen=True, slots=True)
class CancelJob:
    """End a job; what it has stored stays."""

    job_id: str


@dataclass(frozen=True, slots=True)
class DismissJob:
    """Take a finished or failed job out of the tray."""

    job_id: str


@dataclass(frozen=True, slots=True)
class VerifyAudit:
    """Check the hash chain; the result comes with the next ``AuditView``."""


@dataclass(frozen=True, slots=True)
class ExportTable:
    """Write a table to a ``.csv`` or ``.parquet`` file."""

    table: str  # trades | orders | fills | decisions | equity | logs | audit
    path: str


@dataclass(frozen=True, slots=True)
class ImportFiles:
    """Start an import job of candle or funding files."""

    paths: tuple[str, ...]
    symbol: str
    timeframe: str = ""
    kind: str = "ohlcv"  # ohlcv mark index funding premium metrics trades book liquidations


@dataclass(frozen=True, slots=True)
class DownloadSeries:
    """Start a back-fill job; ``since`` and ``until`` are dates as people write them, ``until`` empty: now."""

    symbol: str
    timeframe: str
    since: str
    until: str = ""
    kind: str = "ohlcv"  # ohlcv | mark | index | funding | metrics
    exchange: str = ""  # empty: that of the settings


@dataclass(frozen=True, slots=True)
class CheckSeries:
    """Start a data check of one series, or of all (empty key); ``repair`` fetches anew what is missing or broken."""

    key: str = ""
    repair: bool = False


@dataclass(frozen=True, slots=True)
class ExportSeries:
    """Write one series to a ``.csv`` or ``.parquet`` file."""

    key: str
    path: str


@dataclass(frozen=True, slots=True)
class UseExchangeData:
    """Leave the synthetic market: the exchange becomes the source from the next start on."""


Command = (
    Start | Pause | Resume | LoosenLimits | Stop | EmergencyStop | ClosePosition | SetSetting | ResetSetting
    | RunWalkForward | TuneModels | RunBacktest | RunSweep | RemoveBacktest | ExportBacktest
    | PromoteModel | RollbackModel | CancelJob | DismissJob | VerifyAudit | ExportTable | ImportFiles | UseExchangeData
    | DownloadSeries | CheckSeries | ExportSeries
)  # fmt: skip

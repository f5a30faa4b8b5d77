"""``tune``: a search for the members' hyper-parameters on stored bars, and what earlier searches found.

A search is kept in ``tuning.sqlite`` of the home from its first configuration on; whoever asks for the same one again
(series, bars, members, seed) goes on with it. Every configuration is a trial of the series, failed ones too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import iso
from data.errors import UserError

if TYPE_CHECKING:
    from ai.ensemble import Cancelled
    from ai.training import TrainingData
    from ai.tuned import TunedMember
    from ai.tuning import Tuning
    from app.jobs import Report
    from app.wiring import Workplace
    from data.market import Frame, FundingFrame, SeriesKey
    from database.repositories import Repositories

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

TUNE = "app.tuning:tuning_job"
STUDIES, LOCK = "tuning.sqlite", "tuning.lock"  # in the home
PARALLEL_FROM_BARS = 20_000  # below this the workers' start costs more than they save


def tuned_for(
    database: Repositories, key: SeriesKey, profile: str, before_ms: int | None = None
) -> Mapping[str, Mapping[str, float]]:
    """Parameters by member for ``EnsembleOptions.of``: those of the newest search; empty where none was made.

    Args:
        database: an open home, for reading is enough.
        key: the series that is trained.
        profile: its exit profile.
        before_ms: a moment (ms UTC) from which on the trained model is tested or trades: only searches whose last bar
            had closed by then count, so that no parameter knows the answer. ``None``: all, for a model of now.
    """
    chosen: dict[str, TunedMember] = {}
    for found in database.tunings.of(key, profile):
        if before_ms is None or found.until_ms <= before_ms:
            chosen.setdefault(found.member, found)
    return {name: dict(found.parameters) for name, found in chosen.items()}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: the setting. Times are ms UTC, half-open.

    Without an end the newest 15 % of the bars are left out: a model that is trained on these bars is scored there, and
    may not use parameters that know the answer.
    """

    symbol: str
    timeframe: str
    members: tuple[str, ...] | None = None
    trials: int | None = None
    seed: int | None = None
    start_ms: int | None = None  # None: the newest ``history_limit`` bars
    end_ms: int | None = None
    time_limit_s: float | None = None
    exchange: str | None = None
    source: str | None = None
    exit_profile: str | None = None
    workers: int | None = None
    cluster: str | None = None


class TrialNotes:
    """Writes every configuration into the series' log of trials."""

    def __init__(self, database: Repositories, key: SeriesKey) -> None:
        self._log = database.trials
        self._key = key

    def begin(self, member: str, parameters: Mapping[str, float]) -> None:
        """It is about to be tried."""
        self._digest(member, parameters)

    def end(self, member: str, parameters: Mapping[str, float], loss: float | None, failure: str | None) -> None:
        """It has a loss, or a reason why it has none."""
        digest = self._digest(member, parameters)
        if loss is None:
            self._log.fail(self._key, digest, failure or "it has no result")
        else:
            self._log.finish(self._key, digest, loss)

    def _digest(self, member: str, parameters: Mapping[str, float]) -> str:
        from app.trials import TUNING

        return self._log.begin(self._key, TUNING, {"member": member, "parameters": dict(parameters)})


def perform(
    place: Workplace, request: Request, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Document:
    """Search, keep what was found, and say it. Ctrl+C ends it with what is known; that is not used, but gone on with.

    Raises:
        UserError: no such series, wrong options, too little data, or another search runs on the home.
        TrainingCancelled: ``cancelled`` said so; the same search goes on later.
        KeyboardInterrupt: before the first configuration was known.
    """
    from ai.tuning import TuningSpec, opened
    from app.walk_forward import processes
    from app.wiring import choose_series
    from data.workers import Workers

    ai = place.settings.values.ai
    began = place.clock.monotonic()
    key = choose_series(place.database.candles, request.symbol, request.timeframe, request.exchange, request.source).key
    spec = TuningSpec(
        request.members or tuple(ai.members), request.trials or ai.tuning_trials,
        ai.seed if request.seed is None else request.seed,
    )  # fmt: skip
    if progress is not None:
        progress(0, spec.trials * len(spec.members), "computing features and labels")
    data, frame, rows = _window(place, request, key)
    workers = Workers(
        processes(request.workers, ai, len(frame) >= PARALLEL_FROM_BARS), request.cluster or ai.cluster or None
    )

    def overdue() -> bool:
        return request.time_limit_s is not None and place.clock.monotonic() - began >= request.time_limit_s

    interrupted = False
    with _alone(place.home.path), _studies(place.home.path) as storage, opened(
        data.x, data.labels, rows, data.context, spec, storage, f"{key} {data.context.profile}"
    ) as search:  # fmt: skip
        try:
            search.run(workers, progress, cancelled, overdue, TrialNotes(place.database, key))
        except KeyboardInterrupt:
            interrupted = True
        found = search.result()
    if interrupted and not found.tried:
        raise KeyboardInterrupt
    best = _best(found, data, frame, key, spec.seed, place.clock.now_ms())
    if not interrupted:
        place.database.tunings.save(key, best)
    return {
        **_document(best, found), "series": str(key), "profile": data.context.profile, "seed": spec.seed,
        "folds": spec.folds, "from": iso(int(frame.open_time[0])), "to": iso(int(frame.open_time[-1]) + key.step_ms),
        "bars": len(frame), "planned": spec.trials * len(spec.members), "stored": not interrupted and bool(best),
        "elapsed_s": place.clock.monotonic() - began,
    }  # fmt: skip


def _window(place: Workplace, request: Request, key: SeriesKey) -> tuple[TrainingData, Frame, Any]:
    """Features and labels of the bars that are searched on, and the rows after the warm-up."""
    import numpy as np

    from ai.training import training_data
    from app.wiring import extras_for

    ai = place.settings.values.ai
    frame, funding = _bars(place, request, key)
    extras = extras_for(place.database, frame, ai)
    profile = request.exit_profile or ai.profile_for(request.timeframe)
    data = training_data(
        frame, funding if len(funding) else None, profile, None, ai.calibration_share, extras.beside, extras.finer
    )
    return data, frame, np.arange(min(data.warmup, len(frame)), len(frame), dtype=np.int64)


def _bars(place: Workplace, request: Request, key: SeriesKey) -> tuple[Frame, FundingFrame]:
    from app.retraining import NEWEST_FOLD_SHARE
    from app.wiring import market_for

    _, frames, fundings = market_for(
        place.database.candles, [request.symbol], request.timeframe, (request.start_ms, request.end_ms), key.source, 0,
        key.exchange,
    )  # fmt: skip
    frame = frames[0]
    first = 0 if request.start_ms is not None else max(0, len(frame) - place.settings.values.ai.history_limit)
    kept = frame.slice(first, len(frame))
    if request.end_ms is None:
        kept = kept.slice(0, len(kept) - int(len(kept) * NEWEST_FOLD_SHARE))
    return kept, fundings[0]


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One search at a time on a home: two that go on with the same study would try the same configurations.

    Raises:
        UserError: another one runs.
    """
    from database.lock import FileLock

    try:
        lock = FileLock(home / LOCK)
    except UserError:
        raise UserError("Another search for parameters runs on this home: wait until it has ended.") from None
    with lock:
        yield


@contextlib.contextmanager
def _studies(home: Path) -> Iterator[str]:
    """Where studies are kept, as Optuna wants it.

    Raises:
        UserError: the file is damaged or cannot be written.
    """
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    path = home / STUDIES
    try:
        yield f"sqlite:///{path}"
    except (OptunaError, SQLAlchemyError) as error:
        words = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(
            f"The searches kept in {path} cannot be read or written ({words}): free some space, or delete the file; "
            "what they found is stored elsewhere."
        ) from error


def _best(found: Tuning, data: TrainingData, frame: Frame, key: SeriesKey, seed: int, now_ms: int) -> list[TunedMember]:
    """The best configuration of each member of which one is known."""
    from ai.tuned import TunedMember

    made = []
    for member in dict.fromkeys(t.member for t in found.tried):
        best = found.best(member)
        if best is None or best.loss is None:
            continue
        tried = found.of(member)
        made.append(
            TunedMember(
                member, data.context.profile, dict(best.parameters), best.loss, found.plain_loss(member),
                found.base_loss, len(tried), sum(t.loss is None for t in tried), seed, int(frame.open_time[0]),
                int(frame.open_time[-1]) + key.step_ms, now_ms,
            )
        )  # fmt: skip
    return made


def _document(best: list[TunedMember], found: Tuning) -> Document:
    members = {
        one.member: {
            "parameters": dict(one.parameters), "loss": one.loss, "plain_loss": one.plain_loss,
            "base_loss": one.base_loss, "tried": one.tried, "failed": one.failed,
        }
        for one in best
    }  # fmt: skip
    return {
        "members": members, "tried": len(found.tried), "failed": sum(t.loss is None for t in found.tried),
        "resumed": found.resumed, "complete": found.complete, "base_loss": found.base_loss,
    }  # fmt: skip


def tuning_job(
    report: Report, home: str, symbol: str, timeframe: str, exchange: str, source: str,
    members: tuple[str, ...] | None = None, trials: int | None = None, seed: int | None = None,
    time_limit_s: float | None = None,
) -> Document:  # fmt: skip
    """Search in a process of its own; gives the document of ``tune``.

    A job that is cancelled loses nothing: the same search goes on where it stopped.
    """
    from app.wiring import Workplace

    request = Request(
        symbol=symbol, timeframe=timeframe, members=members, trials=trials, seed=seed, time_limit_s=time_limit_s,
        exchange=exchange, source=source, workers=1,
    )  # fmt: skip
    with Workplace.opened(Path(home)) as place:
        return perform(place, request, report)

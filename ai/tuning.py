"""A search for the members' hyper-parameters on inner purged folds of one training window (Optuna's TPE).

Nothing after the window is looked at, so what is found may be used by models that are tested after it. The loss of the
best configuration is the least of many and therefore too good: only a test after the window says what it is worth.

Configurations are tried in batches of a fixed size. The sampler of each is seeded by its number, so a search does not
depend on how many workers there are, and one that was interrupted goes on with the very configurations it would have
tried (only where it was cut off in the moments in which a batch is drawn, the half-drawn one counts as failed).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ai.ensemble import Cancelled, Progress, TrainingCancelled, TrainingContext
from ai.labels import Labels
from ai.models.members import new_member, own_parameters
from ai.models.search_space import SEARCH_SPACE, Range, checked_parameters
from ai.tuning_folds import Evaluation, InnerFold, evaluate, inner_folds
from data.errors import UserError
from data.market import Float64Array, Int64Array
from data.workers import Workers

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

CUT_OFF = "it was cut off while it was drawn"
BATCH = 4  # configurations of a member that are drawn before the first of them is known


class Notes(Protocol):
    """Who is told of every configuration, before it is computed and after."""

    def begin(self, member: str, parameters: Mapping[str, float]) -> None:
        """It is about to be tried."""
        ...

    def end(self, member: str, parameters: Mapping[str, float], loss: float | None, failure: str | None) -> None:
        """It has a loss, or a reason why it has none."""
        ...


@dataclass(frozen=True, slots=True)
class TuningSpec:
    """What is searched for."""

    members: tuple[str, ...]
    trials: int = 40  # configurations of each member, those of earlier runs of the same search included
    seed: int = 7
    folds: int = 3  # inner folds


@dataclass(frozen=True, slots=True)
class TriedConfiguration:
    """One configuration that was tried. ``loss``: mean log loss over the inner folds, nats."""

    member: str
    parameters: Mapping[str, float]
    loss: float | None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search came to."""

    tried: tuple[TriedConfiguration, ...]  # by member, in the order in which they were tried
    base_loss: float  # of the training folds' class shares
    resumed: int  # of the tried ones, from an earlier run
    complete: bool  # every configuration that was asked for was tried

    def of(self, member: str) -> tuple[TriedConfiguration, ...]:
        """The configurations of a member."""
        return tuple(t for t in self.tried if t.member == member)

    def best(self, member: str) -> TriedConfiguration | None:
        """The configuration of a member with the least loss, the first of equals."""
        known = [t for t in self.of(member) if t.loss is not None]
        return min(known, key=lambda t: t.loss or 0.0, default=None)

    def plain_loss(self, member: str) -> float | None:
        """The loss of the member as it is without a search: the first one tried."""
        return next((t.loss for t in self.of(member)), None)

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """The best parameters by member, for ``EnsembleOptions.parameters``."""
        found = {member: self.best(member) for member in dict.fromkeys(t.member for t in self.tried)}
        return {member: dict(best.parameters) for member, best in found.items() if best is not None}


def tune_members(
    x: Float64Array,
    labels: Labels,
    rows: Int64Array,
    context: TrainingContext,
    members: Sequence[str],
    seed: int = 7,
    trials: int = 40,
    workers: Workers = Workers(),  # noqa: B008 - frozen
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Tuning:
    """Search on the training window ``rows`` of ``x[F, T]`` and keep nothing: ``.parameters`` are the best.

    Raises:
        UserError: an unknown member, too few usable rows, or a member that could never be fitted.
        TrainingCancelled: ``cancelled`` said so.
    """
    with opened(x, labels, rows, context, TuningSpec(tuple(members), trials, seed)) as search:
        search.run(workers, progress, cancelled)
        return search.result()


class Search:
    """A search that can be run, stopped and asked what it has found so far. Made by :func:`opened`."""

    def __init__(self, spec: TuningSpec, folds: tuple[InnerFold, ...], studies: Mapping[str, Study]) -> None:
        self.spec = spec
        self.resumed = sum(len(_ended(study)) for study in studies.values())
        self._folds = folds
        self._studies = studies
        self._tell: Progress = _silent

    def run(
        self, workers: Workers, progress: Progress | None = None, cancelled: Cancelled | None = None,
        overdue: Cancelled | None = None, notes: Notes | None = None,
    ) -> None:  # fmt: skip
        """Try what is left to try; ``overdue`` ends it early with what is known, ``cancelled`` with an error.

        Raises:
            TrainingCancelled: ``cancelled`` said so; what was tried is kept.
        """
        self._tell = progress or _silent
        self._say("going on" if self.resumed else "trying the members' own parameters")

        def stop() -> bool:
            return (cancelled is not None and cancelled()) or (overdue is not None and overdue())

        while batches := {name: open_ for name, study in self._studies.items() if (open_ := self._open(name, study))}:
            if stop() or not self._batch(batches, workers, stop, notes):
                break
        if cancelled is not None and cancelled():
            raise TrainingCancelled("The search was cancelled; the same search goes on where it stopped.")

    def _open(self, member: str, study: Study) -> list[FrozenTrial]:
        """Configurations that are drawn and not yet known: left over, or a new batch."""
        from optuna.trial import TrialState

        ranges = {one.name: _distribution(one) for one in SEARCH_SPACE[member]}
        at = len(study.get_trials(deepcopy=False))
        left = [t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if _whole(study, t, ranges)]
        if left and at % BATCH == 0:
            return left
        for number in range(at, min(self.spec.trials, (at // BATCH + 1) * BATCH)):
            if number == 0:
                _add_own(study, member, ranges)
                continue
            study.sampler = _sampler(f"{self.spec.seed} {member} {number}")
            study.ask(ranges)
        return [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING]

    def _batch(
        self, batches: Mapping[str, list[FrozenTrial]], workers: Workers, stop: Cancelled, notes: Notes | None
    ) -> bool:
        """Whether all of it was tried."""
        jobs = []
        for member, trials in batches.items():
            configurations = tuple(checked_parameters(member, t.params) for t in trials)
            if notes is not None:
                for parameters in configurations:
                    notes.begin(member, parameters)
            jobs += [Evaluation(fold, member, self.spec.seed, configurations) for fold in self._folds]
        found = iter(workers.each(evaluate, jobs, stop))
        for member, trials in batches.items():
            losses = [losses for _, losses in zip(self._folds, found, strict=False)]
            if len(losses) < len(self._folds):
                return False
            for trial, of_folds in zip(trials, zip(*losses, strict=True), strict=True):
                self._note(member, trial, of_folds, notes)
            self._say(f"{member}: {self._words(member)}")
        return True

    def _note(
        self, member: str, trial: FrozenTrial, of_folds: Sequence[float | str], notes: Notes | None
    ) -> None:  # fmt: skip
        from optuna.trial import TrialState

        study = self._studies[member]
        failure = next((found for found in of_folds if isinstance(found, str)), None)
        loss = None if failure else float(np.mean([found for found in of_folds if not isinstance(found, str)]))
        if notes is not None:
            notes.end(member, checked_parameters(member, trial.params), loss, failure)
        if failure is not None:
            study.set_user_attr(f"failure {trial.number}", failure[:500])
            study.tell(trial.number, state=TrialState.FAIL)
        else:
            study.tell(trial.number, loss)

    def _say(self, words: str) -> None:
        done = sum(len(_ended(study)) for study in self._studies.values())
        self._tell(done, max(done, self.spec.trials * len(self._studies)), words)

    def _words(self, member: str) -> str:
        best = self.result().best(member)
        return "no configuration could be fitted yet" if best is None else f"best log loss {best.loss:.4f}"

    def result(self) -> Tuning:
        """What is known so far.

        Raises:
            UserError: no configuration of a member that was tried could be fitted.
        """
        tried = tuple(
            TriedConfiguration(
                member, checked_parameters(member, t.params) if _drawn(member, t) else {},
                t.value if t.state.name == "COMPLETE" else None,
                None if t.state.name == "COMPLETE" else study.user_attrs.get(f"failure {t.number}", CUT_OFF),
            )
            for member, study in self._studies.items()
            for t in _ended(study)
        )  # fmt: skip
        complete = all(len(_ended(study)) >= self.spec.trials for study in self._studies.values())
        base = float(np.mean([fold.base_loss for fold in self._folds]))
        found = Tuning(tried, base, self.resumed, complete)
        for member in self._studies:
            own = found.of(member)
            if len(own) >= min(BATCH, self.spec.trials) and found.best(member) is None:
                raise UserError(f"No configuration of {member} could be fitted: {own[0].failure}")
        return found


@contextmanager
def opened(
    x: Float64Array, labels: Labels, rows: Int64Array, context: TrainingContext, spec: TuningSpec,
    storage: str | None = None, name: str = "",
) -> Iterator[Search]:  # fmt: skip
    """A search on the training window ``rows`` (ascending positions in ``x[F, T]``).

    Args:
        storage: where the studies are kept, as ``sqlite:///…``; ``None``: nowhere.
        name: whose search it is; members, seed and a digest of the window's values are added.

    Raises:
        UserError: an unknown member, or too few usable rows.
    """
    import optuna

    if not spec.members or len(set(spec.members)) != len(spec.members):
        raise UserError("Name at least one model to tune, and each only once.")
    for member in spec.members:
        new_member(member, spec.seed)  # known, and its library is here
    folds = inner_folds(x, labels, rows, context, spec.folds)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    store = optuna.storages.RDBStorage(storage) if storage else optuna.storages.InMemoryStorage()
    digest = _digest(folds)
    try:
        studies = {
            member: optuna.create_study(
                storage=store, study_name=f"{name} {member} {spec.seed} {digest}", load_if_exists=True
            )
            for member in spec.members
        }
        yield Search(spec, folds, studies)
    finally:
        _close(store)


def _close(store: BaseStorage) -> None:
    from optuna.storages import RDBStorage

    if isinstance(store, RDBStorage):
        store.remove_session()
        store.engine.dispose()


def _digest(folds: Sequence[InnerFold]) -> str:
    """Who the window is: its values, labels and folds."""
    state = hashlib.blake2b(digest_size=8)
    for fold in folds:
        for part in (fold.train_x, fold.train_y, fold.weight, fold.test_x, fold.test_y):
            state.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
    return state.hexdigest()


def _silent(_done: int, _total: int, _words: str) -> None:
    return


def _distribution(one: Range) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.logarithmic)
    return FloatDistribution(one.low, one.high, log=one.logarithmic)


def _sampler(text: str) -> Any:
    import optuna

    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def _add_own(study: Study, member: str, ranges: Mapping[str, BaseDistribution]) -> None:
    """The member's own parameters are tried first: a search never ends below them."""
    import optuna

    running = optuna.trial.TrialState.RUNNING
    study.add_trial(optuna.trial.create_trial(state=running, params=own_parameters(member), distributions=dict(ranges)))


def _whole(study: Study, trial: FrozenTrial, ranges: Mapping[str, BaseDistribution]) -> bool:
    """Whether all of a trial was drawn; one that was not has failed."""
    from optuna.trial import TrialState

    if set(trial.params) == set(ranges):
        return True
    study.tell(trial.number, state=TrialState.FAIL)
    return False


def _drawn(member: str, trial: FrozenTrial) -> bool:
    return len(trial.params) == len(SEARCH_SPACE[member])


def _ended(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))

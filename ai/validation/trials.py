"""Every configuration that was really tried on a series, failed ones too: what a search costs in evidence.

A trial is written down before it is computed, so that one that crashes, is cancelled or turns out badly counts as
well. The same configuration run again is the same trial (its digest), whatever came of it the first time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ai.validation.overfitting import expected_best_sharpe, probabilistic_sharpe, sharpe_moments
from data.clock import Clock
from data.errors import UserError
from data.market import Float64Array, SeriesKey


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration of one series. Without an end it is running, or was cut off; it counts all the same."""

    key: SeriesKey
    kind: str  # which search: walk-forward, sweep, tuning …
    digest: str
    configuration: Mapping[str, Any]
    begun_ms: int
    ended_ms: int | None = None
    score: float | None = None  # what the search compares, in its own unit
    sharpe: float | None = None  # per observation, of its returns after costs
    failure: str | None = None  # why it has no score
    daily: Mapping[int, float] = field(default_factory=dict)  # UTC day number -> return after costs


class TrialLog(Protocol):
    """Keeps trials. Implemented by ``database.trials.Trials`` and, for tests and loose runs, :class:`MemoryTrials`."""

    def begin(self, key: SeriesKey, kind: str, configuration: Mapping[str, Any]) -> str:
        """Note a trial before it is computed; gives its digest. A known one stays as it is.

        Raises:
            UserError: the configuration is nothing that JSON can say.
        """
        ...

    def finish(
        self, key: SeriesKey, digest: str, score: float | None, sharpe: float | None = None,
        daily: Mapping[int, float] | None = None,
    ) -> None:  # fmt: skip
        """It has a result; a number that is not finite is kept as none.

        Args:
            key: the series.
            digest: of :meth:`begin`.
            score: what the search compares.
            sharpe: per observation.
            daily: returns after costs by UTC day number, of days that follow one another.

        Raises:
            UserError: the trial was never begun, or days are missing between others.
        """
        ...

    def fail(self, key: SeriesKey, digest: str, why: str) -> None:
        """It has no result. An earlier result of the same configuration stays.

        Raises:
            UserError: the trial was never begun.
        """
        ...

    def of(self, key: SeriesKey, kind: str | None = None) -> tuple[Trial, ...]:
        """The trials of a series in the order in which they were begun; of one kind of search, or of all."""
        ...


def configuration_text(configuration: Mapping[str, Any]) -> str:
    """One JSON text for one configuration, whatever the order of its keys.

    Raises:
        UserError: a value that JSON cannot say, NaN and infinity included.
    """
    try:
        return json.dumps(configuration, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"A trial's configuration must be plain numbers, texts and lists: {error}.") from error


def trial_digest(kind: str, configuration: Mapping[str, Any]) -> str:
    """Who a configuration is: 16 hexadecimal digits.

    Raises:
        UserError: as :func:`configuration_text`.
    """
    text = json.dumps([kind, configuration_text(configuration)], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def known_number(value: float | None) -> float | None:
    """``value`` as it is kept: none where it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def whole_days(daily: Mapping[int, float]) -> tuple[int, Float64Array]:
    """The first day and the returns from it on, ``[days]``.

    Raises:
        UserError: a day between the first and the last is missing.
    """
    days = sorted(daily)
    if days and days[-1] - days[0] + 1 != len(days):
        raise UserError("Daily returns of a trial must follow one another: a day between them is missing.")
    return (days[0] if days else 0), np.array([daily[day] for day in days], dtype=np.float64)


def by_day(first: int, values: Float64Array) -> dict[int, float]:
    """Returns ``[days]`` from the ``first`` day on, by day number."""
    return {first + k: float(value) for k, value in enumerate(values)}


def unknown_trial(key: SeriesKey, digest: str) -> UserError:
    """What a result without a beginning is answered with."""
    return UserError(f"There is no trial {digest} of {key}: begin it before it is computed.")


class MemoryTrials:
    """A :class:`TrialLog` that lives as long as the program."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trials: dict[tuple[SeriesKey, str], Trial] = {}

    def begin(self, key: SeriesKey, kind: str, configuration: Mapping[str, Any]) -> str:
        """As :meth:`TrialLog.begin`."""
        digest = trial_digest(kind, configuration)
        kept = json.loads(configuration_text(configuration))
        self._trials.setdefault((key, digest), Trial(key, kind, digest, kept, self._clock.now_ms()))
        return digest

    def finish(
        self, key: SeriesKey, digest: str, score: float | None, sharpe: float | None = None,
        daily: Mapping[int, float] | None = None,
    ) -> None:  # fmt: skip
        """As :meth:`TrialLog.finish`."""
        first, values = whole_days(daily or {})
        self._trials[key, digest] = replace(
            self._begun(key, digest), ended_ms=self._clock.now_ms(), score=known_number(score),
            sharpe=known_number(sharpe), failure=None, daily=by_day(first, values),
        )  # fmt: skip

    def fail(self, key: SeriesKey, digest: str, why: str) -> None:
        """As :meth:`TrialLog.fail`."""
        trial = self._begun(key, digest)
        if trial.ended_ms is None or trial.failure is not None:
            self._trials[key, digest] = replace(trial, ended_ms=self._clock.now_ms(), failure=why)

    def of(self, key: SeriesKey, kind: str | None = None) -> tuple[Trial, ...]:
        """As :meth:`TrialLog.of`."""
        return tuple(t for (k, _), t in self._trials.items() if k == key and kind in (None, t.kind))

    def _begun(self, key: SeriesKey, digest: str) -> Trial:
        trial = self._trials.get((key, digest))
        if trial is None:
            raise unknown_trial(key, digest)
        return trial


@dataclass(frozen=True, slots=True)
class Deflation:
    """A Sharpe ratio in the light of the search that found it; per observation, not annualised."""

    sharpe: float
    trials: int  # configurations really tried, the chosen one included
    measured: int  # of them with a Sharpe ratio of their own
    expected_best: float  # what the best of as many worthless ones is expected to show
    probability: float  # that the true Sharpe is above that


def deflation(returns: Float64Array, trials: Sequence[Trial], chosen: str) -> Deflation:
    """Deflated Sharpe of ``returns[n]`` after the trials of a series; NaN where it cannot be said.

    The variance of the trials' Sharpe ratios is measured from two on; before that, the sampling variance 1/n stands in
    for it (Bailey & López de Prado 2014).

    Args:
        returns: after costs, per observation, of the configuration that was chosen.
        trials: those of the log; each digest counts once.
        chosen: digest of the chosen configuration, counted whether the log has it or not.
    """
    sharpe, skew, kurtosis = sharpe_moments(returns)
    others = {t.digest: t.sharpe for t in trials if t.digest != chosen}
    known = [s for s in (*others.values(), known_number(sharpe)) if s is not None]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 1.0 / max(len(returns), 1)
    count = len(others) + 1
    best = expected_best_sharpe(count, variance)
    probability = probabilistic_sharpe(sharpe, best, len(returns), skew, kurtosis)
    return Deflation(sharpe, count, len(known), best, probability)

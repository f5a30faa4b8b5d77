"""What was tried on a series: the log of trials, and what older versions wrote to the audit chain alone.

Every kind of search counts for every other one: a configuration of the models' parameters, of a strategy's numbers or
of a walk-forward's windows was a chance to find luck in the same bars, whatever it was called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.validation.overfitting import sharpe_moments
from ai.validation.trials import Trial, known_number
from data.market import SeriesKey

if TYPE_CHECKING:
    from app.wiring import Workplace

WALK_FORWARD, SWEEP, TUNING = "walk-forward", "sweep", "tuning"
AUDITED = {"walk_forward_started": WALK_FORWARD, "sweep_started": SWEEP}  # audit kind -> kind of search
RUN = "run"  # key of a configuration: the digest that the audit entry has too
SAME_SERIES = ("exchange", "symbol", "timeframe", "source")

Daily = Mapping[int, float]  # UTC day number -> return


def tried(place: Workplace, key: SeriesKey) -> list[Trial]:
    """Every configuration tried on a series, each once: those of the log, then those that only the audit knows."""
    logged = list(place.database.trials.of(key))
    known = {t.configuration.get(RUN) for t in logged}
    older = {t.digest: t for t in _audited(place, key) if t.digest not in known}
    return [*logged, *older.values()]


def _audited(place: Workplace, key: SeriesKey) -> Iterator[Trial]:
    stored = {run.run_id.removeprefix("wf-"): run.result for run in place.database.forecasts.runs(key)}
    for name, kind in AUDITED.items():
        for entry in place.database.audit.entries(kind=name):
            body = json.loads(entry.body)
            if any(body.get(part) != getattr(key, part) for part in SAME_SERIES):
                continue
            for digest in body.get("digests", [body.get("digest")]):
                daily = {int(d): float(r) for d, r in stored.get(digest, {}).get("daily", {}).items()}
                yield Trial(key, kind, digest, {RUN: digest}, entry.at_ms, sharpe=sharpe_of(daily), daily=daily)


def sharpe_of(daily: Daily) -> float | None:
    """Per day, not annualised; ``None`` where it is not defined."""
    return known_number(sharpe_moments(np.array(list(daily.values())))[0]) if daily else None


def note_tuned(place: Workplace, key: SeriesKey, found: Sequence[Mapping[str, Any]]) -> None:
    """Count what a fold's inner search tried: ``member parameters loss failure``; it is known when the fold is done.

    The same parameters in another fold are the same configuration.
    """
    log = place.database.trials
    asked = [{"member": one["member"], "parameters": one["parameters"]} for one in found]
    for one, digest in zip(found, log.begin_all(key, TUNING, asked), strict=True):
        if one["loss"] is None:
            log.fail(key, digest, one["failure"] or "it has no result")
        else:
            log.finish(key, digest, one["loss"])

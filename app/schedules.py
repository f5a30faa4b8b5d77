"""Stored walk-forward runs as schedules of forecasts: which one is meant, and the exits its probabilities are of."""

from __future__ import annotations

from collections.abc import Sequence

from app.wiring import Workplace
from data.errors import UserError
from data.market import SeriesKey, short_symbol
from database.forecasts import RunInfo

NEWEST = "walk-forward"


def stored_run(place: Workplace, key: SeriesKey, schedule: str | None) -> RunInfo:
    """The newest walk-forward of a series, or the named one.

    Raises:
        UserError: none is stored, or the named one is of another series.
    """
    store = place.database.forecasts
    if schedule in (None, NEWEST):
        found = store.newest(key)
        if found is None:
            name = short_symbol(key.symbol)
            raise UserError(
                f"No walk-forward of {key} is stored: run 'walk-forward --symbol {name} --timeframe {key.timeframe}', "
                "or trade a rule with --strategy."
            )
        return found
    found = store.info(str(schedule))
    if found.key != key:
        raise UserError(f"The walk-forward '{schedule}' is of {found.key}, not of {key}.")
    return found


def profile_of_runs(runs: Sequence[RunInfo], asked: str | None) -> str:
    """The one exit profile of the runs.

    Raises:
        UserError: they differ, or another one is asked for.
    """
    profiles = {str(run.spec.get("profile")) for run in runs}
    if len(profiles) > 1:
        raise UserError(f"The stored walk-forwards have different exit profiles ({', '.join(sorted(profiles))}).")
    return same_profile(profiles.pop(), asked)


def same_profile(profile: str, asked: str | None) -> str:
    """The forecasts' own exits: probabilities of one profile say nothing of another.

    Raises:
        UserError: another profile is asked for.
    """
    if asked not in (None, profile):
        raise UserError(f"The forecasts are of the exit profile '{profile}', not '{asked}'.")
    return profile

"""``tune``: a search for the members' hyper-parameters on stored bars, and what earlier searches found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai.tuned import TunedMember
    from data.market import SeriesKey
    from database.repositories import Repositories


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

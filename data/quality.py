"""The data report: what is missing from a series and what looks wrong in it. It names findings; it changes nothing.

One series by itself here; against others in :mod:`data.quality_agreement`, settlements and observations in
:mod:`data.quality_observations`, everything stored in :mod:`data.quality_survey`.
"""

from __future__ import annotations

import numpy as np

from data.market import Frame
from data.quality_bars import number_findings, order_findings, trade_findings
from data.quality_findings import Finding, Gap, at, count
from data.quality_observations import funding_gaps

__all__ = ["Finding", "Gap", "funding_gaps", "gaps", "inspect"]

STALE_BARS = 2.0


def gaps(frame: Frame) -> list[Gap]:
    """Holes between the first and the last bar."""
    time, step = frame.open_time, frame.key.step_ms
    distance = np.diff(time)
    return [
        Gap(int(time[i]) + step, int(time[i + 1]), int(distance[i] // step) - 1)
        for i in np.flatnonzero(distance >= 2 * step)
    ]


def inspect(frame: Frame, *, now_ms: int | None = None, stale_bars: float = STALE_BARS) -> list[Finding]:
    """Every finding of a series by itself, in order of time; rows may be in any order and repeat.

    Args:
        now_ms: the present moment; with it a series whose newest bar closed over ``stale_bars`` bars ago is stale.
    """
    ordered, found = order_findings(frame)
    found += [Finding("gap", g.start_ms, g.end_ms, g.bars, f"{count(g.bars)} missing", "bad", frame.key)
              for g in gaps(ordered)]  # fmt: skip
    sound, wrong = number_findings(ordered)
    found += [*wrong, *trade_findings(sound), *_stale(ordered, now_ms, stale_bars)]
    return sorted(found, key=lambda f: (f.start_ms, f.kind))


def _stale(frame: Frame, now_ms: int | None, stale_bars: float) -> list[Finding]:
    if now_ms is None or not len(frame):
        return []
    step = frame.key.step_ms
    end = int(frame.open_time[-1]) + step
    late = (now_ms - end) / step
    if late <= stale_bars:
        return []
    words = f"nothing since then: {count(int(late))} late at {at(now_ms)}"
    return [Finding("stale", end, now_ms, int(late), words, "warn", frame.key)]

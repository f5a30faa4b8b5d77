"""When a value passes its limit: one rule for gates, halts and the words people read."""

from __future__ import annotations

import math

from data.compiled import kernel_part

TOLERANCE = 1e-9  # relative: a size that was rounded down to its own limit passes it


@kernel_part
def passes(value: float, limit: float, at_least: bool) -> bool:
    """``value ≥ limit`` or ``value ≤ limit``; what is not measured (NaN) passes, and is marked elsewhere."""
    if math.isnan(value):
        return True
    room = abs(limit) * TOLERANCE
    if at_least:
        return bool(value >= limit - room)
    return bool(value <= limit + room)

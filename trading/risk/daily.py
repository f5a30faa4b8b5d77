"""Daily tier: loss, filled entries and losing streak since 00:00 UTC."""

from __future__ import annotations

from data.compiled import kernel
from data.market import Float64Array, Record
from trading.records import Row
from trading.risk.limits import Gate

_LOSS = int(Gate.DAILY_LOSS)
_TRADES = int(Gate.DAILY_TRADES)
_STREAK = int(Gate.LOSS_STREAK)


@kernel
def daily_values(values: Float64Array, account: Row, positions: Record) -> None:
    """Write the tier's values; this plan and entries of which nothing is filled yet count as trades."""
    start = account["day_start"]
    pending = 0
    for s in range(positions.shape[0]):
        p = positions[s]
        pending += 1 if p["work_side"] != 0 and p["work_plan"] != p["filled_plan"] else 0
    values[_LOSS] = max(0.0, (start - account["equity"]) / start)
    values[_TRADES] = account["trades_today"] + pending + 1
    values[_STREAK] = account["loss_streak"]

"""Position tier: margin, leverage, distances and the loss at the stop of one plan."""

from __future__ import annotations

from data.compiled import kernel
from data.market import Float64Array
from trading.risk.limits import Gate

_MARGIN = int(Gate.MARGIN)
_LEVERAGE = int(Gate.LEVERAGE)
_STOP = int(Gate.STOP)
_TARGET = int(Gate.TARGET)
_LOSS = int(Gate.LOSS_AT_STOP)


@kernel
def position_values(
    values: Float64Array, equity: float, held_margin: float, notional: float, leverage: float, stop: float,
    target: float, target_in_stops: int, loss: float,
) -> None:  # fmt: skip
    """Write the tier's values: money in quote units, ``stop`` and ``target`` as fractions of the entry price."""
    margin = notional / leverage
    values[_MARGIN] = (held_margin + margin) / equity
    values[_LEVERAGE] = notional / margin
    values[_STOP] = stop
    values[_TARGET] = target / stop if target_in_stops == 1 else target
    values[_LOSS] = loss / equity

"""Compliance tier: the list of symbols and the highest leverage that rules and exchange allow."""

from __future__ import annotations

from data.compiled import kernel
from data.market import Float64Array
from trading.records import Row
from trading.risk.limits import Gate

_SYMBOL = int(Gate.SYMBOL)
_LEVERAGE = int(Gate.EXCHANGE_LEVERAGE)


@kernel
def compliance_values(values: Float64Array, instrument: Row, leverage: float) -> None:
    """Write the tier's values."""
    values[_SYMBOL] = instrument["allowed"]
    values[_LEVERAGE] = leverage

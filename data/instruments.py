"""Instrument rules: price tick, lot, least order value, leverage and maintenance margin of a linear perpetual.

The eight symbols the program trades by default have their rules in a table; rules of any other symbol are inferred
from the decimals of its recorded data and marked ``inferred``. An exchange session replaces either by the exchange's
own answer (``ExchangeSession.instrument``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from data.errors import UserError
from data.market import Float64Array, Frame, short_symbol, unified_symbol

MAX_DECIMALS = 8
DEFAULT_MAX_LEVERAGE = 20.0  # no public table of tiers: the program's own ceiling stands in
LIQUIDATION_FEE = 0.0125
MAINTENANCE_RATE = 0.01
MIN_NOTIONAL = 5.0
OTHER_TICK, OTHER_LOT = Decimal("0.001"), Decimal("0.1")  # of a symbol that exists as a synthetic market only
INFERENCE_ROWS = 20_000
CLEAN_SHARE = 0.999  # a few odd rows do not refine the tick


@dataclass(frozen=True, slots=True)
class Instrument:
    """What an order of one linear perpetual must obey.

    ``tick`` is the price step (quote per base), ``lot`` the quantity step (base units), ``min_notional`` the least
    order value (quote), ``maintenance_rate`` and ``liquidation_fee`` are fractions of notional, ``contract_size`` base
    units per unit of quantity. ``inferred``: the steps were guessed from data.
    """

    symbol: str
    tick: Decimal
    lot: Decimal
    min_notional: float = MIN_NOTIONAL
    max_leverage: float = DEFAULT_MAX_LEVERAGE
    maintenance_rate: float = MAINTENANCE_RATE
    liquidation_fee: float = LIQUIDATION_FEE
    contract_size: float = 1.0
    inferred: bool = False


def _known(
    base: str, tick: str, lot: str, min_notional: float = MIN_NOTIONAL, rate: float = MAINTENANCE_RATE
) -> Instrument:
    return Instrument(
        f"{base}/USDT:USDT", Decimal(tick), Decimal(lot), min_notional=min_notional, maintenance_rate=rate
    )


INSTRUMENTS: dict[str, Instrument] = {
    rules.symbol: rules
    for rules in (
        _known("BTC", "0.1", "0.001", min_notional=100.0, rate=0.004),
        _known("ETH", "0.01", "0.001"),
        _known("SOL", "0.001", "0.01"),
        _known("XRP", "0.0001", "0.1"),
        _known("BNB", "0.01", "0.01"),
        _known("ADA", "0.0001", "1"),
        _known("DOGE", "0.00001", "1"),
        _known("LTC", "0.01", "0.001"),
    )
}


def instrument_for(symbol: str, frame: Frame | None = None) -> Instrument:
    """The rules of ``symbol`` (any spelling): from the table, else inferred from ``frame``'s decimals and marked so.

    Without a frame (``None``) another symbol gets the steps that a synthetic market of it has.

    Raises:
        UserError: the symbol is not in the table and the frame is empty.
    """
    name = unified_symbol(symbol)
    if name in INSTRUMENTS:
        return INSTRUMENTS[name]
    if frame is None:
        return Instrument(name, OTHER_TICK, OTHER_LOT, inferred=True)
    if not len(frame):
        raise UserError(
            f"The trading rules of {short_symbol(name)} are not known and there is no data to infer them from: "
            "import or download its candles first."
        )
    recent = frame.slice(max(0, len(frame) - INFERENCE_ROWS), len(frame))
    prices = np.concatenate([recent.open, recent.high, recent.low, recent.close])
    return Instrument(name, step_of(prices), step_of(recent.volume), inferred=True)


def step_of(values: Float64Array) -> Decimal:
    """The power of ten on which (nearly) all ``values`` lie: 1, 0.1, … down to eight decimals."""
    finite = values[np.isfinite(values)]
    for decimals in range(MAX_DECIMALS):
        on_grid = np.isclose(np.round(finite, decimals), finite, rtol=1e-12, atol=1e-12)
        if np.mean(on_grid) >= CLEAN_SHARE if len(finite) else True:
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-MAX_DECIMALS)

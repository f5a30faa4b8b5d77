"""Instrument rules: price tick, lot, least order value, leverage and maintenance margin of a linear perpetual.

The eight symbols the program trades by default have their rules in a table; rules of any other symbol are inferred
from the decimals of its recorded data and marked ``inferred``. An exchange session replaces either by the exchange's
own answer (``ExchangeSession.instrument``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, Self

import numpy as np

from data.errors import UserError
from data.market import Float64Array, Frame, short_symbol, unified_symbol

MAX_DECIMALS = 8
DEFAULT_MAX_LEVERAGE = 20.0  # no public table of tiers: the program's own ceiling stands in
LIQUIDATION_FEE = 0.0125
MAINTENANCE_RATE = 0.01
MIN_NOTIONAL = 5.0
DECIMALS = ("tick", "lot", "min_quantity", "max_quantity", "market_max_quantity")  # written as text in documents
OTHER_TICK, OTHER_LOT = Decimal("0.001"), Decimal("0.1")  # of a symbol that exists as a synthetic market only
INFERENCE_ROWS = 20_000
CLEAN_SHARE = 0.999  # a few odd rows do not refine the tick


Status = Literal["trading", "settling", "delisted"]


@dataclass(frozen=True, slots=True)
class LeverageTier:
    """Margin rules of positions whose notional (quote) is above ``floor`` and at most ``cap``.

    ``maintenance_amount`` (quote) is taken off notional × ``maintenance_rate``, so that margin grows without steps.
    """

    floor: float
    cap: float
    max_leverage: float
    maintenance_rate: float
    maintenance_amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Instrument:
    """What an order of one linear perpetual must obey.

    ``tick`` is the price step (quote per base), ``lot`` the quantity step (base units), ``min_notional`` the least
    order value (quote), ``maintenance_rate`` and ``liquidation_fee`` are fractions of notional, ``contract_size`` base
    units per unit of quantity. ``inferred``: the steps were guessed from data. ``max_quantity`` (base units) caps one
    order, ``market_max_quantity`` one market order, ``None``: not said; ``min_quantity`` 0: one lot. Fees are fractions
    of notional, ``None`` where only the account knows. ``tiers`` are in order of ``floor``, empty where not public.
    ``settling``: no new positions any more; ``delisted``: no trading at all.
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
    status: Status = "trading"
    min_quantity: Decimal = Decimal(0)
    max_quantity: Decimal | None = None
    market_max_quantity: Decimal | None = None
    taker_fee: float | None = None
    maker_fee: float | None = None
    tiers: tuple[LeverageTier, ...] = ()

    def round_price(self, price: Decimal | float) -> Decimal:
        """The nearest price on the tick grid (halves to the even step), exact; never below one tick."""
        steps = (_exact(price) / self.tick).to_integral_value(ROUND_HALF_EVEN)
        return max(steps, Decimal(1)) * self.tick

    def round_quantity(self, quantity: Decimal | float, *, market: bool = False) -> Decimal:
        """The largest orderable quantity that is not more than asked for: down to the lot, capped; 0: too little.

        ``market``: the cap of market orders counts too.
        """
        wanted = _exact(quantity)
        caps = (self.max_quantity, self.market_max_quantity if market else None)
        for cap in caps:
            wanted = wanted if cap is None else min(wanted, cap)
        rounded = (wanted / self.lot).to_integral_value(ROUND_FLOOR) * self.lot
        return rounded if rounded > 0 and rounded >= self.min_quantity else Decimal(0)

    def document(self) -> dict[str, Any]:
        """Plain JSON values; equal rules give equal documents, however their decimals were written."""
        values = asdict(self)
        exact = {name: None if values[name] is None else _plain(values[name]) for name in DECIMALS}
        return {**values, **exact, "tiers": [asdict(tier) for tier in self.tiers]}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The rules of :meth:`document`."""
        exact = {name: None if document[name] is None else Decimal(document[name]) for name in DECIMALS}
        return cls(**{**document, **exact, "tiers": tuple(LeverageTier(**tier) for tier in document["tiers"])})


def _plain(value: Decimal) -> str:
    """Without trailing zeros and exponents: 0.10 and 0.1 are one step."""
    return f"{value.normalize():f}"


def _exact(value: Decimal | float) -> Decimal:
    """A number as it is written: the shortest decimal of a float, so that 0.3 is three tenths."""
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))


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

"""Risk of what is held, limits that tightened, and what was reduced. Conventions as in ``app.contract.views``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TighteningView:
    """What is left of the limits on money at risk, and who may set them back."""

    left: float  # fraction, 1: as set
    since_ms: int | None = None  # of the first step since they were as set
    why: str = ""  # words
    who: str = ""  # who may loosen, and what is kept of it
    blocked: str = ""  # why they cannot be loosened now; empty = they can


@dataclass(frozen=True, slots=True)
class CorrelationView:
    """Correlation of daily returns by symbol; ``rho[i][j]`` is ``None`` where too few days are known."""

    symbols: tuple[str, ...]
    rho: tuple[tuple[float | None, ...], ...]
    limit: float  # |ρ| beyond which positions of one direction share one margin limit
    days: int  # looked back on
    least: int  # days in common, below which nothing is measured
    together: tuple[tuple[str, str], ...] = ()  # held in one direction beyond the limit


@dataclass(frozen=True, slots=True)
class ReductionRow:
    """What was held beyond a limit and was cut."""

    number: int  # of the audit entry
    time_ms: int
    symbol: str
    gates: str  # names of the gates, by commas
    share: float  # fraction of the position
    quantity: float | None = None  # base units filled; None: not filled yet
    price: float | None = None
    result: float | None = None  # gross profit of the part, currency
    price_digits: int = 1
    quantity_digits: int = 3


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A step of the limits: tightened by itself, or loosened by a person."""

    number: int  # of the audit entry
    time_ms: int
    kind: str  # tighten | loosen
    left: float  # fraction of the limits afterwards
    words: str

"""What views are built from: the opened home, whose ledger, and what only a running service knows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from app.contract.market_views import FeedRow, QuoteRow
from app.contract.model_views import LiveLine
from app.contract.results import JobsView
from app.contract.views import FloatArray, HealthRow, IntArray, PositionsView, StripView
from data.instruments import INSTRUMENTS
from data.market import SeriesKey
from data.timeframes import parse_time, timeframe_ms

if TYPE_CHECKING:
    from app.wiring import Workplace
    from database.accounts import Account
    from database.audit import AuditReport
    from trading.config import TradingConfig
    from trading.state import TradingState

NO_POSITIONS = PositionsView((), None, None, None, None, None)
DEFAULT_DIGITS = (4, 3)  # price and quantity of a symbol whose rules are not in the table


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """What an account trades and its state at one moment; the state is a copy that may be written to."""

    config: TradingConfig
    state: TradingState


@dataclass(frozen=True, slots=True)
class Context:
    """``account`` is ``None`` before the first run. ``keys`` are the series that the run trades, in its order."""

    place: Workplace
    account: Account | None = None
    keys: tuple[SeriesKey, ...] = ()
    strip: StripView | None = None
    positions: PositionsView = NO_POSITIONS
    jobs: JobsView = field(default_factory=lambda: JobsView(()))
    health: tuple[HealthRow, ...] = ()
    audit: AuditReport | None = None  # of the last verification
    audit_ms: int | None = None  # when that was
    feeds: tuple[FeedRow, ...] = ()  # of a run that takes its bars from an exchange
    quotes: tuple[QuoteRow, ...] = ()
    live_models: tuple[LiveLine, ...] = ()  # of a run whose models forecast
    book: Book | None = None  # of a run, at the moment of asking

    @property
    def step_ms(self) -> int:
        """Length of a bar of the account's run."""
        return timeframe_ms(self.timeframe)

    @property
    def timeframe(self) -> str:
        """Bar length of the account's run by name, or that of the settings."""
        if self.account is not None and "timeframe" in self.account.about:
            return str(self.account.about["timeframe"])
        return self.keys[0].timeframe if self.keys else str(self.place.settings.values.data.timeframe)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the account's run, or those of the settings."""
        if self.account is not None and self.account.symbols:
            return self.account.symbols
        return tuple(k.symbol for k in self.keys) or tuple(self.place.settings.values.data.symbols)

    def key_of(self, symbol: str, timeframe: str = "") -> SeriesKey:
        """The series of a symbol that the run trades; another timeframe of the same exchange and source if named."""
        for key in self.keys:
            if key.symbol == symbol and timeframe in ("", key.timeframe):
                return key
        exchange = str(self.place.settings.values.data.exchange)
        source = "exchange"
        if self.account is not None:
            exchange, source = self.account.key.venue, self.account.key.source
        elif self.keys:
            exchange, source = self.keys[0].exchange, self.keys[0].source
        return SeriesKey(exchange, symbol, timeframe or self.timeframe, "ohlcv", source)


def newest_bar_ms(account: Account) -> int | None:
    """Open time of the newest bar the account may show; ``None`` where nothing bounds it.

    A replay's future is stored already: before its first bar it shows what lies before its span.
    """
    if account.last_bar_ms is not None:
        return account.last_bar_ms
    first = account.about.get("from_ms")
    if first is not None:
        return int(first) - 1
    span = account.about.get("span")
    return parse_time(str(span[0])) - 1 if span else None


def digits(symbol: str) -> tuple[int, int]:
    """Decimals of the symbol's price and quantity."""
    rules = INSTRUMENTS.get(symbol)
    return (decimals(rules.tick), decimals(rules.lot)) if rules else DEFAULT_DIGITS


def decimals(step: Decimal) -> int:
    """Decimals of a price or quantity on this step."""
    return max(0, -int(step.normalize().as_tuple().exponent))


def base(symbol: str) -> str:
    """``BTC`` of ``BTC/USDT:USDT``."""
    return symbol.split("/")[0]


def thinned(values: FloatArray, points: int) -> IntArray:
    """Positions of about ``points`` values that keep the lowest and highest of every stretch, first and last too."""
    count = len(values)
    if count <= max(points, 4):
        return np.arange(count, dtype=np.int64)
    stretches = max(points // 2, 2)
    edges = np.linspace(0, count, stretches + 1).astype(np.int64)
    kept = {0, count - 1}
    for first, stop in itertools.pairwise(edges.tolist()):
        part = values[first:stop]
        kept |= {int(first + np.argmin(part)), int(first + np.argmax(part))}
    return np.array(sorted(kept), dtype=np.int64)

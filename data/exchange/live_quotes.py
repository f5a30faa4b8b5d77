"""What is known of one symbol's market at this moment, put together from streams and REST."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from data.exchange.events import BookDelta, BookSnapshot, PremiumUpdate, TradePrint
from data.observations import METRIC_COLUMNS, Observations
from data.orderbook import BookTop, DepthSync, SyncStep
from data.trade_flow import FlowStep, TradeFlow

# Figures of a quote by the observation they come from.
SOURCES: dict[str, tuple[str, ...]] = {
    "last": ("last",),
    "book": ("bid", "ask", "spread", "bid_depth", "ask_depth", "imbalance", "microprice"),
    "flow": ("flow_imbalance", "buy_pressure"),
    "premium": ("mark", "index", "basis"),
    "funding": ("funding_rate", "next_funding_ms", "interval_ms"),
    "metrics": (
        "open_interest", "open_interest_value", "top_account_ratio", "top_position_ratio", "account_ratio",
        "taker_ratio",
    ),
}  # fmt: skip
_SOURCE_OF = {figure: source for source, figures in SOURCES.items() for figure in figures}


@dataclass(frozen=True, slots=True)
class MarketQuote:
    """A symbol now. NaN or ``None``: not known. Prices in quote units, fractions where no unit is named.

    ``known_at`` says for each source of SOURCES when its newest figure had reached us (ms UTC); :meth:`age_ms` reads
    it by figure.
    """

    symbol: str
    at_ms: int
    known_at: dict[str, int]
    last: float = math.nan
    bid: float = math.nan
    ask: float = math.nan
    spread: float = math.nan  # quote units
    bid_depth: float = math.nan  # quote units of the ten best levels
    ask_depth: float = math.nan
    imbalance: float = math.nan  # of the ten best levels, −1 … +1
    microprice: float = math.nan
    flow_imbalance: float = math.nan  # of the last 1,000 trades, −1 … +1
    buy_pressure: float = math.nan  # share of their volume that takers bought
    mark: float = math.nan
    index: float = math.nan
    basis: float = math.nan  # mark / index − 1
    funding_rate: float = math.nan  # of the next settlement; positive: longs pay
    next_funding_ms: int | None = None
    interval_ms: int | None = None  # between settlements
    open_interest: float = math.nan  # base units
    open_interest_value: float = math.nan  # quote units
    top_account_ratio: float = math.nan
    top_position_ratio: float = math.nan
    account_ratio: float = math.nan
    taker_ratio: float = math.nan

    def age_ms(self, figure: str) -> int | None:
        """How long ago a figure (a field's name) became known; ``None``: never."""
        known = self.known_at.get(_SOURCE_OF[figure])
        return None if known is None else self.at_ms - known


class SymbolMarket:
    """Book, trades, premium and metrics of one symbol as they stand; pure, fed by whoever hears of them.

    ``windowed`` and ``consecutive``: as :class:`DepthSync` and :class:`TradeFlow` have them.
    """

    def __init__(self, symbol: str, *, windowed: bool = False, consecutive: bool = False) -> None:
        self.symbol = symbol
        self.sync = DepthSync(symbol, windowed=windowed)
        self.flow = TradeFlow(symbol, consecutive=consecutive)
        self.premium: PremiumUpdate | None = None
        self.settled_ms: int | None = None  # the last settlement known
        self.settled_interval_ms: int | None = None  # from the one before it
        self._last = math.nan
        self._last_ms = 0
        self._metrics: dict[str, Any] = {}
        self._known_at: dict[str, int] = {}

    def hear_price(self, price: float, time_ms: int, known_at: int) -> None:
        """The price of a last trade, or of a candle's close, as of ``time_ms``; older ones change nothing."""
        if math.isfinite(price) and price > 0 and time_ms >= self._last_ms:
            self._last, self._last_ms = price, time_ms
            self._known_at["last"] = known_at

    def hear_trade(self, trade: TradePrint) -> FlowStep:
        """A trade; only new ones count."""
        step = self.flow.on_trade(trade)
        if step in (FlowStep.ADDED, FlowStep.GAP):
            self.hear_price(trade.price, trade.time_ms, trade.received_ms)
        if step not in (FlowStep.DUPLICATE, FlowStep.OLD):
            self._known_at["flow"] = trade.received_ms
        return step

    def hear_book(self, event: BookDelta | BookSnapshot) -> SyncStep:
        """A change or a snapshot of the book."""
        return self.sync.on_delta(event) if isinstance(event, BookDelta) else self.sync.on_snapshot(event)

    def hear_premium(self, update: PremiumUpdate) -> PremiumUpdate:
        """Mark, index and funding; what the update does not say stays as it was. The merged state."""
        old = self.premium
        if old is not None and update.received_ms < old.received_ms:
            return old
        if not math.isnan(update.mark_price):
            self._known_at["premium"] = update.received_ms
        if not math.isnan(update.funding_rate):
            self._known_at["funding"] = update.received_ms
        if old is not None:
            same_cycle = update.next_funding_ms is None or update.next_funding_ms == old.next_funding_ms
            update = replace(
                update,
                mark_price=_or(update.mark_price, old.mark_price),
                index_price=_or(update.index_price, old.index_price),
                funding_rate=_or(update.funding_rate, old.funding_rate),
                next_funding_ms=old.next_funding_ms if update.next_funding_ms is None else update.next_funding_ms,
                interval_ms=old.interval_ms if update.interval_ms is None and same_cycle else update.interval_ms,
            )
        self.premium = update
        return update

    def hear_metrics(self, rows: Observations, known_at: int) -> None:
        """Open interest and ratios: of each the newest that is given."""
        for name in METRIC_COLUMNS:
            given = rows.column(name)
            given = given[given == given]
            if len(given):
                self._metrics[name] = float(given[-1])
                self._known_at["metrics"] = known_at

    @property
    def interval_ms(self) -> int | None:
        """Between settlements: as the exchange says, else as the last two were apart."""
        said = None if self.premium is None else self.premium.interval_ms
        return said if said is not None else self.settled_interval_ms

    def quote(self, at_ms: int) -> MarketQuote:
        """Everything as it stands."""
        known_at = dict(self._known_at)
        top: BookTop | None = self.sync.top()
        premium = self.premium
        quote = MarketQuote(self.symbol, at_ms, known_at, last=self._last, **self._metrics)
        if top is not None:
            known_at["book"] = top.known_at
            quote = replace(
                quote, bid=top.bid, ask=top.ask, spread=top.spread, imbalance=top.imbalance(),
                microprice=top.microprice, bid_depth=top.worth(top.bids), ask_depth=top.worth(top.asks),
            )  # fmt: skip
        if len(self.flow):
            quote = replace(quote, flow_imbalance=self.flow.imbalance, buy_pressure=self.flow.buy_pressure)
        if premium is not None:
            quote = replace(
                quote, mark=premium.mark_price, index=premium.index_price,
                basis=premium.mark_price / premium.index_price - 1.0, funding_rate=premium.funding_rate,
                next_funding_ms=premium.next_funding_ms, interval_ms=self.interval_ms,
            )  # fmt: skip
        return quote


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value

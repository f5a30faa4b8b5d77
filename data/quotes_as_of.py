"""What was known of a symbol's market at a moment of the past, from stored observations."""

from __future__ import annotations

import math
from dataclasses import replace

from data.exchange.events import PremiumUpdate, TradePrint
from data.exchange.live_quotes import MarketQuote, SymbolMarket
from data.market import TICK, SeriesKey
from data.observed import events_of, tick_key
from data.orderbook import BookTop
from data.store import ObservationStore
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS

BOOK_AGE_MS = 5 * MINUTE_MS  # an older book says nothing of the moment
FLOW_MS = HOUR_MS
FLOW_TRADES = 1000
METRICS_TIMEFRAMES = ("5m", "15m", "1h", TICK)


def quote_as_of(
    store: ObservationStore, exchange: str, symbol: str, moment_ms: int, last: float = math.nan
) -> MarketQuote | None:
    """The market as it was known at ``moment_ms`` (UTC); ``None`` where nothing but bars is stored of that time.

    ``last``: price of the newest bar then. Figures come from rows known by then only: the book of the last five
    minutes, the last 1,000 trades within an hour, premium and metrics of the last hour and day.
    """
    market = SymbolMarket(symbol)
    quote = _flow_and_premium(store, market, exchange, symbol, moment_ms)
    top = _book(store, exchange, symbol, moment_ms)
    if top is not None:
        quote.known_at["book"] = top.known_at
        quote = replace(
            quote, bid=top.bid, ask=top.ask, spread=top.spread, imbalance=top.imbalance(), microprice=top.microprice
        )
    if not quote.known_at:
        return None
    return replace(quote, last=last) if math.isnan(quote.last) else quote


def _flow_and_premium(
    store: ObservationStore, market: SymbolMarket, exchange: str, symbol: str, moment: int
) -> MarketQuote:
    trades = store.read_observations(tick_key(exchange, symbol, "trades"), moment - FLOW_MS, moment + 1, moment)
    for trade in events_of(trades.take(slice(max(0, len(trades) - FLOW_TRADES), len(trades)))):
        if isinstance(trade, TradePrint):
            market.hear_trade(trade)
    premium = store.read_observations(tick_key(exchange, symbol, "premium"), moment - HOUR_MS, moment + 1, moment)
    for update in events_of(premium.take(slice(max(0, len(premium) - 1), len(premium)))):
        if isinstance(update, PremiumUpdate):
            market.hear_premium(update)
    for timeframe in METRICS_TIMEFRAMES:
        key = SeriesKey(exchange, symbol, timeframe, "metrics")
        metrics = store.read_observations(key, moment - DAY_MS, moment + 1, moment)
        if len(metrics):
            market.hear_metrics(metrics, int(metrics.known_at[-1]))
            break
    return market.quote(moment)


def _book(store: ObservationStore, exchange: str, symbol: str, moment: int) -> BookTop | None:
    rows = store.read_observations(tick_key(exchange, symbol, "book"), moment - BOOK_AGE_MS, moment + 1, moment)
    if not len(rows):
        return None
    return BookTop.from_values(rows.values[-1], int(rows.id[-1]), int(rows.time[-1]), int(rows.known_at[-1]))

"""Feeds and markets of a live run as the data tab shows them."""

from __future__ import annotations

import math

from app.contract.market_views import FeedRow, QuoteRow
from app.projection_context import digits
from data.exchange.live_events import LiveHealth, SeriesHealth
from data.exchange.live_quotes import MarketQuote
from data.market import SeriesKey, short_symbol

LATE_MS = 30_000  # so long after its close a bar that is not there counts as late


def feed_rows(health: LiveHealth, now_ms: int) -> tuple[FeedRow, ...]:
    """Requests, stream, then every series."""
    series = sorted(health.series, key=lambda row: (row.key.symbol, row.key.step_ms, row.key.kind))
    return (_requests(health, now_ms), _stream(health, now_ms), *(_series(row) for row in series))


def _requests(health: LiveHealth, now_ms: int) -> FeedRow:
    rest = health.rest
    state, level = "Live", "ok"
    if rest.waiting_until_ms is not None or rest.breaker_open:
        state, level = "Waiting", "warn" if not rest.alarm else "bad"
    if rest.skewed:
        level = "warn"
    parts = [f"{rest.weight_used:,.0f} of {rest.weight_limit:,.0f} weight this minute", f"clock {rest.offset_ms:+,} ms"]
    if rest.latency_ms is not None:
        parts.append(f"answers in {rest.latency_ms:.0f} ms")
    if rest.skewed:
        parts.insert(0, "no entries while the clock is off")
    if state != "Live" and (rest.alarm or rest.last_error):
        parts.insert(0, rest.alarm or rest.last_error)
    return FeedRow("Requests", state, level, rest.last_success_ms, _age(rest.last_success_ms, now_ms),
                   " · ".join(parts))  # fmt: skip


def _stream(health: LiveHealth, now_ms: int) -> FeedRow:
    stream = health.stream
    if stream is None:
        return FeedRow("Stream", "Off", "idle", None, None, "bars are asked for after each close")
    live = stream.connected and health.mode == "stream"
    parts = [f"{stream.messages:,} messages", f"{stream.reconnects} reconnects"]
    if stream.dropped:
        parts.append(f"{stream.dropped:,} dropped")
    if not live:
        parts.insert(0, stream.last_trouble or "requests stand in for it")
    return FeedRow(
        "Stream", "Live" if live else "Polling", "ok" if live else "warn", stream.last_message_ms,
        _age(stream.last_message_ms, now_ms), " · ".join(parts),
    )  # fmt: skip


def _series(row: SeriesHealth) -> FeedRow:
    if row.stale:
        state, level, detail = "Stale", "bad", "no entries until a new bar comes"
    elif row.age_ms > row.key.step_ms + LATE_MS:
        state, level, detail = "Late", "warn", "the next bar has closed and is not there yet"
    else:
        state, level, detail = "Live", "ok", "since the close of the last bar"
    return FeedRow(series_name(row.key), state, level, row.last_ms, max(0.0, row.age_ms / 1000), detail)


def series_name(key: SeriesKey) -> str:
    """A followed series in a word: "BTCUSDT 1m"."""
    return f"{short_symbol(key.symbol)} {key.timeframe}{'' if key.kind == 'ohlcv' else f' {key.kind}'}"


def quote_row(quote: MarketQuote) -> QuoteRow:
    """One symbol; what is not known is ``None``."""
    mid = (quote.bid + quote.ask) / 2
    newest = max(quote.known_at.values(), default=None)
    return QuoteRow(
        symbol=quote.symbol, last=_known(quote.last), bid=_known(quote.bid), ask=_known(quote.ask),
        spread=_known(quote.spread / mid), imbalance=_known(quote.imbalance), microprice=_known(quote.microprice),
        flow_imbalance=_known(quote.flow_imbalance), buy_pressure=_known(quote.buy_pressure), mark=_known(quote.mark),
        index=_known(quote.index), basis=_known(quote.basis), funding_rate=_known(quote.funding_rate),
        next_funding_ms=quote.next_funding_ms, interval_ms=quote.interval_ms,
        open_interest=_known(quote.open_interest), account_ratio=_known(quote.account_ratio),
        taker_ratio=_known(quote.taker_ratio), age_s=_age(newest, quote.at_ms), price_digits=digits(quote.symbol)[0],
    )  # fmt: skip


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _age(ms: int | None, now_ms: int) -> float | None:
    return None if ms is None else max(0.0, (now_ms - ms) / 1000)

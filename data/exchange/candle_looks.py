"""Looks at candles over REST on behalf of a bar sequence: one page, as the exchange gives it, faulty bars included.

The session's own reading refuses a page for one impossible bar; here the sequence decides bar by bar.
"""

from __future__ import annotations

import numpy as np

from data.bar_sequence import BarSequence
from data.errors import Rejected, Retryable
from data.exchange.rest import CAPABILITY, bars_within
from data.exchange.session import ExchangeSession
from data.market import Float64Array, Frame, Int64Array, SeriesKey, short_symbol


async def candle_page(
    session: ExchangeSession, key: SeriesKey, since_ms: int, end_ms: int | None = None
) -> tuple[Frame, int]:
    """One page of bars with ``since_ms <= open_time`` (``< end_ms``): those closed by time, and how many still form.

    Values may be impossible (NaN, crossed); times are in order.

    Raises:
        Retryable: no readable answer. Rejected: the exchange does not have this series.
    """
    words = "candles" if key.kind == "ohlcv" else f"{key.kind} candles"
    if key.kind != "ohlcv" and CAPABILITY[key.kind] not in session.quirks.can:
        raise Rejected(f"{key.exchange} does not offer {words}.")
    await session.load_markets()
    until = session.now_ms() if end_ms is None else end_ms
    most = bars_within(since_ms, until, key.step_ms)

    async def asked(exchange: object) -> tuple[Int64Array, Float64Array]:
        rows = await session.quirks.candles(exchange, key.symbol, key.timeframe, key.kind, since_ms, end_ms, most)
        table = np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=np.float64).reshape(-1, 6)
        times = table[:, 0]
        ordered = np.isfinite(times).all() and (np.diff(times) > 0).all()
        if not ordered or (len(times) and (times[0] < since_ms or (end_ms is not None and times[-1] >= end_ms))):
            raise Retryable(f"{key.exchange} sent candles of {short_symbol(key.symbol)} of other times than asked for.")
        return times.astype(np.int64), table[:, 1:]

    times, values = await session.ask(f"read {words} of {short_symbol(key.symbol)}", asked)
    opens, highs, lows, closes, volumes = values.T
    frame = Frame.of(key, times, opens, highs, lows, closes, volumes)
    closed = int(np.searchsorted(times, session.now_ms() - key.step_ms, side="right"))
    return frame.slice(0, closed), len(frame) - closed


async def look(session: ExchangeSession, sequence: BarSequence) -> bool:
    """Ask what the sequence wants to know now and tell it the answer; whether anything was asked.

    Raises:
        Retryable, Rejected: no answer; the sequence knows and will want it again later.
    """
    key = sequence.key
    since = sequence.ask(session.now_ms())
    if since is not None:
        try:
            page, forming = await candle_page(session, key, since)
        except Rejected:
            sequence.failed(session.now_ms())
            raise
        except Retryable as error:
            sequence.failed(session.now_ms(), error.retry_after_s)
            raise
        sequence.read_page(page, forming, since, session.now_ms())
    span = sequence.ask_marks(session.now_ms())
    if span is not None:
        try:
            marks: Frame | None = await session.mark_candles(key.symbol, key.timeframe, *span)
        except Rejected:
            marks = None
        except Retryable as error:
            sequence.failed(session.now_ms(), error.retry_after_s)
            raise
        sequence.read_marks(marks, *span, session.now_ms())
    return since is not None or span is not None

"""Newly closed bars as they come, by asking REST after every close."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np

from data.errors import QuantError, Retryable
from data.exchange.session import ExchangeSession
from data.market import Frame, SeriesKey, unified_symbol
from data.timeframes import timeframe_ms

Trouble = Callable[[str, QuantError], None]


async def follow(
    session: ExchangeSession,
    symbols: Sequence[str],
    timeframe: str,
    after: Mapping[str, int] | None = None,
    on_trouble: Trouble | None = None,
) -> AsyncIterator[Frame]:
    """Closed bars of each symbol in order, without end; bars missed while away come too.

    A bar is given out when the exchange's clock has passed its close and the exchange shows the next bar already, or
    two looks in a row agree on it.

    Args:
        after: open time (ms) of the last bar already known, by unified symbol; by default the last one closed now.
        on_trouble: told ``(symbol, error)`` when the exchange does not answer; following goes on. Without it the
            error is raised.
    """
    step = timeframe_ms(timeframe)
    names = [unified_symbol(s) for s in symbols]
    newest = session.now_ms() // step * step - step
    last = {name: (after or {}).get(name, newest) for name in names}
    while True:
        for name in names:
            try:
                frame = await _closed_after(session, name, timeframe, last[name])
            except Retryable as error:
                if on_trouble is None:
                    raise
                on_trouble(name, error)
                continue
            if len(frame):
                last[name] = int(frame.open_time[-1])
                yield frame
        await _wait_for_close(session, step, min(last.values()))


async def _closed_after(session: ExchangeSession, symbol: str, timeframe: str, last_ms: int) -> Frame:
    """Confirmed bars after ``last_ms``; the newest one stays back until it is sure."""
    since = last_ms + timeframe_ms(timeframe)
    if since + timeframe_ms(timeframe) > session.now_ms():
        return Frame.empty(SeriesKey(session.settings.exchange, symbol, timeframe))
    frame, forming = await session.recent(symbol, timeframe, since)
    if not len(frame) or forming:
        return frame
    await session.sleep(session.settings.confirm_delay_s)
    again, forming = await session.recent(symbol, timeframe, int(frame.open_time[-1]))
    if forming or _same_first(again, frame):
        newest = again.slice(0, 1)
        return frame if _same_first(newest, frame) else _with_newest(frame, newest)
    return frame.slice(0, len(frame) - 1)


def _same_first(again: Frame, frame: Frame) -> bool:
    """Does the second look begin with the newest bar of the first, unchanged?"""
    if not len(again):
        return False
    names = ("open_time", "open", "high", "low", "close", "volume")
    return all(getattr(again, n)[0] == getattr(frame, n)[-1] for n in names)


def _with_newest(frame: Frame, newest: Frame) -> Frame:
    """``frame`` with its newest bar replaced by the confirmed one."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    columns = (np.append(getattr(frame, n)[:-1], getattr(newest, n)) for n in names)
    return Frame.of(frame.key, *columns)


async def _wait_for_close(session: ExchangeSession, step_ms: int, last_ms: int) -> None:
    """Sleep until shortly after the next close, or a moment if a bar is overdue."""
    due = last_ms + 2 * step_ms + round(session.settings.poll_delay_s * 1000)
    seconds = (due - session.now_ms()) / 1000
    await session.sleep(max(seconds, session.settings.confirm_delay_s))

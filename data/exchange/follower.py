"""Newly closed bars as they come, by asking REST after every close."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from data.bar_notes import Note
from data.bar_sequence import BarSequence
from data.errors import QuantError, Retryable
from data.exchange.candle_looks import look
from data.exchange.live_series import LONGEST_SLEEP_S
from data.exchange.session import ExchangeSession
from data.market import Frame, SeriesKey, unified_symbol
from data.timeframes import timeframe_ms

Trouble = Callable[[str, QuantError], None]
SHORTEST_SLEEP_S = 0.05


def sequence_of(
    session: ExchangeSession, key: SeriesKey, after_ms: int | None, known: Frame | None = None
) -> BarSequence:
    """A sequence with the session's settings; ``after_ms`` is by default the last bar that is closed now."""
    step = key.step_ms
    settings = session.settings
    return BarSequence(
        key,
        session.now_ms() // step * step - step if after_ms is None else after_ms,
        patience_ms=round(settings.poll_delay_s * 1000),
        confirm_ms=round(settings.confirm_delay_s * 1000),
        spike_limit=settings.spike_limit,
        known=known,
    )


async def follow(
    session: ExchangeSession,
    symbols: Sequence[str],
    timeframe: str,
    after: Mapping[str, int] | None = None,
    on_trouble: Trouble | None = None,
    on_note: Callable[[Note], None] | None = None,
) -> AsyncIterator[Frame]:
    """Closed bars of each symbol in order, without end; bars missed while away come too.

    What counts as closed, and what happens to holes, revisions and impossible bars: :mod:`data.bar_sequence`.

    Args:
        after: open time (ms) of the last bar already known, by unified symbol; by default the last one closed now.
        on_trouble: told ``(symbol, error)`` when the exchange does not answer; following goes on. Without it the
            error is raised.
        on_note: told every revision, hole, quarantined and suspect bar.
    """
    timeframe_ms(timeframe)
    names = [unified_symbol(symbol) for symbol in symbols]
    keys = [SeriesKey(session.settings.exchange, name, timeframe) for name in names]
    sequences = [sequence_of(session, key, (after or {}).get(key.symbol)) for key in keys]
    while True:
        for sequence in sequences:
            try:
                await look(session, sequence)
            except Retryable as error:
                if on_trouble is None:
                    raise
                on_trouble(sequence.key.symbol, error)
                continue
            frame = sequence.take(session.now_ms())
            for note in sequence.notes():
                if on_note is not None:
                    on_note(note)
            if len(frame):
                yield frame
        now = session.now_ms()
        due = min(sequence.due_ms(now) for sequence in sequences)
        if due > now:
            await session.sleep(min(max((due - now) / 1000, SHORTEST_SLEEP_S), LONGEST_SLEEP_S))

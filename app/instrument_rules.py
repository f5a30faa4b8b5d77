"""Which trading rules a run obeys: those its exchange gave where any are stored, else the built-in ones."""

from __future__ import annotations

from data.instruments import Instrument, instrument_for
from data.market import Frame, SeriesKey
from database.repositories import Repositories

INFERRED_FROM = 20_000  # bars


def rules_of(database: Repositories, key: SeriesKey, frame: Frame | None = None) -> Instrument:
    """The newest rules that ``key``'s exchange gave; else of the table, else inferred from ``frame``.

    A synthetic market has its own rules. Without a frame the newest stored bars stand in.

    Raises:
        UserError: the symbol is in no table, and there are no bars to infer its rules from.
    """
    if key.source == "synthetic":
        return instrument_for(key.symbol)
    stored = database.instruments.newest(key.exchange, key.symbol)
    if stored is not None:
        return stored
    return instrument_for(key.symbol, database.candles.tail(key, INFERRED_FROM) if frame is None else frame)

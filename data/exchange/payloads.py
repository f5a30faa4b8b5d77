"""What the raw payloads of the exchanges share: levels of a book, ids of trades, markets by the exchange's id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from data.errors import Rejected, Retryable
from data.market import Float64Array, Int64Array
from data.observations import METRIC_COLUMNS

ONE = Decimal(1)
SIDES = {"buy": 1, "sell": -1}


def number(text: Any) -> float:
    """A number that may be missing or an empty text: NaN then."""
    return float("nan") if text in (None, "") else float(text)


def scaled(text: Any, unit: Decimal) -> float:
    """A quantity in contracts as base units, exactly (``7`` of ``0.01`` is ``0.07``).

    Raises:
        ValueError: it is no number.
    """
    try:
        return float(Decimal(str(text)) * unit)
    except InvalidOperation:
        raise ValueError(f"'{text}' is no quantity") from None


def contract_unit(market: Mapping[str, Any]) -> Decimal:
    """Base units in one contract of a market that is counted in contracts."""
    info = market["info"]
    return Decimal(info["ctVal"]) * Decimal(info.get("ctMult") or 1)


def levels(rows: Iterable[Sequence[Any]], unit: Decimal = ONE, *, bids: bool) -> Float64Array:
    """Price and size ``[n, 2]`` of the first two columns, best first, sizes in base units.

    Raises:
        ValueError: a price or size is no number, or negative.
    """
    pairs = [(float(row[0]), float(row[1]) if unit is ONE else scaled(row[1], unit)) for row in rows]
    table = np.array(sorted(pairs, reverse=bids), dtype=np.float64).reshape(len(pairs), 2)
    if not np.isfinite(table).all() or (table < 0).any():
        raise ValueError("a level of the book is no price and size")
    return table


def trade_id(text: Any) -> int:
    """A trade's id as a number: itself, or the first 60 bits of a UUID (equal ids give equal numbers).

    Raises:
        ValueError: it is neither.
    """
    written = str(text)
    if re.fullmatch(r"\d{1,18}", written):
        return int(written)
    digits = written.replace("-", "")
    if re.fullmatch(r"[0-9a-fA-F]{32}", digits):
        return int(digits[:15], 16)
    if re.fullmatch(r"\d{19,40}", written):
        return int(written) % 10**18
    raise ValueError(f"'{written}' is no id of a trade")


def perpetual(exchange: Any, market_id: str) -> Mapping[str, Any]:
    """The linear perpetual of an id (spot markets may share it).

    Raises:
        KeyError: there is none.
    """
    for market in (exchange.markets_by_id or {}).get(market_id, ()):
        if market["swap"] and market["linear"]:
            found: Mapping[str, Any] = market
            return found
    raise KeyError(market_id)


def ratio(part: Any, other: Any) -> float:
    """One figure over another; NaN where there is nothing to divide by."""
    divisor = number(other)
    return number(part) / divisor if divisor else float("nan")


def timeframe_of(names: Mapping[str, str], written: str) -> str | None:
    """Our name of an exchange's interval; ``None``: not one of ours."""
    return next((ours for ours, theirs in names.items() if theirs == written), None)


def interval_name(names: Mapping[str, str], timeframe: str, exchange: str, what: str = "candles") -> str:
    """The exchange's name of a timeframe.

    Raises:
        Rejected: it has none.
    """
    if timeframe not in names:
        raise Rejected(f"{exchange} gives no {what} of {timeframe}: choose one of {', '.join(names)}.")
    return names[timeframe]


def unreadable(exchange: str, url: str) -> Retryable:
    """The error for a successful answer of a wrong shape."""
    endpoint = url.split("?")[0].rsplit("/", 1)[-1]
    return Retryable(f"{exchange} sent an answer to {endpoint} that cannot be read.")


def metric_columns(
    columns: Mapping[str, Mapping[int, float]], since: int, stop: int, exchange: str
) -> tuple[Int64Array, Float64Array]:
    """Figures by column of METRIC_COLUMNS and by time as times ``[n]`` and values ``[n, 6]``; NaN where not given.

    Raises:
        Retryable: a time lies outside ``since <= time < stop``.
    """
    times = np.array(sorted({time for column in columns.values() for time in column}), dtype=np.int64)
    if len(times) and not since <= times[0] <= times[-1] < stop:
        raise Retryable(f"{exchange} open interest: the answer holds other times than were asked for.")
    table = np.full((len(times), len(METRIC_COLUMNS)), np.nan)
    for name, column in columns.items():
        table[:, METRIC_COLUMNS.index(name)] = [column.get(int(time), np.nan) for time in times]
    return times, table

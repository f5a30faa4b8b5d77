"""What is peculiar to Binance USD-M futures: addresses, page sizes, answers that must be lists, its rules of a symbol.

https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs, urlsplit

from data.errors import Retryable
from data.instruments import INSTRUMENTS, LIQUIDATION_FEE, MAINTENANCE_RATE, MIN_NOTIONAL, Instrument

NAME = "binanceusdm"
CANDLES_A_PAGE = 1000
SETTLEMENTS_A_PAGE = 1000
LIST_ANSWERS = ("/klines", "/markPriceKlines", "/indexPriceKlines", "/fundingRate", "/fundingInfo")
# Public keyless reading; the whole linear exception table is used, so that a local server's errors are told apart too.
OPTIONS: dict[str, Any] = {"fetchCurrencies": False, "warnOnFetchOpenOrdersWithoutSymbol": False}


def redirect(exchange: Any, base_url: str) -> None:
    """Point every address of a ccxt instance at ``base_url``, keeping the paths (``/fapi/v1``)."""
    exchange.urls["api"] = _redirected(exchange.urls["api"], base_url)


def _redirected(node: Any, base_url: str) -> Any:
    if isinstance(node, dict):
        return {key: _redirected(value, base_url) for key, value in node.items()}
    if isinstance(node, str):
        base = re.sub("^http", "ws", base_url) if node.startswith("ws") else base_url
        return base + re.sub(r"^\w+://[^/]+", "", node)
    return node


def use_linear_errors(exchange: Any) -> None:
    """Map error codes by the futures table whatever the host is called (ccxt looks at the real host name)."""
    table = exchange.exceptions["linear"]
    exchange.get_exceptions_by_url = lambda _url, kind: table.get(kind, {})


def refuse_wrong_shape(status: int, url: str, answer: Any) -> None:
    """A successful answer that is no JSON, or no list where one is due, must not pass for "nothing there".

    Raises:
        Retryable: the answer can not be what was asked for.
    """
    if status != 200:
        return
    path = url.split("?")[0]
    due = list if path.endswith(LIST_ANSWERS) else (list, dict)
    if not isinstance(answer, due) or (isinstance(answer, list) and not _rows_fit(path, url, answer)):
        endpoint = path.rsplit("/", 1)[-1]
        raise Retryable(f"binanceusdm sent an answer to {endpoint} that can not be read.")


def _rows_fit(path: str, url: str, rows: list[Any]) -> bool:
    """Do the rows carry times of the span that was asked for? ccxt would drop others without a word."""
    time: str | int
    if path.endswith("lines"):
        time = 0
    elif path.endswith("/fundingRate"):
        time = "fundingTime"
    else:
        return True
    query = parse_qs(urlsplit(url).query)
    start, end = int(query.get("startTime", ["0"])[0]), int(query.get("endTime", ["9" * 18])[0])
    try:
        return all(start <= int(row[time]) <= end for row in rows)
    except (TypeError, ValueError, KeyError, IndexError):
        return False


def retry_after_s(headers: Any) -> float | None:
    """Seconds of a ``Retry-After`` header."""
    lowered = {str(k).lower(): v for k, v in (headers or {}).items()}
    try:
        return float(lowered["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None


def instrument_of(market: dict[str, Any]) -> Instrument:
    """The rules of a ccxt market; maintenance comes from the table, because the public answer holds no tiers."""
    symbol = str(market["symbol"])
    known = INSTRUMENTS.get(symbol)
    info = market.get("info") or {}
    filters = {f.get("filterType"): f for f in info.get("filters", ())}
    tick = _step(filters.get("PRICE_FILTER", {}).get("tickSize"), market["precision"]["price"])
    lot = _step(filters.get("LOT_SIZE", {}).get("stepSize"), market["precision"]["amount"])
    least = ((market.get("limits") or {}).get("cost") or {}).get("min")
    fee = info.get("liquidationFee")
    return Instrument(
        symbol,
        tick,
        lot,
        min_notional=float(least) if least else (known.min_notional if known else MIN_NOTIONAL),
        maintenance_rate=known.maintenance_rate if known else MAINTENANCE_RATE,
        liquidation_fee=float(fee) if fee else LIQUIDATION_FEE,
        contract_size=float(market.get("contractSize") or 1.0),
    )


def _step(written: Any, fallback: Any) -> Decimal:
    """A step as an exact decimal (``0.10`` is ``0.1``), from the exchange's text where there is one."""
    try:
        return Decimal(str(written if written else fallback)).normalize()
    except InvalidOperation:
        raise Retryable(f"binanceusdm sent a step size that is no number: {written!r}.") from None

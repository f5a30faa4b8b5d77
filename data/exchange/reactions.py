"""ccxt's errors by what the caller does next (the classes of ``data.errors``).

The classes are matched by name along the error's ancestry, so that this module needs no ccxt. Reading is always safe
to repeat; for an order (``writing``) everything whose outcome is not known becomes ``Unknown``.
"""

from __future__ import annotations

import re
from typing import Any

from data.errors import QuantError, Rejected, Retryable, Unknown

# Looked up from the most special class upwards; the first hit counts.
REJECTED = frozenset(
    {
        "AuthenticationError", "PermissionDenied", "AccountSuspended", "ArgumentsRequired", "BadRequest", "BadSymbol",
        "NotSupported", "InvalidOrder", "OrderNotFound", "InsufficientFunds", "OperationRejected", "InvalidAddress",
        "MarketClosed", "ContractUnavailable", "InvalidProxySettings", "ExchangeClosedByUser",
    }
)  # fmt: skip
LIMITED = frozenset({"RateLimitExceeded", "DDoSProtection"})
SURELY_REFUSED_ONCE = frozenset({"InvalidNonce"})  # refused, but worth another try with a fresh clock offset
UNCLEAR = frozenset(
    {
        "RequestTimeout", "ExchangeNotAvailable", "OnMaintenance", "BadResponse", "NullResponse", "OperationFailed",
        "NetworkError", "ExchangeError", "BaseError",
    }
)  # fmt: skip
NEVER_SENT = frozenset({"ClientConnectorError", "ClientConnectorDNSError", "gaierror", "ConnectionRefusedError"})
DEFAULT_LIMIT_WAIT_S = 30.0
DETAIL_LENGTH = 160


def translate(error: BaseException, exchange: str, action: str, writing: bool = False) -> QuantError:
    """The project's error for one of ccxt's (or of a parser that met an answer it could not read).

    Args:
        error: what was raised; a ``retry_after`` attribute holds the seconds that the exchange asked to wait.
        exchange: its name, for the sentence.
        action: what was being done, as ``read candles of BTCUSDT``.
        writing: the request would have changed something (an order).
    """
    if isinstance(error, QuantError):
        return error
    names = [kind.__name__ for kind in type(error).__mro__]
    sentence = f"{exchange} could not {action}: {_detail(error)}."
    if _never_sent(error):
        return Retryable(f"{exchange} can not be reached to {action}: check the network connection and its address.")
    status = _status(error)
    for name in names:
        if name in LIMITED:
            wait = getattr(error, "retry_after", None)
            return Retryable(f"{exchange} asks to slow down: {_detail(error)}.", wait or DEFAULT_LIMIT_WAIT_S)
        if name in SURELY_REFUSED_ONCE:
            return Retryable(sentence)
        if name in REJECTED and error.__cause__ is None:
            return Rejected(sentence)
        if name in UNCLEAR:
            break
    if status == 451:
        return Rejected(f"{exchange} does not serve this location (HTTP 451), so it could not {action}.")
    if writing:
        return Unknown(sentence)
    return Retryable(sentence)


def retry_after_s(headers: Any) -> float | None:
    """Seconds of a ``Retry-After`` header."""
    lowered = {str(k).lower(): v for k, v in (headers or {}).items()}
    try:
        return float(lowered["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None


def _never_sent(error: BaseException) -> bool:
    """Refused connections and unknown hosts: nothing reached the exchange."""
    cause = error.__cause__
    while cause is not None:
        if any(kind.__name__ in NEVER_SENT for kind in type(cause).__mro__):
            return True
        cause = cause.__cause__
    return False


def _status(error: BaseException) -> int | None:
    """The HTTP status in ccxt's text (``binanceusdm GET https://… 451 Unavailable …``), if one is there."""
    found = re.search(r"https?://\S+ (\d{3})\b", str(error))
    return int(found[1]) if found else None


def _detail(error: BaseException) -> str:
    """ccxt's text on one line, without the address and its query."""
    text = re.sub(r"(GET|POST|PUT|DELETE) https?://\S+", "", str(error))
    text = re.sub(r"<[^>]*>", " ", text)
    text = " ".join(text.split()).removeprefix("binanceusdm").strip(" .")
    name = type(error).__name__
    return f"{name} ({text[:DETAIL_LENGTH]})" if text else name

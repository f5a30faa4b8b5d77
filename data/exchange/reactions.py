"""ccxt's errors by what the caller does next (the classes of ``data.errors``).

The classes are matched by name along the error's ancestry, so that this module needs no ccxt. Reading is always safe
to repeat; for an order (``writing``) everything whose outcome is not known becomes ``Unknown``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from data.errors import QuantError, Rejected, Retryable, Unknown


class Reaction(Enum):
    """What an error says of the exchange."""

    REFUSED = auto()  # understood, and no
    LIMITED = auto()  # too many requests: everybody waits
    BANNED = auto()  # the address is shut out: everybody waits
    CLOCK = auto()  # refused for our time: measure, then once more
    MAINTENANCE = auto()  # closed for a while
    UNREACHED = auto()  # nothing was sent
    UNCLEAR = auto()  # no answer, or none that can be read


# Looked up from the most special class upwards; the first hit counts.
CLASSES: dict[str, Reaction] = {
    **dict.fromkeys(
        (
            "AuthenticationError", "PermissionDenied", "AccountSuspended", "ArgumentsRequired", "BadRequest",
            "BadSymbol", "NotSupported", "InvalidOrder", "OrderNotFound", "InsufficientFunds", "OperationRejected",
            "InvalidAddress", "MarketClosed", "ContractUnavailable", "InvalidProxySettings", "ExchangeClosedByUser",
        ),
        Reaction.REFUSED,
    ),
    **dict.fromkeys(("RateLimitExceeded", "DDoSProtection"), Reaction.LIMITED),
    "InvalidNonce": Reaction.CLOCK,
    "OnMaintenance": Reaction.MAINTENANCE,
    **dict.fromkeys(
        (
            "RequestTimeout", "ExchangeNotAvailable", "BadResponse", "NullResponse", "OperationFailed",
            "NetworkError", "ExchangeError", "BaseError",
        ),
        Reaction.UNCLEAR,
    ),
}  # fmt: skip
STATUS = {418: Reaction.BANNED, 429: Reaction.LIMITED, 451: Reaction.REFUSED}
NEVER_SENT = frozenset({"ClientConnectorError", "ClientConnectorDNSError", "gaierror", "ConnectionRefusedError"})
CODE = re.compile(r'"(?:code|retCode|ret_code|sCode|errorCode)"\s*:\s*"?(-?\d+)')
UNREADABLE = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError)  # parsers on odd answers
DEFAULT_LIMIT_WAIT_S = 30.0
DEFAULT_BAN_WAIT_S = 120.0  # the shortest ban that Binance gives
DETAIL_LENGTH = 160


class ClockRefused(Retryable):
    """The exchange did not take our time; nothing was done."""


def reaction_to(error: BaseException, codes: Mapping[str, str] | None = None) -> Reaction:
    """What ``error`` (one of ccxt's) says; ``codes``: the right ccxt class of codes that ccxt puts into a wrong one."""
    if _never_sent(error):
        return Reaction.UNREACHED
    status = _status(error)
    if status in STATUS:
        return STATUS[status]
    names = [kind.__name__ for kind in type(error).__mro__]
    if codes:
        names = [codes[code] for code in CODE.findall(str(error)) if code in codes] + names
    found = next((CLASSES[name] for name in names if name in CLASSES), Reaction.UNCLEAR)
    if found is Reaction.REFUSED and error.__cause__ is not None:
        return Reaction.UNCLEAR  # an answer cut short can look like a refusal
    if found is Reaction.UNCLEAR and status == 503:
        return Reaction.MAINTENANCE
    return found


def translate(
    error: BaseException, exchange: str, action: str, writing: bool = False, codes: Mapping[str, str] | None = None
) -> QuantError:
    """The project's error for one of ccxt's (or of a parser that met an answer it could not read).

    Args:
        error: what was raised; a ``retry_after`` attribute holds the seconds that the exchange asked to wait, and
            ``status`` the number of the HTTP answer.
        exchange: its name, for the sentence.
        action: what was being done, as ``read candles of BTCUSDT``.
        writing: the request would have changed something (an order).
        codes: as :func:`reaction_to`.
    """
    if isinstance(error, QuantError):
        return error
    reaction = reaction_to(error, codes)
    detail = _detail(error, exchange)
    sentence = f"{exchange} could not {action}: {detail}."
    if reaction is Reaction.UNREACHED:
        return Retryable(f"{exchange} cannot be reached to {action}: check the network connection and its address.")
    if reaction in (Reaction.LIMITED, Reaction.BANNED):
        default = DEFAULT_BAN_WAIT_S if reaction is Reaction.BANNED else DEFAULT_LIMIT_WAIT_S
        wait = getattr(error, "retry_after", None) or default
        words = "has banned this address for a while" if reaction is Reaction.BANNED else "asks to slow down"
        return Retryable(f"{exchange} {words}: {detail}.", wait)
    if reaction is Reaction.CLOCK:
        return ClockRefused(sentence)
    if reaction is Reaction.REFUSED:
        if _status(error) == 451:
            return Rejected(f"{exchange} does not serve this location (HTTP 451), so it could not {action}.")
        return Rejected(sentence)
    if writing:
        return Unknown(sentence)
    if reaction is Reaction.MAINTENANCE:
        return Retryable(f"{exchange} is under maintenance, so it could not {action}: {detail}.")
    return Retryable(sentence)


def retry_after_s(headers: Mapping[str, Any]) -> float | None:
    """Seconds of a ``Retry-After`` header (names in lower case)."""
    try:
        return float(headers["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None


def banned_until_ms(error: BaseException) -> int | None:
    """The end of a ban, as Binance writes it into its text (``banned until 1573122135000``)."""
    found = re.search(r"banned until (\d{13})\b", str(error))
    return int(found[1]) if found else None


def _never_sent(error: BaseException) -> bool:
    """Refused connections and unknown hosts: nothing reached the exchange."""
    cause = error.__cause__
    while cause is not None:
        if any(kind.__name__ in NEVER_SENT for kind in type(cause).__mro__):
            return True
        cause = cause.__cause__
    return False


def _status(error: BaseException) -> int | None:
    """The HTTP status: told beside the error, else as ccxt writes it (``okx GET https://… 451 Unavailable``)."""
    told = getattr(error, "status", None)
    if isinstance(told, int):
        return told
    found = re.search(r"https?://\S+ (\d{3})\b", str(error)) or re.match(r"\w+ (4\d\d) ", str(error))
    return int(found[1]) if found else None


def _detail(error: BaseException, exchange: str) -> str:
    """ccxt's text on one line, without the address and its query."""
    text = re.sub(r"(GET|POST|PUT|DELETE) https?://\S+", "", str(error))
    text = re.sub(r"<[^>]*>", " ", text)
    text = " ".join(text.split()).removeprefix(exchange).strip(" .")
    name = type(error).__name__
    return f"{name} ({text[:DETAIL_LENGTH]})" if text else name

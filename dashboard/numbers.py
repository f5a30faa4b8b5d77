"""Numbers and times as people read them: true minus, no-break spaces, units, a dash for the unknown."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

NBSP = "\u00a0"
MINUS = "\u2212"
UNKNOWN = "–"
COUNTED = ("trades", "days", "orders", "attempts", "minutes")
_HYPHEN_MINUS = re.compile(r"(?<![\w.-])-(?=\.?\d)")
_PERCENT = re.compile(r"(\d) ?%")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """``−1,234.50``; a dash where the value is not known."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    rounded = round(value, digits)
    text = f"{abs(rounded):,.{digits}f}"
    if rounded < 0:
        return MINUS + text
    return "+" + text if signed and rounded > 0 else text


def percent(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A fraction as ``1.32 %``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return number(value * 100, digits, signed=signed) + NBSP + "%"


def measured(value: float | None, unit: str, *, signed: bool = False, digits: int | None = None) -> str:
    """A value with its unit, as the contract names units."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if unit == "fraction":
        return percent(value, 2 if digits is None else digits, signed=signed)
    if unit in ("count", "bars"):
        text = number(value, 0 if digits is None else digits, signed=signed)
        return text + (NBSP + "bars" if unit == "bars" else "")
    if unit in COUNTED:
        whole = abs(value - round(value)) < 1e-9
        return number(value, (0 if whole else 1) if digits is None else digits, signed=signed) + NBSP + unit
    if unit in ("x", "×"):
        return number(value, 1 if digits is None else digits, signed=signed) + "×"
    if unit in ("ratio", ""):
        return number(value, 2 if digits is None else digits, signed=signed)
    if unit == "price":
        return number(value, decimals(value) if digits is None else digits, signed=signed)
    if unit in ("s", "ms"):
        return number(value, (1 if unit == "s" else 0) if digits is None else digits, signed=signed) + NBSP + unit
    return number(value, 2 if digits is None else digits, signed=signed) + NBSP + unit


def short(value: float | None, unit: str) -> str:
    """As ``measured`` without trailing zeros: ``2 %``, ``15``, ``5×``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for digits in range(4):
        scaled = value * 100 if unit == "fraction" else value
        if abs(scaled - round(scaled, digits)) < 1e-9:
            return measured(value, unit, digits=digits)
    return measured(value, unit)


def decimals(value: float) -> int:
    """Decimals that show a price to about six figures."""
    size = abs(value)
    return 1 if size >= 10_000 else 2 if size >= 100 else 3 if size >= 10 else 4 if size >= 1 else 5


def arrow(value: float | None) -> int:
    """1 up, -1 down, 0 neither or unknown."""
    if value is None or not math.isfinite(value) or abs(value) < 1e-12:
        return 0
    return 1 if value > 0 else -1


def ticker(symbol: str) -> str:
    """``BTCUSDT`` of ``BTC/USDT:USDT``; other names stay as they are."""
    return symbol.partition(":")[0].replace("/", "")


def side_words(side: str) -> str:
    """``↗ Long`` or ``↘ Short``: never coloured as profit and loss."""
    return f"↗{NBSP}Long" if side == "long" else f"↘{NBSP}Short"


def moment(ms: int) -> datetime:
    """A time of the contract as an aware UTC value."""
    return _EPOCH + timedelta(milliseconds=int(ms))


def clock(ms: int | None, seconds: bool = False) -> str:
    """``07:00`` or ``07:00:04``."""
    return UNKNOWN if ms is None else moment(ms).strftime("%H:%M:%S" if seconds else "%H:%M")


def day_clock(ms: int | None) -> str:
    """``31 Jul 07:00``."""
    return UNKNOWN if ms is None else f"{moment(ms).day:02d} {moment(ms).strftime('%b %H:%M')}"


def date(ms: int | None) -> str:
    """``2025-07-31``."""
    return UNKNOWN if ms is None else moment(ms).strftime("%Y-%m-%d")


def full_time(ms: int | None) -> str:
    """``30 Jul 2025 22:30:00 UTC``, with the local time for tips."""
    if ms is None:
        return UNKNOWN
    at = moment(ms)
    return f"{at.day} {at.strftime('%b %Y %H:%M:%S')} UTC · {at.astimezone().strftime('%H:%M')} local"


def span(seconds: float | None) -> str:
    """``2 h 00 m``, ``6 min 40 s``, ``46 d 7 h``."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    total = max(0, round(seconds))
    days, rest = divmod(total, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}{NBSP}d {hours}{NBSP}h"
    if hours:
        return f"{hours}{NBSP}h {minutes:02d}{NBSP}m"
    return f"{minutes}{NBSP}min {secs:02d}{NBSP}s" if minutes else f"{secs}{NBSP}s"


def size(count: int | None) -> str:
    """Bytes as ``14 MB``."""
    if count is None:
        return UNKNOWN
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return number(value, 0 if value >= 10 or unit == "B" else 1) + NBSP + unit


def typeset(sentence: str) -> str:
    """A sentence of the service as the window writes it: true minus before digits, no-break space before ``%``."""
    return _PERCENT.sub(rf"\1{NBSP}%", _HYPHEN_MINUS.sub(MINUS, sentence))


def sentence(words: str) -> str:
    """Words of a job as a sentence: a capital first, a full stop last."""
    words = typeset(words.strip())
    return words if not words else words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def grouped(text: str) -> str:
    """A typed number with its thousands apart: ``1000000`` as ``1,000,000``; any other text stays."""
    whole, dot, rest = text.partition(".")
    digits = whole.removeprefix("-")
    if not digits.isdigit() or (dot and not rest.isdigit()):
        return text
    return (MINUS if whole.startswith("-") else "") + f"{int(digits):,}" + dot + rest

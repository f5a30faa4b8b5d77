"""Recordings of an exchange's raw messages, line by line, as market events in the order of receipt.

Forms of a line (``.gz`` or plain):

- ``<local time, ns> <payload>``: a recorder of hftbacktest; an answer of REST among them is a book snapshot;
- ``<local time, s>: <payload>``: cryptofeed's stream files (a line with the stream's address before them);
- ``<address> -> <local time, s>: <payload>``: cryptofeed's REST files.

The messages are read by the code that reads them live, so a recording proves that code.
"""

from __future__ import annotations

import gzip
import heapq
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit

import numpy as np

from data.errors import UserError
from data.exchange.binance_messages import read_message
from data.exchange.events import BookSnapshot, MarketEvent
from data.market import Float64Array, unified_symbol

OFFSET_LINES = 2000  # looked at to learn how far the recorder's clock was off
_FORM = re.compile(r"(?:(?P<address>https?://\S+) -> )?(?P<time>\d{10,19}(?:\.\d+)?):? (?P<payload>[\[{].*)\s*")


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """One message; ``address`` is that of a REST answer, else empty."""

    local_ms: int  # the recorder's clock
    address: str
    payload: Any


def recorded_lines(paths: Sequence[Path]) -> Iterator[RecordedLine]:
    """Messages of one or more files of one recording, merged by local time; lines of other forms are passed over.

    Raises:
        UserError: a payload that is no JSON.
    """
    return heapq.merge(*(_lines(path) for path in paths), key=lambda line: line.local_ms)


def recorder_offset_ms(paths: Sequence[Path]) -> int:
    """The least correction of the recorder's clock with which nothing was received before it had happened."""
    ahead = []
    for line, _ in zip(recorded_lines(paths), range(OFFSET_LINES), strict=False):
        message = line.payload.get("data", line.payload) if isinstance(line.payload, dict) else {}
        if "E" in message:
            ahead.append(int(message["E"]) - line.local_ms)
    return max(0, *ahead) if ahead else 0


def recorded_events(paths: Sequence[Path], offset_ms: int = 0) -> Iterator[MarketEvent]:
    """Events of a recording of Binance's futures, oldest receipt first.

    Args:
        offset_ms: added to the recorder's clock (:func:`recorder_offset_ms`).
    """
    symbol = ""
    for line in recorded_lines(paths):
        received = line.local_ms + offset_ms
        payload = line.payload
        if not isinstance(payload, dict):
            continue
        if "lastUpdateId" in payload:
            named = parse_qs(urlsplit(line.address).query).get("symbol", [symbol])[0]
            if named:
                yield snapshot_of(unified_symbol(named), payload, received)
            continue
        if line.address:
            continue
        symbol = payload.get("data", payload).get("s", symbol)
        yield from read_message(None, payload, received)


def snapshot_of(symbol: str, answer: dict[str, Any], received_ms: int) -> BookSnapshot:
    """Binance's answer to ``/fapi/v1/depth``."""
    return BookSnapshot(
        symbol,
        int(answer["lastUpdateId"]),
        _levels(answer["bids"]),
        _levels(answer["asks"]),
        int(answer.get("T", received_ms)),
        received_ms,
    )


def _levels(rows: list[list[str]]) -> Float64Array:
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _lines(path: Path) -> Iterator[RecordedLine]:
    with _opened(path) as file:
        for number, text in enumerate(file, 1):
            form = _FORM.fullmatch(text)
            if form is None:
                continue
            try:
                payload = json.loads(form["payload"])
            except ValueError:
                raise UserError(f"{path.name}, line {number}: the message is no JSON; is the file whole?") from None
            yield RecordedLine(_milliseconds(form["time"]), form["address"] or "", payload)


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _milliseconds(written: str) -> int:
    """Seconds with a fraction, or nanoseconds, as milliseconds."""
    return int(float(written) * 1000) if len(written.split(".")[0]) == 10 else int(written) // 1_000_000

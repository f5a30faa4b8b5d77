"""A recorded raw session as a market: its messages at their moments, its book and trades for REST.

A recording is a text file (``.gz`` or not) of lines ``local_ns payload``: combined-stream messages
(``{"stream": ..., "data": ...}``) and depth snapshots (``{"lastUpdateId": ...}``). Messages are replayed as they were
recorded; ``depth`` answers with the book as of the last message sent, so a client that starts late finds its place;
candles and prints are made from the recorded trades.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.market import Frame, SeriesKey, unified_symbol
from data.timeframes import MINUTE_MS
from tests.exchange.market import Market
from tests.exchange.tape import Bar, Prints, Tape

NEVER = 10**18
TIMES = ("E", "T")


@dataclass
class Line:
    """One recorded message: when it came, and what it said."""

    at_ms: int
    data: dict[str, Any]


@dataclass
class Recording:
    """Messages by (id, channel) in the order they came, and the first snapshot of each id."""

    messages: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    snapshots: dict[str, Line] = field(default_factory=dict)
    first_ms: int = NEVER
    last_ms: int = 0
    _books: dict[str, RecordedBook] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The ids that were recorded."""
        return sorted({name for name, _ in self.messages})

    def add(self, line: Line, stream: str, shift_ms: int) -> None:
        """Take in one message."""
        line.at_ms += shift_ms
        for key in TIMES:
            if shift_ms and key in line.data:
                line.data[key] += shift_ms
        name, _, channel = stream.partition("@")
        self.messages.setdefault((name.upper(), channel.split("@")[0]), []).append(line)
        self.first_ms, self.last_ms = min(self.first_ms, line.at_ms), max(self.last_ms, line.at_ms)

    def lines(self, name: str, channel: str) -> list[Line]:
        """The messages of a channel (``depth``, ``trade``); aggregated trades are the trades where none are there."""
        found = self.messages.get((name, channel), [])
        if not found and channel == "aggTrade":
            found = [Line(line.at_ms, _aggregated(line.data)) for line in self.messages.get((name, "trade"), [])]
        return found

    def book(self, name: str, now_ms: int, limit: int) -> dict[str, Any] | None:
        """The book as of the last diff sent until now (before its time: the recorded snapshot)."""
        if name not in self.snapshots:
            return None
        if name not in self._books:
            self._books[name] = RecordedBook(self.snapshots[name].data, self.lines(name, "depth"))
        return self._books[name].at(now_ms, limit)

    def serve(self, market: Market) -> None:
        """Give a market the candles and prints of the recorded trades."""
        prints = {name: self._prints(name) for name in self.names if self.lines(name, "trade")}
        market.tape = RecordedTape(prints=prints)
        for name, held in prints.items():
            market.add(_minutes(name, held))

    def _prints(self, name: str) -> Prints:
        rows = [line.data for line in self.lines(name, "trade") if float(line.data["p"]) > 0]
        rows.sort(key=lambda row: (row["T"], row["t"]))
        return Prints(
            np.array([row["t"] for row in rows], dtype=np.int64), np.array([row["T"] for row in rows], dtype=np.int64),
            np.array([float(row["p"]) for row in rows]), np.array([float(row["q"]) for row in rows]),
            np.array([not row["m"] for row in rows], dtype=np.bool_),
        )  # fmt: skip


def read_recording(path: Path, shift_ms: int = 0) -> Recording:
    """Read a recorded session; ``shift_ms`` moves its times. Lines of other kinds are refused.

    The recorder's clock is set by the exchange's, so that no message comes before its own event time.

    Raises:
        ValueError: a line is neither of the two forms.
    """
    found = Recording()
    names: set[str] = set()
    waiting: list[Line] = []
    payloads = list(_payloads(path))
    slow = max((payload.get("data", payload).get("E", at_ms) - at_ms for at_ms, payload in payloads), default=0)
    for local_ms, payload in payloads:
        at_ms = local_ms + slow
        if "stream" in payload:
            names.add(payload["stream"].partition("@")[0].upper())
            found.add(Line(at_ms, payload["data"]), payload["stream"], shift_ms)
        elif "lastUpdateId" in payload:
            waiting.append(Line(at_ms + shift_ms, payload))
        else:
            raise ValueError(f"{path.name} holds a line that is neither a stream message nor a snapshot")
    if waiting and len(names) != 1:
        raise ValueError(f"{path.name} holds snapshots of {len(names)} symbols without their names")
    for line in waiting:
        found.snapshots.setdefault(next(iter(names)), line)
    return found


def _payloads(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    raw = path.read_bytes()
    for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines():
        local_ns, _, payload = line.partition(" ")
        if payload.strip():
            yield int(local_ns) // 1_000_000, json.loads(payload)


@dataclass
class RecordedSource:
    """A stream of recorded messages."""

    lines: list[Line]
    _at: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._at = [line.at_ms for line in self.lines]

    def next_after(self, now_ms: int) -> int:
        row = bisect_right(self._at, now_ms)
        return self._at[row] if row < len(self._at) else NEVER

    def messages(self, now_ms: int) -> list[dict[str, Any]]:
        return [line.data for line in self.lines[bisect_left(self._at, now_ms) : bisect_right(self._at, now_ms)]]


class RecordedBook:
    """The recorded book at any moment (moments only go forward)."""

    def __init__(self, snapshot: dict[str, Any], diffs: list[Line]) -> None:
        self._first = snapshot
        self._diffs = [line for line in diffs if line.data["u"] >= snapshot["lastUpdateId"]]
        self._sides = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        self._last = snapshot
        self._done = 0

    def at(self, now_ms: int, limit: int) -> dict[str, Any]:
        """In the shape of ``/fapi/v1/depth``."""
        while self._done < len(self._diffs) and self._diffs[self._done].at_ms <= now_ms:
            self._last = self._diffs[self._done].data
            for side, key in (("bids", "b"), ("asks", "a")):
                for price, size in self._last[key]:
                    self._sides[side].pop(price, None)
                    if float(size):
                        self._sides[side][price] = size
            self._done += 1
        if not self._done:
            return {**self._first, "bids": self._first["bids"][:limit], "asks": self._first["asks"][:limit]}
        bids = sorted(self._sides["bids"].items(), key=lambda level: -float(level[0]))[:limit]
        asks = sorted(self._sides["asks"].items(), key=lambda level: float(level[0]))[:limit]
        return {
            "lastUpdateId": self._last["u"], "E": self._last["E"], "T": self._last["T"],
            "bids": [list(level) for level in bids], "asks": [list(level) for level in asks],
        }  # fmt: skip


@dataclass
class RecordedTape(Tape):
    """Prints as they were recorded."""

    prints_of: dict[str, Prints] = field(default_factory=dict)

    def __init__(self, prints: dict[str, Prints]) -> None:
        super().__init__()
        self.prints_of = prints

    def prints(self, name: str, bar: Bar, step_ms: int, tick: float, lot: float) -> Prints:
        held = self.prints_of[name]
        first, stop = np.searchsorted(held.time, [bar.open_ms, bar.open_ms + step_ms])
        part = slice(int(first), int(stop))
        return Prints(held.ids[part], held.time[part], held.price[part], held.quantity[part], held.bought[part])


def _aggregated(trade: dict[str, Any]) -> dict[str, Any]:
    return {"e": "aggTrade", "E": trade["E"], "a": trade["t"], "s": trade["s"], "p": trade["p"], "q": trade["q"],
            "f": trade["t"], "l": trade["t"], "T": trade["T"], "m": trade["m"], "st": 1}  # fmt: skip


def _minutes(name: str, prints: Prints) -> Frame:
    minute = prints.time // MINUTE_MS
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    last = np.append(first[1:], len(minute)) - 1
    return Frame.of(
        SeriesKey("binanceusdm", unified_symbol(name), "1m"), minute[first] * MINUTE_MS, prints.price[first],
        np.maximum.reduceat(prints.price, first), np.minimum.reduceat(prints.price, first), prints.price[last],
        np.round(np.add.reduceat(prints.quantity, first), 8),
    )  # fmt: skip

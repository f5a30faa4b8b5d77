"""Binance USD-M futures' market streams: which messages a stream name stands for, and when they are due.

A :class:`Source` says the next moment at which its stream has something to say and what it says then; all of it is a
function of time, so a late subscriber hears the same as an early one. ``source_of`` reads a stream name as the
exchange writes it (``btcusdt@kline_1m``). Shapes:
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from data.timeframes import DAY_MS, TIMEFRAMES, timeframe_ms
from tests.exchange.binance_rest import text
from tests.exchange.recording import RecordedSource

if TYPE_CHECKING:
    from tests.exchange.binance_server import BinanceServer

Message = dict[str, Any] | list[dict[str, Any]]
PUBLIC = ("depth", "bookTicker", "trade", "rpiDepth")  # served on /public/ws; every other market stream on /market/ws
NEVER = 10**18


@dataclass(frozen=True)
class Rhythm:
    """How often the streams speak, in ms of server time. Closing candles always come, ``close_lag_ms`` late."""

    kline_ms: int = 2_000
    close_lag_ms: int = 100
    trades_a_bar: int = 12
    depth_ms: int = 1_000
    book_levels: int = 50
    ticker_ms: int = 2_000
    mark_ms: int = 1_000
    liquidation_every: int = 30  # of so many bars one has a liquidation

    @property
    def book_ticker_ms(self) -> int:
        """The best prices come with the book."""
        return self.depth_ms


FINE = Rhythm(kline_ms=250, trades_a_bar=120, depth_ms=100, book_levels=100)  # as the exchange
USUAL = Rhythm()
COARSE = Rhythm(kline_ms=60_000, depth_ms=60_000, ticker_ms=60_000, mark_ms=60_000, trades_a_bar=4)  # for days


class Source(Protocol):
    """One stream."""

    def next_after(self, now_ms: int) -> int:
        """The first moment after ``now_ms`` at which it speaks (``NEVER``: it is over)."""
        ...

    def messages(self, now_ms: int) -> list[Message]:
        """What it says at that moment."""
        ...


@dataclass(frozen=True)
class Regular:
    """A stream that speaks every ``step`` ms; ``make`` returns ``None`` where there is nothing to say."""

    step: int
    make: Callable[[int], Message | None]

    def next_after(self, now_ms: int) -> int:
        return (now_ms // self.step + 1) * self.step

    def messages(self, now_ms: int) -> list[Message]:
        made = self.make(now_ms)
        return [] if made is None else [made]


@dataclass(frozen=True)
class Klines:
    """The forming bar every ``kline_ms``, and each bar once more when it has closed, with ``x`` true."""

    server: BinanceServer
    name: str
    timeframe: str

    def next_after(self, now_ms: int) -> int:
        step, rhythm = timeframe_ms(self.timeframe), self.server.rhythm
        close = (now_ms - rhythm.close_lag_ms) // step * step + step + rhythm.close_lag_ms
        forming = (now_ms // rhythm.kline_ms + 1) * rhythm.kline_ms
        if forming % step <= rhythm.close_lag_ms:
            forming += rhythm.kline_ms
        return min(close, forming)

    def messages(self, now_ms: int) -> list[Message]:
        step, market = timeframe_ms(self.timeframe), self.server.market
        closing = now_ms % step == self.server.rhythm.close_lag_ms
        open_ms = now_ms // step * step - (step if closing else 0)
        bar = market.bar(self.name, self.timeframe, open_ms, now_ms, "stream")
        if bar is None:
            return []
        return [
            {
                "e": "kline", "E": self.server.now_ms, "s": self.name,
                "k": {
                    "t": open_ms, "T": open_ms + step - 1, "s": self.name, "i": self.timeframe,
                    "f": 1, "L": bar.trades, "o": text(bar.open), "c": text(bar.close), "h": text(bar.high),
                    "l": text(bar.low), "v": text(bar.volume), "n": bar.trades, "x": closing,
                    "q": text(bar.volume * bar.close, 5), "V": text(bar.bought), "Q": text(bar.bought * bar.close, 5),
                    "B": "0",
                },
            }
        ]  # fmt: skip


@dataclass(frozen=True)
class Trades:
    """Every print when it happens; ``shape`` makes the message of one."""

    server: BinanceServer
    name: str
    shape: Callable[[BinanceServer, str, tuple[int, int, str, str, bool]], Message]

    def next_after(self, now_ms: int) -> int:
        return self.server.next_print(self.name, now_ms)

    def messages(self, now_ms: int) -> list[Message]:
        rows = self.server.recent_prints(self.name, now_ms, now_ms, 1000, oldest=True)
        return [self.shape(self.server, self.name, row) for row in rows]


def _trade(server: BinanceServer, name: str, row: tuple[int, int, str, str, bool]) -> Message:
    id_, at, price, quantity, bought = row
    return {"e": "trade", "E": server.now_ms, "T": at, "s": name, "t": id_, "p": price, "q": quantity, "X": "MARKET",
            "m": not bought}  # fmt: skip


def _agg_trade(server: BinanceServer, name: str, row: tuple[int, int, str, str, bool]) -> Message:
    id_, at, price, quantity, bought = row
    return {"e": "aggTrade", "E": server.now_ms, "a": id_, "s": name, "p": price, "q": quantity, "f": id_, "l": id_,
            "T": at, "m": not bought, "st": 1}  # fmt: skip


@dataclass(frozen=True)
class Liquidations:
    """Now and then a print is a forced order."""

    server: BinanceServer
    name: str

    def next_after(self, now_ms: int) -> int:
        return self.server.next_liquidation(self.name, now_ms)

    def messages(self, now_ms: int) -> list[Message]:
        rows = self.server.recent_prints(self.name, now_ms, now_ms, 1, oldest=True)
        return [
            {
                "e": "forceOrder", "E": self.server.now_ms,
                "o": {"s": self.name, "S": "BUY" if bought else "SELL", "o": "LIMIT", "f": "IOC", "q": quantity,
                      "p": price, "ap": price, "X": "FILLED", "l": quantity, "z": quantity, "T": at},
            }
            for _, at, price, quantity, bought in rows
        ]  # fmt: skip


def _mark(server: BinanceServer, name: str) -> dict[str, Any] | None:
    mark, index = server.mark_price(name), server.index_price(name)
    if mark is None or index is None:
        return None
    now = server.now_ms
    return {
        "e": "markPriceUpdate", "E": now, "s": name, "p": text(mark), "i": text(index), "P": text(index),
        "r": text(server.market.coming_rate(name, now)), "T": server.market.next_settlement(name, now), "st": 1,
    }  # fmt: skip


def _book_ticker(server: BinanceServer, name: str) -> Message | None:
    if not server.trading(name):
        return None
    top = server.snapshot(name, 5)
    (bid, bid_size), (ask, ask_size) = top["bids"][0], top["asks"][0]
    return {"e": "bookTicker", "u": top["lastUpdateId"], "s": name, "b": bid, "B": bid_size, "a": ask, "A": ask_size,
            "T": server.now_ms, "E": server.now_ms, "st": 1, "ps": name}  # fmt: skip


def _ticker(server: BinanceServer, name: str, mini: bool) -> dict[str, Any]:
    day, now = server.day(name), server.now_ms
    common = {"E": now, "s": name, "c": text(day.close), "o": text(day.open), "h": text(day.high), "l": text(day.low),
              "v": text(day.volume), "q": text(day.volume * day.close)}  # fmt: skip
    if mini:
        return {"e": "24hrMiniTicker", **common}
    change = day.close - day.open
    return {
        "e": "24hrTicker", **common, "p": text(change), "P": text(100 * change / day.open, 3), "w": text(day.close),
        "Q": "1.000", "O": now - DAY_MS, "C": now, "F": 1, "L": day.trades, "n": day.trades, "st": 1,
    }  # fmt: skip


def category_of(stream: str) -> str:
    """The path a stream is served on: ``public`` or ``market``."""
    channel = stream.removeprefix("!") if stream.startswith("!") else stream.partition("@")[2]
    return "public" if re.split("[@_0-9]", channel)[0] in PUBLIC else "market"


def source_of(server: BinanceServer, stream: str) -> Source | None:
    """The source of a stream name, ``None`` where the exchange knows none (it says nothing then)."""
    rhythm = server.rhythm
    if stream.startswith("!"):
        return _of_all(server, stream)
    name, _, channel = stream.partition("@")
    name = name.upper()
    if name not in server.market.symbols:
        return None
    recorded = server.recording.lines(name, channel.split("@")[0]) if server.recording is not None else []
    if recorded:
        return RecordedSource(recorded)
    if channel.startswith("kline_"):
        timeframe = channel.removeprefix("kline_")
        known = timeframe in TIMEFRAMES and server.market.series(name, timeframe, server.market.candles) is not None
        return Klines(server, name, timeframe) if known else None
    if re.fullmatch(r"depth(@\d+ms)?", channel):
        return Regular(rhythm.depth_ms, lambda now: server.diff(name, now))
    plain: dict[str, Source] = {
        "aggTrade": Trades(server, name, _agg_trade),
        "trade": Trades(server, name, _trade),
        "forceOrder": Liquidations(server, name),
        "bookTicker": Regular(rhythm.book_ticker_ms, lambda _: _book_ticker(server, name)),
        "markPrice": Regular(max(3_000, rhythm.mark_ms), lambda _: _mark(server, name)),
        "markPrice@1s": Regular(rhythm.mark_ms, lambda _: _mark(server, name)),
        "ticker": Regular(rhythm.ticker_ms, lambda _: _ticker(server, name, False)),
        "miniTicker": Regular(rhythm.ticker_ms, lambda _: _ticker(server, name, True)),
    }
    return plain.get(channel)


def _of_all(server: BinanceServer, stream: str) -> Source | None:
    def every(make: Callable[[str], dict[str, Any] | None]) -> Callable[[int], Message]:
        return lambda _: [made for name in server.market.traded(server.now_ms) if (made := make(name)) is not None]

    rhythm = server.rhythm
    mark = every(lambda name: _mark(server, name))
    return {
        "!markPrice@arr": Regular(max(3_000, rhythm.mark_ms), mark),
        "!markPrice@arr@1s": Regular(rhythm.mark_ms, mark),
        "!ticker@arr": Regular(rhythm.ticker_ms, every(lambda name: _ticker(server, name, False))),
        "!miniTicker@arr": Regular(rhythm.ticker_ms, every(lambda name: _ticker(server, name, True))),
    }.get(stream)

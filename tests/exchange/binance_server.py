"""A small exchange on loopback that speaks the public side of Binance USD-M futures, REST and streams.

``market`` is what it knows, ``rhythm`` how often its streams speak, ``faults`` what goes wrong. On a
``SimulatedClock`` it speaks as the clock passes; with a ``ManualClock`` the test says ``await
server.emit_until(ms)``; with a real clock it just runs.

The private side goes beside it: signed endpoints are further :class:`Route` objects (``signed=True``, with method
and weight) in a subclass's ``routes``; ``authenticate`` checks key and signature; user events are published with
``await server.hub.publish(listen_key, event)`` to the sockets on ``/private/ws?listenKey=...``, which are subscribed
to their key from the start. The book and the prints to fill orders against are ``snapshot`` and ``recent_prints``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress

from aiohttp import web

from data.clock import Clock, ManualClock
from data.timeframes import DAY_MS, MINUTE_MS, timeframe_ms
from tests.exchange import binance_rest, binance_statistics
from tests.exchange.binance_faults import BinanceFaults
from tests.exchange.binance_rest import MAX_KLINES, WEIGHT_LIMIT, BinanceError
from tests.exchange.binance_streams import NEVER, USUAL, Rhythm, category_of, source_of
from tests.exchange.hub import Hub, StreamSource, run
from tests.exchange.loopback import LoopbackServer, Refusal, Request, Route, Socket
from tests.exchange.market import Market
from tests.exchange.recording import Recording
from tests.exchange.tape import Bar, Book, book_at

__all__ = ["BinanceError", "BinanceServer", "Market", "error_body"]

Row = tuple[int, int, str, str, bool]
IDS_A_STEP = 10  # update ids that one step of the book uses up
BAN_AFTER = 20  # refused requests in a minute, then the address is banned
BAN_S = 120
STATISTICS_LIMIT = 1000  # requests in five minutes


class BinanceServer(LoopbackServer):
    """``async with BinanceServer(clock) as server:`` listens on ``server.url``."""

    def __init__(self, clock: Clock, rhythm: Rhythm = USUAL, port: int = 0) -> None:
        super().__init__(clock, port)
        self.market = Market()
        self.most_per_page = MAX_KLINES
        self.weight_limit = WEIGHT_LIMIT
        self.faults: BinanceFaults = BinanceFaults(self)
        self.hub = Hub(self._source, self.faults, lambda: self.now_ms)
        self.rhythm = rhythm
        self._weights: dict[int, int] = {}
        self._refused: dict[int, int] = {}
        self._banned_until = 0
        self._books: dict[str, tuple[int, int, Book | None]] = {}  # the last one made, by id
        self.recording: Recording | None = None
        self._speaking: asyncio.Task[None] | None = None

    @property
    def rhythm(self) -> Rhythm:
        """How often the streams speak; set before anybody subscribes."""
        return self._rhythm

    @rhythm.setter
    def rhythm(self, rhythm: Rhythm) -> None:
        self._rhythm = rhythm
        self.market.tape.a_bar = rhythm.trades_a_bar

    def replay(self, recording: Recording) -> None:
        """Serve a recorded session: its messages as streams, its book, and candles of its trades."""
        self.recording = recording
        recording.serve(self.market)

    def routes(self) -> Iterable[Route]:
        return (*binance_rest.ROUTES, *binance_statistics.ROUTES)

    def sockets(self) -> Iterable[Socket]:
        paths = ("/market/ws", "/market/ws/{n}", "/public/ws", "/public/ws/{n}")
        market = [Socket(path, lambda server, request: server.hub.serve(request)) for path in paths]
        return [*market, Socket("/private/ws", lambda server, request: server.user_stream(request))]

    async def user_stream(self, request: web.Request) -> web.StreamResponse:
        """A socket that hears what is published under its listen key."""
        return await self.hub.serve(request, [request.query.get("listenKey", "")])

    async def __aenter__(self) -> BinanceServer:
        await super().__aenter__()
        if not isinstance(self.clock, ManualClock):
            self._speaking = asyncio.create_task(run(self.hub, self.sleep))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
        await self.hub.close()
        await super().__aexit__(*error)
        if self._speaking is not None:  # what broke the streams is told, not swallowed
            with suppress(asyncio.CancelledError):
                await self._speaking

    def busy(self) -> bool:
        return super().busy() or self.hub.busy()

    async def emit_until(self, ms: int) -> None:
        """Let time pass until ``ms`` (our clock) and send what is due on the way, each moment's messages in turn."""
        advance = getattr(self.clock, "run_until", None)
        if advance is not None:
            await advance(ms)
            return
        assert isinstance(self.clock, ManualClock)
        await self.hub.taken()
        while (due := self.hub.next_due()) <= ms + self.skew_ms:
            self.clock.advance(max(0, due - self.now_ms) / 1000)
            await self.hub.emit(due)
            await self.hub.taken()
        self.clock.advance(max(0, ms - self.clock.now_ms()) / 1000)

    def charge(self, request: Request) -> dict[str, str]:
        """Weights by minute; over the limit 429, and who goes on asking is banned for a while (418)."""
        now = self.now_ms
        if now < self._banned_until:
            wait = -(-(self._banned_until - now) // 1000)
            raise Refusal(
                {"code": -1003, "msg": f"Way too many requests; IP banned until {self._banned_until}."},
                418, {"Retry-After": str(wait)},
            )  # fmt: skip
        if request.path.startswith("/futures/data/"):
            return self._charge_statistics(now)
        minute = now // MINUTE_MS
        used = self._weights[minute] = self._weights.get(minute, 0) + request.weight
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        if used > self.weight_limit:
            self._refused[minute] = self._refused.get(minute, 0) + 1
            if self._refused[minute] > BAN_AFTER:
                self._banned_until = now + 1000 * BAN_S
            wait = 60 - now // 1000 % 60
            body = {"code": -1003, "msg": "Too many requests; current limit is 2400 request weight per 1 MINUTE."}
            raise Refusal(body, 429, {**headers, "Retry-After": str(wait)})
        return headers

    def _charge_statistics(self, now: int) -> dict[str, str]:
        span = -(now // (5 * MINUTE_MS)) - 1  # a count of its own beside the minutes
        self._weights[span] = self._weights.get(span, 0) + 1
        if self._weights[span] > STATISTICS_LIMIT:
            wait = 300 - now // 1000 % 300
            raise Refusal({"code": -1003, "msg": "Too many requests."}, 429, {"Retry-After": str(wait)})
        return {}

    def _source(self, path: str, stream: str) -> StreamSource | None:
        return source_of(self, stream) if path.startswith(f"/{category_of(stream)}/") else None

    def trading(self, name: str) -> bool:
        """Whether a symbol still trades."""
        return self.now_ms < self.market.halted_ms(name)

    def last_price(self, name: str) -> float:
        """Price of the last trade. Raises :class:`BinanceError` before the first."""
        return self._last(name, self.now_ms)[0]

    def _last(self, name: str, now_ms: int) -> tuple[float, bool]:
        last = self.market.last_price(name, now_ms)
        if last is None:
            raise BinanceError(-1121, "Invalid symbol.")
        return last

    def price_at(self, name: str, moment_ms: int) -> float:
        """Price of the last trade at a moment."""
        return self._last(name, moment_ms)[0]

    def mark_price(self, name: str) -> float | None:
        """The mark price now."""
        return self._price(name, "mark")

    def index_price(self, name: str) -> float | None:
        """The index price now."""
        return self._price(name, "index")

    def _price(self, name: str, series: str) -> float | None:
        held = getattr(self.market, series)
        timeframe = self.market.base(name).key.timeframe
        now = min(self.now_ms, self.market.halted_ms(name) - 1)
        step = timeframe_ms(timeframe)
        bar = self.market.bar(name, timeframe, now // step * step, now, "rest", held)
        if bar is None:
            frame = held[name, timeframe]
            row = int(frame.open_time.searchsorted(now, side="right")) - 1
            return float(frame.close[row]) if row >= 0 else None
        return bar.close

    def _book(self, name: str, step: int) -> Book:
        moment = step * self.rhythm.depth_ms
        price, bought = self._last(name, moment)
        tick = float(self.market.rules(name, moment).tick)
        best_bid = round(price / tick) - (1 if bought else 0)
        kept = self._books.get(name, (0, 0, None))
        if kept[:2] == (step, best_bid) and kept[2] is not None:
            return kept[2]
        book = book_at(name, step, best_bid, self.rhythm.book_levels)
        self._books[name] = (step, best_bid, book)
        return book

    def _levels(self, name: str, side: dict[int, int], moment: int) -> list[list[str]]:
        rules = self.market.rules(name, moment)
        return [[f"{rules.tick * price:f}", f"{rules.lot * size:f}"] for price, size in side.items()]

    def snapshot(self, name: str, limit: int) -> dict[str, object]:
        """The book now, in the shape of ``/fapi/v1/depth``; the next diff holds its update id."""
        recorded = self.recording.book(name, self.now_ms, limit) if self.recording is not None else None
        if recorded is not None:
            return recorded
        step = self.now_ms // self.rhythm.depth_ms
        book, moment = self._book(name, step), step * self.rhythm.depth_ms
        return {
            "lastUpdateId": (step + 1) * IDS_A_STEP + IDS_A_STEP // 2, "E": self.now_ms, "T": self.now_ms,
            "bids": self._levels(name, book.bids, moment)[:limit],
            "asks": self._levels(name, book.asks, moment)[:limit],
        }  # fmt: skip

    def diff(self, name: str, moment: int) -> dict[str, object] | None:
        """What changed in the book since the step before."""
        if not self.trading(name):
            return None
        step = moment // self.rhythm.depth_ms
        earlier, moment = moment - self.rhythm.depth_ms, step * self.rhythm.depth_ms
        before, after = self._book(name, step - 1), self._book(name, step)
        bids, asks = before.changes_to(after)
        if self.market.rules(name, earlier) == self.market.rules(name, moment):
            sides = self._levels(name, bids, moment), self._levels(name, asks, moment)
        else:  # prices are written on another grid now: everything is said anew
            sides = (
                self._rewritten(name, before.bids, earlier, after.bids, moment),
                self._rewritten(name, before.asks, earlier, after.asks, moment),
            )
        return {
            "e": "depthUpdate", "E": self.now_ms, "T": moment, "s": name, "ps": name, "st": 1,
            "U": step * IDS_A_STEP + 1, "u": (step + 1) * IDS_A_STEP, "pu": step * IDS_A_STEP,
            "b": sides[0], "a": sides[1],
        }  # fmt: skip

    def _rewritten(
        self, name: str, before: dict[int, int], earlier: int, after: dict[int, int], moment: int
    ) -> list[list[str]]:
        gone = [[price, "0"] for price, _ in self._levels(name, before, earlier)]
        return [*gone, *self._levels(name, after, moment)]

    def recent_prints(self, name: str, start_ms: int, end_ms: int, limit: int, oldest: bool) -> list[Row]:
        """Trades with ``start_ms <= time <= end_ms`` as (id, time, price, quantity, bought); the oldest or newest."""
        step = timeframe_ms(self.market.base(name).key.timeframe)
        found: list[Row] = []
        first = max(start_ms, int(self.market.base(name).open_time[0])) // step * step
        opens = range(first, end_ms + 1, step)
        for open_ms in opens if oldest else reversed(opens):
            part = [row for row in self._rows(name, open_ms) if start_ms <= row[1] <= end_ms]
            found = found + part if oldest else part + found
            if len(found) >= limit:
                break
        return found[:limit] if oldest else found[-limit:]

    def _rows(self, name: str, open_ms: int) -> list[Row]:
        prints = self.market.prints(name, open_ms)
        if prints is None:
            return []
        rules = self.market.rules(name, open_ms)
        digits = binance_rest.decimals_of(rules.tick), binance_rest.decimals_of(rules.lot)
        return [
            (int(prints.ids[i]), int(prints.time[i]), f"{prints.price[i]:.{digits[0]}f}",
             f"{prints.quantity[i]:.{digits[1]}f}", bool(prints.bought[i]))
            for i in range(len(prints.ids)) if prints.quantity[i] > 0
        ]  # fmt: skip

    def next_print(self, name: str, now_ms: int) -> int:
        """The moment of the first trade after ``now_ms``."""
        frame = self.market.base(name)
        step = timeframe_ms(frame.key.timeframe)
        open_ms = max(int(frame.open_time[0]), now_ms // step * step)
        while open_ms <= int(frame.open_time[-1]):
            times = [row[1] for row in self._rows(name, open_ms) if row[1] > now_ms]
            if times:
                return times[0]
            open_ms += step
        return NEVER

    def next_liquidation(self, name: str, now_ms: int) -> int:
        """The moment of the next print that is a forced order: the first one of every so many bars."""
        frame = self.market.base(name)
        every = timeframe_ms(frame.key.timeframe) * self.rhythm.liquidation_every
        return self.next_print(name, (now_ms // every + 1) * every - 1)

    def day(self, name: str) -> Bar:
        """The last 24 hours as one bar."""
        frame = self.market.base(name)
        now = self.now_ms
        first, stop = frame.open_time.searchsorted([now - DAY_MS, now])
        bars = [Bar.of(frame, i) for i in range(int(first), int(stop))]
        if not bars:
            raise BinanceError(-1121, "Invalid symbol.")
        return Bar.joined(bars, bars[0].open_ms)


def error_body(code: int, message: str) -> str:
    """The exchange's error document."""
    return json.dumps({"code": code, "msg": message})

"""The market stream at Bybit, OKX and WEEX: real ccxt.pro clients at sockets on loopback with sample messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from data.exchange.events import BookSnapshot, CandleUpdate, MarketEvent, PremiumUpdate, Subscription, TradePrint
from data.exchange.session import ExchangeSession
from data.exchange.stream import MarketStream
from data.settings import DataSettings
from data.synthetic import synthetic_market
from tests.exchange.bybit_server import BybitServer
from tests.exchange.conftest import START
from tests.exchange.loopback import Socket
from tests.exchange.okx_server import OkxServer
from tests.exchange.simulated_time import SimulatedClock
from tests.exchange.weex_server import WeexServer

BTC = "BTC/USDT:USDT"
WANTED = (
    Subscription("candles", BTC, "1m"),
    Subscription("candles", BTC, "1d"),
    Subscription("book", BTC),
    Subscription("trades", BTC),
    Subscription("premium", BTC),
)
BAR = ["1704067200000", "10", "12", "9", "11", "500", "5", "55", "1"]
LEVELS = {"bids": [["10", "100", "0", "1"]], "asks": [["11", "200", "0", "1"]]}


def _bybit(topic: str) -> dict[str, Any] | None:
    kind = topic.split(".")[0]
    row: dict[str, Any] = {
        "kline": [{"start": 1704067200000, "interval": topic.split(".")[1], "open": "10", "high": "12", "low": "9",
                   "close": "11", "volume": "5", "confirm": True}],
        "orderbook": {"s": "BTCUSDT", "b": [["10", "1"]], "a": [["11", "2"]], "u": 7, "seq": 70},
        "publicTrade": [{"T": 1704067201000, "s": "BTCUSDT", "S": "Buy", "v": "0.3", "p": "10.5",
                         "i": "20f43950-d8dd-5b31-9112-a178eb6023af"}],
        "tickers": {"symbol": "BTCUSDT", "markPrice": "10.1", "indexPrice": "10.2", "fundingRate": "0.0001",
                    "nextFundingTime": "1704096000000"},
    }  # fmt: skip
    return {"topic": topic, "type": "snapshot", "ts": 1704067201000, "data": row[kind]}


def _okx(arg: dict[str, str]) -> dict[str, Any] | None:
    rows: dict[str, Any] = {
        "books": {**LEVELS, "ts": "1704067201000", "seqId": 7, "prevSeqId": -1},
        "trades-all": {"tradeId": "9", "px": "10.5", "sz": "30", "side": "buy", "ts": "1704067201000"},
        "mark-price": {"markPx": "10.1", "ts": "1704067201000"},
        "index-tickers": {"idxPx": "10.2", "ts": "1704067201000"},
        "funding-rate": {"fundingRate": "0.0001", "fundingTime": "1704096000000", "nextFundingTime": "1704124800000"},
    }
    row = BAR if arg["channel"].startswith("candle") else rows[arg["channel"]]
    return {"arg": arg, "data": [row], **({"action": "snapshot"} if arg["channel"] == "books" else {})}


def _weex(topic: str) -> dict[str, Any] | None:
    name, kind = topic.split("@")
    head = {"E": 1704067201000, "s": name}
    if kind.startswith("kline"):
        row = {"t": 1704067200000, "i": kind.split("_")[1], "o": "10", "h": "12", "l": "9", "c": "11", "v": "5"}
        return {**head, "e": "kline", "p": "LAST_PRICE", "d": [row]}
    return {
        "depth200": {**head, "e": "depthSnapshot", "U": 1, "u": 7, "b": [["10", "1"]], "a": [["11", "2"]]},
        "trade": {**head, "e": "trade", "d": [{"T": 1704067201000, "t": "20f43950-d8dd-5b31-9112-a178eb6023af",
                                               "p": "10.5", "q": "0.3", "m": False}]},
        "ticker": {**head, "e": "ticker", "d": [{"m": "10.1", "i": "10.2"}]},
    }[kind]  # fmt: skip


def _answers(command: dict[str, Any]) -> Iterable[Any]:
    """The acknowledgements and first messages of a command, in the words of whoever sent it."""
    what = command.get("op", command.get("method", "")).lower()
    topics = command.get("args", command.get("params", []))
    if "method" in command:
        yield {"result": True, "id": int(command["id"])}
    elif isinstance(topics[0], str):
        yield {"success": True, "ret_msg": "", "conn_id": "x", "req_id": str(command["req_id"]), "op": what}
    else:
        yield from ({"event": what, "arg": topic, "connId": "x"} for topic in topics)
    if what == "subscribe":
        say = _okx if not isinstance(topics[0], str) else _weex if "method" in command else _bybit
        yield from (say(topic) for topic in topics)


class Talking:
    """Adds to a server a socket that answers subscriptions."""

    commands: list[tuple[str, dict[str, Any]]]

    def sockets(self) -> Iterable[Socket]:
        self.commands = []
        return [Socket("/{path:(v5/public|ws/v5|ws-contract).*}", lambda _, request: self.talk(request))]

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT or message.data == "ping":
                continue
            command = json.loads(message.data)
            self.commands.append((request.path, command))
            for answer in _answers(command):
                await socket.send_str(json.dumps(answer))
        return socket


class TalkingBybit(Talking, BybitServer):
    pass


class TalkingOkx(Talking, OkxServer):
    pass


class TalkingWeex(Talking, WeexServer):
    pass


SERVERS: dict[str, Any] = {"bybit": TalkingBybit, "okx": TalkingOkx, "weex": TalkingWeex}
PATHS = {
    "bybit": ["/v5/public/linear"],
    "okx": ["/ws/v5/business", "/ws/v5/public"],
    "weex": ["/ws-contract/v3/ws/public"],
}


@asynccontextmanager
async def heard(name: str) -> AsyncIterator[tuple[Any, MarketStream, list[MarketEvent]]]:
    """A stream at an exchange, and what it has said once everything was answered."""
    clock = SimulatedClock(START + 10 * 60_000)
    async with SERVERS[name](clock) as server:
        server.market.add(*synthetic_market("BTCUSDT", "1m", 60, 7))
        settings = DataSettings(exchange=name, base_url=server.url)
        async with (
            ExchangeSession(settings, clock, sleep=clock.sleep) as session,
            MarketStream(session, WANTED, sleep=clock.sleep) as stream,
        ):
            events: list[MarketEvent] = []
            yield server, stream, await until(clock, stream, events, len(WANTED))


async def until(
    clock: SimulatedClock, stream: MarketStream, events: list[MarketEvent], kinds: int
) -> list[MarketEvent]:
    """Collect until so many different things were heard."""
    async with asyncio.timeout(10):
        while len({(type(e), getattr(e, "timeframe", "")) for e in events}) < kinds:
            await clock.run_for(0.05)
            await asyncio.sleep(0.005)
            events += stream.events_nowait()
    return events


@pytest.mark.parametrize("name", SERVERS)
async def test_everything_wanted_is_asked_for_by_one_message_a_socket_and_heard(name: str) -> None:
    async with heard(name) as (server, stream, events):
        assert [path for path, _ in server.commands] == PATHS[name]
        candles = [e for e in events if isinstance(e, CandleUpdate)]
        assert {(c.timeframe, c.open_time, c.high, c.volume) for c in candles} == {
            ("1m", 1704067200000, 12.0, 5.0),
            ("1d", 1704067200000, 12.0, 5.0),
        }
        assert {c.closed for c in candles} == {None if name == "weex" else True}
        book = next(e for e in events if isinstance(e, BookSnapshot))
        assert (book.update_id, book.bids.tolist(), book.asks.tolist()) == (7, [[10.0, 1.0]], [[11.0, 2.0]])
        trade = next(e for e in events if isinstance(e, TradePrint))
        assert (trade.price, trade.quantity, trade.side) == (10.5, 0.3, 1)
        premium = [e for e in events if isinstance(e, PremiumUpdate)][-1]
        assert (premium.mark_price, premium.index_price) == (10.1, 10.2)
        if name != "weex":
            assert (premium.funding_rate, premium.next_funding_ms) == (0.0001, 1704096000000)
        assert stream.health.connected and stream.health.unreadable == 0 and not stream.refused


@pytest.mark.parametrize("name", SERVERS)
async def test_what_is_given_up_and_wanted_again_begins_anew(name: str) -> None:
    """So a book whose numbers broke gets a fresh snapshot without a new connection."""
    book = Subscription("book", BTC)
    async with heard(name) as (server, stream, _):
        before = len(server.commands)
        await stream.remove([book])
        await stream.add([book])
        clock = stream._session.clock
        again = await until(clock, stream, [], 1)
        assert any(isinstance(event, BookSnapshot) for event in again)
        told = [json.dumps(command).lower() for _, command in server.commands[before:]]
        assert ["unsubscribe" in text for text in told] == [True, False]
        assert stream.health.unreadable == 0

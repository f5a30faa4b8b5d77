"""The streams of Bybit, OKX and WEEX, told by their servers on loopback: Binance's streams put into their words.

A topic is a source of :mod:`binance_streams` and how its messages are said here. Book topics begin with a snapshot.
Shapes: the comments of ccxt's ``handle_*`` methods.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.exchange.binance_streams import source_of
from tests.exchange.hub import Connection, Hub, StreamSource

if TYPE_CHECKING:
    from tests.exchange.peer_server import PeerServer

Message = dict[str, Any]
IDS_A_STEP = 10


@dataclass(frozen=True)
class Topic:
    """``stream`` is Binance's name of the same; ``first`` is said at once to whoever subscribes."""

    stream: str
    say: Callable[[Message], Any]
    first: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Spoken:
    """A source in another exchange's words."""

    source: StreamSource
    say: Callable[[Message], Any]

    def next_after(self, now_ms: int) -> int:
        return self.source.next_after(now_ms)

    def messages(self, now_ms: int) -> list[Any]:
        return [self.say(message) for message in self.source.messages(now_ms)]


@dataclass(frozen=True)
class Command:
    """What a client said: the topics as keys, and the answers to it."""

    what: str
    topics: list[str]
    answers: list[Any]


class PeerHub(Hub):
    """A hub that takes commands in the words of ``server``."""

    server: PeerServer

    async def _command(self, connection: Connection, text: str) -> None:
        command = self.server.command(text)
        self.commands.append((connection.path, {"what": command.what, "topics": command.topics}))
        for answer in command.answers:
            await self._send(connection, answer if isinstance(answer, str) else json.dumps(answer))
        for key in command.topics:
            topic = self.server.topic(key)
            if command.what == "unsubscribe":
                connection.wanted.pop(key, None)
            elif command.what == "subscribe" and topic is not None:
                self._subscribe(connection, key)
                if topic.first is not None:
                    await self._send(connection, json.dumps(topic.first()))
        self._forget()
        await self._mark(connection)


def spoken(server: PeerServer, topic: Topic | None) -> StreamSource | None:
    """The source of a topic."""
    source = source_of(server, topic.stream) if topic is not None else None
    return Spoken(source, topic.say) if topic is not None and source is not None else None


def whole_book(server: PeerServer, name: str) -> Message:
    """The book as of the last diff, in the shape of one: ``u`` is that diff's, so that the next one follows."""
    book: Any = server.snapshot(name, server.rhythm.book_levels)
    last = (server.now_ms // server.rhythm.depth_ms + 1) * IDS_A_STEP
    return {"E": server.now_ms, "u": last, "pu": -1, "U": last, "b": book["bids"], "a": book["asks"]}


def lower(name: str, channel: str) -> str:
    return f"{name.lower()}@{channel}"


# ---- Bybit -----------------------------------------------------------------------------------------------------------


def bybit_command(text: str) -> Command:
    said = json.loads(text)
    what, number = said["op"], said.get("req_id", "")
    answer = {
        "success": True,
        "ret_msg": "pong" if what == "ping" else "",
        "conn_id": "x",
        "req_id": number,
        "op": what,
    }
    return Command(what, said.get("args", []), [answer])


def bybit_topic(server: PeerServer, intervals: dict[str, str], uuid: Callable[[int], str], key: str) -> Topic | None:
    kind, *_, name = key.split(".")

    def enveloped(data: Any, ts: int, kind: str = "snapshot") -> Message:
        return {"topic": key, "type": kind, "ts": ts, "data": data}

    def kline(m: Message) -> Message:
        k = m["k"]
        row = {"start": k["t"], "end": k["T"], "interval": key.split(".")[1], "open": k["o"], "close": k["c"],
               "high": k["h"], "low": k["l"], "volume": k["v"], "turnover": k["q"], "confirm": k["x"],
               "timestamp": m["E"]}  # fmt: skip
        return enveloped([row], m["E"])

    def book(m: Message, kind: str = "delta") -> Message:
        return enveloped({"s": name, "b": m["b"], "a": m["a"], "u": m["u"] // IDS_A_STEP, "seq": m["u"]}, m["E"], kind)

    def trade(m: Message) -> Message:
        row = {"T": m["T"], "s": name, "S": "Sell" if m["m"] else "Buy", "v": m["q"], "p": m["p"],
               "L": "PlusTick", "i": uuid(m["a"]), "BT": False}  # fmt: skip
        return enveloped([row], m["E"])

    def ticker(m: Message) -> Message:
        row = {"symbol": name, "markPrice": m["p"], "indexPrice": m["i"], "fundingRate": m["r"],
               "nextFundingTime": str(m["T"])}  # fmt: skip
        return enveloped(row, m["E"])

    def forced(m: Message) -> Message:
        o = m["o"]
        side = "Sell" if o["S"] == "BUY" else "Buy"  # of the position
        return enveloped([{"T": o["T"], "s": name, "S": side, "v": o["q"], "p": o["p"]}], m["E"])

    if kind == "kline":
        return Topic(lower(name, f"kline_{intervals[key.split('.')[1]]}"), kline)
    return {
        "orderbook": Topic(lower(name, "depth"), book, lambda: book(whole_book(server, name), "snapshot")),
        "publicTrade": Topic(lower(name, "aggTrade"), trade),
        "tickers": Topic(lower(name, "markPrice@1s"), ticker),
        "allLiquidation": Topic(lower(name, "forceOrder"), forced),
    }.get(kind)


# ---- OKX -------------------------------------------------------------------------------------------------------------


def okx_command(text: str) -> Command:
    if text == "ping":
        return Command("ping", [], ["pong"])
    said = json.loads(text)
    answers = [{"event": said["op"], "arg": arg, "connId": "x"} for arg in said["args"]]
    return Command(said["op"], [json.dumps(arg, sort_keys=True) for arg in said["args"]], answers)


def okx_topic(server: Any, bars: dict[str, str], key: str) -> Topic | None:
    arg = json.loads(key)
    channel, name = arg["channel"], "".join(arg.get("instId", "").split("-")[:2])
    contracts = partial(server.contracts, name)

    def rows(*data: Any, **more: Any) -> Message:
        return {"arg": arg, **more, "data": list(data)}

    def kline(m: Message) -> Message:
        k = m["k"]
        return rows([str(k["t"]), k["o"], k["h"], k["l"], k["c"], contracts(k["v"]), k["v"], k["q"], str(int(k["x"]))])

    def book(m: Message, action: str = "update") -> Message:
        sides = {side: [[p, contracts(q), "0", "1"] for p, q in m[side[0]]] for side in ("asks", "bids")}
        return rows({**sides, "ts": str(m["E"]), "seqId": m["u"], "prevSeqId": m["pu"]}, action=action)

    def trade(m: Message) -> Message:
        return rows({"instId": arg["instId"], "tradeId": str(m["a"]), "px": m["p"], "sz": contracts(m["q"]),
                     "side": "sell" if m["m"] else "buy", "source": "0", "ts": str(m["T"])})  # fmt: skip

    def funding(m: Message) -> Message:
        after = server.market.next_settlement(name, m["T"])
        return rows({"fundingRate": m["r"], "fundingTime": str(m["T"]), "nextFundingTime": str(after),
                     "instId": arg["instId"], "ts": str(m["E"])})  # fmt: skip

    def forced(m: Message) -> Message:
        o = m["o"]
        detail = {
            "side": o["S"].lower(),
            "posSide": "short",
            "bkPx": o["p"],
            "sz": contracts(o["q"]),
            "ts": str(o["T"]),
        }
        return rows({"instId": f"{name.removesuffix('USDT')}-USDT-SWAP", "instType": "SWAP", "details": [detail]})

    if channel.startswith("candle"):
        return Topic(lower(name, f"kline_{bars[channel.removeprefix('candle')]}"), kline)
    if channel == "liquidation-orders":  # one channel for all: here the first symbol speaks
        name = server.market.traded(server.now_ms)[0]
        contracts = partial(server.contracts, name)
        return Topic(lower(name, "forceOrder"), forced)
    mark = lower(name, "markPrice@1s")
    return {
        "books": Topic(lower(name, "depth"), book, lambda: book(whole_book(server, name), "snapshot")),
        "trades-all": Topic(lower(name, "aggTrade"), trade),
        "mark-price": Topic(mark, lambda m: rows({"instId": arg["instId"], "markPx": m["p"], "ts": str(m["E"])})),
        "index-tickers": Topic(mark, lambda m: rows({"instId": arg["instId"], "idxPx": m["i"], "ts": str(m["E"])})),
        "funding-rate": Topic(mark, funding),
    }.get(channel)


# ---- WEEX ------------------------------------------------------------------------------------------------------------


def weex_command(text: str) -> Command:
    said = json.loads(text)
    what, number = str(said.get("method", said.get("event", ""))).lower(), said.get("id")
    if "ping" in what or "pong" in what:
        return Command("ping", [], [])
    return Command(what, said["params"], [{"result": True, "id": int(number)}])


def weex_topic(server: PeerServer, uuid: Callable[[int], str], key: str) -> Topic | None:
    name, _, kind = key.partition("@")

    def told(event: str, m: Message, rows: list[Any]) -> Message:
        return {"e": event, "E": m["E"], "s": name, "d": rows}

    def kline(m: Message) -> Message:
        k = m["k"]
        row = {f: k[f] for f in ("t", "T", "s", "i", "o", "c", "h", "l", "v", "n", "q")}
        return {**told("kline", m, [row]), "p": "LAST_PRICE"}

    def book(m: Message, event: str = "depth") -> Message:
        return {"e": event, "E": m["E"], "s": name, "U": m["U"], "u": m["u"], "l": 200, "b": m["b"], "a": m["a"]}

    def trade(m: Message) -> Message:
        return told("trade", m, [{"T": m["T"], "t": uuid(m["a"]), "p": m["p"], "q": m["q"], "m": m["m"]}])

    if kind.startswith("kline_"):
        return Topic(lower(name, kind.removesuffix("_LAST_PRICE")), kline)
    return {
        "depth200": Topic(lower(name, "depth"), book, lambda: book(whole_book(server, name), "depthSnapshot")),
        "trade": Topic(lower(name, "aggTrade"), trade),
        "ticker": Topic(lower(name, "markPrice@1s"), lambda m: told("ticker", m, [{"m": m["p"], "i": m["i"]}])),
    }.get(kind)

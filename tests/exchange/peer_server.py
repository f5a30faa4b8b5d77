"""The market of the exchange on loopback, told by other exchanges: what their servers share.

A peer shows the same :class:`~tests.exchange.market.Market` in its own words. Where an exchange's documentation leaves
a choice, its server makes the one that loses data for a careless client (newest rows first, pages cut at their old
end, a history that lags behind), because a client that copes with it copes with the other one too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np

from data.market import FundingFrame
from data.timeframes import timeframe_ms
from tests.exchange.binance_server import BinanceServer
from tests.exchange.hub import StreamSource
from tests.exchange.loopback import Refusal, Request, Socket
from tests.exchange.market import ALWAYS
from tests.exchange.peer_streams import Command, PeerHub, Topic, spoken
from tests.exchange.tape import Bar

MAX_LEVERAGE = 100
LISTED_MS = 1585526400000
METRIC_START = 1000.0


class PeerServer(BinanceServer):
    """Everything of the market, none of Binance's words: a subclass gives routes, refusals, commands and topics."""

    socket_path: str  # where its streams are

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        hub = PeerHub(self._source, self.faults, lambda: self.now_ms)
        hub.server, self.hub = self, hub

    def sockets(self) -> Iterable[Socket]:
        return [Socket(self.socket_path, lambda server, request: server.hub.serve(request))]

    def command(self, text: str) -> Command:
        """What a client of the streams said."""
        raise NotImplementedError

    def topic(self, key: str) -> Topic | None:
        """What a topic of the streams tells, ``None`` where there is no such topic."""
        raise NotImplementedError

    def _source(self, path: str, stream: str) -> StreamSource | None:
        return spoken(self, self.topic(stream))

    def charge(self, request: Request) -> dict[str, str]:
        return {}

    def unknown_symbol(self) -> Refusal:
        """The answer to a symbol that is not traded here."""
        raise NotImplementedError

    def known(self, name: str) -> str:
        """``name`` if it is listed now."""
        if name not in self.market.symbols or not self.market.rules(name, self.now_ms).listed:
            raise self.unknown_symbol()
        return name

    def bars(self, series: str, name: str, timeframe: str, start: int | None, end: int | None) -> list[Bar]:
        """Bars with ``start <= open <= end``, oldest first, the forming one included."""
        held = getattr(self.market, series)
        stop = self.now_ms if end is None else end
        return self.market.shown(name, timeframe, start or 0, stop, ALWAYS, self.now_ms, held) or []

    def is_closed(self, bar: Bar, timeframe: str) -> bool:
        """Whether a bar has ended by now."""
        return bar.open_ms + timeframe_ms(timeframe) <= self.now_ms

    def paid(self, name: str, start: int, end: int) -> tuple[FundingFrame, list[int]]:
        """Settlements, and the rows of those with ``start <= time <= end``, oldest first."""
        held = self.market.settlements(name, self.now_ms)
        if held is None:
            raise self.unknown_symbol()
        return held, np.flatnonzero((held.time >= start) & (held.time <= end)).tolist()

    def metric(self, name: str, what: str, time: int) -> float:
        """A figure of open interest or a ratio that only depends on the moment."""
        seed = sum(map(ord, name + what))
        wave = (time // 300_000 * 7 + seed) % 101
        return METRIC_START + wave if what == "open_interest" else round(0.5 + wave / 100, 4)

    def metric_times(self, timeframe: str, start: int, end: int) -> list[int]:
        """The moments of figures with ``start <= time <= end``, up to now."""
        step = timeframe_ms(timeframe)
        return list(range(-(-start // step) * step, min(end, self.now_ms) + 1, step))

    def prints(self, name: str, limit: int) -> list[Any]:
        """The newest trades as (id, time, price, quantity, bought), oldest first."""
        return self.recent_prints(name, 0, self.now_ms, limit, oldest=False)


def text(value: float) -> str:
    """A number as short as it is exact."""
    return np.format_float_positional(value, trim="-")


def uuid_of(number: int) -> str:
    """The UUID of a trade, for exchanges that number them so."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))

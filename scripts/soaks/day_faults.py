"""Faults of a day, drawn by a seed and laid over the exchange on loopback; counted by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from data.market import SeriesKey, short_symbol
from data.timeframes import HOUR_MS, MINUTE_MS
from tests.exchange.binance_server import BinanceServer
from tests.exchange.market import BarChange

A_SYMBOL = ("duplicate", "reorder", "drop", "delay")  # of one symbol's streams for some minutes, each hour


def lay_faults(
    server: BinanceServer, keys: list[SeriesKey], start_ms: int, end_ms: int, rng: np.random.Generator
) -> dict[str, int]:
    """Every kind of fault between two moments, except in the last ten minutes: how many of each."""
    laid: Counter[str] = Counter()
    last = end_ms - 10 * MINUTE_MS
    symbols = sorted({short_symbol(key.symbol).lower() for key in keys})

    def moment(hour: int) -> int:
        return int(rng.integers(hour, max(hour + 1, min(hour + HOUR_MS, last - 5 * MINUTE_MS))))

    for number, hour in enumerate(range(start_ms, last, HOUR_MS)):
        for _ in range(2):
            server.faults.do(moment(hour), server.hub.drop)
            laid["disconnect"] += 1
        for name in A_SYMBOL:
            at = moment(hour)
            stream = f"{rng.choice(symbols)}@kline_*"
            server.faults.add(name, stream=stream, at_ms=at, until_ms=at + 4 * MINUTE_MS, times=40)
            laid[name] += 1
        server.faults.add("wrong json", stream="*", at_ms=moment(hour), times=3)
        server.faults.add("5xx", path="/klines", at_ms=(at := moment(hour)), until_ms=at + 45_000)
        for name in ("wrong json", "html", "cut", "null"):
            server.faults.add(name, path="/klines", at_ms=moment(hour), times=1)
            laid[f"REST {name}"] += 1
        laid.update({"stream wrong json": 1, "REST 5xx": 1})
        if number % 2 == 0:
            server.faults.add("limit", path="", at_ms=moment(hour), times=1)
            laid["REST 429"] += 1
        if number % 6 == 0:
            server.faults.add("silence", at_ms=(at := moment(hour)), until_ms=at + 4 * MINUTE_MS, everyone=True)
            gone = moment(hour)
            server.faults.do(gone, server.stop_listening)
            server.faults.do(gone + 3 * MINUTE_MS, server.start_listening)
            laid.update({"silence": 1, "network gone": 1})
        if number % 12 == 1:
            server.faults.add("ban", path="/klines", at_ms=moment(hour), times=1)
            laid["REST 418"] += 1
        _change_bars(server, keys, partial(moment, hour), last, rng, laid)
    return dict(laid)


def _change_bars(
    server: BinanceServer,
    keys: list[SeriesKey],
    moment: Callable[[], int],
    last_ms: int,
    rng: np.random.Generator,
    laid: Counter[str],
) -> None:
    """Missing for a while, impossible at first, revised later, spiked in the stream: of random bars of an hour."""
    kinds = ("missing", "missing for long", "impossible", "revised", "spike")
    for kind in kinds * 2:
        key = keys[int(rng.integers(len(keys)))]
        name, step = short_symbol(key.symbol), key.step_ms
        time = moment() // step * step
        close = time + step
        if close + 5 * MINUTE_MS > last_ms:
            continue
        values: dict[str, float] | None = None
        span = {"until_ms": close + int(rng.integers(1_000, 4_000))}
        where = "both"
        if kind == "missing for long":
            span = {"until_ms": close + 4 * MINUTE_MS}
        elif kind == "impossible":
            values = {"high": float("nan")}
        elif kind == "revised":
            values, span = {"volume": 777.0}, {"from_ms": close + int(rng.integers(30_000, 3 * MINUTE_MS))}
        elif kind == "spike":
            values, span, where = {"high": 1e7}, {}, "stream"
        server.market.changes.append(BarChange(name, key.timeframe, time, values, where=where, **span))
        laid[kind] += 1

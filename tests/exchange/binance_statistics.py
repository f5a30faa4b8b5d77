"""Binance USD-M futures' open interest and ratios: smooth made-up series, the same at every look.

They reach back thirty days; ``/futures/data`` has a limit of its own (1,000 requests in five minutes). Time stamps of
the ratios are texts, as recorded.
"""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS
from tests.exchange.binance_rest import BinanceError, limit_of, number, symbol_of
from tests.exchange.loopback import Request, Route
from tests.exchange.tape import uniform

if TYPE_CHECKING:
    from tests.exchange.binance_server import BinanceServer

PERIODS = {
    "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS, "1h": HOUR_MS, "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS, "6h": 6 * HOUR_MS, "12h": 12 * HOUR_MS, "1d": DAY_MS,
}  # fmt: skip
KEPT_MS = 30 * DAY_MS
MOST = 500


def drift(name: str, what: str, moment_ms: int) -> float:
    """A number around 0 (within ±1) that moves over the day, with some noise."""
    seed = zlib.crc32(f"{name} {what}".encode())
    noise = float(uniform(seed ^ moment_ms, 1)[0]) - 0.5
    return 0.8 * float(np.sin(2 * np.pi * (moment_ms / DAY_MS + seed / 2**32))) + 0.4 * noise


def open_interest(name: str, moment_ms: int) -> float:
    """Open interest of a symbol, base units."""
    return round(50_000 * (1 + 0.2 * drift(name, "interest", moment_ms)), 3)


def _moments(server: BinanceServer, request: Request) -> tuple[str, int, list[int]]:
    query = request.query
    name, period = symbol_of(server, query), query.get("period", "")
    if period not in PERIODS:
        raise BinanceError(-1130, "Data sent for parameter 'period' is not valid.")
    limit = min(limit_of(query, 30, MOST), server.most_per_page)
    step, now = PERIODS[period], server.now_ms
    start = number(query, "startTime", now - KEPT_MS)
    if start < now - KEPT_MS - step:
        raise BinanceError(-1130, "parameter 'startTime' is invalid.")
    first = max(start, int(server.market.base(name).open_time[0]))
    end = min(number(query, "endTime", now), now)
    found = range(-(-first // step) * step, end + 1, step)
    return name, step, list(found[:limit] if "startTime" in query else found[-limit:])


def _open_interest(server: BinanceServer, request: Request) -> dict[str, Any]:
    name = symbol_of(server, request.query)
    return {"openInterest": f"{open_interest(name, server.now_ms):.3f}", "symbol": name, "time": server.now_ms}


def _open_interest_history(server: BinanceServer, request: Request) -> list[dict[str, Any]]:
    name, _, moments = _moments(server, request)
    return [
        {"symbol": name, "sumOpenInterest": f"{open_interest(name, at):.8f}",
         "sumOpenInterestValue": f"{open_interest(name, at) * server.price_at(name, at):.8f}", "timestamp": str(at)}
        for at in moments
    ]  # fmt: skip


def _long_short(what: str, server: BinanceServer, request: Request) -> list[dict[str, Any]]:
    name, _, moments = _moments(server, request)
    found = []
    for at in moments:
        long = 0.55 + 0.15 * drift(name, what, at)
        found.append(
            {"symbol": name, "longShortRatio": f"{long / (1 - long):.4f}", "longAccount": f"{long:.4f}",
             "shortAccount": f"{1 - long:.4f}", "timestamp": str(at)}
        )  # fmt: skip
    return found


def _taker(server: BinanceServer, request: Request) -> list[dict[str, Any]]:
    name, step, moments = _moments(server, request)
    frame = server.market.base(name)
    found = []
    for at in moments:
        volume = float(frame.between(at, at + step).volume.sum())
        bought = volume * (0.5 + 0.2 * drift(name, "taker", at))
        ratio = bought / (volume - bought) if volume else 1.0
        found.append(
            {"buySellRatio": f"{ratio:.4f}", "buyVol": f"{bought:.4f}", "sellVol": f"{volume - bought:.4f}",
             "timestamp": str(at)}
        )  # fmt: skip
    return found


ROUTES: tuple[Route, ...] = (
    Route("/fapi/v1/openInterest", _open_interest),
    Route("/futures/data/openInterestHist", _open_interest_history, 0),
    Route("/futures/data/globalLongShortAccountRatio", partial(_long_short, "accounts"), 0),
    Route("/futures/data/topLongShortAccountRatio", partial(_long_short, "top accounts"), 0),
    Route("/futures/data/topLongShortPositionRatio", partial(_long_short, "top positions"), 0),
    Route("/futures/data/takerlongshortRatio", _taker, 0),
)

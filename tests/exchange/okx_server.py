"""An exchange on loopback that speaks OKX's public REST (v5, swaps) and shows the same market.

Amounts are contracts. Shapes: the comments of ccxt's parsers; https://www.okx.com/docs-v5/en/
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from data.timeframes import DAY_MS, timeframe_ms
from tests.exchange.loopback import Refusal, Request, Route
from tests.exchange.peer_server import LISTED_MS, MAX_LEVERAGE, PeerServer, text
from tests.exchange.peer_streams import Command, Topic, okx_command, okx_topic

BARS = {"1m": "1m", "5m": "5m", "15m": "15m", "1H": "1h", "4H": "4h", "1Dutc": "1d"}
UNITS = {"BTC": Decimal("0.01"), "ETH": Decimal("0.1")}  # base units in a contract; others: 1
RECENT_BARS = 1440
LATE_BARS = 2  # the history ends so many closed bars before now
HISTORY_PAGE = 100  # the documented limit; asked for more, it still sends no more
RECENT_PAGE = 300
MAX_FUNDING = 100
FUNDING_KEPT_MS = 92 * DAY_MS
MAX_METRICS = 100
TIERS = (("0", "5000", "0.004", "100"), ("5001", "20000", "0.005", "75"), ("20001", "80000", "0.01", "50"))
STATUS = {"TRADING": "live", "SETTLING": "suspend", "PENDING_TRADING": "preopen", "CLOSE": "expired"}


class OkxServer(PeerServer):
    """``async with OkxServer(clock) as server:`` listens on ``server.url``."""

    history_page = HISTORY_PAGE

    def routes(self) -> Iterable[Route]:
        return ROUTES

    socket_path = "/ws/v5/{kind}"

    def command(self, text: str) -> Command:
        return okx_command(text)

    def topic(self, key: str) -> Topic | None:
        return okx_topic(self, BARS, key)

    def answer(self, rows: list[Any]) -> dict[str, Any]:
        """The envelope."""
        return {"code": "0", "msg": "", "data": rows}

    def refusal(self, code: int, message: str) -> Refusal:
        """OKX answers errors of parameters with HTTP 400, others with 200."""
        return Refusal({"code": str(code), "msg": message, "data": []}, 400 if code == 51001 else 200)

    def unknown_symbol(self) -> Refusal:
        return self.refusal(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")

    def asked_for(self, request: Request) -> str:
        """Our name of the ``instId`` of a request: a swap, or the index of the same family."""
        parts = request.query.get("instId", "").split("-")
        return self.known("".join(parts[:2]) if parts[2:] in (["SWAP"], []) else "")

    def unit(self, name: str) -> Decimal:
        """Base units in a contract."""
        return UNITS.get(name.removesuffix("USDT"), Decimal(1))

    def contracts(self, name: str, amount: str) -> str:
        """An amount of base units in contracts."""
        return f"{(Decimal(amount) / self.unit(name)).normalize():f}"


def _id(name: str, kind: str = "-SWAP") -> str:
    return f"{name.removesuffix('USDT')}-USDT{kind}"


def _window(query: dict[str, str]) -> tuple[int, int]:
    """``after`` is older than, ``before`` newer than: both exclusive."""
    return int(query.get("before", -1)) + 1, int(query.get("after", 10**15)) - 1


def _time(server: OkxServer, _: Request) -> dict[str, Any]:
    return server.answer([{"ts": str(server.now_ms)}])


def _instruments(server: OkxServer, request: Request) -> dict[str, Any]:
    if request.query.get("instType") != "SWAP":
        return server.answer([])
    rows = [_instrument(server, name) for name in server.market.traded(server.now_ms)]
    return server.answer([*rows, {"instId": "", "instType": "SWAP", "state": "preopen"}])


def _instrument(server: OkxServer, name: str) -> dict[str, Any]:
    rules = server.market.rules(name, server.now_ms)
    unit, lot = server.unit(name), server.contracts(name, str(rules.lot))
    return {
        "alias": "", "baseCcy": "", "category": "1", "ctMult": "1", "ctType": "linear", "ctVal": str(unit),
        "ctValCcy": name.removesuffix("USDT"), "expTime": "", "instFamily": _id(name, ""), "instId": _id(name),
        "instType": "SWAP", "lever": str(MAX_LEVERAGE), "listTime": str(LISTED_MS), "lotSz": lot,
        "maxLmtSz": "100000000", "maxMktSz": "85000", "minSz": lot, "optType": "", "quoteCcy": "", "ruleType": "normal",
        "settleCcy": "USDT", "state": STATUS[rules.status], "stk": "", "tickSz": str(rules.tick), "uly": _id(name, ""),
    }  # fmt: skip


def _candles(series: str, history: bool, server: OkxServer, request: Request) -> dict[str, Any]:
    query = request.query
    name = server.asked_for(request)
    timeframe = BARS.get(query.get("bar", "1m"))
    if timeframe is None:
        raise server.refusal(51000, "Parameter bar error")
    start, end = _window(query)
    step = timeframe_ms(timeframe)
    newest = server.now_ms // step * step
    if history:
        end = min(end, newest - (LATE_BARS + 1) * step)
    else:
        start = max(start, newest - (RECENT_BARS - 1) * step)
    page = server.history_page if history or series != "candles" else RECENT_PAGE
    bars = server.bars(series, name, timeframe, start, end)[-min(int(query.get("limit", 100)), page) :]
    rows = []
    for b in reversed(bars):
        prices = [str(b.open_ms), text(b.open), text(b.high), text(b.low), text(b.close)]
        amount = text(b.volume)
        amounts = [server.contracts(name, amount), amount, text(b.volume * b.close)] if series == "candles" else []
        rows.append([*prices, *amounts, "1" if server.is_closed(b, timeframe) else "0"])
    return server.answer(rows)


def _funding_history(server: OkxServer, request: Request) -> dict[str, Any]:
    query = request.query
    name = server.asked_for(request)
    start, end = _window(query)
    held, rows = server.paid(name, max(start, server.now_ms - FUNDING_KEPT_MS), end)
    limit = min(int(query.get("limit", MAX_FUNDING)), MAX_FUNDING)
    return server.answer(
        [
            {"instType": "SWAP", "instId": _id(name), "fundingRate": text(held.rate[i] * 1.01), "formulaType": "noRate",
             "realizedRate": text(held.rate[i]), "fundingTime": str(held.time[i]), "method": "current_period"}
            for i in reversed(rows[-limit:])
        ]
    )  # fmt: skip


def _funding_rate(server: OkxServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    now = server.now_ms
    due = server.market.next_settlement(name, now)
    return server.answer(
        [
            {"fundingRate": text(server.market.coming_rate(name, now)), "fundingTime": str(due), "instId": _id(name),
             "instType": "SWAP", "method": "current_period", "maxFundingRate": "0.00375", "minFundingRate": "-0.00375",
             "nextFundingRate": "", "nextFundingTime": str(server.market.next_settlement(name, due)), "premium": "0",
             "settFundingRate": "0.0001", "settState": "settled", "ts": str(now)}
        ]
    )  # fmt: skip


def _mark_price(server: OkxServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    price = text(server.mark_price(name) or 0.0)
    return server.answer([{"instId": _id(name), "instType": "SWAP", "markPx": price, "ts": str(server.now_ms)}])


def _index(server: OkxServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    price = text(server.index_price(name) or 0.0)
    return server.answer(
        [{"instId": _id(name, ""), "idxPx": price, "high24h": price, "sodUtc0": price, "open24h": price,
          "low24h": price, "sodUtc8": price, "ts": str(server.now_ms)}]
    )  # fmt: skip


def _open_interest(server: OkxServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    amount = server.metric(name, "open_interest", server.now_ms)
    return server.answer(
        [{"instId": _id(name), "instType": "SWAP", "oi": server.contracts(name, text(amount)), "oiCcy": text(amount),
          "oiUsd": text(amount * (server.mark_price(name) or 0.0)), "ts": str(server.now_ms)}]
    )  # fmt: skip


def _metric(what: str, server: OkxServer, request: Request) -> dict[str, Any]:
    """Both bounds are exclusive; without them the newest."""
    query = request.query
    name = server.asked_for(request)
    timeframe = BARS[query.get("period", "5m")]
    start = int(query.get("begin", server.now_ms - DAY_MS)) + 1
    times = server.metric_times(timeframe, start, int(query.get("end", server.now_ms + 1)) - 1)
    limit = min(int(query.get("limit", MAX_METRICS)), MAX_METRICS)
    return server.answer([_metric_row(server, name, what, time) for time in reversed(times[-limit:])])


def _metric_row(server: OkxServer, name: str, what: str, time: int) -> list[str]:
    value = server.metric(name, what, time)
    if what == "open_interest":
        return [str(time), server.contracts(name, text(value)), text(value), text(value * 20_000)]
    if what == "taker_ratio":
        return [str(time), "100", text(100 * value)]  # sold, bought
    return [str(time), text(value)]


def _trades(server: OkxServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    return server.answer(
        [
            {"instId": _id(name), "side": "buy" if bought else "sell", "sz": server.contracts(name, q), "px": p,
             "tradeId": str(id_), "ts": str(at)}
            for id_, at, p, q, bought in reversed(server.prints(name, min(int(request.query.get("limit", 100)), 500)))
        ]
    )  # fmt: skip


def _books(server: OkxServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    book: Any = server.snapshot(name, min(int(request.query.get("sz", 1)), 400))
    sides = {side: [[p, server.contracts(name, q), "0", "1"] for p, q in book[side]] for side in ("asks", "bids")}
    return server.answer([{**sides, "ts": str(server.now_ms), "seqId": book["lastUpdateId"]}])


def _tiers(server: OkxServer, request: Request) -> dict[str, Any]:
    family = request.query["instFamily"]
    return server.answer(
        [
            {"baseMaxLoan": "", "imr": "0.01", "instFamily": family, "instId": "", "maxLever": leverage, "maxSz": most,
             "minSz": least, "mmr": rate, "optMgnFactor": "0", "quoteMaxLoan": "", "tier": str(i + 1), "uly": family}
            for i, (least, most, rate, leverage) in enumerate(TIERS)
        ]
    )  # fmt: skip


RUBIK = "/api/v5/rubik/stat"
ROUTES = (
    Route("/api/v5/public/time", _time),
    Route("/api/v5/public/instruments", _instruments),
    Route("/api/v5/market/candles", partial(_candles, "candles", False)),
    Route("/api/v5/market/history-candles", partial(_candles, "candles", True)),
    Route("/api/v5/market/mark-price-candles", partial(_candles, "mark", False)),
    Route("/api/v5/market/history-mark-price-candles", partial(_candles, "mark", True)),
    Route("/api/v5/market/index-candles", partial(_candles, "index", False)),
    Route("/api/v5/market/history-index-candles", partial(_candles, "index", True)),
    Route("/api/v5/public/funding-rate-history", _funding_history),
    Route("/api/v5/public/funding-rate", _funding_rate),
    Route("/api/v5/public/mark-price", _mark_price),
    Route("/api/v5/market/index-tickers", _index),
    Route("/api/v5/public/open-interest", _open_interest),
    Route("/api/v5/public/position-tiers", _tiers),
    Route(f"{RUBIK}/contracts/open-interest-history", partial(_metric, "open_interest")),
    Route(f"{RUBIK}/contracts/long-short-account-ratio-contract", partial(_metric, "account_ratio")),
    Route(f"{RUBIK}/contracts/long-short-account-ratio-contract-top-trader", partial(_metric, "top_account_ratio")),
    Route(f"{RUBIK}/contracts/long-short-position-ratio-contract-top-trader", partial(_metric, "top_position_ratio")),
    Route(f"{RUBIK}/taker-volume-contract", partial(_metric, "taker_ratio")),
    Route("/api/v5/market/trades", _trades),
    Route("/api/v5/market/books", _books),
)

"""D4 the order book and D5 trades of a recorded session, message by message; the peer is ccxt.pro's own handling."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.environments import PeerMissing
from scripts.benchmarks.rows import Goal, Row, absent, measured
from scripts.benchmarks.timing import in_turn, timed

ROOT = Path(__file__).resolve().parent.parent.parent
SESSION = Path("orderbook") / "binance_usdm_btcusdt_20240808_raw.jsonl.gz"
SYMBOL = "BTC/USDT:USDT"
REACH = Goal("≥ 1×", ratio=1.0)
RECEIVED_MS = 1_723_161_256_400


def books(bench: Bench) -> list[Row]:
    """D4: every diff read and put into the book, the top ten taken after each."""
    what = "depth messages of a recorded session into the book"
    try:
        texts = _texts("@depth")
    except PeerMissing as missing:
        return [absent("D4", what, "messages/s", REACH.words, str(missing))]
    from data.exchange.binance_messages import read_message
    from data.orderbook import DepthSync
    from data.recorded import snapshot_of

    (first,) = _texts('"lastUpdateId"')
    snapshot = json.loads(first)

    def ours() -> None:
        book = DepthSync(SYMBOL)
        for text in texts[:1]:
            for event in read_message(None, json.loads(text), RECEIVED_MS):
                book.on_delta(event)  # type: ignore[arg-type]
        book.on_snapshot(snapshot_of(SYMBOL, snapshot, RECEIVED_MS))
        for text in texts[1:]:
            for event in read_message(None, json.loads(text), RECEIVED_MS):
                book.on_delta(event)  # type: ignore[arg-type]
            book.top()
        assert book.applied + book.old > len(texts) - 10

    def theirs() -> None:
        exchange = _exchange()
        levels = {side: [[float(p), float(q)] for p, q in snapshot[side]] for side in ("bids", "asks")}
        start = {**levels, "nonce": snapshot["lastUpdateId"], "symbol": SYMBOL}
        exchange.orderbooks[SYMBOL] = exchange.order_book(start)
        client = _Client()
        for text in texts:
            exchange.handle_message(client, json.loads(text))
            book = exchange.orderbooks[SYMBOL]
            assert book["bids"][:10] and book["asks"][:10]
        assert not client.refused

    mine, other = in_turn(timed(ours), timed(theirs), rounds=3)
    return [_row("D4", what, len(texts), mine, other, "from text to the top ten after every message")]


def trades(bench: Bench) -> list[Row]:
    """D5: every trade read and put into the last thousand."""
    what = "trade messages of a recorded session into the last 1,000"
    try:
        texts = _texts("@trade")
    except PeerMissing as missing:
        return [absent("D5", what, "messages/s", REACH.words, str(missing))]
    from data.exchange.binance_messages import read_message
    from data.trade_flow import TradeFlow

    def ours() -> None:
        flow = TradeFlow(SYMBOL)
        for text in texts:
            for event in read_message(None, json.loads(text), RECEIVED_MS):
                flow.on_trade(event)  # type: ignore[arg-type]
        assert len(flow) == 1000

    def theirs() -> None:
        exchange, client = _exchange(), _Client()
        for text in texts:
            exchange.handle_message(client, json.loads(text))
        assert len(exchange.trades[SYMBOL]) == 1000

    mine, other = in_turn(timed(ours), timed(theirs), rounds=3)
    return [_row("D5", what, len(texts), mine, other, "from text to the trades held, ids checked")]


def _row(row_id: str, what: str, count: int, mine: float, other: float, note: str) -> Row:
    import ccxt

    peer = f"ccxt.pro {ccxt.__version__} handle_message"
    return measured(
        row_id, what, count / mine, "messages/s", REACH, peer, count / other, note, more_is_better=True
    )  # fmt: skip


def _texts(holding: str) -> list[str]:
    """Messages of the session that hold a word near their beginning, without the recorder's times."""
    folder = Path(os.environ.get("QUANTAI_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / SESSION
    if not path.is_file():
        raise PeerMissing("the recorded session is not on this machine")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.split(" ", 1)[1] for line in file if holding in line[:60]]


class _Client:
    """What ccxt's handlers need of a connection."""

    url = "wss://fstream.binance.com/public/ws"

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}
        self.refused: list[object] = []

    def resolve(self, result: object, name: str) -> None:
        """Nobody waits."""

    def reject(self, error: object, name: str = "") -> None:
        """A break, as ccxt sees it."""
        self.refused.append(error)


def _exchange() -> Any:
    import ccxt.pro

    exchange = ccxt.pro.binanceusdm()
    market = {
        "id": "BTCUSDT", "symbol": SYMBOL, "base": "BTC", "quote": "USDT", "settle": "USDT", "baseId": "BTC",
        "quoteId": "USDT", "settleId": "USDT", "type": "swap", "swap": True, "spot": False, "contract": True,
        "linear": True, "inverse": False, "active": True, "precision": {"price": 0.1, "amount": 0.001},
    }  # fmt: skip
    exchange.set_markets([exchange.safe_market_structure(market)])
    return exchange

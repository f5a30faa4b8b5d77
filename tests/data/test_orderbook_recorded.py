"""The depth code on recorded sessions: the book, the trades and the best prices are those of the oracles beside them.

Sources (``MANIFEST.md`` of the shared data): a raw session of Binance USD-M futures of 2024-08-08 from hftbacktest with
its parquet oracle, cryptofeed's recorded session of four symbols, and snapshots of Nautilus Trader and tardis.dev.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.exchange.events import BookDelta, BookSnapshot, MarketEvent, TradePrint
from data.observations import BOOK_DEPTH, Observations
from data.observed import books_of, events_of, sampled, tick_key, trades_of
from data.orderbook import BookTop, DepthSync, OrderBook, SyncStep
from data.recorded import recorded_events, recorder_offset_ms
from data.trade_flow import TradeFlow

pytestmark = pytest.mark.data
BTC = "BTC/USDT:USDT"
SESSION = "orderbook/binance_usdm_btcusdt_20240808"
FOUR = ("SUSHI/USDT:USDT", "AKRO/USDT:USDT", "KEEP/USDT:USDT", "CTK/USDT:USDT")


@dataclass(frozen=True)
class Session:
    book: list[BookDelta | BookSnapshot]
    trades: list[TradePrint]
    depth: pd.DataFrame
    ticker: pd.DataFrame
    prints: pd.DataFrame


@pytest.fixture(scope="module")
def session(shared_data: Path) -> Session:
    raw = [shared_data / f"{SESSION}_raw.jsonl.gz"]
    events = list(recorded_events(raw, recorder_offset_ms(raw)))
    tables = [pd.read_parquet(shared_data / f"{SESSION}_{n}.parquet") for n in ("depth_l2", "bookticker", "trades")]
    book = [e for e in events if isinstance(e, BookDelta | BookSnapshot)]
    return Session(book, [e for e in events if isinstance(e, TradePrint)], *tables)


@pytest.fixture(scope="module")
def four(shared_data: Path) -> list[MarketEvent]:
    folder = shared_data / "fixtures/cryptofeed"
    return list(recorded_events([folder / f"BINANCE_FUTURES.{n}.0.txt.gz" for n in ("http.0", "ws.1")]))


def feed(sync: DepthSync, event: MarketEvent) -> SyncStep | None:
    if isinstance(event, BookDelta):
        return sync.on_delta(event)
    return sync.on_snapshot(event) if isinstance(event, BookSnapshot) else None


def rebuilt(depth: pd.DataFrame, upto: int, snapshot_id: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole book after update ``upto`` by pandas alone: the last size of every price, snapshot rows first."""
    start = depth[depth["pu"] == -1]
    after = depth[(depth["pu"] != -1) & (depth["u"] >= snapshot_id) & (depth["u"] <= upto)]
    levels = pd.concat([start, after]).drop_duplicates(["side", "price"], keep="last")
    levels = levels[levels["qty"] > 0].sort_values("price")
    bids, asks = (levels.loc[levels["side"] == s, ["price", "qty"]].to_numpy() for s in (1, -1))
    return bids[::-1], asks


def test_the_diffs_are_those_of_the_oracle_level_by_level(session: Session) -> None:
    rows = [
        (e.last_id, side, price, size)
        for e in session.book
        if isinstance(e, BookDelta)
        for side, levels in ((1, e.bids), (-1, e.asks))
        for price, size in levels.tolist()
    ]
    oracle = session.depth[session.depth["pu"] != -1]
    assert len(rows) == len(oracle) == 443_521
    np.testing.assert_array_equal(np.array(rows), oracle[["u", "side", "price", "qty"]].to_numpy(dtype=np.float64))
    diffs = [e for e in session.book if isinstance(e, BookDelta)]
    numbers = oracle.drop_duplicates("u")[["U", "u", "pu", "exch_ms"]]
    assert [(e.first_id, e.last_id, e.previous_id, e.event_ms) for e in diffs] == [
        tuple(row) for row in numbers.to_numpy().tolist()
    ]


def test_the_book_is_the_oracles_at_many_moments_and_at_the_end(session: Session) -> None:
    snapshot_id = next(e.update_id for e in session.book if isinstance(e, BookSnapshot))
    sync, compared = DepthSync(BTC), 0
    for number, event in enumerate(session.book):
        feed(sync, event)
        if sync.book is None or (number % 130 and number != len(session.book) - 1):
            continue
        bids, asks = rebuilt(session.depth, sync.book.update_id, snapshot_id)
        held = sync.book.levels()
        np.testing.assert_array_equal(held[0], bids)
        np.testing.assert_array_equal(held[1], asks)
        top = sync.top()
        if top is not None:  # as far as the snapshot lets it be seen, the ten best
            np.testing.assert_array_equal(top.bids, bids[: len(top.bids)])
            np.testing.assert_array_equal(top.asks, asks[:BOOK_DEPTH])
            assert len(top.bids) == BOOK_DEPTH or sync.needs_snapshot
        compared += 1
    assert compared == 51
    assert sync.book is not None and [len(side) for side in sync.book.levels()] == [5018, 4578]
    assert (sync.applied, sync.old, sync.gaps, sync.resyncs) == (6547, 0, 0, 0)


def test_the_best_prices_are_those_the_exchange_tells_by_itself(session: Session) -> None:
    """``bookTicker`` carries the same numbers: where one is that of an update, both say the same."""
    ticker = session.ticker.drop_duplicates("u", keep="last").set_index("u")
    told = dict(
        zip(ticker.index.tolist(), ticker[["bid", "bid_qty", "ask", "ask_qty"]].to_numpy().tolist(), strict=True)
    )
    sync, compared, hidden = DepthSync(BTC), 0, 0
    for event in session.book:
        feed(sync, event)
        if sync.book is None or sync.book.update_id not in told:
            continue
        top = sync.top()
        if top is None:
            hidden += 1
            continue
        assert [*top.bids[0], *top.asks[0]] == told[sync.book.update_id]
        compared += 1
    # In these six minutes the price falls below the last of the snapshot's 1,000 bids: there nothing is claimed.
    assert (compared, hidden) == (559, 70)


def test_the_trades_are_those_of_the_oracle(session: Session) -> None:
    got = np.array([(t.time_ms, t.trade_id, t.price, t.quantity, t.side < 0) for t in session.trades])
    np.testing.assert_array_equal(
        got, session.prints[["exch_ms", "trade_id", "price", "qty", "buyer_is_maker"]].to_numpy(dtype=np.float64)
    )


def test_the_flow_figures_are_those_of_pandas_at_many_moments(session: Session) -> None:
    flow = TradeFlow(BTC)
    for number, trade in enumerate(session.trades, 1):
        flow.on_trade(trade)
        if number % 1777 and number not in (1, 999, 1000, 1001, len(session.trades)):
            continue
        window = session.prints.iloc[max(0, number - 1000) : number]
        bought = window.loc[~window["buyer_is_maker"], "qty"].sum()
        sold = window.loc[window["buyer_is_maker"], "qty"].sum()
        assert len(flow) == len(window)
        assert flow.imbalance == pytest.approx((bought - sold) / (bought + sold), abs=1e-12)
        assert flow.buy_pressure == pytest.approx(bought / (bought + sold), abs=1e-12)
        assert flow.vwap == pytest.approx((window["price"] * window["qty"]).sum() / window["qty"].sum(), rel=1e-12)
        assert flow.span_ms == window["exch_ms"].iloc[-1] - window["exch_ms"].iloc[0]
        assert flow.missing == 0
    assert (flow.added, flow.gaps, flow.duplicates) == (21_313, 0, 0)


def test_every_break_planted_into_the_session_is_told_at_once_and_mended_by_a_snapshot(session: Session) -> None:
    whole, sync, planted = DepthSync(BTC), DepthSync(BTC), 0
    for number, event in enumerate(session.book):
        feed(whole, event)
        if number > 100 and number % 97 == 0:
            planted += 1
            continue
        step = feed(sync, event)
        assert (step is SyncStep.GAP) == (number > 100 and number % 97 == 1)
        if step is SyncStep.GAP:
            assert sync.book is None and whole.book is not None
            bids, asks = whole.book.levels()
            snapshot = BookSnapshot(BTC, event.last_id, bids, asks, event.event_ms, event.received_ms)
            assert sync.on_snapshot(snapshot) is SyncStep.SYNCED
    assert planted == sync.gaps == sync.resyncs == 66
    assert sync.book is not None and whole.book is not None
    for mended, untouched in zip(sync.book.levels(), whole.book.levels(), strict=True):
        np.testing.assert_array_equal(mended, untouched)


def test_the_four_books_of_cryptofeed_meet_their_snapshots_without_a_break(four: list[MarketEvent]) -> None:
    syncs = {symbol: DepthSync(symbol) for symbol in FOUR}
    for event in four:
        if isinstance(event, BookDelta | BookSnapshot):
            feed(syncs[event.symbol], event)
    counted = {s: (k.applied, k.old, k.gaps, k.refused) for s, k in syncs.items()}
    assert all(k.book is not None for k in syncs.values()), counted
    assert sum(applied + old for applied, old, _, _ in counted.values()) == 764 - sum(before(four).values())
    assert all(gaps == refused == 0 for _, _, gaps, refused in counted.values()), counted


def before(events: list[MarketEvent]) -> dict[str, int]:
    """How many diffs of each symbol came before its snapshot and end before its number."""
    numbers = {e.symbol: e.update_id for e in events if isinstance(e, BookSnapshot)}
    count, seen = dict.fromkeys(numbers, 0), set[str]()
    for event in events:
        if isinstance(event, BookSnapshot):
            seen.add(event.symbol)
        elif isinstance(event, BookDelta) and event.symbol not in seen:
            count[event.symbol] += event.last_id < numbers[event.symbol]
    return count


@pytest.mark.parametrize("symbol", FOUR)
def test_every_update_of_cryptofeeds_session_that_is_taken_out_is_told(four: list[MarketEvent], symbol: str) -> None:
    events = [e for e in four if isinstance(e, BookDelta | BookSnapshot) and e.symbol == symbol]
    clean = DepthSync(symbol)
    number = next(e.update_id for e in events if isinstance(e, BookSnapshot))
    applied = [i for i, e in enumerate(events) if feed(clean, e) is SyncStep.APPLIED and e.last_id > number]
    assert len(applied) > 100
    for lost in applied[:-1]:
        sync = DepthSync(symbol)
        steps = [feed(sync, e) for i, e in enumerate(events) if i != lost]
        assert steps.index(SyncStep.GAP) == lost  # the one after it, at once
        assert sync.book is None


@pytest.mark.parametrize("symbol", FOUR)
def test_cryptofeeds_books_agree_with_the_best_prices_told_beside_them(
    shared_data: Path, four: list[MarketEvent], symbol: str
) -> None:
    told = dict(tickers(shared_data / "fixtures/cryptofeed/BINANCE_FUTURES.ws.1.0.txt.gz", symbol))
    sync, compared = DepthSync(symbol), 0
    for event in four:
        if not isinstance(event, BookDelta | BookSnapshot) or event.symbol != symbol:
            continue
        feed(sync, event)
        top = sync.top()
        if top is not None and top.update_id in told:
            assert [*top.bids[0], *top.asks[0]] == told[top.update_id]
            compared += 1
    assert compared > 5


def tickers(path: Path, symbol: str) -> Iterator[tuple[int, list[float]]]:
    from data.market import short_symbol
    from data.recorded import recorded_lines

    for line in recorded_lines([path]):
        data = line.payload["data"]
        if data["e"] == "bookTicker" and data["s"] == short_symbol(symbol):
            yield data["u"], [float(data[name]) for name in ("b", "B", "a", "A")]


def nautilus(path: Path) -> list[BookDelta | BookSnapshot]:
    """Snapshot or diffs as Nautilus Trader's download of Binance's historical depth has them, one level a row."""
    table = pd.read_csv(path)
    events: list[BookDelta | BookSnapshot] = []
    for number, rows in table.groupby("last_update_id", sort=True):
        bids, asks = (rows.loc[rows["side"] == s, ["price", "qty"]].to_numpy(dtype=np.float64) for s in ("b", "a"))
        first, previous, moment = (int(rows[n].iloc[0]) for n in ("first_update_id", "pu", "timestamp"))
        if rows["update_type"].iloc[0] == "snap":
            events.append(BookSnapshot(BTC, int(str(number)), bids, asks, moment, moment))
        else:
            events.append(BookDelta(BTC, first, int(str(number)), previous, bids, asks, moment, moment))
    return events


def test_nautilus_snapshot_and_updates_from_much_later_are_not_made_into_one_book(shared_data: Path) -> None:
    snapshot, *rest = nautilus(shared_data / "fixtures/book/btcusdt-depth-snap.csv")
    updates = nautilus(shared_data / "fixtures/book/btcusdt-depth-update.csv")
    assert isinstance(snapshot, BookSnapshot) and not rest
    sync = DepthSync(BTC)
    assert sync.on_snapshot(snapshot) is SyncStep.SYNCED
    top = sync.top()
    assert top is not None
    np.testing.assert_array_equal(top.bids, snapshot.bids[:BOOK_DEPTH])
    np.testing.assert_array_equal(top.asks, snapshot.asks[:BOOK_DEPTH])
    [update] = updates
    assert isinstance(update, BookDelta) and update.previous_id is not None
    assert sync.on_delta(update) is SyncStep.GAP  # ten minutes lie between the two files
    assert sync.book is None
    assert sync.on_snapshot(replace(snapshot, update_id=update.previous_id)) is SyncStep.SYNCED  # had it met it
    assert sync.book is not None
    for held, first, changed in zip(
        sync.book.levels(), (snapshot.bids, snapshot.asks), (update.bids, update.asks), strict=True
    ):
        expected = {**dict(first.tolist()), **dict(changed.tolist())}
        assert dict(held.tolist()) == {price: size for price, size in expected.items() if size > 0}


@pytest.mark.parametrize("depth", [5, 25])
def test_tardis_snapshots_are_read_and_stored_as_they_are(shared_data: Path, depth: int) -> None:
    path = shared_data / f"fixtures/book/binance-futures_book_snapshot_{depth}_BTCUSDT.csv"
    tops: list[BookTop] = []
    with path.open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            sides = (
                np.array([[float(row[f"{s}[{k}].{w}"]) for w in ("price", "amount")] for k in range(depth)])
                for s in ("bids", "asks")
            )
            moment, known = int(row["timestamp"]) // 1000, int(row["local_timestamp"]) // 1000
            snapshot = BookSnapshot(BTC, number, *sides, moment, known)
            sync = DepthSync(BTC, windowed=True)
            assert sync.on_snapshot(snapshot) is SyncStep.SYNCED
            top = sync.top()
            assert top is not None
            assert top.bid == float(row["bids[0].price"]) and top.ask == float(row["asks[0].price"])
            np.testing.assert_array_equal(top.bids, snapshot.bids[:BOOK_DEPTH])
            np.testing.assert_array_equal(top.asks, snapshot.asks[:BOOK_DEPTH])
            tops.append(top)
    stored = books_of(tick_key("binanceusdm", BTC, "book"), tops)
    assert len(stored) == len(tops) == 10
    for top, again in zip(tops, events_of(stored), strict=True):
        assert isinstance(again, BookTop)
        np.testing.assert_array_equal(again.values(), top.values())


def test_a_recorded_session_becomes_stored_books_and_trades_and_back(session: Session) -> None:
    sync = DepthSync(BTC)
    tops = list(sampled(session.book, 1000, sync))
    stored = books_of(tick_key("binanceusdm", BTC, "book"), tops)
    assert isinstance(stored, Observations) and 300 < len(stored) <= 345
    assert (stored.known_at >= stored.time).all() and (np.diff(stored.known_at) >= 0).all()
    late = stored.known_at // 1000
    assert (np.diff(late) > 0).all()  # at most one a second
    snapshot_id = next(e.update_id for e in session.book if isinstance(e, BookSnapshot))
    for k in (0, 150, 280):
        bids, asks = rebuilt(session.depth, int(stored.id[k]), snapshot_id)
        top = events_of(stored.take(slice(k, k + 1)))[0]
        assert isinstance(top, BookTop)
        np.testing.assert_array_equal(top.bids, bids[: len(top.bids)])
        np.testing.assert_array_equal(top.asks, asks[: len(top.asks)])
    trades = trades_of(tick_key("binanceusdm", BTC, "trades"), session.trades)
    assert events_of(trades) == [replace(t, received_ms=max(t.received_ms, t.time_ms)) for t in session.trades]


def test_a_top_is_what_an_oracle_book_shows(session: Session) -> None:
    snapshot = next(e for e in session.book if isinstance(e, BookSnapshot))
    top = OrderBook(snapshot).top()
    np.testing.assert_array_equal(top.bids, snapshot.bids[:BOOK_DEPTH])
    assert (top.bid, top.ask) == (61800.2, 61800.3)

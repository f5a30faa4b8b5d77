"""Files of every kind besides candles and funding: layouts of archives and dialects, and what they become."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import UserError
from data.exchange.events import Liquidation
from data.import_layouts import kind_of
from data.importing import ImportPlan, ImportRequest, plan_import
from data.market import SeriesKey
from data.observations import BOOK_COLUMNS, BOOK_DEPTH, Observations
from data.observed import liquidations_of
from tests.data.candle_files import CLOCK, HOUR, START, bar, many, plan, refused, write

MINUTE = 60_000
AGG = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
LIQUIDATIONS = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
    "accumulated_fill_quantity"
)
TICKER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"


def of(kind: str, **options: str) -> ImportRequest:
    return ImportRequest("BTCUSDT", kind=kind, **options)


def observed(prepared: ImportPlan) -> Observations:
    assert isinstance(prepared.content, Observations)
    return prepared.content


def key(kind: str, timeframe: str = "tick") -> SeriesKey:
    return SeriesKey("binanceusdm", "BTC/USDT:USDT", timeframe, kind)


def trade(i: int) -> list[str]:
    """One aggregated trade of the archive: three in a second, the buyer the maker of every second one."""
    return [
        str(900 + i),
        "100.5",
        "0.25",
        str(2 * i),
        str(2 * i + 1),
        str(START + i * 333),
        "true" if i % 2 else "false",
    ]


# --- trades ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [AGG, None])
def test_aggregated_trades_of_the_archive_are_read(tmp_path: Path, header: str | None) -> None:
    rows = [trade(i) for i in range(50)]
    prepared = plan(write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv", rows, header), of("trades"))
    found = observed(prepared)
    assert found.key == prepared.key == key("trades")
    assert found.id.tolist() == list(range(900, 950))
    assert np.array_equal(found.time, START + 333 * np.arange(50))
    assert np.array_equal(found.known_at, found.time)
    assert found.values[:2].tolist() == [[100.5, 0.25, 1.0], [100.5, 0.25, -1.0]]
    assert prepared.span == (START, START + 49 * 333 + 1)


def test_single_trades_of_the_archive_are_read_from_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-01-01.zip"
    rows = [f"{i},100.5,0.2,20.1,{START + i},{'True' if i % 2 else 'False'}" for i in range(20)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-trades-2024-01-01.csv", "\n".join(rows))
    found = observed(plan(path, of("trades")))
    assert (len(found), found.column("side")[:2].tolist()) == (20, [1.0, -1.0])


def test_sides_in_words_and_times_in_microseconds_are_understood(tmp_path: Path) -> None:
    rows = [[str(i), str((START + i) * 1000), "100", "1", "BUY" if i % 2 else "sell"] for i in range(10)]
    found = observed(plan(write(tmp_path / "a.csv", rows, "trade_id,timestamp,price,amount,side"), of("trades")))
    assert found.time.tolist() == [START + i for i in range(10)]
    assert found.column("side").tolist() == [-1.0, 1.0] * 5


def test_trades_of_two_sorts_are_not_mixed(tmp_path: Path) -> None:
    sums = write(tmp_path / "a.csv", [trade(i) for i in range(5)], AGG)
    single = write(tmp_path / "b.csv", [["1", "5", "1", "5", str(START), "true"]], None)
    assert "import one sort only" in refused([sums, single], of("trades"))


def test_trades_need_a_number(tmp_path: Path) -> None:
    rows = [[str(START), "100", "1", "buy"]]
    text = refused(write(tmp_path / "a.csv", rows, "time,price,quantity,side"), of("trades"))
    assert "a.csv line 1 has no column for trade id" in text


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        (0, "", "has no number to tell it by"),
        (0, "x7", "has no number to tell it by"),
        (1, "", "has a price that is no number"),
        (1, "cheap", "has a number that cannot be read"),
        (1, "-1", "has a price of zero or less"),
        (2, "0", "has a quantity of zero or less"),
        (5, "later", "has no readable time"),
        (5, str(CLOCK.ms + HOUR), "lies in the future"),
        (6, "maybe", "says neither buy nor sell"),
    ],
)
def test_a_bad_trade_is_left_out_and_named(tmp_path: Path, column: int, cell: str, reason: str) -> None:
    rows = [trade(i) for i in range(200)]
    rows[7][column] = cell
    prepared = plan(write(tmp_path / "a.csv", rows, AGG), of("trades"))
    assert [(r.place, r.reason) for r in prepared.rejections] == [(9, reason)]
    assert len(prepared.content) == 199


# --- metrics, premium, liquidations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [METRICS, None])
def test_metrics_of_the_archive_are_read_with_their_holes(tmp_path: Path, header: str | None) -> None:
    rows = []
    for i in range(60):
        if i in (20, 21):
            continue
        time = f"2024-01-01 {i * 5 // 60:02d}:{i * 5 % 60:02d}:00"
        rows.append([time, "BTCUSDT", "1000.5", "5e7", "1.1", "1.2", "1.3", "" if i == 3 else "0.9"])
    prepared = plan(write(tmp_path / "BTCUSDT-metrics-2024-01-01.csv", rows, header), of("metrics"))
    found = observed(prepared)
    assert found.key == key("metrics", "5m")
    assert found.values[0].tolist() == [1000.5, 5e7, 1.1, 1.2, 1.3, 0.9]
    assert np.isnan(found.values[3, 5])
    assert [(g.start_ms, g.bars) for g in prepared.gaps] == [(START + 20 * 5 * MINUTE, 2)]


def test_a_file_of_one_metric_gives_the_others_as_unknown(tmp_path: Path) -> None:
    rows = [[str(START + i * 30 * MINUTE), "0.6", "0.4", "1.5"] for i in range(9)]
    path = write(tmp_path / "a.csv", rows, "timestamp,longAccount,shortAccount,longShortRatio")
    found = observed(plan(path, of("metrics")))
    assert found.column("account_ratio").tolist() == [1.5] * 9
    assert np.isnan(found.column("open_interest")).all()


def test_candles_of_open_interest_are_the_interest_at_their_end(tmp_path: Path) -> None:
    path = write(tmp_path / "BTC_open_interest.csv", [bar(i)[:5] for i in range(4)], "timestamp,open,high,low,close")
    found = observed(plan(path, of("metrics")))
    assert found.time.tolist() == [START + (i + 1) * HOUR for i in range(4)]
    assert found.column("open_interest").tolist() == [100, 101, 100, 101]
    assert "no column for open_interest" in refused(write(tmp_path / "a.csv", many(4)), of("metrics"))


def test_text_in_a_metric_and_a_row_without_any_are_named(tmp_path: Path) -> None:
    rows = [[str(START + i * 5 * MINUTE), "5", "1.5"] for i in range(300)]
    rows[4][1], rows[6][1:], rows[8][1] = "many", ["", ""], "-5"
    prepared = plan(write(tmp_path / "a.csv", rows, "timestamp,open_interest,taker_ratio"), of("metrics"))
    assert [(r.place, r.reason) for r in prepared.rejections] == [
        (6, "has a number that cannot be read"), (8, "holds no number"), (10, "has a negative number"),
    ]  # fmt: skip


def test_premium_rows_are_read_and_candles_of_the_premium_index_are_not(tmp_path: Path) -> None:
    rows = [[str(START + i * MINUTE), "100", "99.9", "0.0001", str(START + 8 * HOUR)] for i in range(5)]
    header = "time,mark_price,index_price,lastFundingRate,nextFundingTime"
    found = observed(plan(write(tmp_path / "a.csv", rows, header), of("premium")))
    assert found.key == key("premium", "1m")
    assert found.values[0, :4].tolist() == [100, 99.9, 0.0001, START + 8 * HOUR]
    folder = tmp_path / "premiumIndexKlines"
    folder.mkdir()
    text = refused(write(folder / "BTCUSDT-1h-2024-01.csv", many(5)), of("premium"))
    assert "candles of the premium index" in text
    assert "candles of the premium index" in refused(write(tmp_path / "b.csv", many(5)), of("premium"))


def test_liquidations_of_the_archive_have_the_numbers_of_the_live_feed(tmp_path: Path) -> None:
    rows = [[str(START + i), "SELL" if i % 2 else "BUY", "LIMIT", "IOC", "0.5", "99", "98.5", "FILLED", "0.1", "0.5"]
            for i in range(6)]  # fmt: skip
    rows.append(rows[0])
    prepared = plan(write(tmp_path / "BTCUSDT-liquidationSnapshot-2024-01-01.csv", rows, LIQUIDATIONS),
                    of("liquidations"))  # fmt: skip
    found = observed(prepared)
    assert (len(found), prepared.repeated) == (6, 1)
    assert found.column("side").tolist() == [1.0, -1.0] * 3
    live = liquidations_of(key("liquidations"), [
        Liquidation("BTC/USDT:USDT", p, q, int(s), t, t)
        for t, (p, q, s) in zip(found.time.tolist(), found.values.tolist(), strict=True)
    ])  # fmt: skip
    assert np.array_equal(found.id, live.id)
    assert found.id[0] == zlib.crc32(repr((found.values[0, 0].item(), 0.5, 1.0)).encode())


# --- books ----------------------------------------------------------------------------------------------------------


def test_snapshots_in_a_row_are_the_best_ten_levels(tmp_path: Path) -> None:
    header = ["exchange", "symbol", "timestamp", "local_timestamp"]
    cells = ["binance-futures", "BTCUSDT"]
    for level in range(12):
        header += [f"asks[{level}].price", f"asks[{level}].amount", f"bids[{level}].price", f"bids[{level}].amount"]
    levels = [c for n in range(12) for c in (str(101 + n), "1", str(100 - n), "2")]
    rows = [[*cells, str((START + i // 2) * 1000), str((START + i) * 1000), *levels[:-1], str(3 + i)] for i in range(4)]
    rows = [[*row[:5], str(1 + i), *row[6:]] for i, row in enumerate(rows)]
    found = observed(plan(write(tmp_path / "a.csv", rows, ",".join(header)), of("book")))
    assert (found.time.tolist(), found.id.tolist()) == ([START, START, START + 1, START + 1], [0, 1, 0, 1])
    assert found.column("bid_price_1").tolist() == [100.0] * 4
    assert found.column(f"ask_price_{BOOK_DEPTH}").tolist() == [110.0] * 4
    assert found.column("ask_size_1").tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("header", [TICKER, None])
def test_best_bid_and_ask_are_a_book_of_one_level(tmp_path: Path, header: str | None) -> None:
    rows = [[str(70 + i), "100", "1", "100.1", "2", str(START + i), str(START + i + 5)] for i in range(5)]
    found = observed(plan(write(tmp_path / "BTCUSDT-bookTicker-2024-01.csv", rows, header), of("book")))
    assert found.id.tolist() == [70, 71, 72, 73, 74]
    assert found.time[0] == START
    assert found.values[0][[0, 10, 20, 30]].tolist() == [100.0, 1.0, 100.1, 2.0]
    assert np.count_nonzero(~np.isnan(found.values[0])) == 4


def test_crossed_and_disordered_books_are_named(tmp_path: Path) -> None:
    header = "time,bid_price_1,bid_price_2,bid_size_1,bid_size_2,ask_price_1,ask_size_1"
    rows = [[str(START + i), "100", "99", "1", "1", "101", "1"] for i in range(300)]
    rows[1][5], rows[2][2], rows[3][3] = "100", "100.5", ""
    prepared = plan(write(tmp_path / "a.csv", rows, header), of("book"))
    assert [r.reason for r in prepared.rejections] == [
        "has a bid at or above its ask", "has levels out of order", "has a level without price or size",
    ]  # fmt: skip


def test_sums_by_distance_are_no_book(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-bookDepth-2024-01-01.csv", [["2024-01-01 00:00:09", "-5", "1", "1"]],
                 "timestamp,percentage,depth,notional")  # fmt: skip
    assert "sums of the book by distance" in refused(path, of("book"))
    assert "sums of the book by distance" in refused(path.rename(tmp_path / "a.csv"), of("book"))


def updates(*messages: tuple[int, int, int, list[tuple[str, str, str]]]) -> list[list[str]]:
    """Rows of depth updates: (first, last, previous, [(side, price, size)]), a second apart."""
    return [
        [str(START + i * 1000), str(first), str(last), str(previous), *level]
        for i, (first, last, previous, levels) in enumerate(messages)
        for level in levels
    ]


UPDATES = "timestamp,U,u,pu,side,price,qty"
BOOK = [("b", str(100 - n), "1") for n in range(30)] + [("a", str(101 + n), "1") for n in range(30)]


def test_depth_updates_are_played_through_the_book(tmp_path: Path) -> None:
    rows = updates(
        (1, 5, -1, BOOK), (4, 6, 3, [("b", "100", "7")]), (7, 8, 6, [("a", "101", "0")]), (9, 9, 8, [("b", "90", "2")])
    )
    prepared = plan(write(tmp_path / "a.csv", rows, UPDATES), of("book"))
    found = observed(prepared)
    assert prepared.rows == 63
    assert found.id.tolist() == [5, 6, 8, 9]
    assert found.column("bid_size_1").tolist() == [1, 7, 7, 7]
    assert found.column("ask_price_1").tolist() == [101, 101, 102, 102]


def test_a_break_between_depth_updates_is_told_and_no_book_comes_after_it(tmp_path: Path) -> None:
    rows = updates((1, 5, -1, BOOK), (6, 6, 5, [("b", "100", "7")]), (9, 9, 8, [("b", "100", "9")]))
    prepared = plan(write(tmp_path / "a.csv", rows, UPDATES), of("book"))
    assert [(g.start_ms, g.end_ms) for g in prepared.gaps] == [(START + 1000, START + 2000)]
    assert 9 not in observed(prepared).id


def test_an_update_with_a_bad_level_is_left_out_whole(tmp_path: Path) -> None:
    rows = updates(
        (1, 5, -1, BOOK * 2), (6, 6, 5, [("b", "100", "7"), ("c", "1", "1")]), (7, 7, 6, [("b", "100", "9")])
    )
    prepared = plan(write(tmp_path / "a.csv", rows, UPDATES), of("book"))
    assert [(r.place, r.reason) for r in prepared.rejections] == [(123, "is no level of a depth update")]
    assert observed(prepared).id.tolist() == [5]


def test_updates_without_a_snapshot_give_no_book(tmp_path: Path) -> None:
    text = refused(write(tmp_path / "a.csv", updates((6, 6, 5, [("b", "100", "7")])), UPDATES), of("book"))
    assert "gives no order book" in text


# --- archives of another kind, and numbers ---------------------------------------------------------------------------


def test_index_candles_need_no_volume_and_are_told_by_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "indexPriceKlines"
    folder.mkdir()
    path = write(folder / "BTCUSDT-1h-2024-01.csv", [bar(i)[:5] for i in range(10)], None)
    assert plan(path, of("index")).key == key("index", "1h")
    assert "archive of indexpriceklines, no ohlcv: give --kind index" in refused(path)


def test_an_archive_of_another_kind_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-aggTrades-2024-01.csv", [trade(0)], None)
    assert "give --kind trades" in refused(path)


def test_the_kind_of_archives_is_told_by_their_names(tmp_path: Path) -> None:
    names = {"BTCUSDT-aggTrades-2024-01.zip": "trades", "BTCUSDT-fundingRate-2024-01.zip": "funding",
             "markPriceKlines/BTCUSDT-1h-2024-01.zip": "mark", "BTCUSDT-1h-2024-01.zip": "ohlcv", "x.csv": "ohlcv",
             "BTCUSDT-metrics-2024-01-05.csv": "metrics", "klines/BTCUSDT-1h-2024-01-02.csv": "ohlcv"}  # fmt: skip
    assert {name: kind_of([tmp_path / name]) for name in names} == names
    with pytest.raises(UserError, match="archives of funding and trades"):
        kind_of([tmp_path / name for name in list(names)[:2]])


@pytest.mark.parametrize(("moment", "good"), [("2024-03-31 01:30", True), ("2024-03-31 02:30", False),
                                              ("2024-10-27 02:30", False), ("2024-10-27 03:30", True)])  # fmt: skip
def test_a_local_time_that_never_comes_or_comes_twice_has_no_place(tmp_path: Path, moment: str, good: bool) -> None:
    """Clocks in Berlin go from 02:00 to 03:00 on 2024-03-31 and from 03:00 to 02:00 on 2024-10-27."""
    rows = [[str(i), f"2024-06-01 00:{i // 60:02d}:{i % 60:02d}", "5", "1", "buy"] for i in range(200)]
    rows[7][1] = moment
    prepared = plan(write(tmp_path / "a.csv", rows, "id,time,price,qty,side"), of("trades", tz="Europe/Berlin"))
    assert len(prepared.content) == (200 if good else 199)
    assert [r.place for r in prepared.rejections] == ([] if good else [9])


def test_a_column_of_the_moment_of_knowing_is_kept_and_must_not_be_early(tmp_path: Path) -> None:
    rows = [[*bar(i), str(START + (i + 1) * HOUR + 7)] for i in range(200)]
    header = "timestamp,open,high,low,close,volume,known_at"
    assert plan(write(tmp_path / "a.csv", rows, header)).content.known_at[0] == START + HOUR + 7
    rows[3][6] = str(START + 4 * HOUR - 1)
    prepared = plan(write(tmp_path / "b.csv", rows, header))
    assert [(r.place, r.reason) for r in prepared.rejections] == [(5, "is known before its close")]


@pytest.mark.data
def test_recorded_trades_books_and_metrics_are_imported_whole(shared_data: Path) -> None:
    """Row counts by the manifest; the book sampled from the diffs against best bid and ask recorded beside them."""
    folder, name = shared_data / "orderbook", "binance_usdm_btcusdt_20240808"
    assert len(plan_import([folder / f"{name}_trades.parquet"], of("trades")).content) == 21_313
    prepared = plan_import([folder / f"{name}_depth_l2.parquet"], of("book"))
    assert (prepared.rows, prepared.rejections, prepared.gaps) == (445_521, (), ())
    best = observed(plan_import([folder / f"{name}_bookticker.parquet"], of("book")))
    tops = observed(prepared)
    assert len(tops) > 300
    same, at, ticker = np.intersect1d(tops.id, best.id, return_indices=True)
    assert len(same) > 20
    columns = [BOOK_COLUMNS.index(n) for n in ("bid_price_1", "bid_size_1", "ask_price_1", "ask_size_1")]
    assert np.array_equal(tops.values[at][:, columns], best.values[ticker][:, columns])
    ratio = plan_import([shared_data / "oi_liq_lsr/binance_BTCUSDT_long_short_account_ratio_30m_2024.parquet"],
                        of("metrics"))  # fmt: skip
    assert (len(ratio.content), max(g.bars for g in ratio.gaps)) == (1144, 124)
    snapshots = sorted((shared_data / "fixtures/book").glob("binance-futures_book_snapshot_*.csv"))
    assert [len(plan_import([p], of("book"), ManualClock(2 * 10**12)).content) for p in snapshots] == [10, 10]

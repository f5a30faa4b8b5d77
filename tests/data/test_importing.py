"""Files into the store: every layout that is read, whole, in order, and in one transaction."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import UserError
from data.importing import ImportRequest, plan_import, preview_import, run_import
from data.market import SeriesKey
from tests.data.candle_files import BTC, HEADER, HOUR, START, bar, csv_text, many, plan, write

# --- layouts that are read ------------------------------------------------------------------------------------------


def test_a_plain_csv_is_imported_and_reported(tmp_path: Path, store) -> None:
    report = run_import(plan(write(tmp_path / "a.csv", many(48))), store)
    document = report.document()
    assert document["rows"] == document["inserted"] == 48
    assert (document["revised"], document["duplicates"], document["rejected"], document["gaps"]) == (0, 0, 0, 0)
    assert document["rejections"] == document["gap_list"] == []
    assert document["span"] == {"from": "2024-01-01T00:00:00.000Z", "to": "2024-01-03T00:00:00.000Z"}
    assert document["series"]["timeframe"] == "1h"
    assert store.transactions == 1


def test_importing_again_changes_nothing(tmp_path: Path, store) -> None:
    prepared = plan(write(tmp_path / "a.csv", many(48)))
    run_import(prepared, store)
    again = run_import(prepared, store)
    assert (again.inserted, again.revised, again.duplicates) == (0, 0, 48)


def test_a_dry_run_says_what_would_happen_and_writes_nothing(tmp_path: Path, store) -> None:
    run_import(plan(write(tmp_path / "a.csv", many(48))), store)
    changed = [*many(60)]
    changed[5] = [changed[5][0], "100", "110", "99", "105", "1"]
    prepared = plan(write(tmp_path / "b.csv", changed))
    held = store.transactions
    preview = preview_import(prepared, store)
    assert (preview.inserted, preview.revised, preview.duplicates, preview.dry_run) == (12, 1, 47, True)
    assert store.transactions == held
    real = run_import(prepared, store)
    assert (real.inserted, real.revised, real.duplicates) == (12, 1, 47)


def test_an_archive_csv_without_header_is_read(tmp_path: Path) -> None:
    rows = [[*bar(i), str(START + (i + 1) * HOUR - 1), "325", "7", "1", "100", "0"] for i in range(24)]
    content = plan(write(tmp_path / "BTCUSDT-1h-2024-01.csv", rows, header=None)).content
    assert len(content) == 24
    assert content.open[0] == 100.5
    assert content.volume[0] == 3.25


def test_an_archive_csv_with_header_is_read(tmp_path: Path) -> None:
    header = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore"
    )
    rows = [[*bar(i), str(START + (i + 1) * HOUR - 1), "325", "7", "1", "100", "0"] for i in range(24)]
    assert len(plan(write(tmp_path / "BTCUSDT-1h-2024-01.csv", rows, header)).content) == 24


@pytest.mark.parametrize(
    "header",
    ["Open time,Open,High,Low,Close,Volume", "date,open,high,low,close,volume", "openTime,open,high,low,close,volume"],
)
def test_spellings_of_the_header_are_understood(tmp_path: Path, header: str) -> None:
    assert len(plan(write(tmp_path / "a.csv", many(5), header)).content) == 5


def test_semicolons_bom_crlf_and_empty_lines_are_no_trouble(tmp_path: Path) -> None:
    text = csv_text(many(5)).replace(",", ";").replace("\n", "\r\n")
    lines = text.split("\r\n")
    lines.insert(3, "")
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert len(plan(path).content) == 5


def test_a_zip_of_csvs_is_one_series(tmp_path: Path, store) -> None:
    path = tmp_path / "BTCUSDT-1h-2024-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b.csv", csv_text([bar(i) for i in range(24, 48)], None))
        archive.writestr("a.csv", csv_text([bar(i) for i in range(24)], None))
    report = run_import(plan(path), store)
    assert (report.inserted, report.gaps, store.transactions) == (48, 0, 1)


@pytest.mark.parametrize("form", ["parquet", "feather"])
@pytest.mark.parametrize("kind", ["aware", "naive", "ms", "us"])
def test_parquet_and_feather_hold_the_same(tmp_path: Path, form: str, kind: str) -> None:
    ms = np.array([START + i * HOUR for i in range(24)])
    times = {
        "aware": pa.array(ms, pa.timestamp("ms", tz="Europe/Berlin")),
        "naive": pa.array(ms * 1_000_000, pa.timestamp("ns")),
        "ms": pa.array(ms),
        "us": pa.array(ms * 1000.0),
    }[kind]
    values = {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 9.0}
    prices = {name: pa.array(np.full(24, value)) for name, value in values.items()}
    table = pa.table({"timestamp": times, **prices})
    path = tmp_path / f"a.{form}"
    (pa.parquet.write_table if form == "parquet" else pa.feather.write_feather)(table, path)
    content = plan(path).content
    assert np.array_equal(content.open_time, ms)


@pytest.mark.parametrize(("unit", "factor"), [("s", 0.001), ("ms", 1), ("us", 1000), ("ns", 1_000_000)])
@pytest.mark.parametrize("declared", [True, False])
def test_epochs_of_every_unit_are_told_by_magnitude_or_declared(
    tmp_path: Path, unit: str, factor: float, declared: bool
) -> None:
    rows = [[str(int((START + i * HOUR) * factor)), *bar(i)[1:]] for i in range(10)]
    request = ImportRequest("BTCUSDT", unit=unit if declared else None)
    assert plan(write(tmp_path / "a.csv", rows), request).content.open_time[0] == START


@pytest.mark.parametrize(
    ("texts", "tz", "first"),
    [
        (["2024-01-01 00:00:00", "2024-01-01 01:00:00", "2024-01-01 02:00:00"], None, START),
        (["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z"], "Asia/Tokyo", START),
        (["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"], "Asia/Tokyo", START - 9 * HOUR),
        (["2024-01-01 00:00:00+02:00", "2024-01-01 01:00:00+02:00", "2024-01-01 02:00+02:00"], None, START - 2 * HOUR),
    ],
)
def test_written_times_follow_their_zone_or_the_given_one(
    tmp_path: Path, texts: list[str], tz: str | None, first: int
) -> None:
    rows = [[text, *bar(i)[1:]] for i, text in enumerate(texts)]
    assert plan(write(tmp_path / "a.csv", rows), ImportRequest("BTCUSDT", tz=tz)).content.open_time[0] == first


def test_a_local_hour_that_comes_twice_is_rejected_not_guessed(tmp_path: Path) -> None:
    rows = [[f"2023-10-{1 + i // 24:02d} {i % 24:02d}:00", *bar(i)[1:]] for i in range(24 * 31)]
    prepared = plan(write(tmp_path / "a.csv", rows), ImportRequest("BTCUSDT", tz="Europe/Berlin"))
    assert [(r.place, r.reason) for r in prepared.rejections] == [(2 + 28 * 24 + 2, "has no readable time")]


def test_mark_candles_need_no_volume(tmp_path: Path) -> None:
    rows = [bar(i)[:5] for i in range(10)]
    prepared = plan(
        write(tmp_path / "a.csv", rows, "timestamp,open,high,low,close"), ImportRequest("BTCUSDT", kind="mark")
    )
    assert prepared.key == SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "mark")
    assert np.all(prepared.content.volume == 0)


@pytest.mark.parametrize("header", ["calc_time,funding_interval_hours,last_funding_rate", None])
def test_the_archive_of_funding_is_read_and_rounded_to_the_minute(tmp_path: Path, store, header: str | None) -> None:
    rows = [[str(START + i * 8 * HOUR + (47 if i % 3 else 0)), "8", f"{0.0001 * i:.8f}"] for i in range(9)]
    prepared = plan(write(tmp_path / "a.csv", rows, header), ImportRequest("BTCUSDT", kind="funding"))
    report = run_import(prepared, store)
    assert (report.rows, report.inserted, report.gaps) == (9, 9, 0)
    held = store.read_funding("binanceusdm", "BTC/USDT:USDT", "exchange")
    assert np.array_equal(held.time, START + np.arange(9) * 8 * HOUR)
    assert np.isnan(held.mark_price).all()
    assert run_import(prepared, store).duplicates == 9
    assert preview_import(prepared, store).duplicates == 9


def test_gaps_are_counted_and_named(tmp_path: Path) -> None:
    rows = [bar(i) for i in range(100) if i not in (10, 11, 50)]
    prepared = plan(write(tmp_path / "a.csv", rows))
    assert [(g.start_ms, g.end_ms, g.bars) for g in prepared.gaps] == [
        (START + 10 * HOUR, START + 12 * HOUR, 2),
        (START + 50 * HOUR, START + 51 * HOUR, 1),
    ]


def test_rows_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    rows = many(10)
    rows[3], rows[7] = rows[7], rows[3]
    prepared = plan(write(tmp_path / "a.csv", rows))
    assert np.all(np.diff(prepared.content.open_time) == HOUR)
    assert prepared.out_of_order == 2


def test_repeated_rows_are_counted_and_contradicting_ones_are_rejected(tmp_path: Path, store) -> None:
    rows = many(300)
    rows.insert(8, rows[4])
    rows.append([rows[5][0], "100", "101", "99", "100", "8"])
    path = write(tmp_path / "a.csv", rows)
    report = run_import(plan(path), store)
    assert (report.rows, report.inserted, report.duplicates, report.rejected) == (302, 300, 1, 1)
    assert report.rejections[0].place == 303
    assert report.rejections[0].reason == f"contradicts {path} at 7 (same time, other values)"


# --- any order, any split -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_same_rows_come_back_whatever_their_order_and_split_over_files(tmp_path_factory, data) -> None:
    count = data.draw(st.integers(1, 40))
    price = st.floats(0.001, 1e6, allow_nan=False)
    rows = []
    for i in range(count):
        o, c, up, down = data.draw(st.tuples(price, price, st.floats(0, 100), st.floats(0, 0.9)))
        values = (o, max(o, c) + up, min(o, c) * (1 - down), c, data.draw(st.floats(0, 1e9)))
        rows.append((START + i * 60_000, values))
    shuffled = data.draw(st.permutations(rows))
    pieces = data.draw(st.lists(st.integers(0, count), max_size=4).map(lambda cuts: sorted({0, count, *cuts})))
    folder = tmp_path_factory.mktemp("split")
    paths = []
    for n, (a, b) in enumerate(pairwise(pieces)):
        fields = [[str(t), *(repr(v) for v in values)] for t, values in shuffled[a:b]]
        paths.append(write(folder / f"{n}.csv", fields, HEADER if n % 2 else None))
    content = plan(paths, ImportRequest("BTCUSDT", timeframe="1m")).content
    assert content.open_time.tolist() == [t for t, _ in rows]
    got = np.column_stack([content.open, content.high, content.low, content.close, content.volume])
    assert np.array_equal(got, np.array([values for _, values in rows]))


# --- real files -----------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_five_years_of_hourly_bitcoin_come_in_whole(shared_data: Path, store) -> None:
    path = shared_data / "ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet"
    report = run_import(plan_import([path], BTC), store)
    assert (report.rows, report.inserted, report.rejected, report.gaps) == (50242, 50242, 0, 0)
    assert report.series.timeframe == "1h"


@pytest.mark.data
def test_bitcoin_funding_comes_in_whole_and_on_the_minute(shared_data: Path, store) -> None:
    path = shared_data / "funding/binance_um/BTCUSDT-8h-20190910_20250531.parquet"
    report = run_import(plan_import([path], ImportRequest("BTCUSDT", kind="funding")), store)
    assert (report.rows, report.inserted, report.gaps) == (6271, 6271, 0)
    held = store.read_funding("binanceusdm", "BTC/USDT:USDT", "exchange")
    assert np.all(held.time % (8 * HOUR) == 0)


@pytest.mark.data
def test_every_stored_series_of_the_exchange_imports_without_a_bad_row(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("ohlcv/binance_um/*/*.parquet")):
        symbol, timeframe, *_ = path.name.split("-")
        prepared = plan_import([path], ImportRequest(symbol))
        assert (prepared.key.timeframe, prepared.rejections) == (timeframe, ()), path.name
    for path in sorted(shared_data.glob("mark/binance_um/*/*.parquet")):
        symbol, timeframe, *_ = path.name.split("-")
        prepared = plan_import([path], ImportRequest(symbol, kind="mark"))
        assert (prepared.key.timeframe, prepared.rejections) == (timeframe, ()), path.name


@pytest.mark.data
def test_the_hole_in_solana_funding_is_named(shared_data: Path) -> None:
    path = shared_data / "funding/binance_um/SOLUSDT-8h-20220625_20250730.parquet"
    prepared = plan_import([path], ImportRequest("SOLUSDT", kind="funding"))
    assert [g.bars for g in prepared.gaps] == [75]


@pytest.mark.data
def test_a_file_of_several_venues_is_refused(shared_data: Path) -> None:
    with pytest.raises(UserError, match="holds rows of"):
        plan_import([shared_data / "ohlcv/multivenue_1h.parquet"], BTC)

"""Files into the store: every layout that is read, every wrong input that is refused, and nothing half done."""

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

from data.clock import ManualClock
from data.errors import UserError
from data.importing import ImportPlan, ImportRequest, plan_import, preview_import, run_import
from data.market import SeriesKey

START = 1_704_067_200_000  # 2024-01-01T00:00Z
HOUR = 3_600_000
BTC = ImportRequest("BTCUSDT")
HEADER = "timestamp,open,high,low,close,volume"
CLOCK = ManualClock(START + 400 * 24 * HOUR)


def bar(i: int, unit: int = 1, step: int = HOUR) -> list[str]:
    """One plain hourly candle as fields; ``unit`` multiplies the milliseconds."""
    return [str((START + i * step) * unit), "100.5", "102", "99", f"{100 + i % 2}", "3.25"]


def csv_text(rows: list[list[str]], header: str | None = HEADER) -> str:
    return "\n".join(([header] if header else []) + [",".join(r) for r in rows]) + "\n"


def many(count: int = 300) -> list[list[str]]:
    return [bar(i) for i in range(count)]


def write(path: Path, rows: list[list[str]], header: str | None = HEADER) -> Path:
    path.write_text(csv_text(rows, header))
    return path


def plan(path: Path | list[Path], request: ImportRequest = BTC) -> ImportPlan:
    return plan_import(path if isinstance(path, list) else [path], request, CLOCK)


def refused(path: Path | list[Path], request: ImportRequest = BTC) -> str:
    with pytest.raises(UserError) as caught:
        plan(path, request)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "?", ".?"))
    return text


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


# --- bad rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["nan", "101", "99", "100", "1"], "has a price that is no number"),
        (["100", "inf", "99", "100", "1"], "has a price that is no number"),
        (["abc", "101", "99", "100", "1"], "has a price that is no number"),
        (["", "101", "99", "100", "1"], "has a price that is no number"),
        (["100", "101", "0", "100", "1"], "has a price of zero or less"),
        (["100", "101", "-5", "100", "1"], "has a price of zero or less"),
        (["100", "99", "101", "100", "1"], "has a high below its low"),
        (["100", "101", "99", "102", "1"], "has a high below its open or close"),
        (["102", "103", "101", "100", "1"], "has a low above its open or close"),
        (["100", "101", "99", "100", "inf"], "has a volume that is no number"),
        (["100", "101", "99", "100", "-1"], "has a negative volume"),
        (["100", "101", "99", "100"], "has 5 fields instead of 6"),
        (["100", "101", "99", "100", "1", "1"], "has 7 fields instead of 6"),
    ],
)
def test_a_bad_row_is_left_out_and_listed_with_file_and_line(
    tmp_path: Path, store, values: list[str], reason: str
) -> None:
    rows = many()
    rows[41] = [rows[41][0], *values]
    path = write(tmp_path / "a.csv", rows)
    report = run_import(plan(path), store)
    assert [(r.file, r.place, r.reason) for r in report.rejections] == [(str(path), 43, reason)]
    assert (report.rows, report.inserted, report.rejected, report.gaps) == (300, 299, 1, 1)


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (str(START + HOUR // 2), "does not open on the timeframe's grid"),
        ("", "has no readable time"),
        ("soon", "has no readable time"),
        (str(CLOCK.ms), "lies in the future"),
    ],
)
def test_a_bad_time_is_left_out_and_listed(tmp_path: Path, time: str, reason: str) -> None:
    rows = many()
    rows[41] = [time, *rows[41][1:]]
    prepared = plan(write(tmp_path / "a.csv", rows))
    assert [(r.place, r.reason) for r in prepared.rejections] == [(43, reason)]


def test_over_one_percent_bad_rows_import_nothing(tmp_path: Path) -> None:
    rows = many(300)
    for i in (5, 6, 7):
        rows[i] = [rows[i][0], "0", *rows[i][2:]]
    assert len(plan(write(tmp_path / "a.csv", rows)).rejections) == 3
    rows[8] = [rows[8][0], "0", *rows[8][2:]]
    text = refused(write(tmp_path / "b.csv", rows))
    assert "4 of 300 rows are bad" in text
    assert "b.csv line 7 has a price of zero or less" in text


def test_no_good_row_imports_nothing(tmp_path: Path) -> None:
    rows = [[r[0], "nan", *r[2:]] for r in many(5)]
    assert "None of the 5 rows is good" in refused(write(tmp_path / "a.csv", rows))


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        ("nan", "has a rate that is no number"),
        ("x", "has a rate that is no number"),
        ("1.5", "has a rate beyond 100 %"),
    ],
)
def test_bad_funding_rows_are_listed(tmp_path: Path, rate: str, reason: str) -> None:
    rows = [[str(START + i * 8 * HOUR), "0.0001"] for i in range(200)]
    rows[7] = [rows[7][0], rate]
    prepared = plan(write(tmp_path / "a.csv", rows, "timestamp,funding_rate"), ImportRequest("BTCUSDT", kind="funding"))
    assert [(r.place, r.reason) for r in prepared.rejections] == [(9, reason)]


# --- wrong files and options ----------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "none.csv does not exist" in refused(tmp_path / "none.csv")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.zip", "a.feather"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert f"{name} is empty" in refused(tmp_path / name)


def test_a_header_alone_is_no_data(tmp_path: Path) -> None:
    assert "header but no rows" in refused(write(tmp_path / "a.csv", []))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.zip", "a.feather", "a.bin"])
def test_binary_rubbish_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 20)
    assert name in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "magic"), [("a.parquet", b"PAR1"), ("a.feather", b"ARROW1"), ("a.zip", b"PK\x03\x04")]
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, magic: bytes) -> None:
    (tmp_path / name).write_bytes(magic + bytes(500))
    assert name in refused(tmp_path / name)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    assert "no known format" in refused(write(tmp_path / "a.xlsx", many(5)))


def test_wrong_columns_are_listed(tmp_path: Path) -> None:
    text = refused(write(tmp_path / "a.csv", many(5), "when,a,b,c,d,e"))
    assert "no column for time" in text
    assert "when, a, b, c, d, e" in text
    assert "no column for volume" in refused(write(tmp_path / "b.csv", [r[:5] for r in many(5)], HEADER[:-7]))


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    assert "'open' twice" in refused(write(tmp_path / "a.csv", many(5), "timestamp,open,Open,low,close,volume"))


def test_a_headerless_file_of_another_width_is_refused(tmp_path: Path) -> None:
    assert "no header and 4 columns" in refused(write(tmp_path / "a.csv", [r[:4] for r in many(5)], None))


def test_funding_imported_as_candles_gets_a_hint(tmp_path: Path) -> None:
    rows = [[str(START + i * 8 * HOUR), "0.0001"] for i in range(9)]
    assert "--kind funding" in refused(write(tmp_path / "a.csv", rows, "timestamp,funding_rate"))


@pytest.mark.parametrize(("column", "value"), [("symbol", "ETHUSDT"), ("coin", "DOGE"), ("venue", "bybit")])
def test_a_symbol_or_exchange_column_that_contradicts_is_refused(tmp_path: Path, column: str, value: str) -> None:
    rows = [[*r, value if i == 3 else {"symbol": "BTCUSDT", "coin": "BTC", "venue": "binance"}[column]]
            for i, r in enumerate(many(9))]  # fmt: skip
    assert value in refused(write(tmp_path / "a.csv", rows, f"{HEADER},{column}"))
    good = [[*r[:-1], rows[0][-1]] for r in rows]
    assert len(plan(write(tmp_path / "b.csv", good, f"{HEADER},{column}")).content) == 9


def test_an_archive_named_after_another_symbol_is_refused(tmp_path: Path) -> None:
    assert "archive of ETHUSDT" in refused(write(tmp_path / "ETHUSDT-1h-2024-01.csv", many(5), None))


def test_mixed_units_are_refused(tmp_path: Path) -> None:
    rows = many(9)
    rows[6] = bar(6, unit=1000)
    assert "line 8 has a time in us after one in ms" in refused(write(tmp_path / "a.csv", rows))


def test_a_wrong_declared_unit_is_refused(tmp_path: Path) -> None:
    text = refused(write(tmp_path / "a.csv", many(9)), ImportRequest("BTCUSDT", unit="us"))
    assert "no date between 2009 and 2100" in text


@pytest.mark.parametrize("timeframe", ["1m", "4h"])
def test_data_that_contradict_the_timeframe_are_refused(tmp_path: Path, timeframe: str) -> None:
    text = refused(write(tmp_path / "a.csv", many(50)), ImportRequest("BTCUSDT", timeframe=timeframe))
    assert f"holds 1h bars, but --timeframe says {timeframe}" in text


def test_files_of_different_timeframes_are_refused(tmp_path: Path) -> None:
    hours = write(tmp_path / "hours.csv", many(500))
    quarter = write(tmp_path / "quarters.csv", [bar(i, step=HOUR // 4) for i in range(4000, 4100)])
    assert "quarters.csv holds 15m bars" in refused([hours, quarter])


def test_an_unsupported_distance_is_refused(tmp_path: Path) -> None:
    rows = [bar(i, step=3 * 60_000) for i in range(30)]
    assert "3 minutes apart" in refused(write(tmp_path / "a.csv", rows))


def test_one_row_alone_needs_a_timeframe(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", many(1))
    assert "give --timeframe" in refused(path)
    assert len(plan(path, ImportRequest("BTCUSDT", timeframe="1h")).content) == 1


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ImportRequest("B?C"), "Unknown symbol"),
        (ImportRequest("BTCUSDT", timeframe="7m"), "Unknown timeframe '7m'"),
        (ImportRequest("BTCUSDT", kind="candles"), "Unknown kind 'candles'"),
        (ImportRequest("BTCUSDT", kind="book"), "kind 'book' can not be imported"),
        (ImportRequest("BTCUSDT", unit="h"), "Unknown unit 'h'"),
        (ImportRequest("BTCUSDT", tz="Mars/Base"), "Unknown time zone 'Mars/Base'"),
        (ImportRequest("BTCUSDT", source="dream"), "Unknown source"),
        (ImportRequest("BTCUSDT", kind="funding", timeframe="1h"), "leave out --timeframe"),
    ],
)
def test_a_wrong_option_is_refused_before_any_file_is_read(tmp_path: Path, request_: ImportRequest, words: str) -> None:
    assert words in refused(tmp_path / "never-read.csv", request_)


def test_no_file_and_one_file_twice_are_refused(tmp_path: Path) -> None:
    assert "at least one file" in refused([])
    path = write(tmp_path / "a.csv", many(5))
    assert "named twice" in refused([path, path])


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

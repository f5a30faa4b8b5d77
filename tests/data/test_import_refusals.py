"""Every wrong row, file and option of an import is refused or listed, one by one, and nothing is half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.importing import ImportRequest, run_import
from tests.data.candle_files import CLOCK, HEADER, HOUR, START, bar, many, plan, refused, write

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
        (ImportRequest("BTCUSDT", kind="trades", timeframe="1h"), "Trades are single events"),
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

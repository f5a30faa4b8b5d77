"""Import through the database: what is exported comes back the same, and what is refused leaves no trace."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data.clock import ManualClock
from data.errors import UserError
from data.importing import ImportRequest, plan_import, preview_import, run_import
from data.market import BAR_KINDS, TICK, Frame, FundingFrame, SeriesKey
from data.observations import COLUMNS, Observations
from database.home import Home
from database.repositories import Repositories
from tests.data.candle_files import HEADER, bar, csv_text, many

HOUR = 3_600_000
START = 1_704_067_200_000
CLOCK = ManualClock(START + 4000 * HOUR)
SYMBOL = "BTC/USDT:USDT"
TIMEFRAME = dict.fromkeys(COLUMNS, TICK) | {"metrics": "5m", "premium": "1m", "funding": "8h"}


def content(db: Repositories) -> str:
    """A hash over every row of market data that is stored."""
    digest = hashlib.sha256()
    for table in ("series", "market_data", "market_chunk", "funding", "observations", "superseded"):
        for row in db.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3"):
            digest.update(repr(row).encode())
    return digest.hexdigest()


# --- out and in again -----------------------------------------------------------------------------------------------


def put(db: Repositories, kind: str, count: int, seed: int) -> SeriesKey:
    """Rows of a kind as the checks of an import allow them, some known late, some numbers unknown."""
    rng = np.random.default_rng(seed)
    key = SeriesKey("binanceusdm", SYMBOL, TIMEFRAME.get(kind, "1h"), kind)
    price = 100 * np.exp(rng.normal(size=count) / 10)
    late = rng.integers(0, 3, count) * rng.integers(0, 10**6, count)
    if kind in BAR_KINDS:
        time = START + HOUR * np.sort(rng.choice(4 * count, count, replace=False))
        mark = rng.integers(0, 4, count).astype(np.uint8)
        frame = Frame.of(key, time, price, price * 1.5, price / 2, price, rng.random(count), time + HOUR + late, mark)
        db.candles.write(frame)
        return key
    time = START + 60_000 * np.sort(rng.choice(4 * count, count, replace=False))
    if kind == "funding":
        db.candles.write_funding(
            FundingFrame(key.exchange, SYMBOL, "exchange", time, rng.normal(size=count) / 100,
                         np.where(rng.random(count) < 0.3, np.nan, price), time + late)
        )  # fmt: skip
        return key
    values = rng.random((count, len(COLUMNS[kind]))) * 0.9 + 0.1
    if kind in ("trades", "liquidations"):
        values[:, 2] = rng.choice([-1.0, 1.0], count)
    if kind == "book":
        steps = np.arange(1, 11)
        values[:, :10], values[:, 20:30] = price[:, None] - steps, price[:, None] + steps
        values[:, [9, 19]] = np.nan
    if kind in ("metrics", "premium"):
        values[rng.random(values.shape) < 0.3] = np.nan
        values[:, 0] = price
    ids = rng.integers(1, 9, count) if kind in ("trades", "book", "liquidations") else None
    db.candles.write_observations(Observations.of(key, time, values, time + late, ids))
    return key


@given(kind=st.sampled_from([*BAR_KINDS, "funding", *COLUMNS]), suffix=st.sampled_from([".csv", ".parquet"]),
       count=st.integers(1, 40), seed=st.integers(0, 99))  # fmt: skip
@hypothesis_settings(max_examples=30)
def test_what_is_exported_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, kind: str, suffix: str, count: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("round")
    path = folder / f"series{suffix}"
    with Home(folder / "one").open() as one, Home(folder / "two").open() as two:
        key = put(one, kind, count, seed)
        assert one.export.write_series(key, path) == count
        prepared = plan_import([path], ImportRequest(SYMBOL, kind=kind), CLOCK)
        assert (prepared.key, prepared.rejections) == (key, ())
        preview = preview_import(prepared, two.candles)
        report = run_import(prepared, two.candles)
        assert (report.inserted, report.revised, report.duplicates) == (count, 0, 0)
        assert (preview.inserted, preview.revised, preview.duplicates) == (count, 0, 0)
        for table in ("market_data", "funding", "observations"):
            order = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
            assert one.rows(order) == two.rows(order)
        assert one.candles.series() == two.candles.series()
        assert preview_import(prepared, two.candles).duplicates == run_import(prepared, two.candles).duplicates == count


@given(kind=st.sampled_from(["ohlcv", "funding", "metrics", "trades"]), seed=st.integers(0, 99))
@hypothesis_settings(max_examples=15)
def test_a_dry_run_counts_what_the_run_then_does(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    """Onto a store that holds a part of the rows, some of them with other numbers."""
    folder = tmp_path_factory.mktemp("dry")
    path = folder / "series.csv"
    with Home(folder / "one").open() as one, Home(folder / "two").open() as two:
        one.export.write_series(put(one, kind, 30, seed), path)
        put(two, kind, 20, seed)
        put(two, kind, 25, seed + 1)
        prepared = plan_import([path], ImportRequest(SYMBOL, kind=kind), CLOCK)
        before = content(two)
        preview = preview_import(prepared, two.candles)
        assert content(two) == before
        report = run_import(prepared, two.candles)
        assert (preview.inserted, preview.revised, preview.duplicates) == (
            report.inserted, report.revised, report.duplicates,
        )  # fmt: skip
        assert preview.dry_run and not report.dry_run


def test_every_market_table_is_exported_by_name_with_its_units(db: Repositories, tmp_path: Path) -> None:
    for kind in (*BAR_KINDS, "funding", *COLUMNS):
        put(db, kind, 10, 1)
        put(db, kind, 10, 2)
    counts = {table: db.export.write(table, tmp_path / f"{table}.parquet") for table in db.export.tables()}
    stored: dict[str, int] = {}
    for info in db.candles.series():
        stored[info.key.kind] = info.rows
    assert counts["market_data"] == sum(stored[kind] for kind in BAR_KINDS)
    assert {t: counts[t] for t in ("funding", "market_trades", "book", "metrics", "premium", "liquidations")} == {
        "funding": stored["funding"], "market_trades": stored["trades"], "book": stored["book"],
        "metrics": stored["metrics"], "premium": stored["premium"], "liquidations": stored["liquidations"],
    }  # fmt: skip
    schema = pq.read_schema(tmp_path / "metrics.parquet")
    assert schema.field("open_interest").metadata == {b"unit": b"base"}
    assert str(schema.field("known_at").type) == "timestamp[ms, tz=UTC]"
    assert pq.read_schema(tmp_path / "market_data.parquet").field("close").metadata == {b"unit": b"quote per base"}
    old = pq.read_table(tmp_path / "superseded.parquet").to_pylist()
    assert counts["superseded"] == len(old) > 0
    assert {row["kind"] for row in old} >= {"ohlcv", "metrics"}
    bars = {row["name"] for row in old if row["kind"] == "ohlcv"}
    assert bars == {"open", "high", "low", "close", "volume", "mark"}
    with pytest.raises(UserError, match="Nothing of bybit BTCUSDT 1h ohlcv"):
        db.export.write_series(SeriesKey("bybit", SYMBOL, "1h"), tmp_path / "a.csv")
    with pytest.raises(UserError, match="belongs to no account"):
        db.export.write("metrics", tmp_path / "a.csv", 1)


def test_an_export_of_several_series_is_not_taken_for_one(db: Repositories, tmp_path: Path) -> None:
    put(db, "ohlcv", 3, 0)
    one = np.ones(3)
    quarter = SeriesKey("binanceusdm", SYMBOL, "15m")
    db.candles.write(Frame.of(quarter, START + 900_000 * np.arange(3), one, one, one, one, one))
    db.export.write("market_data", tmp_path / "all.parquet")
    with pytest.raises(UserError, match="holds bars of 15m and 1h: export one series at a time"):
        plan_import([tmp_path / "all.parquet"], ImportRequest(SYMBOL), CLOCK)
    with pytest.raises(UserError, match="rows of timeframe '15m', but the import is for 1h"):
        plan_import([tmp_path / "all.parquet"], ImportRequest(SYMBOL, timeframe="1h"), CLOCK)


# --- refused, and nothing half imported (fault 64) ------------------------------------------------------------------


def broken_files(folder: Path) -> dict[str, tuple[list[Path], ImportRequest, str]]:
    """Every wrong file: ``(files, request, words of the sentence)``."""
    candles, trades = ImportRequest("BTCUSDT"), ImportRequest("BTCUSDT", kind="trades")

    def put(name: str, text: str | bytes) -> Path:
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def zipped(name: str, member: str, text: str) -> Path:
        path = folder / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, text)
        return path

    put("good.csv", csv_text([bar(i) for i in range(50, 60)]))
    utc = [[f"2024-01-01T{i:02d}:00:00{'' if i == 4 else '+02:00'}", *bar(i)[1:]] for i in range(9)]
    units = many(9)
    units[6] = bar(6, unit=1000)
    text_rows = many(20)
    text_rows[3][2] = "high"
    commas = [[c.replace(".", ",") for c in row] for row in many(9)]
    symbols = [[*row, "ETHUSDT" if i == 5 else "BTCUSDT"] for i, row in enumerate(many(9))]
    whole = zipped("whole.zip", "a.csv", csv_text(many(300)))
    rubbish = csv_text(many(5)).encode() + b"\xff\xfe\x00\x9c" * 50 + b"\n"
    maker = [[str(i), "1", "1", str(START + i), "yes?"] for i in range(9)]
    return {
        "wrong header": ([put("a.csv", csv_text(many(5), "when,a,b,c,d,e"))], candles, "a.csv line 1 has no column"),
        "mixed time zones": ([put("b.csv", csv_text(utc))], candles, "b.csv line 6 names no time zone, but line 2"),
        "microseconds declared as milliseconds": (
            [put("c.csv", csv_text([bar(i, unit=1000) for i in range(9)]))], ImportRequest("BTCUSDT", unit="ms"),
            "c.csv line 2: the time 1704067200000000 is no date",
        ),
        "mixed units": ([put("d.csv", csv_text(units))], candles, "d.csv line 8 has a time in us after one in ms"),
        "binary rubbish": ([put("e.csv", bytes(range(256)) * 9)], candles, "e.csv is not a text file"),
        "rubbish in the middle": ([put("f.csv", rubbish)], candles, "f.csv line 7 is no text"),
        "truncated archive": (
            [put("g.zip", whole.read_bytes()[:-200])], candles, "g.zip is not a readable ZIP archive",
        ),
        "path escape": ([zipped("h.zip", "../../evil.csv", HEADER)], candles, "h.zip holds the unsafe path"),
        "two symbols": (
            [put("i.csv", csv_text(symbols, HEADER + ",symbol"))], candles,
            "i.csv line 7: the file holds rows of symbol",
        ),
        "text in a number": (
            [put("j.csv", csv_text(text_rows))], candles, "j.csv line 5 has a price that is no number",
        ),
        "decimal comma": (
            [put("k.csv", "\n".join([HEADER.replace(",", ";"), *(";".join(r) for r in commas)]))], candles,
            "k.csv line 2 writes 100,5 with a decimal comma",
        ),
        "empty": ([put("l.csv", "")], candles, "l.csv is empty"),
        "blank": ([put("m.csv", " \n\n")], candles, "m.csv is empty"),
        "a header alone": ([put("n.csv", HEADER + "\n")], candles, "n.csv holds a header but no rows"),
        "no such side": (
            [put("o.csv", csv_text(maker, "id,price,qty,time,is_buyer_maker"))], trades,
            "o.csv line 2 says neither buy",
        ),
        "cut in the middle of a row": (
            [put("p.csv", csv_text(many(9))[:-12])], candles, "p.csv line 10 has 4 fields instead of 6",
        ),
        "parquet in name only": ([put("q.parquet", csv_text(many(9)))], candles, "q.parquet is not a parquet file"),
        "cut parquet": ([put("r.parquet", b"PAR1" + bytes(90))], candles, "r.parquet is damaged"),
    }  # fmt: skip


FAULTS = (
    "wrong header", "mixed time zones", "microseconds declared as milliseconds", "mixed units", "binary rubbish",
    "rubbish in the middle", "truncated archive", "path escape", "two symbols", "text in a number", "decimal comma",
    "empty", "blank", "a header alone", "no such side", "cut in the middle of a row", "parquet in name only",
    "cut parquet",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("beside_a_good_file", [False, True])
def test_f64_a_broken_file_is_one_clear_sentence_and_nothing_is_half_imported(
    db: Repositories, tmp_path: Path, fault: str, beside_a_good_file: bool
) -> None:
    files, request, words = broken_files(tmp_path)[fault]
    if beside_a_good_file and request.kind == "ohlcv":
        files = [tmp_path / "good.csv", *files]
    put(db, "ohlcv", 5, 0)
    before = content(db)
    with pytest.raises(UserError) as caught:
        run_import(plan_import(files, request, CLOCK), db.candles)
    sentence = str(caught.value)
    assert words in sentence
    assert "\n" not in sentence and sentence.endswith(".")
    assert content(db) == before


def test_f64_every_fault_has_its_file(tmp_path: Path) -> None:
    assert tuple(broken_files(tmp_path)) == FAULTS
    good = plan_import([tmp_path / "good.csv"], ImportRequest("BTCUSDT"), CLOCK)
    assert len(good.content) == 10


def test_f64_a_write_that_fails_in_the_middle_leaves_the_store_as_it_was(db: Repositories, tmp_path: Path) -> None:
    """The last of many rows is refused by the database itself: none of those before it stays."""
    put(db, "metrics", 10, 0)
    before = content(db)
    key = SeriesKey("binanceusdm", SYMBOL, "5m", "metrics")
    rows = Observations.of(key, START + np.arange(500), np.ones((500, 6)))
    trigger = (
        f"CREATE TRIGGER stop BEFORE INSERT ON observations WHEN NEW.time = {START + 499} "
        "BEGIN SELECT RAISE(ABORT, 'stopped'); END"
    )
    db.write(lambda c: c.execute(trigger))
    with pytest.raises(Exception, match="stopped"):
        db.candles.write_observations(rows)
    assert content(db) == before

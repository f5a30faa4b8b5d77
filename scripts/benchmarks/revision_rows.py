"""D1 revising candles, D2 inserting trades, D3 reading them; the peer is plain sqlite3 without revisions."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import in_turn, timed

if TYPE_CHECKING:
    from data.observations import Observations
    from database.candles import Candles

ROWS = 200_000
ROUNDS = 3
INGEST = Goal("≥ 250,000 rows/s", at_least=250_000.0)
PLAIN = f"sqlite3 {sqlite3.sqlite_version} executemany"
BARS_TABLE = (
    "CREATE TABLE bars (time INTEGER PRIMARY KEY, open REAL, high REAL, low REAL, close REAL, volume REAL) STRICT"
)
TRADES_TABLE = (
    "CREATE TABLE trades (time INTEGER, id INTEGER, known_at INTEGER, price REAL, quantity REAL, side REAL, "
    "PRIMARY KEY (time, id)) STRICT, WITHOUT ROWID"
)


def revising(bench: Bench) -> list[Row]:
    """D1: every bar told anew with another volume; what stood before is kept. The peer overwrites."""
    frame, _ = bench.market
    part = frame.slice(0, min(ROWS, len(frame)))
    told = iter(range(1, 1000))
    columns = [part.open_time, part.open, part.high, part.low, part.close]

    with _store() as store, _plain(BARS_TABLE) as plain:
        store.write(part)
        _put(plain, "bars", [*columns, part.volume])

        def ours() -> None:
            k = next(told)
            revised = replace(part, volume=part.volume + k, known_at=part.known_at + k)
            assert store.write(revised).revised == len(part)

        def theirs() -> None:
            _put(plain, "bars", [*columns, part.volume + next(told)])

        mine, other = in_turn(timed(ours), timed(theirs), rounds=ROUNDS)
    what = f"revise {len(part):,} candles"
    note = "what stood before is kept with the moment from which it was known; the peer overwrites"
    return [measured("D1", what, len(part) / mine, "rows/s", INGEST, PLAIN, len(part) / other, note,
                     more_is_better=True)]  # fmt: skip


def inserting(bench: Bench) -> list[Row]:
    """D2: into a new home each time, each row compared with what is stored. The peer replaces."""
    rows = trades(min(ROWS, bench.bars))

    def ours() -> float:
        with _store() as store:
            began = perf_counter()
            assert store.write_observations(rows).inserted == len(rows)
            return perf_counter() - began

    def theirs() -> float:
        with _plain(TRADES_TABLE) as plain:
            began = perf_counter()
            _put(plain, "trades", _columns(rows))
            return perf_counter() - began

    mine, other = in_turn(ours, theirs, rounds=ROUNDS)
    what = f"insert {len(rows):,} trades, idempotent"
    return [measured("D2", what, len(rows) / mine, "rows/s", INGEST, PLAIN, len(rows) / other, more_is_better=True)]


def reading(bench: Bench) -> list[Row]:
    """D3: into arrays, both."""
    rows = trades(bench.bars)
    with _store() as store, _plain(TRADES_TABLE) as plain:
        store.write_observations(rows)
        _put(plain, "trades", _columns(rows))

        def ours() -> None:
            assert len(store.read_observations(rows.key)) == len(rows)

        def theirs() -> None:
            found = plain.execute("SELECT * FROM trades ORDER BY time, id").fetchall()
            assert np.array(found).shape == (len(rows), 6)

        mine, other = in_turn(timed(ours), timed(theirs), rounds=ROUNDS)
    goal = Goal("≥ 1×", ratio=1.0)
    what, peer = f"read {len(rows):,} trades into arrays", f"sqlite3 {sqlite3.sqlite_version} plain read"
    return [measured("D3", what, 1e3 * mine, "ms", goal, peer, 1e3 * other)]


def trades(count: int) -> Observations:
    """Made-up trades with a second to forty of them."""
    from data.market import TICK, SeriesKey
    from data.observations import Observations
    from data.synthetic import DEFAULT_START_MS

    rng = np.random.default_rng(SEED)
    time = DEFAULT_START_MS + np.cumsum(rng.integers(0, 50, count))
    prices = 60_000.0 + np.cumsum(rng.integers(-2, 3, count)) * 0.1
    values = np.column_stack([prices, rng.integers(1, 2000, count) * 0.001, rng.choice([-1.0, 1.0], count)])
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", TICK, "trades")
    return Observations(key, time, np.arange(1, count + 1), time + 5, values)


def _columns(rows: Observations) -> list[Any]:
    return [rows.time, rows.id, rows.known_at, *rows.values.T]


def _put(plain: sqlite3.Connection, table: str, columns: list[Any]) -> None:
    places = ", ".join("?" * len(columns))
    with plain:
        plain.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({places})",
            zip(*(column.tolist() for column in columns), strict=True),
        )


@contextmanager
def _store() -> Iterator[Candles]:
    from database.home import Home

    with tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder, Home(Path(folder)).open() as database:
        yield database.candles


@contextmanager
def _plain(table: str) -> Iterator[sqlite3.Connection]:
    with (
        tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder,
        closing(sqlite3.connect(Path(folder) / "plain.sqlite")) as connection,
    ):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(table)
        yield connection

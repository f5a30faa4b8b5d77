"""P12 inserting candles, P13 reading them."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from scripts.benchmarks.bench import Bench, against
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import in_turn, timed

INSERT_ROWS = 200_000
PEER_ROWS = 50_000


def inserting(bench: Bench) -> list[Row]:
    """P12: into a new home each time."""
    from database.home import Home

    frame, _ = bench.market
    part = frame.slice(0, min(INSERT_ROWS, len(frame)))

    def once() -> float:
        with tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder, Home(Path(folder)).open() as database:
            began = perf_counter()
            database.candles.write(part)
            return (perf_counter() - began) / len(part)

    data = {
        "time": frame.open_time, "open": frame.open, "high": frame.high, "low": frame.low, "close": frame.close,
        "volume": frame.volume,
    }  # fmt: skip

    def opened(_share: float) -> Any:
        return bench.peers.opened(
            "sqlite-utils", ("sqlite-utils", "numpy"), "with_sqlite_utils",
            {name: values[:PEER_ROWS] for name, values in data.items()}, rows=PEER_ROWS,
        )  # fmt: skip

    pair = against(once, "sqlite-utils", opened)
    theirs = None if pair.theirs is None else 1 / pair.theirs
    note = "; ".join(filter(None, (pair.note, f"{len(part):,} rows in one transaction, chunks included")))
    goal = Goal("≥ 250,000 rows/s", at_least=250_000.0)
    title = f"{pair.title} upsert_all"
    return [measured("P12", "SQLite: insert candles, idempotent", 1 / pair.ours, "rows/s", goal, title, theirs, note,
                     more_is_better=True)]  # fmt: skip


def reading(bench: Bench) -> list[Row]:
    """P13: the same file, by the program and by plain sqlite3."""
    from database.home import Home

    frame, _ = bench.market
    with tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder:
        home = Home(Path(folder))
        with home.open() as database:
            database.candles.write(frame)

            def plain() -> None:
                connection = sqlite3.connect(home.database_path)
                rows = connection.execute(
                    "SELECT open_time, open, high, low, close, volume FROM market_data ORDER BY series, open_time"
                ).fetchall()
                connection.close()
                assert np.array(rows).shape == (len(frame), 6)

            def ours() -> None:
                assert len(database.candles.read(frame.key)) == len(frame)

            mine, theirs = in_turn(timed(ours), timed(plain), rounds=3)
    what, goal = f"read {bench.bars:,} candles into arrays", Goal("≤ 300 ms", at_most=300.0)
    title = f"sqlite3 {sqlite3.sqlite_version} plain read"
    return [
        measured("P13", what, 1e3 * mine, "ms", goal, title, 1e3 * theirs, "chunks of columns; the peer reads rows")
    ]

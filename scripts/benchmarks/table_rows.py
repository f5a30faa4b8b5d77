"""D7 importing an archive, D8 bars of a longer timeframe, D9 as-of joins; the peer is pandas."""

from __future__ import annotations

import sqlite3
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import in_turn, timed

IMPORT_ROWS = 200_000
ROUNDS = 3
BARS = "time INTEGER PRIMARY KEY, open REAL, high REAL, low REAL, close REAL, volume REAL"
HEAD = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def importing(bench: Bench) -> list[Row]:
    """D7: the exchange's own form, a CSV of twelve columns in a ZIP, into a new file each time."""
    import pandas as pd

    from data.importing import ImportRequest, plan_import, run_import
    from database.home import Home

    frame, _ = bench.market
    part = frame.slice(0, min(IMPORT_ROWS, len(frame)))
    with tempfile.TemporaryDirectory(prefix="quantai-bench-") as name:
        folder = Path(name)
        archive = folder / "BTCUSDT-1m.zip"
        columns = (part.open_time, part.open, part.high, part.low, part.close, part.volume, part.known_at - 1)
        lines = [",".join(map(repr, row)) + ",0,0,0,0,0" for row in zip(*(c.tolist() for c in columns), strict=True)]
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("BTCUSDT-1m.csv", "\n".join([HEAD, *lines]))

        def ours() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as place, Home(Path(place)).open() as database:
                plan = plan_import([archive], ImportRequest("BTCUSDT", "1m"))
                assert run_import(plan, database.candles).inserted == len(part)

        def theirs() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                table = pd.read_csv(archive)
                rows = table.iloc[:, :6].itertuples(index=False, name=None)
                with closing(sqlite3.connect(Path(place) / "bars.sqlite")) as connection, connection:
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.execute(f"CREATE TABLE bars ({BARS})")
                    connection.executemany("INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?)", rows)

        mine, other = in_turn(timed(ours), timed(theirs), rounds=ROUNDS)
    what, peer = f"import {len(part):,} candles from a ZIP", f"pandas {pd.__version__} read_csv + sqlite3 executemany"
    note = "every row checked, compared with the store and written with its chunks; the peer checks nothing"
    return [measured("D7", what, len(part) / mine, "rows/s", Goal("≥ 0.5×", ratio=0.5), peer, len(part) / other, note,
                     more_is_better=True)]  # fmt: skip


def resampling(bench: Bench) -> list[Row]:
    """D8: 1m to 5m."""
    import pandas as pd

    from data.resample import resample

    frame, _ = bench.market
    names = ("open", "high", "low", "close", "volume")
    table = pd.DataFrame(
        {name: getattr(frame, name) for name in names}, index=pd.to_datetime(frame.open_time, unit="ms")
    )
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    longer = resample(frame, "5m")
    assert np.array_equal(longer.high, table.resample("5min").agg(how).high.to_numpy()[: len(longer)])
    mine, other = in_turn(timed(lambda: resample(frame, "5m")), timed(lambda: table.resample("5min").agg(how)))
    what, peer = f"resample {len(frame):,} bars 1m → 5m", f"pandas {pd.__version__} resample"
    note = "with known_at and marks of the parts; incomplete bars left out"
    return [measured("D8", what, 1e3 * mine, "ms", Goal("≥ 1×", ratio=1.0), peer, 1e3 * other, note)]


def joining(bench: Bench) -> list[Row]:
    """D9: rows in the order of their times, known a little later, at as many moments."""
    import pandas as pd

    from data.market import SeriesKey
    from data.observations import METRIC_COLUMNS, Observations
    from data.point_in_time import join
    from data.timeframes import MINUTE_MS

    frame, _ = bench.market
    count, rng = len(frame), np.random.default_rng(SEED)
    time = frame.open_time
    known_at = time + rng.integers(1_000, MINUTE_MS, count)
    moments = np.sort(rng.integers(time[0], time[-1], count))
    values = rng.random((count, len(METRIC_COLUMNS)))
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m", "metrics")
    rows = Observations(key, time, np.zeros(count, dtype=np.int64), known_at, values)
    columns = METRIC_COLUMNS[:3]
    left = pd.DataFrame({"known_at": moments})
    right = pd.DataFrame({"known_at": known_at, **{name: rows.column(name) for name in columns}})

    def ours() -> np.ndarray:
        return join(rows, moments, columns)

    def theirs() -> pd.DataFrame:
        return pd.merge_asof(left, right, on="known_at")

    assert np.array_equal(ours(), theirs()[list(columns)].to_numpy(), equal_nan=True)
    mine, other = in_turn(timed(ours), timed(theirs))
    note = "three columns; ours takes rows that arrive out of order too, the peer refuses them"
    what, peer = f"as-of join of {count:,} rows at {count:,} moments", f"pandas {pd.__version__} merge_asof"
    return [measured("D9", what, 1e3 * mine, "ms", Goal("≥ 0.5×", ratio=0.5), peer, 1e3 * other, note)]

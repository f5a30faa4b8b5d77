"""sqlite-utils: candles by ``upsert_all`` into a new file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

DISTRIBUTION = "sqlite-utils"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """The first ``rows`` bars; dictionaries are made beforehand."""
    import sqlite_utils

    names = ("time", "open", "high", "low", "close", "volume")
    count = min(options["rows"], len(data["close"]))
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(data[n][:count].tolist() for n in names), strict=True)]

    def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            table: Any = sqlite_utils.Database(Path(folder) / "bars.sqlite")["bars"]
            began = perf_counter()
            table.upsert_all(rows, pk="time")
            seconds = perf_counter() - began
            stored = table.count
            table.db.close()
        return {"seconds": seconds / count, "rows": stored}

    return run

"""Files of plain hourly candles, and the import of them at a fixed time."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.clock import ManualClock
from data.errors import UserError
from data.importing import ImportPlan, ImportRequest, plan_import

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

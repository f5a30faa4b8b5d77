"""Market data in without an exchange: files, and a synthetic market."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.downloads import report
from app.wiring import Workplace
from data.import_layouts import kind_of
from data.importing import ImportRequest, plan_import, preview_import, run_import
from data.market import unified_symbol

Document = dict[str, Any]


def import_into_store(
    place: Workplace, files: Sequence[str], *, symbol: str, timeframe: str | None, exchange: str | None,
    kind: str | None, zone: str | None, unit: str | None, dry_run: bool,
) -> Document:  # fmt: skip
    """Files of one series into the store; the keys of COMMANDS.

    Raises:
        UserError: a file or an option is wrong, or too many rows are bad; nothing is imported.
    """
    paths = [Path(f).expanduser() for f in files]
    request = ImportRequest(
        symbol=unified_symbol(symbol), timeframe=timeframe, exchange=exchange or place.settings.values.data.exchange,
        kind=kind or kind_of(paths) or "ohlcv", tz=zone, unit=unit,
    )  # fmt: skip
    plan = plan_import(paths, request, place.clock)
    work = preview_import if dry_run else run_import
    return work(plan, place.database.candles).document()


def synthesise_into_store(place: Workplace, *, symbol: str, timeframe: str, bars: int, seed: int | None) -> Document:
    """A seeded synthetic series and its funding into the store.

    Raises:
        UserError: unknown symbol or timeframe.
    """
    from data.synthetic import synthetic_market

    chosen = place.settings.values.ai.seed if seed is None else seed
    frame, funding = synthetic_market(
        unified_symbol(symbol), timeframe, bars, chosen, exchange=place.settings.values.data.exchange
    )
    store = place.database.candles
    written = store.write(frame)
    store.write_funding(funding)
    end = int(frame.open_time[-1]) + frame.key.step_ms
    document = report(frame.key, written, (), int(frame.open_time[0]), end)
    return {**document, "seed": chosen, "settlements": len(funding)}

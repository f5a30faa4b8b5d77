"""Work that the window starts and that runs in processes of its own; each opens the home by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.jobs import Report
from app.wiring import Workplace
from data.market import SeriesKey

WALK_FORWARD = "app.workers:walk_forward_job"
TUNE = "app.tuning:tuning_job"
IMPORT = "app.workers:import_job"
DOWNLOAD = "app.workers:download_job"
CHECK = "app.workers:check_job"


def walk_forward_job(
    report: Report, home: str, symbol: str, timeframe: str, exchange: str, source: str, seed: int | None
) -> dict[str, Any]:
    """Walk forward over a stored series; gives the run's id and verdict."""
    from app.walk_forward import Request, perform

    with Workplace.opened(Path(home)) as place:
        ai = place.settings.values.ai
        request = Request(
            symbol=symbol, timeframe=timeframe, train=ai.walk_forward_train, test=ai.walk_forward_test,
            step=ai.walk_forward_step, exchange=exchange, source=source, seed=seed, workers=1,
        )  # fmt: skip
        document = perform(place, request, report)
    return {"run_id": document["run_id"], "verdict": document["verdict"]}


def import_job(
    report: Report, home: str, paths: Sequence[str], symbol: str, timeframe: str | None, kind: str
) -> dict[str, Any]:
    """Import files of one series; gives the report without its lists."""
    from app.market_data import import_into_store

    report(0, 1, f"reading {len(paths)} file{'s' if len(paths) != 1 else ''}")
    with Workplace.opened(Path(home)) as place:
        document = import_into_store(
            place, paths, symbol=symbol, timeframe=timeframe, exchange=None, kind=kind, zone=None, unit=None,
            dry_run=False,
        )  # fmt: skip
    report(1, 1, "stored")
    return {key: document[key] for key in ("rows", "inserted", "revised", "duplicates", "rejected", "gaps")}


def download_job(
    report: Report, home: str, symbol: str, timeframe: str, start_ms: int, end_ms: int | None, kind: str, exchange: str
) -> dict[str, Any]:
    """Back-fill one series from the exchange; gives the report without its lists."""
    from app.downloads import download_into_store

    with Workplace.opened(Path(home)) as place:
        document = download_into_store(
            place, symbol=symbol, timeframe=timeframe, start_ms=start_ms, end_ms=end_ms, kind=kind, exchange=exchange,
            progress=report,
        )  # fmt: skip
    return {key: document[key] for key in ("rows", "inserted", "revised", "duplicates", "rejected", "gaps")}


def check_job(report: Report, home: str, series: Sequence[str], repair: bool) -> dict[str, Any]:
    """Check series (the five words of each) and, where asked, repair them; gives the sums."""
    from app.data_report import check_series

    with Workplace.opened(Path(home)) as place:
        document = check_series(place, [SeriesKey(*words) for words in series], repair, report)
    return {key: value for key, value in document.items() if key != "series"}

"""Back-tests and sweeps as jobs of the window: run in a process of their own, kept whole in the home.

A job that is cancelled or dies leaves no result: it is stored last, in one transaction. A sweep that is cancelled ends
after the combination that runs, and what was run is kept, as with Ctrl+C on the command line.
"""

from __future__ import annotations

import hashlib
import json
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.backtest_requests import FORM, grid_text, request_of, values_of
from app.contract.forms import BacktestForm
from app.jobs import Report
from app.wiring import Workplace
from data.errors import UserError
from data.timeframes import DAY_MS

if TYPE_CHECKING:
    from app.backtests import Inputs
    from data.market import SeriesKey
    from trading.backtest import RunResult

BACKTEST = "app.backtest_jobs:backtest_job"
SWEEP = "app.backtest_jobs:sweep_job"
BACKTEST_KIND, SWEEP_KIND = "backtest", "sweep"
TRIAL = "back-test"  # kind of search: numbers tried by hand are tries too
POINTS = 2_000  # of the stored equity curve, extremes kept: more than a chart has columns
Document = dict[str, Any]
Typed = Sequence[Sequence[str]]


def form_of(stored: Mapping[str, Any]) -> BacktestForm:
    """A form from what was stored or sent of it."""
    pairs = tuple((str(key), str(value)) for key, value in stored["overrides"])
    return BacktestForm(**{**stored, "symbols": tuple(stored["symbols"]), "overrides": pairs})


def pairs_of(typed: Typed) -> tuple[tuple[str, str], ...]:
    """Keys and texts, as they come back from JSON."""
    return tuple((str(key), str(text)) for key, text in typed)


# ---- one back-test ---------------------------------------------------------------------------------------------------


def backtest_job(report: Report, home: str, form: Mapping[str, Any], parameters: Typed = ()) -> Document:
    """Run one back-test by the compiled engine; gives its number and what a list shows of it."""
    with Workplace.opened(Path(home)) as place:
        head, body = backtest(place, form_of(form), pairs_of(parameters), report)
        number = place.database.backtests.save(BACKTEST_KIND, head, body)
        report(3, 3, "kept")
    return {"number": number, **head}


def backtest(
    place: Workplace, form: BacktestForm, parameters: Sequence[tuple[str, str]] = (),
    report: Report | None = None,
) -> tuple[Document, Document]:  # fmt: skip
    """What the list and what the page show of a back-test; ``document`` is that of ``backtest --json``.

    Raises:
        UserError: as :func:`app.backtests.perform`, or an override or parameter does not fit.
    """
    from app.backtests import by_fast, chosen, document_of, inputs_of, series_of, with_finer
    from app.grids import applied

    started = place.clock.monotonic()
    report = report or _unheard
    request = request_of(form)
    report(0, 3, "reading bars and features")
    keys = series_of(place, request)
    strategy, runs, note = chosen(place, request, keys)
    inputs = inputs_of(place, request, keys, strategy, runs)
    changed = values_of((*form.overrides, *parameters))
    if changed:
        inputs = replace(inputs, config=applied(inputs.config, changed, FORM))
        inputs = with_finer(place, inputs, [inputs.config])
    report(1, 3, f"trading {inputs.grid.bars:,} bars")
    result = by_fast(inputs)
    report(2, 3, "weighing the evidence")
    elapsed = place.clock.monotonic() - started
    document = document_of(place, request, inputs.config.strategy, inputs, result, runs, elapsed)
    body = {
        "form": asdict(form), "parameters": list(parameters), "document": document, "note": note,
        "curve": _curve(result, inputs.grid.step_ms), "evidence": _evidence(place, keys, inputs, result),
        "drawdown_limit": inputs.config.settings.limits.drawdown,
    }  # fmt: skip
    return _head(document), body


def _unheard(_done: int, _total: int, _words: str) -> None:
    """Progress that nobody follows."""


def _head(document: Mapping[str, Any]) -> Document:
    halted = document["halted_at"]
    return {
        "strategy": document["strategy"], "symbols": document["symbols"], "timeframe": document["timeframe"],
        "from": document["from"], "to": document["to"], "net_return": document["metrics"]["net_return"],
        "sharpe": document["metrics"]["sharpe"], "trades": len(document["trades"]),
        "about": f"halted {halted[:10]}" if halted else "",
    }  # fmt: skip


def _curve(result: RunResult, step_ms: int) -> Document:
    """Closes, equity and drawdown, thinned, and the return of every month."""
    from app.projection_context import thinned
    from app.projections_performance import months_of

    time = result.equity["open_time"].astype(np.int64) + step_ms
    equity = np.ascontiguousarray(result.equity["equity"])
    peaks = np.maximum.accumulate(np.concatenate([[result.equity_start], equity]))[1:]
    kept = thinned(equity, POINTS)
    months = months_of(time, equity, result.equity_start)
    return {
        "time": time[kept], "equity": equity[kept], "drawdown": 1.0 - equity[kept] / peaks[kept],
        "months": [[m.year, m.month, m.value] for m in months],
    }  # fmt: skip


def _evidence(place: Workplace, keys: Sequence[SeriesKey], inputs: Inputs, result: RunResult) -> Document:
    """The band of the Sharpe ratio and the price of everything tried on these series, this configuration among it."""
    from app.evaluation import days_of, return_document, search_document
    from app.trials import RUN, sharpe_of, tried

    step, seed = inputs.grid.step_ms, inputs.config.seed
    daily = days_of(result, step)
    times = inputs.grid.open_time
    same = [int(times[0]), int(times[-1]), inputs.model_ids, replace(inputs.config, seed=0).digest()]
    asked = {RUN: hashlib.blake2b(json.dumps(same).encode(), digest_size=6).hexdigest()}
    log, present = place.database.trials, ""
    for key in keys:
        present = log.begin(key, TRIAL, {**asked, "strategy": inputs.config.strategy.name})
        log.finish(key, present, result.metrics["sharpe"], sharpe_of(daily), daily)
    block = max(1, -(-inputs.config.profile.limit_bars * step // DAY_MS))
    trials = list({trial.digest: trial for key in keys for trial in tried(place, key)}.values())
    return {**return_document(daily, block, seed), **search_document(daily, trials, present, seed)}


# ---- a sweep ---------------------------------------------------------------------------------------------------------


def sweep_job(report: Report, home: str, form: Mapping[str, Any], grid: Typed) -> Document:
    """Run a sweep; gives its number and what a list shows of it. Asked to end, it keeps what it has."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Workplace.opened(Path(home)) as place:
        head, body = sweep(place, form_of(form), pairs_of(grid), report, stop.is_set)
        number = place.database.backtests.save(SWEEP_KIND, head, body)
    return {"number": number, **head}


def sweep(
    place: Workplace, form: BacktestForm, grid: Sequence[tuple[str, str]], report: Report,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Document, Document]:  # fmt: skip
    """What the list and what the page show of a sweep; ``document`` is that of ``sweep --json``.

    Raises:
        UserError: as :func:`app.sweeps.perform`; the grid is called by that name.
    """
    from app.sweeps import Request, perform

    if len(form.symbols) != 1:
        raise UserError("A sweep trades one symbol: choose one.")
    base = request_of(form)
    report(0, 0, "reading bars and features")
    with tempfile.TemporaryDirectory(prefix="quantai-sweep-") as folder:
        path = Path(folder) / "grid.toml"
        path.write_text(grid_text(grid, form.overrides), encoding="utf-8")
        request = Request(
            symbol=base.symbols[0], timeframe=base.timeframe, strategy=form.strategy, grid=path,
            schedule=base.schedule, start_ms=base.start_ms, end_ms=base.end_ms, enforce=base.enforce,
            on_halt=base.on_halt, exchange=base.exchange, source=base.source, exit_profile=base.exit_profile,
            seed=base.seed,
        )  # fmt: skip
        try:
            document = perform(place, request, report, cancelled)
        except UserError as error:
            raise UserError(str(error).replace(str(path), "The grid")) from None
    best = document["best"] or {}
    complete = "" if document["complete"] else ", stopped"
    head = {
        "strategy": document["strategy"], "symbols": [document["symbol"]], "timeframe": document["timeframe"],
        "from": document["from"], "to": document["to"], "net_return": best.get("net_return"),
        "sharpe": best.get("sharpe"), "trades": best.get("trades"),
        "about": f"{document['trials']:,} of {document['planned']:,} combinations{complete}",
    }  # fmt: skip
    return head, {"form": asdict(form), "grid": list(grid), "document": document}


# ---- in the tray -----------------------------------------------------------------------------------------------------


def backtest_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """What a finished back-test says, and the tab that shows it."""
    halted = f", {result['about']}" if result["about"] else ""
    return f"run {result['number']}: {result['net_return']:+.1%} by {result['trades']:,} trades{halted}", "back-test"


def sweep_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """What a finished sweep says, and the tab that shows it."""
    best = result["sharpe"]
    said = "none has a Sharpe ratio" if best is None else f"the best Sharpe ratio is {best:.2f}"
    return f"run {result['number']}: {result['about']}; {said}", "back-test"

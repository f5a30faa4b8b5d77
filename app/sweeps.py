"""``sweep``: one back-test for every combination of a grid, and what the search itself costs in evidence."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.backtests import Inputs, chosen, inputs_of, series_of
from app.backtests import Request as BacktestRequest
from app.evaluation import Daily, Trial, days_of, search_document
from app.grids import Grid, Parameters, applied, check_grid, read_grid
from app.wiring import Workplace
from data.clock import iso
from data.errors import QuantError, UserError
from data.market import SeriesKey
from trading.backtest import run_fast

if TYPE_CHECKING:
    from trading.config import TradingConfig

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]
Cancelled = Callable[[], bool]

STARTED = "sweep_started"  # audit kind: every configuration that is tried leaves a trace, failed ones too
FIGURES = ("trades", "net_return", "sharpe", "max_drawdown", "equity_end", "halted_at")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: not said. Times are ms UTC, half-open."""

    symbol: str
    timeframe: str
    strategy: str
    grid: Path
    schedule: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    enforce: bool = True
    on_halt: str = "stop"
    exchange: str | None = None
    source: str | None = None
    exit_profile: str | None = None
    seed: int | None = None

    def backtest(self) -> BacktestRequest:
        """The back-test whose configuration is varied."""
        return BacktestRequest(
            (self.symbol,), self.timeframe, strategy=self.strategy, schedule=self.schedule, start_ms=self.start_ms,
            end_ms=self.end_ms, enforce=self.enforce, on_halt=self.on_halt, exchange=self.exchange,
            source=self.source, exit_profile=self.exit_profile, seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt:
    """One combination: who it is for later counting, what was set, what is traded."""

    digest: str
    parameters: Parameters
    config: TradingConfig


def perform(
    place: Workplace, request: Request, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Document:
    """Try every combination; the keys of COMMANDS. Ctrl+C or ``cancelled`` ends it with what is finished.

    Raises:
        UserError: series, strategy, schedule or grid are missing or do not fit.
        KeyboardInterrupt: before the first combination was finished.
    """
    started = place.clock.monotonic()
    grid = read_grid(request.grid)
    base = request.backtest()
    keys = series_of(place, base)
    strategy, runs, _ = chosen(place, base, keys)
    inputs = inputs_of(place, base, keys, strategy, runs)
    check_grid(grid, inputs.config, inputs.forecasts is not None)
    schedule = None if runs is None else [run.run_id for run in runs]
    attempts = _attempts(grid, inputs, keys[0], schedule)
    earlier = _earlier(place, keys[0], {a.digest for a in attempts})
    about = _about(request, grid, inputs, keys[0])
    place.database.audit.append(
        None, STARTED, {**about, "configurations": len(attempts), "digests": [a.digest for a in attempts]}
    )
    rows: list[Document] = []
    days: list[Daily] = []
    complete = _run_all(attempts, inputs, rows, days, progress, cancelled)
    if not rows:
        raise UserError("The sweep was stopped before its first back-test was finished: nothing is known.")
    return {
        "runs": rows, **_findings(rows, days, attempts, earlier), "earlier_trials": len(earlier),
        "planned": len(attempts), "complete": complete, "elapsed_s": place.clock.monotonic() - started,
        **about, "schedule": schedule,
    }  # fmt: skip


def _attempts(grid: Grid, inputs: Inputs, key: SeriesKey, schedule: Sequence[str] | None) -> list[Attempt]:
    """Every combination in the order of the grid, all checked before the first one is run."""
    times = inputs.grid.open_time
    where = [str(key), int(times[0]), int(times[-1]), schedule]
    made = []
    for parameters in grid.combinations():
        config = applied(inputs.config, parameters, grid.origin)
        same = json.dumps([*where, replace(config, seed=0).digest()])  # a seed changes no back-test of given forecasts
        made.append(Attempt(hashlib.blake2b(same.encode(), digest_size=6).hexdigest(), parameters, config))
    return made


def _earlier(place: Workplace, key: SeriesKey, present: set[str]) -> list[Trial]:
    """Configurations that other sweeps tried on the series, over whatever span."""
    tried: set[str] = set()
    for entry in place.database.audit.entries(kind=STARTED):
        body = json.loads(entry.body)
        if all(body.get(name) == getattr(key, name) for name in ("exchange", "symbol", "timeframe", "source")):
            tried.update(body["digests"])
    return [Trial(digest, {}) for digest in sorted(tried - present)]


def _about(request: Request, grid: Grid, inputs: Inputs, key: SeriesKey) -> Document:
    times = inputs.grid.open_time
    return {
        "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "source": key.source,
        "strategy": inputs.config.strategy.name, "from": iso(int(times[0])),
        "to": iso(int(times[-1]) + inputs.grid.step_ms), "bars": inputs.grid.bars,
        "gates": "enforce" if request.enforce else "observe", "on_halt": request.on_halt,
        "grid": {name: list(values) for name, values in grid.values.items()},
    }  # fmt: skip


def _run_all(
    attempts: Sequence[Attempt], inputs: Inputs, rows: list[Document], days: list[Daily], progress: Progress | None,
    cancelled: Cancelled | None,
) -> bool:  # fmt: skip
    """Fill ``rows`` and ``days``; False where a person ended it before the last one."""
    try:
        for attempt in attempts:
            if cancelled is not None and cancelled():
                return False
            row, daily = _run(attempt, inputs)
            days.append(daily)
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(attempts), f"{len(rows):,} of {len(attempts):,} back-tests")
    except KeyboardInterrupt:
        if not rows:
            raise
        return False
    return True


def _run(attempt: Attempt, inputs: Inputs) -> tuple[Document, Daily]:
    """The row of one combination and its daily returns; one that cannot be run has its reason and no figures."""
    try:
        result = run_fast(attempt.config, inputs.grid, inputs.features, inputs.forecasts, inputs.schema)
    except QuantError as error:
        return {"parameters": attempt.parameters, **dict.fromkeys(FIGURES), "error": str(error)}, {}
    return {
        "parameters": attempt.parameters, "trades": len(result.trades),
        "net_return": result.equity_end / result.equity_start - 1.0, "sharpe": result.metrics["sharpe"],
        "max_drawdown": result.metrics["max_drawdown"], "equity_end": result.equity_end,
        "halted_at": iso(result.halted_at), "error": None,
    }, days_of(result, inputs.grid.step_ms)  # fmt: skip


def _findings(
    rows: Sequence[Document], days: Sequence[Daily], attempts: Sequence[Attempt], earlier: Sequence[Trial]
) -> Document:
    """``best pbo deflated_sharpe trials``: the best by Sharpe (ties: by return) and how much of it may be luck."""
    ranked = list(_ranked(rows))
    if not ranked:
        return {"best": None, "pbo": None, "deflated_sharpe": None, "trials": len(rows)}
    best = ranked[0]
    others = [Trial(attempts[k].digest, days[k]) for k in range(len(rows)) if k != best]
    found = search_document(days[best], [*others, *earlier])
    return {
        "best": rows[best], "pbo": found["pbo"], "deflated_sharpe": found["deflated_sharpe"], "trials": len(rows),
    }  # fmt: skip


def _ranked(rows: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """Rows with a Sharpe ratio, the best first; of equal ones the first of the grid."""
    known = [k for k, row in enumerate(rows) if row["sharpe"] is not None and math.isfinite(row["sharpe"])]
    yield from sorted(known, key=lambda k: (-rows[k]["sharpe"], -rows[k]["net_return"]))


def ranked_rows(document: Mapping[str, Any]) -> list[Document]:
    """The runs, best first; those without a Sharpe ratio at the end."""
    rows = document["runs"]
    order = list(_ranked(rows))
    return [rows[k] for k in [*order, *(k for k in range(len(rows)) if k not in set(order))]]

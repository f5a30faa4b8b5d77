"""``sweep``: one back-test for every combination of a grid, and what the search itself costs in evidence."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.validation.trials import Trial, deflation, known_number
from app.backtests import Inputs, chosen, inputs_of, series_of, with_finer
from app.backtests import Request as BacktestRequest
from app.evaluation import Daily, days_of, search_document
from app.finer_bars import finer_words
from app.grid_keys import EXIT_PROFILE, STRATEGY
from app.grids import Grid, Parameters, applied, check_grid, grid_of, read_grid
from app.sweep_tables import FIGURES, heat_map, ranked, varied
from app.trials import RUN, SWEEP, sharpe_of, tried
from app.walk_forward import processes
from app.wiring import Workplace, strategy_for
from data.clock import iso
from data.errors import QuantError, UserError
from data.market import Float64Array, SeriesKey
from data.workers import Workers
from trading.backtest import run_fast
from trading.metrics import DAYS_PER_YEAR

if TYPE_CHECKING:
    from ai.schema import FeatureSchema
    from data.grid import Grid as MarketGrid
    from trading.config import TradingConfig
    from trading.finer import FinerGrid

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]
Cancelled = Callable[[], bool]
Done = tuple[Document, Daily]  # the row of a combination, and its daily returns

STARTED = "sweep_started"  # audit kind: every configuration that is tried leaves a trace, failed ones too
SEARCHED = (  # what the search costs in evidence
    "pbo", "deflated_sharpe", "probabilistic_sharpe", "track_record_days", "minimum_track_record_days",
    "reality_check", "superior_ability", "trials_with_returns", "trials_compared",
)  # fmt: skip
BY_LUCK = "sharpe_by_luck"  # a year: what the best of as many worthless configurations is expected to show
PARALLEL_FROM_BARS = 20_000_000  # bars of all back-tests together; below, the workers' start costs more than it saves
PARTS = 8  # pieces of work for each process: progress is told after each


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: not said. Times are ms UTC, half-open."""

    symbol: str
    timeframe: str
    strategy: str | None  # None: the first that the grid names
    grid: Path | Mapping[str, Any]  # a file, or its table
    schedule: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    enforce: bool = True
    on_halt: str = "stop"
    exchange: str | None = None
    source: str | None = None
    exit_profile: str | None = None
    seed: int | None = None
    workers: int | None = None  # None: the setting
    cluster: str | None = None

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
    grid = _grid(request)
    base = replace(request, strategy=request.strategy or grid.values[STRATEGY][0]).backtest()
    if progress is not None:
        progress(0, len(grid), "reading bars, making features")
    keys = series_of(place, base)
    strategy, runs, _ = chosen(place, base, keys)
    more = [name for other in grid.values.get(STRATEGY, ()) for name in strategy_for(str(other)).features()]
    inputs = inputs_of(place, base, keys, strategy, runs, more)
    check_grid(grid, inputs.config, inputs.forecasts is not None)
    schedule = None if runs is None else [run.run_id for run in runs]
    attempts = _attempts(grid, inputs, keys[0], schedule)
    inputs = with_finer(place, inputs, [a.config for a in attempts])
    about = _about(request, grid, inputs, keys[0])
    place.database.audit.append(
        None, STARTED, {**about, "configurations": len(attempts), "digests": [a.digest for a in attempts]}
    )
    asked = [{RUN: a.digest, "strategy": a.config.strategy.name} for a in attempts]
    trials = place.database.trials.begin_all(keys[0], SWEEP, asked)
    done: list[Done] = []
    complete = _run_all(attempts, inputs, _workers(place, request, inputs, len(attempts)), done, progress, cancelled)
    for trial, (row, daily) in zip(trials, done, strict=False):
        _note(place, keys[0], trial, row, daily)
    if not done:
        raise UserError("The sweep was stopped before its first back-test was finished: nothing is known.")
    everything = tried(place, keys[0])
    findings = _findings(done, trials, everything, inputs.config.seed)
    document = {
        "runs": [row for row, _ in done], **findings, "planned": len(attempts), "complete": complete,
        "elapsed_s": place.clock.monotonic() - started, **about, "schedule": schedule,
        "assumptions": [*dict.fromkeys(w for a in attempts for w in finer_words(a.config, inputs.finer, inputs.grid))],
    }  # fmt: skip
    two = varied(document)
    return {**document, "heat_map": heat_map(document, *two) if len(two) == 2 else None}


def _grid(request: Request) -> Grid:
    """The grid that is asked for, with the exits that were asked for beside its strategies."""
    grid = read_grid(request.grid) if isinstance(request.grid, Path) else grid_of(request.grid, "grid")
    if STRATEGY in grid.values:
        own = {} if request.exit_profile is None else {EXIT_PROFILE: (request.exit_profile,)}
        return replace(grid, values={**own, **grid.values})
    if request.strategy is None:
        raise UserError(f'{grid.origin}: no strategy is named: give --strategy, or a list "{STRATEGY}" of several.')
    return grid


def _note(place: Workplace, key: SeriesKey, trial: str, row: Document, daily: Daily) -> None:
    if row["error"] is not None:
        place.database.trials.fail(key, trial, row["error"])
    else:
        place.database.trials.finish(key, trial, row["sharpe"], sharpe_of(daily), daily)


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


def _about(request: Request, grid: Grid, inputs: Inputs, key: SeriesKey) -> Document:
    times = inputs.grid.open_time
    return {
        "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "source": key.source,
        "strategy": inputs.config.strategy.name, "from": iso(int(times[0])),
        "to": iso(int(times[-1]) + inputs.grid.step_ms), "bars": inputs.grid.bars,
        "gates": "enforce" if request.enforce else "observe", "on_halt": request.on_halt,
        "grid": {name: list(values) for name, values in grid.values.items()},
    }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Neighbouring combinations that one worker runs one after the other."""

    configs: tuple[TradingConfig, ...]
    parameters: tuple[Parameters, ...]
    grid: MarketGrid
    features: Float64Array
    forecasts: Float64Array | None
    schema: FeatureSchema
    history: Float64Array | None = None
    finer: FinerGrid | None = None


def run_part(part: Part) -> list[Done]:
    """The row and the daily returns of each combination; one that cannot be run has its reason and no figures."""
    return [_run(config, chosen, part) for config, chosen in zip(part.configs, part.parameters, strict=True)]


def _workers(place: Workplace, request: Request, inputs: Inputs, attempts: int) -> Workers:
    ai = place.settings.values.ai
    much = attempts * inputs.grid.bars >= PARALLEL_FROM_BARS
    return Workers(min(processes(request.workers, ai, much), attempts), request.cluster or ai.cluster or None)


def _parts(attempts: Sequence[Attempt], inputs: Inputs, workers: Workers) -> Iterator[Part]:
    alone = workers.processes <= 1 and workers.cluster is None
    parts = len(attempts) if alone else min(len(attempts), PARTS * max(workers.processes, os.cpu_count() or 1))
    edges = [len(attempts) * k // parts for k in range(parts + 1)]
    for first, last in pairwise(edges):
        mine = attempts[first:last]
        yield Part(
            tuple(a.config for a in mine), tuple(a.parameters for a in mine), inputs.grid, inputs.features,
            inputs.forecasts, inputs.schema, inputs.history, inputs.finer,
        )  # fmt: skip


def _run_all(
    attempts: Sequence[Attempt], inputs: Inputs, workers: Workers, done: list[Done], progress: Progress | None,
    cancelled: Cancelled | None,
) -> bool:  # fmt: skip
    """Fill ``done`` in the order of the grid; False where a person ended it before the last one."""
    try:
        for found in workers.each(run_part, _parts(attempts, inputs, workers), cancelled):
            done += found
            if progress is not None:
                progress(len(done), len(attempts), f"{len(done):,} of {len(attempts):,} back-tests")
    except KeyboardInterrupt:
        if not done:
            raise
    return len(done) == len(attempts)


def _run(config: TradingConfig, parameters: Parameters, part: Part) -> Done:
    try:
        features, schema = _read_by(config, part)
        result = run_fast(config, part.grid, features, part.forecasts, schema, part.finer, part.history)
    except QuantError as error:
        return {"parameters": parameters, **dict.fromkeys(FIGURES), "error": str(error)}, {}
    return {
        "parameters": parameters, "trades": len(result.trades),
        "net_return": result.equity_end / result.equity_start - 1.0, "sharpe": result.metrics["sharpe"],
        "max_drawdown": result.metrics["max_drawdown"], "equity_end": result.equity_end,
        "halted_at": iso(result.halted_at), "error": None,
    }, days_of(result, part.grid.step_ms)  # fmt: skip


def _read_by(config: TradingConfig, part: Part) -> tuple[Float64Array, FeatureSchema]:
    """The features of this configuration alone, so that its row equals its back-test."""
    names = config.features()
    if set(names) == set(part.schema.names):
        return part.features, part.schema
    return part.features[:, [part.schema.index(name) for name in names]], type(part.schema)(names)


def _findings(done: Sequence[Done], trials: Sequence[str], everything: Sequence[Trial], seed: int) -> Document:
    """``best pbo deflated_sharpe trials …``: the best by Sharpe (ties: by return) and how much of it may be luck.

    ``pbo`` compares the combinations of this sweep with one another; everything else counts all that was ever tried
    on the series.
    """
    rows = [row for row, _ in done]
    planned, made = set(trials), set(trials[: len(rows)])
    counted = [t for t in everything if t.digest not in planned or t.digest in made]  # not those it was stopped before
    counts = {"trials": len(rows), "earlier_trials": sum(t.digest not in planned for t in counted)}
    best = next(ranked(rows), None)
    if best is None:
        return {"best": None, **dict.fromkeys(SEARCHED), BY_LUCK: None, **counts}
    search = [t for t in counted if t.digest in made]
    daily = done[best][1]
    found = search_document(daily, counted, trials[best], seed, search)
    luck = deflation(np.array(list(daily.values())), counted, trials[best]).expected_best * math.sqrt(DAYS_PER_YEAR)
    return {
        "best": rows[best], **{name: found[name] for name in SEARCHED}, BY_LUCK: known_number(luck), **counts
    }  # fmt: skip

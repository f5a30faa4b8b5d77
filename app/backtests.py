"""``backtest``: stored bars through either engine, by a rule, a stored walk-forward schedule, or one model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.forecast import Abstain, Col, abstaining_row
from app.day_history import day_closes
from app.documents import halt_rows, trade_rows
from app.finer_bars import finer_of, finer_words, reads_finer
from app.instrument_rules import rules_of
from app.regime_history import regimes_at_entry
from app.schedules import profile_of_runs, same_profile, stored_run
from app.training import find_model
from app.wiring import (
    DEFAULT_RULE,
    ENSEMBLE,
    Span,
    Workplace,
    choose_series,
    cut,
    extras_for,
    feature_cube,
    first_bar,
    market_for,
    run_warmup,
    strategy_for,
    trading_config,
    with_exits,
)
from data.clock import iso
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame, SeriesKey
from trading.analysis import analysis
from trading.backtest import RunResult, run_fast, run_service
from trading.finer import FinerGrid
from trading.journal import AccountKey

if TYPE_CHECKING:
    from ai.schema import FeatureSchema
    from data.grid import Grid
    from database.forecasts import ForecastRun, RunInfo
    from trading.config import TradingConfig
    from trading.strategy.spec import StrategySpec

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: not said. Times are ms UTC, half-open."""

    symbols: tuple[str, ...]
    timeframe: str
    strategy: str | None = None
    model: str | None = None
    schedule: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    engine: str = "fast"
    enforce: bool = True
    on_halt: str = "stop"
    allow_in_sample: bool = False
    exchange: str | None = None
    source: str | None = None
    exit_profile: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Everything an engine reads, from the span's first bar on."""

    config: TradingConfig
    schema: FeatureSchema
    grid: Grid
    features: Float64Array  # [S, F, T]
    forecasts: Float64Array | None  # [S, T, WIDTH]
    in_sample_bars: int
    model_ids: tuple[str, ...]
    frames: tuple[Frame, ...] = ()  # with the warm-up
    history: Float64Array | None = None  # daily closes before the first bar
    finer: FinerGrid | None = None  # bars inside those of the grid, where the matching asks for them


def perform(place: Workplace, request: Request) -> tuple[Document, str]:
    """The result with the keys of COMMANDS, and a sentence where something was chosen for the person.

    Raises:
        UserError: series, strategy, model or schedule are missing or do not fit, or bars are in sample.
    """
    started = place.clock.monotonic()
    keys = series_of(place, request)
    strategy, runs, note = chosen(place, request, keys)
    inputs = inputs_of(place, request, keys, strategy, runs)
    result = _by_service(inputs, keys[0]) if request.engine == "service" else by_fast(inputs)
    elapsed = place.clock.monotonic() - started
    return document_of(place, request, strategy, inputs, result, runs, elapsed), note


# ---- what is traded --------------------------------------------------------------------------------------------------


def series_of(place: Workplace, request: Request) -> list[SeriesKey]:
    """The stored series of the request's symbols, in order.

    Raises:
        UserError: one is missing, or several fit.
    """
    return [
        choose_series(place.database.candles, s, request.timeframe, request.exchange, request.source).key
        for s in request.symbols
    ]


def chosen(
    place: Workplace, request: Request, keys: Sequence[SeriesKey]
) -> tuple[StrategySpec, list[RunInfo] | None, str]:
    """The strategy, the stored runs that it reads (``None``: none), and a note about a choice made.

    Raises:
        UserError: strategy, model or schedule are missing or do not fit together.
    """
    if request.model is not None and request.schedule is not None:
        raise UserError("--model and --schedule exclude each other: give one of them.")
    wants_forecasts = request.model is not None or request.schedule is not None
    name, note = request.strategy, ""
    if name is None:
        stored = all(place.database.forecasts.newest(key) for key in keys)
        name = ENSEMBLE if wants_forecasts or stored else DEFAULT_RULE
        if name == DEFAULT_RULE:
            note = f"No walk-forward is stored for this series, so the rule '{DEFAULT_RULE}' is traded."
    spec = strategy_for(name, request.exit_profile)
    if spec.kind == "rule":
        if wants_forecasts:
            raise UserError(f"'{spec.name}' is a rule and reads no forecasts: leave out --model and --schedule.")
        return spec, None, note
    if request.model is not None:
        row = place.database.models.get(find_model(place, request.model))
        return with_exits(spec, same_profile(row.profile, request.exit_profile)), None, note
    runs = [stored_run(place, key, request.schedule) for key in keys]
    return with_exits(spec, profile_of_runs(runs, request.exit_profile)), runs, note


# ---- inputs ----------------------------------------------------------------------------------------------------------


def inputs_of(
    place: Workplace, request: Request, keys: Sequence[SeriesKey], strategy: StrategySpec,
    runs: Sequence[RunInfo] | None, more: Iterable[str] = (),
) -> Inputs:  # fmt: skip
    """What an engine reads: bars, features (``more``: besides the strategy's own) and forecasts of the span.

    Raises:
        UserError: no bar lies in the span, or bars are in sample.
    """
    from ai.schema import FeatureSchema

    span = _span(request, runs, keys[0])
    history = place.settings.values.ai.history_limit if runs is None and strategy.kind != "rule" else 0
    grid, frames, fundings = market_for(
        place.database.candles, request.symbols, request.timeframe, span, keys[0].source,
        run_warmup(request.timeframe, history), keys[0].exchange,
    )  # fmt: skip
    config = trading_config(
        place.settings, request.symbols, request.timeframe, strategy,
        [rules_of(place.database, f.key, f) for f in frames], enforce=request.enforce, on_halt=request.on_halt,
        seed=request.seed,
    )  # fmt: skip
    schema = FeatureSchema(tuple(dict.fromkeys([*config.features(), *more])))
    first = first_bar(grid, span)
    besides = [extras_for(place.database, frame, place.settings.values.ai, schema.names).beside for frame in frames]
    features = feature_cube(schema, grid, frames, fundings, besides)
    part = cut(grid, first)
    forecasts: Float64Array | None = None
    in_sample, ids = 0, tuple[str, ...]()
    if runs is not None:
        loaded = [place.database.forecasts.load(run.run_id) for run in runs]
        forecasts, ids = stored_rows(part, loaded)
        in_sample = int((forecasts[:, :, Col.ABSTAIN] == Abstain.IN_SAMPLE).any(axis=0).sum())
    elif strategy.kind != "rule":
        forecasts, in_sample, ids = _by_one_model(place, request, config, grid, frames, fundings, first)
    return Inputs(
        config, schema, part, np.ascontiguousarray(features[:, :, first:]), forecasts, in_sample, ids, tuple(frames),
        day_closes(place.database.candles, keys, int(part.open_time[0]), config) if part.bars else None,
        finer_of(place.database.candles, keys, part, config),
    )  # fmt: skip


def with_finer(place: Workplace, inputs: Inputs, configs: Sequence[TradingConfig]) -> Inputs:
    """The same with finer bars where one of these runs over the inputs asks for them."""
    asking = next((config for config in configs if reads_finer(config)), None)
    if asking is None or inputs.finer is not None:
        return inputs
    keys = [frame.key for frame in inputs.frames]
    return replace(inputs, finer=finer_of(place.database.candles, keys, inputs.grid, asking))


def _span(request: Request, runs: Sequence[RunInfo] | None, key: SeriesKey) -> Span:
    """What was asked for; where nothing was, what all stored schedules cover."""
    start, end = request.start_ms, request.end_ms
    if runs is None:
        return start, end
    firsts, lasts = [r.from_ms for r in runs if r.from_ms is not None], [r.to_ms for r in runs if r.to_ms is not None]
    if start is None and firsts:
        start = max(firsts)
    if end is None and lasts:
        end = min(lasts) + key.step_ms
    return start, end


def stored_rows(grid: Grid, runs: Sequence[ForecastRun]) -> tuple[Float64Array, tuple[str, ...]]:
    """Forecast rows ``[S, T, WIDTH]`` on the grid, MISSING where a run does not cover a bar, and the ids that the
    MODEL column counts (of all symbols together)."""
    missing = abstaining_row(Abstain.MISSING)
    out: Float64Array = np.tile(missing, (len(runs), grid.bars, 1))
    ids: list[str] = []
    for s, run in enumerate(runs):
        at = np.searchsorted(run.open_time, grid.open_time)
        inside = np.flatnonzero(at < len(run.open_time))
        hit = inside[run.open_time[at[inside]] == grid.open_time[inside]]
        out[s, hit] = run.rows[at[hit]]
        named = out[s, :, Col.MODEL] >= 0
        out[s, named, Col.MODEL] += len(ids)
        ids += run.info.model_ids
    return out, tuple(ids)


def _by_one_model(
    place: Workplace, request: Request, config: TradingConfig, grid: Grid, frames: Sequence[Frame],
    fundings: Sequence[FundingFrame], first: int,
) -> tuple[Float64Array, int, tuple[str, ...]]:  # fmt: skip
    """Forecasts of one registered model for every bar from ``first`` on, and how many of these it saw."""
    from ai.ensemble import EnsembleModel
    from ai.forecast import ModelSwitch
    from ai.forecaster import Forecaster, forecast_span
    from ai.validation.walk_forward import training_schema

    row = place.database.models.get(find_model(place, str(request.model)))
    if (row.key.symbol,) != config.symbols or row.key.timeframe != config.timeframe:
        raise UserError(f"Model '{row.model_id}' is of {row.key}, not of what is to be traded.")
    model = EnsembleModel.load(place.home.models / row.path)
    seen = grid.open_time[first:] <= model.seen_until_ms
    if seen.any() and not request.allow_in_sample:
        raise UserError(
            f"{int(seen.sum()):,} of {len(seen):,} bars are not after the training of '{row.model_id}' (up to "
            f"{iso(model.seen_until_ms)}): give a later --from, or --allow-in-sample to count them and go on."
        )
    schema = training_schema(model.profile, config.timeframe, model.features)
    besides = [extras_for(place.database, frame, place.settings.values.ai, schema.names).beside for frame in frames]
    x = feature_cube(schema, grid, frames, fundings, besides)[0]
    start = ModelSwitch(int(grid.open_time[0]), row.model_id)
    forecaster = Forecaster(
        {row.model_id: model}, (start,), schema, config.profile, config.timeframe, request.allow_in_sample
    )
    at = np.searchsorted(grid.open_time, frames[0].open_time)
    rows = np.tile(abstaining_row(Abstain.MISSING), (grid.bars, 1))
    rows[at] = forecast_span(forecaster, frames[0], np.ascontiguousarray(x[:, at]))
    return np.ascontiguousarray(rows[None, first:]), int(seen.sum()), (row.model_id,)


# ---- engines and result ----------------------------------------------------------------------------------------------


def by_fast(inputs: Inputs, config: TradingConfig | None = None) -> RunResult:
    """The compiled engine, under another configuration where one is given."""
    return run_fast(
        config or inputs.config, inputs.grid, inputs.features, inputs.forecasts, inputs.schema, inputs.finer,
        inputs.history,
    )  # fmt: skip


def _by_service(inputs: Inputs, key: SeriesKey) -> RunResult:
    """The service's session with a journal in a temporary home."""
    from database.home import Home

    config = inputs.config
    with tempfile.TemporaryDirectory(prefix="quantai-backtest-") as folder, Home(Path(folder)).open() as database:
        account = AccountKey("backtest", key.exchange, "simulated", key.source, config.digest())
        number = database.journal.open_account(
            account, config.start_equity, int(inputs.grid.open_time[0]) if inputs.grid.bars else 0,
            {"symbols": list(config.symbols), "timeframe": config.timeframe, "strategy": config.strategy.name},
        )  # fmt: skip
        return run_service(
            config, inputs.grid, inputs.features, inputs.forecasts, database.journal, number, inputs.schema,
            inputs.finer, inputs.history,
        )  # fmt: skip


def document_of(
    place: Workplace, request: Request, strategy: StrategySpec, inputs: Inputs, result: RunResult,
    runs: Sequence[RunInfo] | None, elapsed: float,
) -> Document:  # fmt: skip
    """The keys of COMMANDS from what an engine read and what it gave; ``elapsed`` in seconds."""
    times = inputs.grid.open_time
    regimes = regimes_at_entry(place.database.candles, [frame.key for frame in inputs.frames], inputs.grid, result)
    return {
        "bars": result.bars, "in_sample_bars": inputs.in_sample_bars, "repaired_bars": inputs.grid.repaired,
        "elapsed_s": elapsed,
        "trades": trade_rows(result.trades, inputs.config.symbols), "fees": result.fees, "funding": result.funding,
        "equity_start": result.equity_start, "equity_end": result.equity_end, "halted_at": iso(result.halted_at),
        "halts": halt_rows(result.halts), "metrics": result.metrics, "strategy": strategy.name,
        "engine": request.engine, "gates": "enforce" if request.enforce else "observe", "on_halt": request.on_halt,
        "symbols": list(inputs.config.symbols), "timeframe": request.timeframe,
        "from": iso(int(times[0])), "to": iso(int(times[-1]) + inputs.grid.step_ms),
        "schedule": None if runs is None else [run.run_id for run in runs], "models": list(inputs.model_ids),
        "assumptions": [*result.assumptions, *finer_words(inputs.config, inputs.finer, inputs.grid)],
        "run": inputs.config.digest(), "analysis": analysis(result.trades, inputs.config.symbols, regimes),
    }  # fmt: skip

"""``walk-forward`` over several symbols: models of each by the same folds, then one back-test of all in one account."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.exits import exit_profile
from ai.validation.baselines import buy_and_hold, no_trade
from ai.validation.scores import BETTER
from app.backtests import Inputs, by_fast, inputs_of
from app.backtests import Request as BacktestRequest
from app.documents import halt_rows
from app.evaluation import (
    BUY_AND_HOLD,
    NO_TRADE,
    Daily,
    days_of,
    held_document,
    return_document,
    search_document,
    trading_document,
)
from app.finer_bars import finer_words
from app.regime_history import regimes_at_entry
from app.schedules import profile_of_runs
from app.trials import RUN, WALK_FORWARD, sharpe_of, tried
from app.walk_forward import Document, Progress, Request, money_words, perform
from app.wiring import ENSEMBLE, Workplace, choose_series, read_funding, strategy_for, with_marks
from data.clock import iso
from data.errors import UserError
from data.market import Float64Array, SeriesKey, short_symbol
from data.timeframes import DAY_MS
from trading.analysis import analysis

if TYPE_CHECKING:
    from ai.validation.trials import Trial
    from database.forecasts import RunInfo
    from trading.backtest import RunResult

STARTED = "portfolio_walk_started"  # audit kind
SHARE = 100  # steps of progress for each symbol


def perform_all(
    place: Workplace, symbols: Sequence[str], request: Request, progress: Progress | None = None
) -> Document:
    """Walk each symbol as ``request`` says, then trade all their forecasts together.

    Ctrl+C ends it with the symbols that are finished; their forecasts are stored like those of any walk-forward.

    Raises:
        UserError: no such series, no common bar, wrong options, or too little data for one fold.
        KeyboardInterrupt: before the first symbol was finished.
    """
    started = place.clock.monotonic()
    keys = [_key(place, symbol, request) for symbol in symbols]
    begin, end = _common_span(place, keys, request)
    walks: list[Document] = []
    try:
        for k, symbol in enumerate(symbols):
            asked = replace(request, symbol=symbol, start_ms=begin, end_ms=end)
            walks.append(perform(place, asked, _part_of(progress, k, symbols)))
    except KeyboardInterrupt:
        if not walks:
            raise
    complete = len(walks) == len(symbols)
    runs = [place.database.forecasts.info(walk["run_id"]) for walk in walks]
    document: Document = {
        "symbols": list(symbols), "timeframe": request.timeframe, "from": iso(begin), "to": iso(end), "walks": walks,
        "runs": [run.run_id for run in runs], "same_folds": _same_folds(walks), "complete": complete, "trading": None,
    }  # fmt: skip
    if complete:
        document |= _traded(place, request, keys, runs, walks)
    document["verdict"] = _words(document)
    return document | {"elapsed_s": place.clock.monotonic() - started}


def _key(place: Workplace, symbol: str, request: Request) -> SeriesKey:
    return choose_series(place.database.candles, symbol, request.timeframe, request.exchange, request.source).key


def _common_span(place: Workplace, keys: Sequence[SeriesKey], request: Request) -> tuple[int, int]:
    """From the first to the last bar that every symbol has, so that folds begin at the same moments."""
    times = [place.database.candles.read(key, request.start_ms, request.end_ms).open_time for key in keys]
    common = reduce(np.intersect1d, times)
    if not len(common):
        names = ", ".join(short_symbol(key.symbol) for key in keys)
        raise UserError(f"{names} {request.timeframe} have no bar in common: choose symbols with a common span.")
    return int(common[0]), int(common[-1]) + keys[0].step_ms


def _part_of(progress: Progress | None, k: int, symbols: Sequence[str]) -> Progress | None:
    if progress is None:
        return None

    def tell(done: int, total: int, words: str) -> None:
        told = k * SHARE + SHARE * done // max(total, 1)
        progress(told, len(symbols) * SHARE, f"{short_symbol(symbols[k])}: {words}")

    return tell


def _same_folds(walks: Sequence[Document]) -> bool:
    """Bars that are missing shift folds that are counted in bars; a fold may have had too little to train on."""
    folds = {tuple((fold["test_from"], fold["test_to"]) for fold in walk["folds"]) for walk in walks}
    return len(folds) == 1


# ---- one account -----------------------------------------------------------------------------------------------------


def _traded(
    place: Workplace, request: Request, keys: Sequence[SeriesKey], runs: Sequence[RunInfo], walks: Sequence[Document]
) -> Document:  # fmt: skip
    """The stored forecasts of all symbols through the compiled engine, gates observed and enforced."""
    symbols = tuple(key.symbol for key in keys)
    spec = strategy_for(ENSEMBLE, profile_of_runs(runs, None))
    asked = BacktestRequest(
        symbols, request.timeframe, ENSEMBLE, exchange=keys[0].exchange, source=keys[0].source, seed=request.seed
    )
    inputs = inputs_of(place, asked, keys, spec, runs)
    trial = _begin(place, keys, runs, inputs)
    try:
        results = {name: by_fast(inputs, replace(inputs.config, enforce=name == "account")) for name in
                   ("edge", "account")}  # fmt: skip
    except BaseException as error:
        for key in keys:
            place.database.trials.fail(key, trial, str(error) or type(error).__name__)
        raise
    daily = {name: days_of(result, inputs.grid.step_ms) for name, result in results.items()}
    trials = list({t.digest: t for key in keys for t in tried(place, key)}.values())
    for key in keys:
        place.database.trials.finish(key, trial, None, sharpe_of(daily["edge"]), daily["edge"])
    figures = {name: _figures(inputs, results[name], daily[name], trials, trial) for name in results}
    baselines = _baselines(place, inputs)
    assumptions = [*results["edge"].assumptions, *finer_words(inputs.config, inputs.finer, inputs.grid)]
    trading = {**figures["edge"], **figures, "assumptions": assumptions, "baselines": baselines}
    return {
        "trading": trading, "baselines": baselines, "equity": _curve(results, inputs.grid.step_ms),
        "analysis": {
            name: analysis(
                result.trades, symbols, regimes_at_entry(place.database.candles, keys, inputs.grid, result)
            ) for name, result in results.items()
        },
        "halts": {name: halt_rows(result.halts) for name, result in results.items()},
        "ranked": all(walk["overall"]["verdict"].startswith(BETTER) for walk in walks),
    }  # fmt: skip


def _begin(place: Workplace, keys: Sequence[SeriesKey], runs: Sequence[RunInfo], inputs: Inputs) -> str:
    """Count the account as a try on each of its series: it is a chance to find luck in all of them."""
    about = {"runs": [run.run_id for run in runs], "symbols": [key.symbol for key in keys],
             "run": replace(inputs.config, seed=0).digest()}  # fmt: skip
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=6).hexdigest()
    place.database.audit.append(None, STARTED, {**about, "digest": digest})
    for key in keys:
        trial = place.database.trials.begin(key, WALK_FORWARD, {**about, RUN: digest})
    return trial


def _figures(inputs: Inputs, result: RunResult, daily: Daily, trials: Sequence[Trial], present: str) -> Document:
    config, step = inputs.config, inputs.grid.step_ms
    label_ms = exit_profile(config.profile.name, config.timeframe).limit_bars * step
    search = [trial for trial in trials if trial.kind == WALK_FORWARD]
    return {
        **trading_document(result), **return_document(daily, max(1, -(-label_ms // DAY_MS)), config.seed),
        **search_document(daily, trials, present, config.seed, search),
    }  # fmt: skip


def _baselines(place: Workplace, inputs: Inputs) -> Document:
    """Doing nothing, and buying every symbol for an equal part of the equity."""
    grid, store, config = inputs.grid, place.database.candles, inputs.config
    costs = config.settings.costs
    cost, part = costs.taker_fee + costs.spread / 2.0, config.start_equity / len(config.symbols)
    begin, end = int(grid.open_time[0]), int(grid.open_time[-1]) + grid.step_ms
    held: Float64Array = np.zeros(grid.bars)
    for frame in inputs.frames:
        funding = with_marks(store, frame.key, read_funding(store, frame.key, begin, end))
        first, last = (int(at) for at in np.searchsorted(frame.open_time, [begin, end]))
        equity = buy_and_hold(frame, first, last, part, cost, funding)
        at = np.searchsorted(frame.open_time[first:last], grid.open_time, side="right") - 1
        held += np.where(at < 0, part, equity[np.maximum(at, 0)])
    return {
        name: held_document(grid.open_time, equity, config.start_equity, grid.step_ms)
        for name, equity in ((NO_TRADE, no_trade(grid.bars, config.start_equity)), (BUY_AND_HOLD, held))
    }


def _curve(results: Mapping[str, RunResult], step_ms: int) -> list[dict[str, Any]]:
    """Equity at the last close of each UTC day, the last bar's included."""
    rows = results["edge"].equity
    close = rows["open_time"] + step_ms
    last = np.flatnonzero(np.append(np.diff((close - 1) // DAY_MS) > 0, len(rows) > 0)[: len(rows)])
    return [
        {"time": iso(int(close[t])), **{name: float(result.equity["equity"][t]) for name, result in results.items()}}
        for t in last
    ]


def _words(document: Mapping[str, Any]) -> str:
    parts = [
        f"{short_symbol(symbol)}: {walk['overall']['verdict']}"
        for symbol, walk in zip(document["symbols"], document["walks"], strict=False)
    ]
    text = f"{'; '.join(parts)}."
    if not document["complete"]:
        done, asked = len(document["walks"]), len(document["symbols"])
        return f"{text} Stopped after {done} of {asked} symbols: what is finished is stored, nothing was traded."
    if not document["same_folds"]:
        text += " The folds of the symbols do not begin and end at the same moments."
    return f"{text} {money_words(document['trading'], document['ranked'])}."

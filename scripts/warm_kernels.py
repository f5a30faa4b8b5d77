"""Compile the kernels into numba's cache, one after the other, so that tests and starts do not compile in parallel.

Every module that compiles kernels is imported, and its ``warm()`` is called where it has one. Then a small run goes the
way of the program over a synthetic market, because a kernel is compiled for the types that it is called with.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

from data.compiled import ROOT, cache_folder, kernel_files
from trading.journal import AccountKey, Batch, Checkpoint

BARS = 400
MODEL_BARS = 4000
SLOW_BARS = 2500  # of four hours: more than the 90 days of a regime's rank
SEED = 7


class _NoJournal:
    """A journal that keeps nothing: the run is only made to compile."""

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        return 1

    def commit(self, batch: Batch) -> None:
        return

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        return None

    def forget(self, account_id: int) -> None:
        return


def modules_with_kernels() -> None:
    """Import each module that compiles kernels and call its ``warm()``, if it has one."""
    for path in kernel_files():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        warm = getattr(importlib.import_module(name), "warm", None)
        if callable(warm):
            warm()


def rules_and_engines() -> None:
    """Market, features, labels, and both engines with a rule strategy."""
    from ai.features.engine import FeatureEngine, funding_by_bar
    from ai.features.registry import schema_of
    from ai.labels import stop_distances, triple_barrier
    from ai.schema import FeatureSchema
    from data.grid import align
    from data.instruments import instrument_for
    from data.synthetic import random_walk, synthetic_market
    from trading.backtest import run_fast, run_service
    from trading.config import TradingConfig
    from trading.strategy.library import load_strategy

    frame, funding = synthetic_market("BTCUSDT", "1h", BARS, SEED)
    random_walk("BTCUSDT", "1h", BARS, SEED)
    strategy = load_strategy("rsi-oversold")
    profile = strategy.profile("1h")
    symbol = frame.key.symbol
    config = TradingConfig((symbol,), "1h", strategy, profile, (instrument_for(symbol, frame),))
    schema = FeatureSchema(config.features())
    engine = FeatureEngine(schema, "1h")
    first = [float(column[0]) for column in (frame.open, frame.high, frame.low, frame.close, frame.volume)]
    rates = funding_by_bar(frame.open_time, config.step_ms, funding)
    o, h, low, c, v = first
    engine.step(int(frame.open_time[0]), o, h, low, c, v, float(rates[0]))
    FeatureEngine(schema_of(), "1h").step(int(frame.open_time[0]), o, h, low, c, v, float(rates[0]))
    X = engine.batch(frame, funding)[None]
    feature = None if profile.feature is None else X[0][schema.names.index(profile.feature)]
    distance = stop_distances(profile, frame.close, feature)
    triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile)
    grid = align([frame], [funding])
    run_fast(config, grid, X, None)
    run_service(config, grid, X, None, _NoJournal(), 1)


def models_and_forecasts() -> None:
    """An ensemble of small models, its forecasts bar by bar and in a span, its score's band, and the fast engine."""
    import numpy as np

    from ai.ensemble import EnsembleOptions, train_ensemble
    from ai.exits import exit_profile
    from ai.features.engine import FeatureEngine
    from ai.forecast import Col, ModelSwitch
    from ai.forecaster import Forecaster, forecast_span
    from ai.training import training_data
    from ai.validation.bands import block_sums
    from ai.validation.scores import auc_band
    from app.wiring import run_schema
    from data.grid import align
    from data.instruments import instrument_for
    from data.synthetic import synthetic_market
    from trading.backtest import run_fast
    from trading.config import TradingConfig
    from trading.strategy.library import load_strategy

    frame, funding = synthetic_market("BTCUSDT", "15m", MODEL_BARS, SEED)
    strategy = load_strategy("ensemble")
    data = training_data(frame, funding, "swing", None)
    fit_rows, options = np.arange(data.warmup, len(frame) * 3 // 4), EnsembleOptions(adaptive_threshold=True)
    model = train_ensemble(data.x, data.labels, fit_rows, data.context, options=options)
    slow = training_data(synthetic_market("BTCUSDT", "4h", SLOW_BARS, SEED)[0], None, "swing")
    fit_rows, options = np.arange(slow.warmup, SLOW_BARS), EnsembleOptions(regime_filter=True)
    train_ensemble(slow.x, slow.labels, fit_rows, slow.context, ("logistic",), options=options)
    switch = ModelSwitch(int(frame.open_time[0]), "warm")
    profile = exit_profile("swing", "15m")
    forecaster = Forecaster({"warm": model}, (switch,), data.schema, profile, "15m")
    rows = forecast_span(forecaster, frame, data.x)
    up = data.labels.label > 0
    auc_band(rows[:, Col.P_LONG], up, np.isfinite(rows[:, Col.P_LONG]), profile.limit_bars, SEED, 20)
    block_sums(np.zeros((len(rows), 2)), profile.limit_bars, SEED, 20)
    config = TradingConfig((frame.key.symbol,), "15m", strategy, profile, (instrument_for(frame.key.symbol, frame),))
    schema = run_schema(config)
    X = FeatureEngine(schema, "15m").batch(frame, funding)
    run_fast(config, align([frame], [funding]), X[None], rows[None], schema)


def main() -> int:
    """Warm everything; say what each part took."""
    began = perf_counter()
    steps: tuple[Callable[[], None], ...] = (modules_with_kernels, rules_and_engines, models_and_forecasts)
    for step in steps:
        at = perf_counter()
        step()
        print(f"  {step.__name__.replace('_', ' '):<28} {perf_counter() - at:6.1f} s", flush=True)
    print(f"{len(kernel_files())} files with kernels warmed in {perf_counter() - began:.1f} s ({cache_folder().name})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

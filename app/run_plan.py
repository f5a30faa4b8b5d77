"""What a run is, made of options, settings and what is stored; and whose account it writes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ai.schema import FeatureSchema
from app.instrument_rules import rules_of
from app.options import MAX_SPEED, RunOptions
from app.schedules import profile_of_runs, stored_run
from app.wiring import Workplace, choose_series, run_schema, run_warmup, strategy_for, trading_config
from data.clock import iso
from data.errors import UserError
from data.instruments import Instrument, instrument_for
from data.market import SeriesKey, unified_symbol
from data.timeframes import timeframe_ms
from database.forecasts import RunInfo
from trading.config import TradingConfig
from trading.journal import AccountKey

AUTO = "auto"
ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """One run: (source, exchange, symbols, timeframe, strategy or model, span, settings, seed)."""

    mode: str  # paper | replay
    source: str  # exchange | synthetic: where the bars come from
    keys: tuple[SeriesKey, ...]
    config: TradingConfig
    schema: FeatureSchema
    warmup: int  # bars before the first
    span: tuple[int, int] | None  # of a replay, half-open on open time
    schedule: tuple[RunInfo, ...]  # stored forecasts, one per symbol; empty = models of the run itself
    trains: bool  # the run makes and switches models
    seed: int
    speed: float  # bars per second

    @property
    def timeframe(self) -> str:
        """Length of a bar, by name."""
        return self.config.timeframe

    @property
    def step_ms(self) -> int:
        """Length of a bar in milliseconds."""
        return self.config.step_ms

    @property
    def live(self) -> bool:
        """Bars come from an exchange as they close."""
        return self.mode == "paper" and self.source == "exchange"

    def about(self) -> dict[str, Any]:
        """What the account says of its run."""
        span = None if self.span is None else [iso(self.span[0]), iso(self.span[1])]
        return {
            "symbols": list(self.config.symbols), "timeframe": self.timeframe, "exchange": self.keys[0].exchange,
            "source": self.source, "mode": self.mode, "strategy": self.config.strategy.name, "span": span,
            "schedule": [info.run_id for info in self.schedule], "trains": self.trains, "seed": self.seed,
            "profile": self.config.profile.name,
        }  # fmt: skip

    def under(self, rules: Sequence[Instrument]) -> RunPlan:
        """The same run under these trading rules, one per symbol."""
        return replace(self, config=replace(self.config, instruments=tuple(rules)))

    def account_key(self, extra: Mapping[str, object]) -> AccountKey:
        """Whose ledger; ``extra`` are the settings of the models, where the run trains.

        The trading rules are part of what a replay is. A run that goes on stays the same when an exchange changes them.
        """
        config = self.config.digest() if self.mode == "replay" else self.config.identity()
        document = {**self.about(), "config": config, "extra": dict(extra) if self.trains else {}}
        run = hashlib.blake2b(json.dumps(document, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()
        return AccountKey(self.mode, self.keys[0].exchange, "simulated", self.source, run)


def plan_run(place: Workplace, options: RunOptions, source: str | None = None) -> RunPlan:
    """Make the plan; ``source`` overrides the options' (the fallback to the synthetic market).

    Raises:
        UserError: a symbol, series, strategy, schedule or span does not fit.
    """
    run, data = place.settings.values.run, place.settings.values.data
    asked = source or options.source or run.source
    symbols = options.symbols or tuple(unified_symbol(s) for s in data.symbols)
    timeframe = options.timeframe or data.timeframe
    timeframe_ms(timeframe)
    exchange = options.exchange or data.exchange
    keys, bars_source = _series(place, options, asked, symbols, timeframe, exchange)
    schedule = tuple(stored_run(place, key, options.schedule) for key in keys) if options.schedule else ()
    exits = profile_of_runs(schedule, options.exit_profile) if schedule else options.exit_profile
    name = options.strategy or run.strategy
    strategy = strategy_for(name, exits)
    if schedule and options.strategy is None and strategy.kind in ("rule", AUTO):
        strategy = strategy_for(ENSEMBLE, exits)  # stored forecasts are asked for: they are traded
    if schedule and strategy.kind == "rule":
        raise UserError(f"Strategy '{name}' reads no forecasts: leave out --schedule, or use --strategy ensemble.")
    seed = place.settings.values.ai.seed if options.seed is None else options.seed
    config = trading_config(place.settings, symbols, timeframe, strategy, _instruments(place, keys, asked), seed=seed)
    trains = strategy.kind != "rule" and not schedule
    return RunPlan(
        "replay" if asked == "replay" else "paper", bars_source, keys, config, run_schema(config),
        run_warmup(timeframe, place.settings.values.ai.history_limit if trains else 0),
        _span(place, options, keys) if asked == "replay" else None, schedule, trains, seed,
        _speed(options, asked, run.synthetic_speed),
    )  # fmt: skip


def _series(
    place: Workplace, options: RunOptions, asked: str, symbols: tuple[str, ...], timeframe: str, exchange: str
) -> tuple[tuple[SeriesKey, ...], str]:
    if asked != "replay":
        return tuple(SeriesKey(exchange, s, timeframe, "ohlcv", asked) for s in symbols), asked
    store = place.database.candles
    infos = [choose_series(store, s, timeframe, options.exchange, options.data_source) for s in symbols]
    sources = {info.key.source for info in infos}
    if len(sources) > 1:
        raise UserError("Synthetic and recorded bars are never mixed: give --data-source synthetic or exchange.")
    return tuple(info.key for info in infos), sources.pop()


def _span(place: Workplace, options: RunOptions, keys: tuple[SeriesKey, ...]) -> tuple[int, int]:
    stored = {info.key: info for info in place.database.candles.series()}
    first = min(stored[key].first_ms for key in keys)
    last = max(stored[key].last_ms for key in keys) + keys[0].step_ms
    if options.replay is None:
        return first, last
    start, end = options.replay
    if end <= first or start >= last:
        raise UserError(
            f"No bar of {keys[0]} lies in {iso(start)} to {iso(end)}: stored are {iso(first)} to {iso(last)}."
        )
    return start, end


def _instruments(place: Workplace, keys: tuple[SeriesKey, ...], asked: str) -> tuple[Instrument, ...]:
    """The rules of each symbol; a run on an exchange will ask for them, so that none has to be known yet."""
    if asked != "exchange":
        return tuple(rules_of(place.database, key) for key in keys)
    stored = (place.database.instruments.newest(key.exchange, key.symbol) for key in keys)
    return tuple(rules or instrument_for(key.symbol) for rules, key in zip(stored, keys, strict=True))


def _speed(options: RunOptions, asked: str, synthetic_speed: float) -> float:
    if options.speed is not None:
        return options.speed
    return synthetic_speed if asked == "synthetic" else MAX_SPEED

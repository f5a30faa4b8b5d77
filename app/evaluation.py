"""After-cost results of forecasts: the judge that research is given, and what the search for a good one costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.exits import exit_profile
from ai.forecast import Abstain, Col
from ai.schema import FeatureSchema
from ai.validation.bands import return_bands
from ai.validation.baselines import buy_and_hold, no_trade
from ai.validation.overfitting import (
    minimum_track_record,
    overfitting_probability,
    probabilistic_sharpe,
    sharpe_moments,
)
from ai.validation.reality_check import reality_check, superior_ability
from ai.validation.trials import Trial, deflation, known_number
from app.day_history import closes_of, days_wanted
from app.finer_bars import Read, finer_grid, finer_words, reads_finer
from app.wiring import cut, feature_cube, strategy_for, trading_config
from data.beside import Beside
from data.clock import iso
from data.grid import align
from data.instruments import Instrument, instrument_for
from data.market import Float64Array, Frame, FundingFrame, Int64Array
from data.timeframes import DAY_MS
from trading.backtest import RunResult, run_fast
from trading.metrics import DAYS_PER_YEAR, daily_returns, drawdown, sharpe

if TYPE_CHECKING:
    from app.settings import Loaded

Daily = dict[int, float]  # UTC day number -> return

RETURN_BLOCK = 5.0  # days, mean block of the tests over daily returns
SHARED_DAYS = 0.9  # of the days: a trial with fewer of them is counted, but not compared day by day
MIN_DAYS = 20  # under these nothing is tested
NO_TRADE, BUY_AND_HOLD = "no trade", "buy and hold"


@dataclass(slots=True)
class TradingEvaluator:
    """Trades forecast rows by the compiled engine, twice: gates observed (edge) and enforced (account).

    ``trials`` gives the configurations tried on the series by the time that it is asked (an inner search counts too);
    the ``present`` one is counted whether it is among them or not. ``rules``: those of the exchange; without them the
    built-in or inferred ones hold. ``finer`` reads bars inside those that are traded, where the matching asks for them.
    """

    settings: Loaded
    trials: Callable[[], Sequence[Trial]] = tuple
    present: str = ""  # digest
    kind: str | None = None  # of the search in which the present one is chosen; None: all trials
    seed: int | None = None
    rules: Instrument | None = None
    beside: Beside | None = None
    finer: Read | None = None
    marks: Frame | None = None  # candles of the mark price beside the bars
    daily: Daily | None = None  # of the edge, after :meth:`evaluate`

    def evaluate(self, frame: Frame, funding: FundingFrame, rows: Float64Array, profile: str) -> Mapping[str, Any]:
        """``{"edge": {…}, "account": {…}, "assumptions": […], "baselines": {…}}`` of forecast rows ``[T, WIDTH]``."""
        tested = np.flatnonzero(~np.isin(rows[:, Col.ABSTAIN], (Abstain.NO_MODEL, Abstain.MISSING)))
        first, stop = (int(tested[0]), int(tested[-1]) + 1) if len(tested) else (0, 0)
        results: dict[str, Any] = {}
        trials = self.trials()
        for name, enforce in (("edge", False), ("account", True)):
            result = self._run(frame, funding, rows, profile, enforce, first, stop)
            daily = days_of(result, frame.key.step_ms)
            if name == "edge":
                self.daily = daily
            label_ms = exit_profile(profile, frame.key.timeframe).limit_bars * frame.key.step_ms
            bands = return_document(daily, max(1, -(-label_ms // DAY_MS)), self._seed)
            results[name] = {**trading_document(result), **bands, **self._search(daily, trials)}
            results["assumptions"] = list(result.assumptions)
        results["baselines"] = self._baselines(frame, funding, first, stop)
        return results

    def _run(
        self, frame: Frame, funding: FundingFrame, rows: Float64Array, profile: str, enforce: bool, first: int,
        stop: int,
    ) -> RunResult:  # fmt: skip
        spec = strategy_for("ensemble", profile)
        rules = self.rules or instrument_for(frame.key.symbol, frame)
        config = trading_config(
            self.settings, (frame.key.symbol,), frame.key.timeframe, spec, (rules,),
            enforce=enforce, seed=self.seed,
        )  # fmt: skip
        grid = align([frame], [funding], () if self.marks is None else (self.marks,))
        schema = FeatureSchema(config.features())
        cube = feature_cube(schema, grid, [frame], [funding], [self.beside])
        part = np.ascontiguousarray(cube[:, :, first:stop])
        span = cut(grid, first, stop)
        history = closes_of([frame], int(span.open_time[0]), days_wanted(config)) if span.bars else None
        finer = finer_grid(self.finer, [frame.key], span) if self.finer and reads_finer(config) else None
        result = run_fast(config, span, part, rows[None, first:stop], schema, finer, history)
        return replace(result, assumptions=(*result.assumptions, *finer_words(config, finer, span)))

    @property
    def _seed(self) -> int:
        return self.settings.values.ai.seed if self.seed is None else self.seed

    def _search(self, daily: Daily, trials: Sequence[Trial]) -> dict[str, Any]:
        search = [t for t in trials if self.kind in (None, t.kind)]
        return search_document(daily, trials, self.present, self._seed, search)

    def _baselines(self, frame: Frame, funding: FundingFrame, first: int, stop: int) -> dict[str, Any]:
        """Doing nothing, and buying at the first tested open to sell at the last tested close."""
        if stop <= first:
            return {}
        costs, start = self.settings.values.trading.costs, float(self.settings.values.trading.paper.start_equity)
        cost = costs.taker_fee + costs.spread / 2.0
        held = buy_and_hold(frame, first, stop, start, cost, funding)
        return {
            name: held_document(frame.open_time[first:stop], equity, start, frame.key.step_ms)
            for name, equity in ((NO_TRADE, no_trade(stop - first, start)), (BUY_AND_HOLD, held))
        }


def trading_document(result: RunResult) -> dict[str, Any]:
    """The figures of a run, with when a gate halted it."""
    figures = dict(result.metrics)
    figures.pop("trades", None)
    return {
        "trades": len(result.trades), "net_return": result.equity_end / result.equity_start - 1.0,
        "halted_at": iso(result.halted_at), **figures, "bars": result.bars,
        "equity_start": result.equity_start, "equity_end": result.equity_end,
    }  # fmt: skip


def days_of(result: RunResult, step_ms: int) -> Daily:
    """Returns by UTC day of a run."""
    if not len(result.equity):
        return {}
    first = (int(result.equity["open_time"][0]) + step_ms - 1) // DAY_MS
    returns = daily_returns(result.equity["open_time"], result.equity["equity"], result.equity_start, step_ms)
    return {first + k: float(r) for k, r in enumerate(returns)}


def held_document(open_time: Int64Array, equity: Float64Array, start: float, step_ms: int) -> dict[str, Any]:
    """The figures of a baseline from its equity at each close, ``[bars]``."""
    returns = daily_returns(open_time.astype(np.float64), equity, start, step_ms)
    return {
        "net_return": float(equity[-1]) / start - 1.0, "sharpe": sharpe(returns),
        "max_drawdown": drawdown(equity, start, step_ms)[0], "equity_start": start, "equity_end": float(equity[-1]),
        "bars": len(equity),
    }  # fmt: skip


def return_document(daily: Daily, block: int, seed: int) -> dict[str, Any]:
    """The mean daily return and the bands of it and of the annual Sharpe ratio, by blocks of ``block`` days."""
    values = np.array(list(daily.values()))
    bands = return_bands(values, block, seed)
    year = math.sqrt(DAYS_PER_YEAR)
    return {
        "daily_return": known_number(float(values.mean())) if len(values) else None,
        "daily_return_low": known_number(bands.mean.low), "daily_return_high": known_number(bands.mean.high),
        "sharpe_low": known_number(bands.sharpe.low * year), "sharpe_high": known_number(bands.sharpe.high * year),
    }  # fmt: skip


def search_document(
    daily: Daily, trials: Sequence[Trial], present: str = "", seed: int = 7, search: Sequence[Trial] | None = None
) -> dict[str, Any]:
    """How much of a result may be luck of the search: ``deflated_sharpe pbo trials`` and more.

    Args:
        daily: returns after costs of the configuration that is looked at.
        trials: every configuration tried on the series.
        present: digest of the one that is looked at; it counts once, among them or not.
        seed: of the bootstrap.
        search: those among which it was chosen, for the probability of overfitting; all by default.
    """
    values = np.array(list(daily.values()))
    found = deflation(values, trials, present)
    sharpe_, skew, kurtosis = sharpe_moments(values)
    needed = minimum_track_record(sharpe_, 0.0, skew, kurtosis)
    chosen = _together(daily, [t for t in (trials if search is None else search) if t.digest != present])
    everything = _together(daily, [t for t in trials if t.digest != present])
    check, ability = _better_than_nothing(everything, seed)
    return {
        "deflated_sharpe": known_number(found.probability),
        "probabilistic_sharpe": known_number(probabilistic_sharpe(sharpe_, 0.0, len(values), skew, kurtosis)),
        "track_record_days": len(values), "minimum_track_record_days": known_number(needed),
        "pbo": overfitting_probability(chosen), "reality_check": check, "superior_ability": ability,
        "trials": found.trials, "trials_with_returns": found.measured, "trials_compared": everything.shape[1],
    }  # fmt: skip


def _together(daily: Daily, others: Sequence[Trial]) -> Float64Array:
    """Returns ``[days, N]`` of the days that all of them have; the present one first.

    Others that lack more than a tenth of its days are left out: a short one would leave nothing to compare.
    """
    days = set(daily)
    runs = [t.daily for t in others if t.daily and len(days & set(t.daily)) >= SHARED_DAYS * len(days)]
    common = sorted(days.intersection(*runs))
    return np.array([[run[day] for run in (daily, *runs)] for day in common]).reshape(len(common), 1 + len(runs))


def _better_than_nothing(returns: Float64Array, seed: int) -> tuple[float | None, float | None]:
    """P-values that no configuration of ``returns[days, N]`` is better than no trade: White's, and Hansen's."""
    if len(returns) < MIN_DAYS:
        return None, None
    check = reality_check(returns, RETURN_BLOCK, np.random.default_rng(seed))
    ability = superior_ability(returns, RETURN_BLOCK, np.random.default_rng(seed))
    return known_number(check), known_number(ability.consistent)

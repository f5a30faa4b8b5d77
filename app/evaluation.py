"""After-cost results of forecasts: the judge that research is given, and what the search for a good one costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.forecast import Abstain, Col
from ai.schema import FeatureSchema
from ai.validation.overfitting import deflated_sharpe, overfitting_probability, sharpe_moments
from app.wiring import cut, feature_cube, strategy_for, trading_config
from data.beside import Beside
from data.clock import iso
from data.grid import align
from data.instruments import Instrument, instrument_for
from data.market import Float64Array, Frame, FundingFrame
from data.timeframes import DAY_MS
from trading.backtest import RunResult, run_fast
from trading.metrics import daily_returns

if TYPE_CHECKING:
    from app.settings import Loaded

Daily = dict[int, float]  # UTC day number -> return


@dataclass(frozen=True, slots=True)
class Trial:
    """An earlier configuration of the same series: its daily returns after costs, none where it failed."""

    digest: str
    daily: Daily


@dataclass(slots=True)
class TradingEvaluator:
    """Trades forecast rows by the compiled engine, twice: gates observed (edge) and enforced (account).

    ``trials`` are the configurations tried before on the series; the present one is counted too. ``rules``: those of
    the exchange; without them the built-in or inferred ones hold.
    """

    settings: Loaded
    trials: Sequence[Trial] = ()
    seed: int | None = None
    rules: Instrument | None = None
    beside: Beside | None = None
    daily: Daily | None = None  # of the edge, after :meth:`evaluate`

    def evaluate(self, frame: Frame, funding: FundingFrame, rows: Float64Array, profile: str) -> Mapping[str, Any]:
        """``{"edge": {…}, "account": {…}}`` of forecast rows ``[T, WIDTH]`` over the bars that were tested."""
        tested = np.flatnonzero(~np.isin(rows[:, Col.ABSTAIN], (Abstain.NO_MODEL, Abstain.MISSING)))
        first, stop = (int(tested[0]), int(tested[-1]) + 1) if len(tested) else (0, 0)
        results: dict[str, Any] = {}
        for name, enforce in (("edge", False), ("account", True)):
            result = self._run(frame, funding, rows, profile, enforce, first, stop)
            daily = days_of(result, frame.key.step_ms)
            if name == "edge":
                self.daily = daily
            results[name] = {**trading_document(result), **self._search(daily)}
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
        grid = align([frame], [funding])
        schema = FeatureSchema(config.features())
        cube = feature_cube(schema, grid, [frame], [funding], [self.beside])
        part = np.ascontiguousarray(cube[:, :, first:stop])
        return run_fast(config, cut(grid, first, stop), part, rows[None, first:stop], schema)

    def _search(self, daily: Daily) -> dict[str, Any]:
        return search_document(daily, self.trials)


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


def search_document(daily: Daily, trials: Sequence[Trial]) -> dict[str, Any]:
    """``deflated_sharpe pbo trials``: how much of the result may be luck of the search.

    The variance of the tried Sharpe ratios is measured from two trials on; with one it does not matter.
    """
    values = np.array(list(daily.values()))
    sharpe, skew, kurtosis = sharpe_moments(values)
    count = len(trials) + 1
    tried = [s for t in trials if t.daily and math.isfinite(s := sharpe_moments(np.array(list(t.daily.values())))[0])]
    known = [*tried, sharpe]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 1.0 / max(len(values), 1)
    chance = deflated_sharpe(sharpe, len(values), count, variance, skew, kurtosis) if len(values) > 1 else math.nan
    return {
        "deflated_sharpe": chance if math.isfinite(chance) else None,
        "pbo": _overfitting(daily, trials),
        "trials": count,
    }


def _overfitting(daily: Daily, trials: Sequence[Trial]) -> float | None:
    """Over the days that every trial with a result has in common; none under two trials."""
    runs = [daily, *(t.daily for t in trials if t.daily)]
    if len(runs) < 2:
        return None
    days = sorted(set.intersection(*(set(r) for r in runs)))
    return overfitting_probability(np.array([[run[day] for run in runs] for day in days]).reshape(len(days), len(runs)))

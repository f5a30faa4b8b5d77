"""One run's decision path, bar by bar: features, forecasts and the trading session of every symbol. Synchronous.

Feature and forecaster states are not stored: after a restart they are made again from the bars since the run's
warm-up, which gives the same bits because every step is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ai.ensemble import EnsembleModel
from ai.features.engine import FeatureEngine, funding_by_bar
from ai.forecast import Abstain, Col, abstaining_row
from ai.forecaster import Forecaster
from ai.guard_live import LiveRecord
from ai.schema import FeatureSchema
from app.finer_bars import FinerSource
from app.wiring import BesideSource
from data.beside import Beside
from data.grid import Grid
from data.market import Float64Array, Frame, FundingFrame, Int64Array, SeriesKey
from database.forecasts import ForecastRun
from trading.bar import MarketBar, bar_at
from trading.config import TradingConfig
from trading.finer import FinerGrid
from trading.journal import Checkpoint, Journal
from trading.outcome import BarOutcome
from trading.session import TradingSession

LOOK_AHEAD = 200  # bars whose surroundings are read together


class StoredForecasts:
    """Forecast rows of a walk-forward run, looked up by open time; a bar they do not cover abstains."""

    def __init__(self, run: ForecastRun) -> None:
        self._time = run.open_time
        self._rows = run.rows
        self._missing = abstaining_row(Abstain.MISSING)

    def rows(self, open_time: Int64Array) -> Float64Array:
        """``[T, WIDTH]`` rows at these open times."""
        out: Float64Array = np.tile(self._missing, (len(open_time), 1))
        if len(self._time):
            at = np.minimum(np.searchsorted(self._time, open_time), len(self._time) - 1)
            hit = self._time[at] == open_time
            out[hit] = self._rows[at[hit]]
        return out


class Trader:
    """Takes closed bars of all symbols and decides.

    Args:
        config: what is traded.
        schema: rows of the feature matrix; holds what the desk and the models read.
        journal: where batches are committed; ``account_id`` from ``Journal.open_account``.
        checkpoint: of the account, to continue after it.
        stored: forecasts of a walk-forward schedule, one per symbol; else models are added by :meth:`add_model`.
        beside: gives what was known beside the bars at their closes (:func:`app.wiring.beside_source`).
        finer: gives bars inside those that are traded (:func:`app.finer_bars.finer_source`).
    """

    def __init__(
        self, config: TradingConfig, schema: FeatureSchema, journal: Journal, account_id: int,
        checkpoint: Checkpoint | None = None, stored: Sequence[StoredForecasts] | None = None,
        beside: BesideSource | None = None, finer: FinerSource | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.schema = schema
        self.session = TradingSession(config, schema, journal, account_id, checkpoint)
        self.model_ids: list[str] = []  # of the account, in the order in which DECISION rows count them
        self._stored = stored
        self._source = beside
        self._finer = finer
        self._engines = [FeatureEngine(schema, config.timeframe) for _ in config.symbols]
        self._forecasters: list[Forecaster] | None = None
        if config.strategy.kind != "rule" and stored is None:
            self._forecasters = [Forecaster({}, (), schema, config.profile, config.timeframe) for _ in config.symbols]
        self._known_until: list[int | None] = [None] * len(config.symbols)  # settlements up to then are taken in
        self._grid: Grid | None = None
        self._rates: Float64Array = np.empty((0, 0))
        self._ahead: list[Beside | None] = [None] * len(config.symbols)  # of bars up to, without, ``_ahead_until``
        self._ahead_from = self._ahead_until = 0
        self._inside: FinerGrid | None = None  # of the bars ahead
        self._window: Float64Array = np.full((len(config.symbols), len(schema), 2), np.nan)
        self._rows: Float64Array = np.tile(abstaining_row(Abstain.NO_MODEL), (len(config.symbols), 1))

    @property
    def features(self) -> Float64Array:
        """``[S, F]`` of the newest bar."""
        return self._window[:, :, 1]

    @property
    def forecasts(self) -> Float64Array:
        """``[S, WIDTH]`` of the newest bar."""
        return self._rows

    def member_names(self, s: int) -> tuple[str, ...]:
        """Names of the members behind symbol ``s``'s forecast rows."""
        return self._forecasters[s].member_names if self._forecasters is not None else ()

    def live(self, s: int) -> LiveRecord | None:
        """What became of the forecasts of symbol ``s``'s present model; ``None`` where none forecasts."""
        return self._forecasters[s].live if self._forecasters is not None else None

    def add_model(self, s: int, model_id: str, model: EnsembleModel, from_ms: int) -> None:
        """From the bar that opens at ``from_ms`` on, this model forecasts symbol ``s``."""
        if self._forecasters is None:
            raise ValueError("this run does not take models")
        self._forecasters[s].add_model(model_id, model, from_ms)
        self.name_model(model_id)

    def present_model(self, s: int) -> str | None:
        """The model that was switched to last for symbol ``s``, journalled yet or not."""
        schedule = self._forecasters[s].schedule if self._forecasters is not None else ()
        return schedule[-1].model_id if schedule else None

    def name_model(self, model_id: str) -> None:
        """Give the model its number in DECISION rows."""
        if model_id not in self.model_ids:
            self.model_ids.append(model_id)

    def warm(self, grid: Grid, started: bool) -> None:
        """Take bars in without trading: the warm-up, or (``started``) bars that were traded before a restart.

        The first bar of a run sees no features of the bar before it, as in a back-test that starts there.
        """
        if not grid.bars:
            return
        for s in range(len(self.config.symbols)):
            x = self._extend(grid, s)
            if self._forecasters is not None:
                here = np.flatnonzero(grid.present[s])
                self._forecasters[s].span(
                    grid.open_time[here], grid.open[s, here], grid.high[s, here], grid.low[s, here],
                    grid.close[s, here], x,
                )  # fmt: skip
            self._window[s] = np.nan
            if started and x.shape[1] and grid.present[s, -1]:
                self._window[s, :, 1] = x[:, -1]

    def step(self, grid: Grid, t: int, hold: Sequence[int] = (), quotes: Float64Array | None = None) -> BarOutcome:
        """Bar ``t`` of ``grid``: features, forecast, decision, orders, fills; the rest as in the session."""
        if grid is not self._grid:
            self._see(grid, t)
        if t >= self._ahead_until:
            self._look_ahead(grid, t)
        window, rows = self._window, self._rows
        window[:, :, 0] = window[:, :, 1]
        open_time = int(grid.open_time[t])
        for s, engine in enumerate(self._engines):
            if not grid.present[s, t]:
                window[s, :, 1] = np.nan
                rows[s] = abstaining_row(Abstain.MISSING)
                continue
            o, h, low, c = grid.open[s, t], grid.high[s, t], grid.low[s, t], grid.close[s, t]
            ahead = self._ahead[s]
            beside = None if ahead is None else ahead.at(grid.open_time[t : t + 1])[:, 0]
            x = engine.step(open_time, o, h, low, c, grid.volume[s, t], self._rates[s, t], beside)
            self._known_until[s] = open_time + grid.step_ms
            window[s, :, 1] = x
            if self._forecasters is not None:
                rows[s] = self._forecasters[s].step(open_time, o, h, low, c, x)
                self._number_model(s)
            elif self._stored is not None:
                rows[s] = self._stored[s].rows(grid.open_time[t : t + 1])[0]
        return self.session.on_bar(self._bar(grid, t), window, None if self._plain else rows, hold, quotes)

    @property
    def _plain(self) -> bool:
        return self._forecasters is None and self._stored is None

    def _number_model(self, s: int) -> None:
        """Rows count a symbol's own models; the account counts all of them."""
        assert self._forecasters is not None
        number = int(self._rows[s, Col.MODEL])
        if number >= 0:
            self._rows[s, Col.MODEL] = self.model_ids.index(self._forecasters[s].model_ids[number])

    def _see(self, grid: Grid, t: int) -> None:
        """A grid not seen before: which funding rate each of its bars from ``t`` on learns of."""
        self._grid, self._ahead_until = grid, 0
        rates: Float64Array = np.full((len(self.config.symbols), grid.bars), np.nan)
        for s, known in enumerate(self._known_until):
            here = t + np.flatnonzero(grid.present[s, t:])
            rates[s, here] = funding_by_bar(grid.open_time[here], grid.step_ms, funding_of(grid, s), known)
        self._rates = rates

    def _look_ahead(self, grid: Grid, t: int) -> None:
        """What stands beside and inside the next bars, some at a time: a reading holds up nobody for long."""
        self._ahead_from, self._ahead_until = t, min(t + LOOK_AHEAD, grid.bars)
        part = slice(t, self._ahead_until)
        if self._source is not None:
            for s in range(len(self.config.symbols)):
                self._ahead[s] = self._source(s, grid.open_time[part][grid.present[s, part]])
        if self._finer is not None:
            self._inside = self._finer(grid, t, self._ahead_until)

    def _bar(self, grid: Grid, t: int) -> MarketBar:
        bar, inside, at = bar_at(grid, t), self._inside, t - self._ahead_from
        if inside is None:
            return bar
        return replace(bar, finer=replace(inside, begin=inside.begin[:, at : at + 1]))

    def _extend(self, grid: Grid, s: int) -> Float64Array:
        here = np.flatnonzero(grid.present[s])
        key = SeriesKey("", grid.symbols[s], grid.timeframe)
        frame = Frame.of(
            key, grid.open_time[here], grid.open[s, here], grid.high[s, here], grid.low[s, here],
            grid.close[s, here], grid.volume[s, here],
        )  # fmt: skip
        beside = None if self._source is None else self._source(s, frame.open_time)
        x = self._engines[s].extend(frame, funding_of(grid, s), beside)
        if len(here):
            self._known_until[s] = int(grid.open_time[here[-1]]) + grid.step_ms
        return x


def funding_of(grid: Grid, s: int) -> FundingFrame:
    """The settlements that a grid holds for symbol ``s``."""
    part = slice(int(grid.funding_start[s, 0]), int(grid.funding_start[s, -1]))
    return FundingFrame(
        "", grid.symbols[s], "", grid.funding_time[part], grid.funding_rate[part], grid.funding_mark[part]
    )

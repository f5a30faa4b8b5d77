"""A back-test that departs from the rules where a session did: entries held back, filled later, or never filled.

What follows from a departure, every later size included, is then the difference of two back-tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.schema import FeatureSchema
from data.grid import Grid
from data.market import Float64Array, Record
from trading.backtest import RunResult, run_session
from trading.bar import MarketBar
from trading.config import TradingConfig
from trading.execution.order_manager import OrderManager
from trading.execution.orders import Order
from trading.execution.paper import PaperVenue
from trading.finer import FinerGrid
from trading.journal import Checkpoint
from trading.parity import Key
from trading.records import Action, Entry, Purpose
from trading.session import TradingSession
from trading.state import TradingState

NEVER = 1 << 62
SENT = (Action.LONG, Action.SHORT)


@dataclass(frozen=True, slots=True)
class Departures:
    """What a session did otherwise. Times in ms UTC."""

    entries: Mapping[Key, int] = field(default_factory=dict)  # when an entry's first fill came; NEVER: it did not
    holds: Mapping[tuple[int, int], int] = field(default_factory=dict)  # (symbol, open time): why nothing was entered

    def grid_of(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """``holds`` as ``[S, T]``."""
        out: npt.NDArray[np.uint8] = np.zeros(grid.present.shape, dtype=np.uint8)
        at = {int(time): t for t, time in enumerate(grid.open_time)}
        for (s, time), reason in self.holds.items():
            if time in at:
                out[s, at[time]] = reason
        return out


def sent(decisions: Record) -> Record:
    """The DECISION rows whose plans were sent."""
    return decisions[np.isin(decisions["action"], SENT)]


def first_fills(plans: Record, fills: Record) -> dict[Key, int]:
    """When the entry of each plan was first filled, NEVER where it was not."""
    entered: dict[int, int] = {}
    for fill in fills[fills["purpose"] == Purpose.ENTRY]:
        entered.setdefault(int(fill["plan_id"]), int(fill["time"]))
    sides = {int(Action.LONG): 1, int(Action.SHORT): -1}
    return {
        (int(row["symbol"]), int(row["open_time"]), sides[int(row["action"])]): entered.get(int(row["plan_id"]), NEVER)
        for row in plans
    }


class LateVenue(PaperVenue):
    """Fills no entry before its time; until then the order works on."""

    def __init__(self, state: TradingState, entries: Mapping[Key, int], step: int) -> None:
        super().__init__(state)
        self._entries = entries
        self._step = step
        self._due: dict[int, tuple[int, int]] = {}  # by symbol: moment of the first fill, Entry that was sent

    def submit(self, order: Order) -> None:
        """An entry that is due later waits as a market order that no open fills."""
        super().submit(order)
        position = self._state.positions[order.s]
        if order.purpose != "entry" or position["side"] != 0:
            return
        due = self._entries.get((order.s, order.created_ms - self._step, int(position["work_side"])), 0)
        self._due[order.s] = due, int(position["work_kind"])
        position["work_kind"] = int(Entry.MARKET)  # nothing fills it within a bar

    def at_open(self, s: int, bar: MarketBar) -> bool:
        """As the paper venue but for an entry that is not due: a level may be reached within the bar that ends then."""
        position = self._state.positions[s]
        if position["side"] != 0 or position["work_side"] == 0:
            return super().at_open(s, bar)
        due, kind = self._due[s]
        if NEVER > due > bar.open_time:
            position["work_until"] = max(int(position["work_until"]), due + self._step)
        if due <= bar.open_time + self._step:
            position["work_kind"] = kind
        return due <= bar.open_time and super().at_open(s, bar)


class Unkept:
    """A journal that keeps nothing."""

    def open_account(self, *_: Any, **__: Any) -> int:
        """There is one account."""
        return 1

    def commit(self, *_: Any, **__: Any) -> None:
        """Forgotten at once."""

    def checkpoint(self, *_: Any, **__: Any) -> Checkpoint | None:
        """There is none."""
        return None

    def forget(self, *_: Any, **__: Any) -> None:
        """Nothing is known."""


class DepartingSession(TradingSession):
    """A session at the late venue."""

    def __init__(
        self, config: TradingConfig, schema: FeatureSchema, departures: Departures, history: Float64Array | None
    ) -> None:
        super().__init__(config, schema, Unkept(), 1, None, history)
        self._venue = LateVenue(self.state, departures.entries, config.step_ms)
        self._orders = OrderManager(config, 1, self._venue)


def run_departing(
    config: TradingConfig, grid: Grid, X: Float64Array, forecasts: Float64Array | None, schema: FeatureSchema,
    finer: FinerGrid | None, history: Float64Array | None, departures: Departures,
) -> RunResult:  # fmt: skip
    """As the bar-by-bar engine, with a session's departures; without any it is that engine."""
    session = DepartingSession(config, schema, departures, history)
    return run_session(session, grid, X, forecasts, finer, departures.grid_of(grid))

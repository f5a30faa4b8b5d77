"""The simulated venue: working orders live in the POSITION records and are matched on bars by the kernels."""

from __future__ import annotations

import math

from trading.bar import MarketBar
from trading.execution.orders import Order
from trading.finer import FinerGrid
from trading.records import ExitReason
from trading.state import TradingState
from trading.steps import close_out, match_bar, match_open, place_entry, place_exit, quiet

_UNKNOWN = (math.nan,) * 4


class PaperVenue:
    """Fills orders on bars. Stops and targets rest with the position from the moment of its entry fill."""

    def __init__(self, state: TradingState) -> None:
        self._state = state
        self._no_finer = FinerGrid.none(0)

    def submit(self, order: Order) -> None:
        """Entries and market exits work from the next open; protective orders already rest with the position, and move
        with it."""
        state = self._state
        if order.purpose == "entry":
            place_entry(state.positions, state.plans, order.s)

    def submit_exit(self, order: Order, reason: ExitReason) -> None:
        """A market exit of the whole position at the next open."""
        place_exit(self._state.positions, order.s, int(reason))

    def cancel(self, order: Order) -> None:
        """Take back a working entry; protective orders end with their position."""
        if order.purpose == "entry":
            self._state.positions["work_side"][order.s] = 0

    def entry_works(self, s: int) -> bool:
        """An entry of ``s`` may still fill."""
        return bool(self._state.positions["work_side"][s] != 0)

    def idle(self, s: int) -> bool:
        """No position and no working order."""
        position = self._state.positions[s]
        return bool(position["side"] == 0 and position["work_side"] == 0)

    def at_open(self, s: int, bar: MarketBar) -> bool:
        """Match working orders at the open; True when the state's ``intent`` holds a fill."""
        state = self._state
        mark_open = math.nan if bar.mark_price is None else bar.mark_price[s, 0]
        return match_open(
            state.positions, state.instruments, state.rules, s, bar.open_time, bar.open[s], mark_open, bar.volume[s],
            state.intent,
        )  # fmt: skip

    def quiet(self, s: int, bar: MarketBar) -> bool:
        """The bar does nothing to the position of ``s``; it is noted, and there is nothing to match."""
        state = self._state
        mark_close = math.nan if bar.mark_price is None else bar.mark_price[s, 3]
        return quiet(
            state.positions, state.instruments, state.rules, s, bar.open_time, bar.open[s], bar.high[s], bar.low[s],
            bar.close[s], mark_close,
        )  # fmt: skip

    def within_bar(self, s: int, bar: MarketBar) -> bool:
        """Match stop, target and time limit; True when the state's ``intent`` holds a fill."""
        state = self._state
        finer = self._no_finer if bar.finer is None else bar.finer
        begin = -1 if bar.finer is None else int(finer.begin[s, 0])
        _, mark_high, mark_low, mark_close = _UNKNOWN if bar.mark_price is None else bar.mark_price[s]
        return match_bar(
            state.positions, state.instruments, state.rules, s, bar.open_time, bar.high[s], bar.low[s], bar.close[s],
            mark_high, mark_low, mark_close, bar.volume[s], finer.high, finer.low, begin, finer.parts, state.intent,
        )  # fmt: skip

    def at_last_close(self, s: int, reason: ExitReason, time: int, volume: float) -> bool:
        """Close what is held at the last close (the end of a back-test)."""
        state = self._state
        return close_out(state.positions, state.instruments, state.rules, s, int(reason), time, volume, state.intent)

"""The ledger: books fills and funding, values the account, and collects the rows of a batch."""

from __future__ import annotations

import numpy as np

from data.market import Float64Array, Record
from trading.bar import MarketBar
from trading.records import DECISION, EQUITY, FILL, TRADE
from trading.state import TradingState
from trading.steps import apply_fill, mark, roll_day, settle


def blank_decisions(count: int) -> Record:
    """``count`` DECISION rows that say nothing: numbers 0, measured values NaN."""
    rows = np.zeros(count, dtype=DECISION)
    for name in DECISION.names or ():
        if DECISION[name].base == np.dtype("<f8"):
            rows[name] = np.nan
    return rows


class Buffers:
    """Rows of one batch, preallocated; never reused, so views into them stay true."""

    __slots__ = ("bars", "decisions", "equity", "fills", "made", "n_fills", "n_trades", "said", "trades")

    def __init__(self, bars: int, symbols: int) -> None:
        self.decisions: Record = blank_decisions(bars * symbols)
        self.fills: Record = np.zeros(bars * symbols * 2 + symbols, dtype=FILL)  # grows where there are more
        self.trades: Record = np.zeros(bars * symbols * 2 + symbols, dtype=TRADE)
        self.equity: Record = np.zeros(bars + 1, dtype=EQUITY)
        self.said: list[tuple[int, int, Float64Array]] = []  # open time, symbol, forecast row
        self.bars = 0
        self.made = 0  # decisions
        self.n_fills = 0
        self.n_trades = 0

    def make_room(self) -> None:
        """Space for one more fill; partial exits make more of them than there are bars."""
        if self.n_fills + 1 >= len(self.fills):
            self.fills = np.concatenate([self.fills, np.zeros(len(self.fills), dtype=FILL)])


class Ledger:
    """Money and positions of one account. Nothing else changes them."""

    def __init__(self, state: TradingState) -> None:
        self._state = state

    def open_bar(self, bar: MarketBar) -> None:
        """Roll the UTC day if the bar opens a new one."""
        state = self._state
        roll_day(state.account, state.positions, state.instruments, state.ring, state.days, state.rules, bar.open_time)

    def book(self, s: int, buffers: Buffers) -> None:
        """Book the fill in the state's ``intent``."""
        state = self._state
        buffers.make_room()
        buffers.n_trades += apply_fill(
            state.account, state.positions, state.instruments, state.rules, s, state.intent,
            buffers.fills, buffers.n_fills, buffers.trades, buffers.n_trades,
        )  # fmt: skip
        buffers.n_fills += 1

    def settle(self, s: int, bar: MarketBar, step: int) -> int:
        """Funding due in the bar for symbol ``s``; how many settlements were paid or received."""
        state = self._state
        first, last = int(bar.funding_first[s]), int(bar.funding_last[s])
        if first == last:
            return 0
        return settle(
            state.account, state.positions, state.instruments, s, first, last, bar.funding_time, bar.funding_rate,
            bar.funding_mark, bar.open_time + step, bool(bar.present[s]), bar.open[s], bar.close[s],
        )  # fmt: skip

    def mark(self, open_time: int, buffers: Buffers) -> None:
        """Value the account at the closes of a bar."""
        state = self._state
        mark(
            state.account, state.positions, state.instruments, state.ring, state.days, state.rules, open_time,
            buffers.equity, buffers.bars,
        )  # fmt: skip
        buffers.bars += 1

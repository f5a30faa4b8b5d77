"""Back-tests by both engines. They share the kernels and nothing else: no cache, no results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ai.schema import FeatureSchema
from data.grid import MARK_ROWS, Grid
from data.market import Float64Array, Int64Array, Record
from trading.bar import bar_at
from trading.config import TradingConfig
from trading.finer import FinerGrid
from trading.halts import Halt, halts_of
from trading.journal import Journal
from trading.metrics import metrics
from trading.outcome import no_forecasts
from trading.records import CODE_SHIFT, DECISION, EQUITY, FILL, TRADE, ExitReason
from trading.run_bars import FILLS, run_bars
from trading.session import TradingSession
from trading.state import TradingState
from trading.steps import apply_fill, close_out, mark
from trading.strategy.program import compile_program, signals

PLAN_ROWS = 32_768  # decisions of one compiled stretch; the run goes on in the next
FILL_ROWS = 65_536
NO_MARK = "where no mark price is stored ({missing:,} of {bars:,} bars), "
LIQUIDATION = NO_MARK + "liquidation is tested on the bar's low or high and positions are valued at its close"
STOPS = NO_MARK + "stops are tested on last prices"
BY_MARK = "what the mark price triggers within a bar fills at the bar's worst last price"
FUNDING = "funding without a stored mark price uses the last price"


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a back-test gave; equal bit for bit between the engines.

    ``decisions`` holds the rows with a plan, blocked ones too; ``codes[S, T]`` is ``action | reason << 2`` of every
    bar (``trading.records`` Action and Reason).
    """

    trades: Record  # TRADE[n]
    fills: Record  # FILL[n]
    equity: Record  # EQUITY[T]
    decisions: Record  # DECISION[n]
    codes: npt.NDArray[np.uint8]
    fees: float
    funding: float
    equity_start: float
    equity_end: float
    halted_at: int | None  # ms of the first halt
    bars: int
    step_ms: int
    assumptions: tuple[str, ...] = ()
    halts: tuple[Halt, ...] = ()

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """Performance, as :func:`trading.metrics.metrics`; reckoned when it is first asked for."""
        return metrics(self.trades, self.equity, self.equity_start, self.step_ms, self.fills, self.decisions)


def run_fast(
    config: TradingConfig, grid: Grid, X: Float64Array, forecasts: Float64Array | None,
    schema: FeatureSchema | None = None, finer: FinerGrid | None = None, history: Float64Array | None = None,
) -> RunResult:  # fmt: skip
    """The compiled engine over ``X[S, F, T]`` and ``forecasts[S, T, WIDTH]`` (None for rules).

    ``schema`` names the rows of X; without one they are ``config.features()`` in order. ``finer``: bars inside those of
    ``grid``, read where ``matching.both_touched`` says so. ``history``: daily
    closes before the first bar, as :class:`TradingSession` takes them.

    Raises:
        UserError: the schema lacks a feature that the run reads.
    """
    schema = schema or FeatureSchema(config.features())
    state = TradingState.new(config, schema)
    if history is not None:
        state.remember(history)
    X = np.ascontiguousarray(X, dtype=np.float64)
    symbols, bars = len(config.symbols), grid.bars
    program = compile_program(config.strategy, schema)
    bits = np.zeros((symbols, bars), dtype=np.uint8)
    for s in range(symbols):
        signals(program.code, program.constants, program.used, program.depth, program.back, X[s], bits[s])
    rows = no_forecasts(symbols)[:, None, :] if forecasts is None else np.ascontiguousarray(forecasts)
    inside = _finer_of(config, finer) or FinerGrid.none(symbols)
    codes = np.zeros((symbols, bars), dtype=np.uint8)
    equity: Record = np.empty(bars, dtype=EQUITY)
    kept: list[tuple[Record, Record, Record]] = []
    halts: list[tuple[int, int]] = []
    at, room = 0, FILLS * symbols + 1  # one bar always fits
    while at < bars:
        fills: Record = np.empty(FILL_ROWS + room, dtype=FILL)
        trades: Record = np.empty(FILL_ROWS + room, dtype=TRADE)
        decisions: Record = np.empty(PLAN_ROWS + room, dtype=DECISION)
        counts: Int64Array = np.zeros(3, dtype=np.int64)
        at = run_bars(
            at, bars, state.account, state.positions, state.ring, state.days, state.instruments, state.rules,
            state.limits, state.plans, state.intent, grid.open_time, grid.open, grid.high, grid.low, grid.close,
            grid.volume, grid.present, grid.funding_start, grid.funding_time, grid.funding_rate, grid.funding_mark,
            grid.mark_price, inside.high, inside.low, inside.begin, inside.parts,
            X, bits, rows, codes, equity, fills, trades, decisions, counts,
        )  # fmt: skip
        kept.append((fills[: counts[0]].copy(), trades[: counts[1]].copy(), decisions[: counts[2]].copy()))
        _see_halt(state, halts)
    if bars:
        kept.append(_close_open_positions(state, grid, equity))
    return _result(config, grid, state, kept, equity, codes, halts)


def _see_halt(state: TradingState, halts: list[tuple[int, int]]) -> None:
    """Note a halt that has just begun."""
    account = state.account[0]
    if account["halts"] > len(halts):
        halts.append((int(account["halted_at"]), int(account["halt_reason"])))


def _finer_of(config: TradingConfig, finer: FinerGrid | None) -> FinerGrid | None:
    return finer if config.settings.matching.both_touched == "finer" else None


def _close_open_positions(state: TradingState, grid: Grid, equity: Record) -> tuple[Record, Record, Record]:
    """Everything still held is closed at the last close; the last equity row is marked again."""
    symbols = len(state.positions)
    fills: Record = np.zeros(symbols, dtype=FILL)
    trades: Record = np.zeros(symbols, dtype=TRADE)
    moment = int(grid.open_time[-1]) + grid.step_ms
    n_fills = n_trades = 0
    for s in range(symbols):
        if close_out(
            state.positions, state.instruments, state.rules, s, int(ExitReason.END), moment,
            float(grid.volume[s, -1]), state.intent,
        ):  # fmt: skip
            n_trades += apply_fill(
                state.account, state.positions, state.instruments, state.rules, s, state.intent,
                fills, n_fills, trades, n_trades,
            )  # fmt: skip
            n_fills += 1
    mark(
        state.account, state.positions, state.instruments, state.ring, state.days, state.rules, int(grid.open_time[-1]),
        equity, grid.bars - 1,
    )  # fmt: skip
    return fills[:n_fills], trades[:n_trades], np.empty(0, dtype=DECISION)


def run_service(
    config: TradingConfig, grid: Grid, X: Float64Array, forecasts: Float64Array | None, journal: Journal,
    account_id: int, schema: FeatureSchema | None = None, finer: FinerGrid | None = None,
    history: Float64Array | None = None,
) -> RunResult:  # fmt: skip
    """The service's session over the same inputs, one bar at a time; everything it does is committed to ``journal``."""
    session = TradingSession(config, schema or FeatureSchema(config.features()), journal, account_id, None, history)
    return run_session(session, grid, X, forecasts, finer)


def run_session(
    session: TradingSession, grid: Grid, X: Float64Array, forecasts: Float64Array | None,
    finer: FinerGrid | None = None, holds: npt.NDArray[np.uint8] | None = None,
) -> RunResult:  # fmt: skip
    """Every bar through a new session; ``holds[S, T]``: why no entry was allowed, as a Reason, 0 where one was."""
    config = session.config
    inside = _finer_of(config, finer)
    symbols, bars = len(config.symbols), grid.bars
    window = np.full((symbols, X.shape[1], 2), np.nan)
    codes = np.zeros((symbols, bars), dtype=np.uint8)
    equity: Record = np.empty(bars, dtype=EQUITY)
    kept: list[tuple[Record, Record, Record]] = []
    halts: list[tuple[int, int]] = []
    for t in range(bars):
        window[:, :, 0] = window[:, :, 1]
        window[:, :, 1] = X[:, :, t]
        rows = None if forecasts is None else np.ascontiguousarray(forecasts[:, t])
        hold = () if holds is None else holds[:, t].tolist()
        outcome = session.on_bar(bar_at(grid, t, inside), window, rows, hold)
        equity[t] = outcome.equity[0]
        _see_halt(session.state, halts)
        made = outcome.decisions
        codes[:, t] = made["action"] | made["reason"] << CODE_SHIFT
        planned = made["action"] != 0
        if len(outcome.fills) or planned.any():
            kept.append((outcome.fills, outcome.trades, made[planned]))
    if bars:
        closing = session.close_all(grid.volume[:, -1])
        equity[-1] = closing.equity[0]
        kept.append((closing.fills, closing.trades, closing.decisions))
    session.flush()
    return _result(config, grid, session.state, kept, equity, codes, halts)


def _assumptions(config: TradingConfig, grid: Grid) -> tuple[str, ...]:
    """What the bars do not tell and the result supposes."""
    bars, by_mark = int(grid.present.sum()), config.in_force.matching.stop_trigger == "mark"
    known = 0
    if grid.mark_price.shape[2]:
        known = int((grid.present & ~np.isnan(grid.mark_price[:, MARK_ROWS.index("close")])).sum())
    due = [grid.funding_mark[begin:end] for begin, end in grid.funding_start[:, [0, -1]].tolist()]
    told = (
        (known < bars, LIQUIDATION), (known < bars and by_mark, STOPS), (known > 0 and by_mark, BY_MARK),
        (any(bool(np.isnan(marks).any()) for marks in due), FUNDING),
    )  # fmt: skip
    return tuple(words.format(missing=bars - known, bars=bars) for holds, words in told if holds)


def _result(
    config: TradingConfig, grid: Grid, state: TradingState, kept: list[tuple[Record, Record, Record]],
    equity: Record, codes: npt.NDArray[np.uint8], halts: list[tuple[int, int]],
) -> RunResult:  # fmt: skip
    empty = (np.empty(0, dtype=FILL), np.empty(0, dtype=TRADE), np.empty(0, dtype=DECISION))
    fills, trades, decisions = (np.concatenate(parts) for parts in zip(empty, *kept, strict=True))
    account = state.account[0]
    first_halt = int(account["first_halt"])
    return RunResult(
        trades, fills, equity, decisions, codes, float(account["fees"]), float(account["funding"]),
        config.start_equity, float(account["equity"]), first_halt or None, grid.bars,
        grid.step_ms, _assumptions(config, grid),
        halts_of(halts, config, grid),
    )  # fmt: skip

"""What the mark price decides, on small tables of bars computed by hand: liquidation, stops that it triggers, equity.

Binance, "What Is Mark Price and Price Index": liquidations are triggered by the mark price, so that one exchange's last
price alone liquidates nobody; a stop order chooses its trigger ("Working Type"). Both engines run every table, long and
short, and must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.instruments import Instrument
from tests.trading.cases import (
    MINUTE,
    START_MS,
    SYMBOLS,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    instrument,
    merged,
    profile,
    random_market,
    session_of,
)
from tests.trading.test_matching_rules import CALM, FLAT, WIDE
from trading.backtest import RunResult, run_fast, run_service
from trading.records import ExitReason

Row = tuple[float, float, float, float]
Rows = Sequence[Row]
Marks = Sequence[Row | None]
MARK = {"matching": {"stop_trigger": "mark"}}
THIN = merged(WIDE, {"limits": {"held": "mark"}})  # liquidated 3 % away: 5 % of margin, 2 % of maintenance
RULES = (instrument(maintenance_rate=0.02, max_leverage=50.0),)


def mirrored(row: Row) -> Row:
    """The bar turned over at 100."""
    o, h, lo, c = row
    return (200 - o, 200 - lo, 200 - h, 200 - c)


def run(
    bars: Rows, marks: Marks, settings: Mapping[str, Any] | None = None, side: int = 1, stop: float = 0.01,
    rules: Sequence[Instrument] = (),
) -> RunResult:  # fmt: skip
    """Decided at the close of bar 0, 40 units at the open of bar 1; stop 1 %, target 2 %, costs nothing."""
    if side < 0:
        bars, marks = [mirrored(row) for row in bars], [row and mirrored(row) for row in marks]
    table = grid_of(bars, marks=marks)
    config = config_of(settings=merged(CALM, settings or {}), exits=profile(stop, 2.0, 10), instruments=rules)
    X = features_of(config, table, go=[side] + [0] * (len(bars) - 1))
    fast = run_fast(config, table, X, None)
    service = run_service(config, table, X, None, MemoryJournal(), 1)
    for part in ("fills", "trades", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    return fast


def left(
    bars: Rows, marks: Marks, settings: Mapping[str, Any] | None = None, apart: float = 1e-6, **more: Any
) -> tuple[ExitReason, float, int]:
    """Reason, price and minute of the one exit, which a short must mirror (to within ``apart``)."""
    long, short = (run(bars, marks, settings, side, **more).fills[-1] for side in (1, -1))
    assert (long["reason"], long["time"]) == (short["reason"], short["time"])
    assert short["price"] == pytest.approx(200 - long["price"], abs=apart)
    return ExitReason(long["reason"]), float(long["price"]), int((long["time"] - START_MS) // MINUTE)


# bars 1 and 2; bar 0 is flat, and so is its mark price. Liquidated at 97.0 (a short at 102.9), without margin at 95.0
LIQUIDATIONS: dict[str, tuple[Rows, Marks, tuple[ExitReason, float, int]]] = {
    "the last price alone liquidates nobody": (
        [(100, 100, 94.0, 99)], [(100, 100, 98, 99)], (ExitReason.END, 99.0, 2)),
    "the mark price does, at the level": (
        [(100, 100, 99.5, 100)], [(100, 100, 96.5, 99)], (ExitReason.LIQUIDATION, 97.0, 2)),
    "or at the worst last price of the bar": (
        [(100, 100, 96.0, 99)], [(100, 100, 96.5, 99)], (ExitReason.LIQUIDATION, 96.0, 2)),
    "never beyond the margin": (
        [(100, 100, 90.0, 99)], [(100, 100, 96.5, 99)], (ExitReason.LIQUIDATION, 95.0, 2)),
    "a mark price that opens beyond it liquidates at the open": (
        [FLAT, (99, 100, 99, 100)], [FLAT, (96, 99, 96, 99)], (ExitReason.LIQUIDATION, 97.0, 2)),
    "at the open's last price where that is worse": (
        [FLAT, (96.2, 100, 96, 100)], [FLAT, (96, 99, 96, 99)], (ExitReason.LIQUIDATION, 96.2, 2)),
    "where no mark price is known the last price decides": (
        [(100, 100, 96.5, 99)], [None], (ExitReason.LIQUIDATION, 97.0, 2)),
    "and before and after such a bar the mark price": (
        [(100, 100, 96.5, 99), (99, 99, 96.5, 99), (99, 99, 96.9, 99)],
        [(100, 100, 98, 99), (99, 99, 98, 99), None], (ExitReason.LIQUIDATION, 97.0, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", LIQUIDATIONS)
def test_liquidation_is_decided_on_the_mark_price(name: str) -> None:
    bars, marks, expected = LIQUIDATIONS[name]
    reason, price, minute = left([FLAT, *bars], [FLAT, *marks], THIN, 0.11, stop=0.2, rules=RULES)
    assert (reason, minute) == (expected[0], expected[2])
    assert price == pytest.approx(expected[1])


# stop 99.0, target 102.0
STOPS: dict[str, tuple[Rows, Marks, tuple[ExitReason, float, int]]] = {
    "a last price beyond it does nothing": ([(100, 100, 98.5, 100)], [(100, 100, 99.5, 100)], (ExitReason.END, 100, 2)),
    "the mark price fills it at the worst last price of the bar": (
        [(100, 100.4, 99.6, 100)], [(100, 100, 98.9, 100)], (ExitReason.STOP, 99.6, 2)),
    "which may be below it": (
        [(100, 100.4, 98.2, 100)], [(100, 100, 98.9, 100)], (ExitReason.STOP, 98.2, 2)),
    "opened beyond it fills at the last price of the open": (
        [FLAT, (99.4, 100, 98, 100)], [FLAT, (98.9, 100, 98.9, 100)], (ExitReason.STOP, 99.4, 2)),
    "without a mark price the last price decides": (
        [(100, 100, 98.5, 100)], [None], (ExitReason.STOP, 99.0, 2)),
    "gapped through without one it fills at the open": (
        [FLAT, (98.4, 100, 98, 100)], [FLAT, None], (ExitReason.STOP, 98.4, 2)),
    "a limit target is still the last price's": (
        [(100, 102.1, 100, 102)], [(100, 100, 100, 100)], (ExitReason.TARGET, 102.0, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPS)
def test_a_stop_that_the_mark_price_triggers(name: str) -> None:
    bars, marks, (reason, price, minute) = STOPS[name]
    assert left([FLAT, *bars], [FLAT, *marks], MARK) == (reason, pytest.approx(price), minute)


def test_a_stop_is_triggered_by_the_last_price_unless_asked() -> None:
    marks = [FLAT, (100, 100, 98.0, 100)]
    assert left([FLAT, (100, 100, 99.1, 100)], marks)[0] is ExitReason.END
    assert left([FLAT, (100, 100, 99.0, 100)], marks) == (ExitReason.STOP, 99.0, 2)


TARGETS: dict[str, tuple[Rows, Marks, tuple[ExitReason, float, int]]] = {
    "reached within a bar fills at its worst last price": (
        [(100, 101.5, 100.2, 101)], [(100, 102, 100, 101)], (ExitReason.TARGET, 100.2, 2)),
    "opened upon fills at the last price of the open": (
        [FLAT, (101.2, 101.5, 100, 101)], [FLAT, (102, 102, 101, 101)], (ExitReason.TARGET, 101.2, 2)),
    "is not reached by the last price": ([(100, 103, 100, 102.5)], [(100, 101, 100, 101)], (ExitReason.END, 102.5, 2)),
    "comes after the stop": ([(100, 101.5, 99.5, 101)], [(100, 102, 98.9, 101)], (ExitReason.STOP, 99.5, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_a_market_target_that_the_mark_price_triggers(name: str) -> None:
    bars, marks, (reason, price, minute) = TARGETS[name]
    settings = merged(MARK, {"matching": {"target_order": "market"}})
    assert left([FLAT, *bars], [FLAT, *marks], settings) == (reason, pytest.approx(price), minute)


def test_levels_that_move_follow_the_price_that_triggers_them() -> None:
    """Trailing at one stop distance: the last price rose to 101.5, the mark price to 100.8, then both fall."""
    bars = [FLAT, (100, 101.5, 100, 101), (101, 101, 99.7, 100), (100, 100, 99.7, 100)]
    marks = [FLAT, (100, 100.8, 100, 100.6), (100.6, 100.6, 100, 100.2), (100.2, 100.2, 99.7, 100)]
    trailing = {"management": {"trailing": 1.0, "trailing_after": 0.5}}
    assert left(bars, marks, trailing) == (ExitReason.TRAILING, 100.5, 3)
    assert left(bars, marks, merged(trailing, MARK)) == (ExitReason.TRAILING, 99.7, 4)  # 99.8 touched, the worst price
    (trade,) = run(bars, marks, merged(trailing, MARK)).trades
    assert (trade["mfe"], trade["mae"]) == (pytest.approx(0.015), pytest.approx(-0.003))  # of last prices


@pytest.mark.parametrize("management", [{"break_even_after": 0.5}, {"give_back": 0.9, "give_back_after": 0.5}])
def test_profit_that_moves_a_stop_is_that_of_the_trigger(management: dict[str, float]) -> None:
    bars = [FLAT, (100, 101.0, 100, 100.5), (100.5, 100.5, 99.3, 99.5), FLAT]
    marks = [FLAT, (100, 100.4, 100, 100.3), (100.3, 100.3, 99.5, 99.6), FLAT]
    assert left(bars, marks, {"management": management})[0] is ExitReason.TRAILING
    assert left(bars, marks, merged({"management": management}, MARK))[0] is ExitReason.END


def test_a_level_that_the_mark_prices_close_has_crossed_closes_at_the_next_open() -> None:
    bars = [FLAT, (100, 101, 100, 101), (101, 101, 101, 101)]
    marks = [FLAT, (100, 101, 99.5, 99.8), (101, 101, 101, 101)]
    settings = merged({"management": {"trailing": 1.0, "trailing_after": 0.5}}, MARK)
    assert left(bars, marks, settings) == (ExitReason.TRAILING, 101.0, 2)


def test_open_positions_are_valued_at_the_mark_price() -> None:
    bars = [FLAT, (100, 101, 100, 101), (101, 101, 100.5, 101), FLAT]
    marks = [FLAT, (100, 100.6, 100, 100.54), None, (100.2, 100.2, 100, 100.1)]
    result = run(bars, marks)
    assert result.equity["unrealised"].tolist() == pytest.approx([0.0, 20.0, 40.0, 0.0])  # to the tick; the last close
    assert result.equity["equity"].tolist() == pytest.approx([10_000.0, 10_020.0, 10_040.0, 10_000.0])
    assert result.equity["exposure"].tolist() == pytest.approx([0.0, 40 * 100.5, 40 * 101.0, 0.0])
    assert run(bars, marks, side=-1).equity["unrealised"][1] == pytest.approx(20.0)


def test_drawdown_and_gates_read_the_mark_price() -> None:
    """Ten units lose 80 of 10,000 by the mark price alone: that halts the account."""
    bars, marks = [FLAT, FLAT, FLAT], [FLAT, (100, 100, 92, 92), (92, 92, 92, 92)]
    settings = {"limits": {"drawdown": 0.005}}
    halted = run(bars, marks, settings, stop=0.2)
    assert halted.halted_at == START_MS + 2 * MINUTE
    assert halted.equity["drawdown"][1] == pytest.approx(0.008)
    assert run(bars, (), settings, stop=0.2).halted_at is None


def test_with_cross_margin_the_mark_price_of_one_symbol_liquidates_another() -> None:
    """As on last prices (40 % of both notionals must be kept), but BTC falls to 73 by its mark price alone."""
    settings = merged(
        CALM,
        {"sizing": {"leverage": 2.0, "margin_share": 0.5, "risk_share": 0.5},
         "limits": {"max_leverage": 5.0, "margin_share": 0.9, "loss_at_stop": 1.0, "drawdown": 1.0, "daily_loss": 1.0,
                    "exposure": 10.0, "concentration": 10.0, "open_risk": 1.0, "held": "mark"},
         "matching": {"margin_mode": "cross"}},
    )  # fmt: skip
    dip = [FLAT, FLAT, FLAT, (100, 100, 93.0, 97), (97, 97, 97, 97)]
    table = grid_of({SYMBOLS[0]: [FLAT] * 5, SYMBOLS[1]: dip})
    config = config_of(
        settings=settings, exits=profile(0.4, 2.0, 10), symbols=SYMBOLS[:2],
        instruments=[instrument(symbol, maintenance_rate=0.4) for symbol in SYMBOLS[:2]],
    )  # fmt: skip
    marked = np.stack([[table.open[s], table.high[s], table.low[s], table.close[s]] for s in (0, 1)])
    marked[0, :, 2:] = 73.0
    reasons = {}
    for name, grid in (("last", table), ("mark", replace(table, mark_price=marked))):
        X = features_of(config, grid, go=np.array([[1, 0, 0, 0, 0]] * 2))
        fast, service = run_fast(config, grid, X, None), run_service(config, grid, X, None, MemoryJournal(), 1)
        assert fast.equity.tobytes() == service.equity.tobytes()
        reasons[name] = {int(trade["symbol"]): ExitReason(trade["exit_reason"]) for trade in fast.trades}
    assert reasons["last"] == {0: ExitReason.END, 1: ExitReason.END}
    assert reasons["mark"] == {0: ExitReason.END, 1: ExitReason.LIQUIDATION}


def test_a_result_says_what_it_supposes_and_nothing_else() -> None:
    bars = [FLAT, FLAT, FLAT]
    known = [FLAT, FLAT, FLAT]
    assert run(bars, known).assumptions == ()
    (by_mark,) = run(bars, known, MARK).assumptions
    assert by_mark.startswith("what the mark price triggers")
    (missing,) = run(bars, [FLAT, None, FLAT]).assumptions
    assert missing.startswith("where no mark price is stored (1 of 3 bars), liquidation is tested on the bar's low")
    assert [words.split(", ")[-1][:5] for words in run(bars, (), MARK).assumptions] == ["liqui", "stops"]


@pytest.mark.parametrize("trigger", ["last", "mark"])
def test_a_session_goes_on_after_a_restart_with_marks(trigger: str) -> None:
    """The best mark price is part of the checkpoint: a trailing stop goes on from it."""
    market = random_market(
        5, 200, 2, enforce=False, marks=True,
        settings={"matching": {"stop_trigger": trigger, "target_order": "market"},
                  "management": {"trailing": 1.0, "trailing_after": 0.3, "target_at": (0.8,), "target_share": (0.5,)}},
    )  # fmt: skip
    whole = run_fast(market.config, market.grid, market.X, None)
    journal = MemoryJournal()
    session = session_of(market.config, journal)
    outcomes = feed(session, market.grid, market.X, 0, 90)
    session.flush()
    checkpoint = journal.checkpoint(1)
    assert checkpoint is not None
    outcomes += feed(session_of(market.config, journal, checkpoint=checkpoint), market.grid, market.X, 90)
    fills = np.concatenate([outcome.fills for outcome in outcomes])
    assert len(fills) > 30 and fills.tobytes() == whole.fills[: len(fills)].tobytes()

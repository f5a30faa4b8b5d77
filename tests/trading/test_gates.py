"""Every gate made to be the only one that blocks, the halts, and what is not measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ai.forecast import Abstain, Col
from tests.trading.cases import (
    FREE,
    GO_OR_MODEL,
    LOOSE,
    MINUTE,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    instrument,
    merged,
    profile,
    random_forecasts,
    session_of,
)  # fmt: skip
from trading.backtest import run_fast
from trading.records import Action, ExitReason, Reason
from trading.risk.gates import GATES, Gate, verdicts
from trading.session import TradingSession
from trading.state import RING_DAYS, Trading

UNKNOWN = sum(1 << g for g in (Gate.SHARPE, Gate.VAR, Gate.SHORTFALL, Gate.DEPTH, Gate.SPREAD, Gate.QUOTE_AGE))
CALM = merged(FREE, LOOSE, {"limits": {"black_swan_action": "halt"}})
FLAT = (100.0, 100.0, 100.0, 100.0)
WIDE: dict[str, Any] = {"limits": {"margin_share": 1.0, "loss_at_stop": 1.0, "max_leverage": 100.0}}


def only_blocker(session: TradingSession, gate: Gate, columns: Any = None) -> Any:
    """Ask for one plan on flat bars; ``gate`` must be the only one that blocks it."""
    grid = grid_of([FLAT, FLAT])
    X = features_of(session.config, grid, go=[1, 0], **(columns or {}))
    row = feed(session, grid, X)[0].decisions[0]
    assert (row["action"], row["failed"]) == (Action.BLOCKED, 1 << gate)
    found = verdicts(row)
    assert [v.gate for v in found if not v.passed] == [GATES[gate].name]
    assert len(found) == len(GATES)
    return found[gate]


def session_with(settings: Any = None, **changes: Any) -> TradingSession:
    return session_of(config_of(settings=merged(CALM, settings or {}), **changes))


def test_a_plan_within_all_limits_passes_all_gates() -> None:
    grid = grid_of([FLAT, FLAT])
    session = session_with()
    row = feed(session, grid, features_of(session.config, grid, go=[1, 0]))[0].decisions[0]
    assert (row["action"], row["failed"], row["unmeasured"]) == (Action.LONG, 0, UNKNOWN)
    assert all(v.passed for v in verdicts(row))
    sharpe = verdicts(row)[Gate.SHARPE]
    assert not sharpe.measured and "not measured" in sharpe.words and np.isnan(sharpe.value)


def test_margin_alone_blocks() -> None:
    verdict = only_blocker(session_with({"sizing": {"margin_share": 0.09, "beyond_limits": "block"}}), Gate.MARGIN)
    assert (verdict.value, verdict.limit) == (pytest.approx(0.09), 0.08)


def test_leverage_alone_blocks() -> None:
    session = session_with({"sizing": {"leverage": 8.0, "margin_share": 0.05}})
    verdict = only_blocker(session, Gate.LEVERAGE)
    assert (verdict.value, verdict.limit) == (pytest.approx(8.0), 5.0)


def test_stop_distance_alone_blocks() -> None:
    verdict = only_blocker(session_with(exits=profile(0.01, 2.0, max_stop=0.009)), Gate.STOP)
    assert verdict.value == pytest.approx(0.01)


def test_target_distance_alone_blocks() -> None:
    verdict = only_blocker(session_with(exits=profile(0.01, 2.0, min_target=0.021)), Gate.TARGET)
    assert verdict.value == pytest.approx(0.02)


def test_target_distance_counts_in_stops_where_the_profile_says_so() -> None:
    exits = profile(0.01, 2.0, min_target=2.5, target_in_stops=True)
    assert only_blocker(session_with(exits=exits), Gate.TARGET).value == pytest.approx(2.0)


def test_loss_at_stop_alone_blocks() -> None:
    session = session_with({"limits": {"loss_at_stop": 0.003}, "sizing": {"beyond_limits": "block"}})
    assert only_blocker(session, Gate.LOSS_AT_STOP).value == pytest.approx(0.004)


def test_daily_loss_alone_blocks() -> None:
    session = session_with()
    session.state.account["day_start"] = 10_300.0
    assert only_blocker(session, Gate.DAILY_LOSS).value == pytest.approx(300 / 10_300)


def test_daily_trades_alone_block() -> None:
    session = session_with({"limits": {"daily_trades": 3}})
    session.state.account["trades_today"] = 3
    session.state.account["next_midnight"] = 2**60
    assert only_blocker(session, Gate.DAILY_TRADES).value == 4


def test_loss_streak_alone_blocks() -> None:
    session = session_with()
    session.state.account["loss_streak"] = 9
    assert only_blocker(session, Gate.LOSS_STREAK).limit == 8


def test_drawdown_alone_blocks_and_halts() -> None:
    session = session_with()
    session.state.account["high_water"] = 10_600.0
    assert only_blocker(session, Gate.DRAWDOWN).value == pytest.approx(600 / 10_600)
    assert session.trading is Trading.HALTED and "high-water" in session.halt_words


def test_sharpe_alone_blocks_and_halts() -> None:
    session = session_with()
    session.state.account["sharpe_upper"] = 0.2
    assert only_blocker(session, Gate.SHARPE).value == pytest.approx(0.2)
    assert session.trading is Trading.HALTED


def test_black_swan_alone_blocks_and_halts() -> None:
    session = session_with()
    assert only_blocker(session, Gate.BLACK_SWAN, {"black_swan_ratio": 3.5}).value == pytest.approx(3.5)
    assert session.trading is Trading.HALTED


def test_by_default_a_black_swan_blocks_while_it_lasts() -> None:
    session = session_with({"limits": {"black_swan_action": "block"}})
    grid = grid_of([FLAT] * 4)
    X = features_of(session.config, grid, go=[0, 1, 1, 0], black_swan_ratio=[1, 4, 2, 1])
    actions = [int(outcome.decisions["action"][0]) for outcome in feed(session, grid, X)]
    assert actions[1:3] == [Action.BLOCKED, Action.LONG]
    assert session.trading is Trading.RUNNING and session.state.account["first_halt"][0] == 0


def test_a_black_swan_flattens_where_the_setting_says_so() -> None:
    session = session_with({"limits": {"black_swan_action": "flatten"}}, exits=profile(0.01, 2.0, 50))
    grid = grid_of([FLAT] * 4)
    X = features_of(session.config, grid, go=[1, 0, 0, 0], black_swan_ratio=[1, 1, 4, 1])
    outcomes = feed(session, grid, X)
    assert outcomes[2].halted
    assert outcomes[3].trades["exit_reason"].tolist() == [ExitReason.EMERGENCY]


def test_an_auto_strategy_goes_by_the_rule_until_a_model_covers_the_bar() -> None:
    config = config_of(GO_OR_MODEL, settings=CALM, exits=profile(0.01, 2.0, 1))
    grid = grid_of([FLAT] * 4)
    rows = random_forecasts(np.random.default_rng(1), (1, 4))
    rows[0, :, Col.MODEL] = [-1, -1, -1, 0]
    rows[0, :, Col.ABSTAIN] = [Abstain.NO_MODEL] * 3 + [Abstain.INVALID]
    X = features_of(config, grid, go=[1, 0, 0, 1])
    made = run_fast(config, grid, X, rows)
    assert [int(c) & 3 for c in made.codes[0]] == [Action.LONG, 0, 0, 0]
    assert [int(c) >> 2 for c in made.codes[0]][2:] == [Reason.NO_SIGNAL, Reason.INVALID_FORECAST]
    assert int(made.decisions["model"][0]) == -1


def test_symbol_alone_blocks() -> None:
    session = session_with({"limits": {"allowed_symbols": ("ETH/USDT:USDT",)}})
    assert only_blocker(session, Gate.SYMBOL).value == 0.0


def test_exchange_leverage_alone_blocks() -> None:
    session = session_with(instruments=[instrument(max_leverage=3.0)])
    assert only_blocker(session, Gate.EXCHANGE_LEVERAGE).limit == 3.0


def test_a_black_swan_ratio_that_is_not_known_is_marked_and_passes() -> None:
    session = session_with()
    grid = grid_of([FLAT, FLAT])
    X = features_of(session.config, grid, go=[1, 0], black_swan_ratio=np.nan)
    row = feed(session, grid, X)[0].decisions[0]
    assert row["action"] == Action.LONG and row["unmeasured"] & 1 << Gate.BLACK_SWAN
    assert session.trading is Trading.RUNNING


def test_observed_gates_are_evaluated_but_neither_block_nor_halt() -> None:
    session = session_with({"sizing": {"margin_share": 0.09}}, enforce=False)
    session.state.account["high_water"] = 20_000.0
    grid = grid_of([FLAT, FLAT])
    first, second = feed(session, grid, features_of(session.config, grid, go=[1, 0]))
    assert first.decisions["failed"][0] == 1 << Gate.MARGIN | 1 << Gate.DRAWDOWN
    assert (first.decisions["action"][0], len(second.fills)) == (Action.LONG, 1)
    assert session.trading is Trading.RUNNING


def test_a_second_symbol_counts_the_first_ones_waiting_entry() -> None:
    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT")
    session = session_of(config_of(settings=merged(CALM, {"limits": {"daily_trades": 1}}), symbols=symbols))
    grid = grid_of({symbol: [FLAT, FLAT] for symbol in symbols})
    rows = feed(session, grid, features_of(session.config, grid, go=1.0))[0].decisions
    assert rows["action"].tolist() == [Action.LONG, Action.BLOCKED]
    assert rows["gate_values"][:, Gate.DAILY_TRADES].tolist() == [1, 2]


def test_halting_cancels_entries_and_keeps_stops() -> None:
    session = session_with(exits=profile(0.01, 2.0, 50))
    grid = grid_of([FLAT, FLAT, FLAT, (100, 100, 98.0, 98), FLAT])
    X = features_of(session.config, grid, go=1.0, black_swan_ratio=[1, 4, 1, 1, 1])
    outcomes = feed(session, grid, X)
    assert [o.halted for o in outcomes] == [False, True, False, False, False]
    assert outcomes[3].trades["exit_price"].tolist() == [99.0]
    assert outcomes[4].decisions["reason"].tolist() == [Reason.HALTED]
    assert session.state.account["first_halt"][0] == outcomes[1].open_time + MINUTE


def test_a_halt_cancels_the_entry_planned_on_the_same_bar() -> None:
    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT")
    session = session_of(config_of(settings=CALM, symbols=symbols))
    grid = grid_of({symbol: [FLAT, FLAT] for symbol in symbols})
    X = features_of(session.config, grid, go=1.0)
    X[1, session.config.features().index("black_swan_ratio")] = 4.0
    first, second = feed(session, grid, X)
    assert first.decisions["action"].tolist() == [Action.LONG, Action.BLOCKED]
    assert first.halted and len(second.fills) == 0 and session.open_orders() == ()


@pytest.mark.parametrize(("on_halt", "resumed"), [("stop", None), ("next-day", 2), ("next-month", 31)])
def test_a_backtest_goes_on_after_a_halt_as_told(on_halt: Any, resumed: int | None) -> None:
    """Daily bars from 1 January, a black swan on the first: halted at 2 January 00:00, resumed at a later 00:00."""
    day = 1440 * MINUTE
    grid = grid_of([FLAT] * 40, step=day, timeframe="1d")
    config = config_of(settings=CALM, timeframe="1d", on_halt=on_halt)
    X = features_of(config, grid, black_swan_ratio=[4.0] + [1.0] * 39)
    result = run_fast(config, grid, X, None)
    halted = (result.codes[0] >> 2) == Reason.HALTED
    assert result.halted_at == grid.open_time[0] + day
    expected = np.arange(40) > 0
    if resumed is not None:
        expected &= np.arange(40) < resumed - 1
    assert halted.tolist() == expected.tolist()


def test_resuming_by_hand_sets_a_new_base_and_notes_it() -> None:
    journal = MemoryJournal()
    session = session_of(config_of(settings=CALM), journal)
    session.state.account["high_water"] = 12_000.0
    grid = grid_of([FLAT] * 3)
    X = features_of(session.config, grid)
    feed(session, grid, X, 0, 1)
    assert session.trading is Trading.HALTED
    session.resume()
    feed(session, grid, X, 1)
    session.flush()
    assert session.trading is Trading.RUNNING
    events = journal.batches[-1].events
    assert [e.kind for e in events] == ["tighten", "halt", "resume"] and events[2].body["base"] == 10_000.0


def test_the_sharpe_gate_is_measured_from_thirty_days_and_fifty_trades_on() -> None:
    """Against numpy: ratio by √365 and ddof 1, bound by Mertens' variance."""
    from trading.accounting import roll_day

    session = session_with()
    state = session.state
    rng = np.random.default_rng(5)
    returns = rng.standard_t(4, 40) * 0.01 - 0.03
    state.ring[0, :39], state.ring[1, :39] = returns[:39], 2
    account = state.account
    account["days"], account["next_midnight"], account["day_start"] = 39, 1_000_000, 10_000.0
    account["equity"], account["closed_today"] = 10_000.0 * (1 + returns[39]), 2
    roll_day(account[0], state.ring, state.rules[0], 1_000_000)
    ratio = returns.mean() / returns.std(ddof=1)
    centred = returns - returns.mean()
    spread = np.mean(centred**2)
    skew, kurtosis = np.mean(centred**3) / spread**1.5, np.mean(centred**4) / spread**2
    variance = (1 + ratio**2 / 2 - skew * ratio + (kurtosis - 3) / 4 * ratio**2) / 40
    assert account["sharpe"][0] == pytest.approx(ratio * np.sqrt(365))
    assert account["sharpe_upper"][0] == pytest.approx((ratio + 1.6448536 * np.sqrt(variance)) * np.sqrt(365))
    assert account["ring_trades"][0] == 80 and account["days"][0] == 40 < RING_DAYS


@pytest.mark.parametrize(("days", "trades"), [(28, 10), (60, 0)])
def test_a_short_history_leaves_the_sharpe_unmeasured(days: int, trades: int) -> None:
    from trading.accounting import roll_day

    state = session_with().state
    state.ring[0, :days] = np.linspace(-0.02, -0.01, days)
    state.ring[1, :days] = trades
    state.account["days"], state.account["next_midnight"] = days, 1_000_000
    roll_day(state.account[0], state.ring, state.rules[0], 1_000_000)
    assert np.isnan(state.account["sharpe_upper"][0])


def test_a_day_resets_its_counters_at_midnight() -> None:
    from trading.accounting import roll_day

    state = session_with().state
    for name in ("trades_today", "loss_streak", "closed_today"):
        state.account[name] = 7
    roll_day(state.account[0], state.ring, state.rules[0], 5)
    assert state.account["next_midnight"][0] == 86_400_000 and state.account["trades_today"][0] == 7
    roll_day(state.account[0], state.ring, state.rules[0], 86_400_000)
    assert [int(state.account[n][0]) for n in ("trades_today", "loss_streak", "closed_today")] == [0, 0, 0]
    assert state.ring[1, 0] == 7


def test_months_follow_the_calendar() -> None:
    from trading.risk.system import month_of

    days = np.arange("1999-12-25", "2032-03-05", dtype="datetime64[D]")
    months = [month_of(int(d)) for d in days.astype("datetime64[ms]").astype(np.int64)]
    expected = days.astype("datetime64[M]").astype(int) + 1970 * 12 + 1
    assert months == expected.tolist()


def test_the_loss_streak_counts_closed_losing_trades_and_a_win_ends_it() -> None:
    lose, win = (100.0, 100.0, 98.0, 98.0), (100.0, 103.0, 100.0, 103.0)
    session = session_with()
    grid = grid_of([FLAT, lose, lose, lose, win, lose])
    streaks = []
    for t in range(grid.bars):
        feed(session, grid, features_of(session.config, grid, go=1.0), t, t + 1)
        streaks.append(int(session.state.account["loss_streak"][0]))
    assert streaks == [0, 1, 2, 3, 0, 1]
    assert session.state.account["trades_today"][0] == session.state.account["closed_today"][0] == 5

"""Portfolio and market tiers, sizes within the gates, held positions beyond a limit, limits that tighten (I9)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.market import Float64Array
from data.timeframes import DAY_MS
from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    SYMBOLS,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    merged,
    profile,
    random_market,
    session_of,
)
from trading.backtest import run_fast, run_service
from trading.records import Action, ExitReason
from trading.risk.gates import GATES, Gate, verdicts
from trading.risk.limits import TIGHTENS
from trading.session import TradingSession

CALM = merged(FREE, LOOSE)
BLOCK = {"sizing": {"beyond_limits": "block"}}
FLAT = (100.0, 100.0, 100.0, 100.0)


def closes(symbols: int = 1, days: int = 251, scale: float = 0.02, seed: int = 1, shared: float = 0.0) -> Float64Array:
    """Daily closes; ``shared``: how much of the movement all symbols have in common."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, scale, days)
    moves = [shared * common + np.sqrt(1 - shared**2) * rng.normal(0, scale, days) for _ in range(symbols)]
    return 100.0 * np.exp(np.cumsum(moves, axis=1))


def session_with(history: Float64Array | None = None, symbols: int = 1, **changes: Any) -> TradingSession:
    given_settings = merged(CALM, changes.pop("settings", {}))
    config = config_of(settings=given_settings, symbols=SYMBOLS[:symbols], **changes)
    return session_of(config, history=history)


def plans(session: TradingSession, go: Any, bars: int = 2, **columns: Any) -> Any:
    """Decisions on flat bars."""
    grid = grid_of({symbol: [FLAT] * bars for symbol in session.config.symbols})
    X = features_of(session.config, grid, go=go, **columns)
    return [outcome.decisions for outcome in feed(session, grid, X)]


@pytest.mark.parametrize("method", ["historical", "normal", "cornish-fisher"])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_risk_of_one_plan_is_its_weight_times_that_of_the_symbol(method: str, side: float) -> None:
    """Against numpy: 10,000 of equity, 4,000 notional."""
    history = closes(scale=0.01)
    session = session_with(history, settings={"limits": {"var_method": method}})
    row = plans(session, side)[0][0]
    returns = side * 0.4 * (history[0, 1:] / history[0, :-1] - 1.0)
    values = row["gate_values"]
    assert row["quantity"] * row["entry"] == pytest.approx(4000.0)
    if method == "historical":
        assert values[Gate.VAR] == pytest.approx(-np.quantile(returns, 0.01))
        assert values[Gate.SHORTFALL] == pytest.approx(
            -(np.sort(returns)[:6].sum() + 0.25 * np.sort(returns)[6]) / 6.25
        )
    elif method == "normal":
        assert values[Gate.VAR] == pytest.approx(2.32634787 * returns.std(ddof=1) - returns.mean())
    else:
        assert values[Gate.VAR] > 0 and values[Gate.SHORTFALL] > 0


@pytest.mark.parametrize("method", ["historical", "normal", "cornish-fisher"])
def test_a_size_beyond_value_at_risk_is_cut_to_it_and_with_block_it_is_blocked(method: str) -> None:
    history, limits = closes(scale=0.05), {"limits": {"var_method": method}}
    row = plans(session_with(history, settings=limits), 1.0)[0][0]
    assert (row["action"], row["failed"]) == (Action.LONG, 0)
    reached = row["gate_values"][[Gate.VAR, Gate.SHORTFALL]] / row["gate_limits"][[Gate.VAR, Gate.SHORTFALL]]
    assert 0.999 < reached.max() <= 1.0
    blocked = plans(session_with(history, settings=merged(limits, BLOCK)), 1.0)[0][0]
    assert blocked["action"] == Action.BLOCKED and blocked["failed"] >> Gate.VAR & 1


def test_too_few_days_are_marked_in_paper_and_fail_in_live() -> None:
    history = closes(days=40)
    row = plans(session_with(history), 1.0)[0][0]
    assert row["action"] == Action.LONG and row["unmeasured"] >> Gate.VAR & 1
    assert "not measured" in verdicts(row)[Gate.VAR].words
    strict = plans(session_with(history, strict=True), 1.0)[0][0]
    assert strict["action"] == Action.BLOCKED
    failing = {GATES[g].name for g in range(len(GATES)) if strict["failed"] >> g & 1}
    assert failing == {"VaR", "Expected shortfall", "Order size", "Spread", "Quote age"}


def test_correlated_positions_of_one_direction_share_one_margin_limit() -> None:
    """ρ over 0.8: the second symbol finds the 8 % taken; uncorrelated or opposite ones have their own."""
    wide = {"limits": {"value_at_risk": 1.0, "shortfall": 1.0}, "sizing": {"correlation_above": 1.0}}
    alike, apart = closes(2, scale=0.01, shared=0.98), closes(2, scale=0.01)
    together = plans(session_with(alike, 2, settings=wide), 1.0)[0]
    assert together["action"].tolist() == [Action.LONG, Action.BLOCKED]
    assert together["failed"][1] == 1 << Gate.CORRELATION
    assert together["gate_values"][1, Gate.CORRELATION] == pytest.approx(0.16)
    assert plans(session_with(apart, 2, settings=wide), 1.0)[0]["action"].tolist() == [Action.LONG, Action.LONG]
    opposite = plans(session_with(alike, 2, settings=wide), np.array([[1.0] * 2, [-1.0] * 2]))[0]
    assert opposite["action"].tolist() == [Action.LONG, Action.SHORT]
    assert opposite["gate_values"][1, Gate.VAR] < together["gate_values"][1, Gate.VAR] / 3, "a hedge takes risk away"


def test_sizes_are_divided_by_one_plus_the_correlation_with_what_is_held() -> None:
    history = closes(2, scale=0.005, shared=0.85)
    rho = np.corrcoef(history[:, -91:][:, 1:] / history[:, -91:][:, :-1] - 1.0)[0, 1]
    assert 0.5 < rho < 0.8
    rows = plans(session_with(history, 2), 1.0)[0]
    assert rows["quantity"][1] == pytest.approx(rows["quantity"][0] / (1.0 + rho), abs=0.001)


def test_exposure_concentration_and_open_risk_add_up_over_symbols() -> None:
    session = session_with(None, 3, settings={"limits": {"open_risk": 0.01}})
    rows = plans(session, 1.0)[0]
    assert rows["gate_values"][:, Gate.EXPOSURE].tolist() == pytest.approx([0.4, 0.8, 1.0])
    assert rows["gate_values"][:, Gate.OPEN_RISK].tolist() == pytest.approx([0.004, 0.008, 0.01])
    assert rows["gate_values"][:, Gate.CONCENTRATION].tolist() == pytest.approx([0.4] * 3)
    assert rows["quantity"].tolist() == pytest.approx([40.0, 40.0, 20.0])


def test_a_full_portfolio_blocks_and_names_the_gate() -> None:
    session = session_with(None, 2, settings={"limits": {"exposure": 0.4}})
    rows = plans(session, 1.0)[0]
    assert rows["action"].tolist() == [Action.LONG, Action.BLOCKED] and rows["failed"][1] == 1 << Gate.EXPOSURE


def test_market_gates_read_the_quote() -> None:
    """Stop 1 %: a spread of 0.11 % fails; 4,000 against a depth of 30,000 fails; a quote of 6 s fails."""
    session = session_with()
    grid = grid_of([FLAT] * 2)
    X = features_of(session.config, grid, go=1.0)
    window = np.stack([np.full(X.shape[:2], np.nan), X[:, :, 0]], axis=2)
    from trading.bar import bar_at

    row = session.on_bar(bar_at(grid, 0), window, quotes=np.array([[0.0011, 1e9, 30_000.0, 6.0]])).decisions[0]
    failing = {g for g in range(len(GATES)) if row["failed"] >> g & 1}
    assert failing == {Gate.DEPTH, Gate.SPREAD, Gate.QUOTE_AGE}
    values = row["gate_values"]
    assert [values[Gate.DEPTH], values[Gate.SPREAD], values[Gate.QUOTE_AGE]] == pytest.approx([4 / 30, 0.11, 6.0])
    fresh = session_with()
    row = fresh.on_bar(bar_at(grid, 0), window, quotes=np.array([[0.0005, 1e9, 50_000.0, 0.5]])).decisions[0]
    assert row["action"] == Action.LONG


def held_case(settings_: Any = None) -> tuple[Any, Any, Any]:
    """A long of 40 %, then its price triples: 67 % of equity where 45 % is allowed."""
    rise = [FLAT, FLAT, (100, 300, 100, 300), (300, 300, 300, 300), (300, 300, 300, 300)]
    config = config_of(
        settings=merged(CALM, {"limits": {"exposure": 0.45}}, settings_ or {}), exits=profile(0.01, 900.0, 50)
    )
    grid = grid_of(rise)
    return config, grid, features_of(config, grid, go=[1, 0, 0, 0, 0])


def test_what_is_held_beyond_a_limit_is_reduced_to_it_at_the_next_open_and_noted() -> None:
    config, grid, X = held_case()
    journal = MemoryJournal()
    session = session_of(config, journal)
    outcomes = feed(session, grid, X)
    fill = outcomes[3].fills[0]
    equity = 10_000.0 + 40.0 * 200.0
    left = 40.0 - fill["quantity"]
    assert (fill["reason"], fill["side"], fill["price"]) == (ExitReason.LIMIT, -1, 300.0)
    assert left * 300.0 / equity == pytest.approx(0.45, abs=0.001) and left * 300.0 / equity <= 0.45
    assert session.state.positions["exit_at_open"][0] == 0 and len(outcomes[4].fills) == 0
    stops = [o for o in session.open_orders() if o.purpose == "stop"]
    assert [float(o.quantity) for o in stops] == pytest.approx([left]), "the stop follows what is held"
    session.flush()
    events = [e for batch in journal.batches for e in batch.events]
    assert [e.kind for e in events] == ["reduce"] and events[0].body["why"] == "Exposure"
    fast, service = run_fast(config, grid, X, None), run_service(config, grid, X, None, MemoryJournal(), 1)
    assert fast.fills.tobytes() == service.fills.tobytes() and fast.equity.tobytes() == service.equity.tobytes()


def test_with_mark_what_is_held_stays() -> None:
    config, grid, X = held_case({"limits": {"held": "mark"}})
    assert len(run_fast(config, grid, X, None).fills) == 2  # entry and the end


def test_the_worst_contribution_goes_first() -> None:
    """Two longs, the second three times as risky: only it is reduced when VaR is passed."""
    history = np.concatenate([closes(1, scale=0.01, seed=3), closes(1, scale=0.04, seed=4)])
    session = session_with(history, 2, settings={"limits": {"value_at_risk": 0.9, "shortfall": 0.9, "open_risk": 0.9}})
    grid = grid_of({symbol: [FLAT] * 5 for symbol in SYMBOLS[:2]})
    X = features_of(session.config, grid, go=[1, 0, 0, 0, 0])
    feed(session, grid, X, 0, 2)
    session.state.limits[:, Gate.VAR] = 0.02
    session.state.account["looked_gross"] = 0.0
    fills = np.concatenate([o.fills for o in feed(session, grid, X, 2)])
    assert fills["symbol"].tolist() == [1] and fills["reason"].tolist() == [ExitReason.LIMIT]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 3), scale=st.sampled_from([0.01, 0.04, 0.1]))
def test_engines_agree_with_every_portfolio_gate_measured(seed: int, symbols: int, scale: float) -> None:
    tight = {"limits": {"var_min_days": 20, "var_method": ("historical", "normal", "cornish-fisher")[seed % 3],
                        "held_room": 0.0, "tighten_drawdown": 0.2, "open_risk": 0.012}}  # fmt: skip
    market = random_market(seed, 200, symbols, settings=tight, step_name=("1h", "1d")[seed % 2])
    history = closes(symbols, scale=scale, seed=seed % 100, shared=0.9)
    fast = run_fast(market.config, market.grid, market.X, None, history=history)
    service = run_service(market.config, market.grid, market.X, None, MemoryJournal(), 1, history=history)
    for part in ("trades", "fills", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 3), modelled=st.booleans(), scale=st.floats(0.005, 0.1))
def test_a_plan_is_never_blocked_by_the_gates_of_its_own_size(
    seed: int, symbols: int, modelled: bool, scale: float
) -> None:
    """Margin, leverage, loss at the stop; and alone in the account neither by VaR, exposure nor concentration."""
    tight = {"limits": {"margin_share": 0.03, "loss_at_stop": 0.004}, "sizing": {"drawdown_floor": 0.3}}
    market = random_market(seed, 250, symbols, modelled, settings=tight)
    rows = run_fast(market.config, market.grid, market.X, market.forecasts,
                    history=closes(symbols, scale=scale)).decisions  # fmt: skip
    own = 1 << Gate.MARGIN | 1 << Gate.LOSS_AT_STOP
    assert not (rows["failed"] & own).any()
    if symbols == 1:
        together = (Gate.VAR, Gate.SHORTFALL, Gate.OPEN_RISK, Gate.EXPOSURE, Gate.CONCENTRATION, Gate.CORRELATION)
        assert not (rows["failed"] & sum(1 << g for g in together)).any()


def test_the_size_falls_with_the_drawdown_in_a_straight_line() -> None:
    sizes = []
    for high_water in (10_000.0, 10_000.0 / 0.975):
        session = session_with(None, settings={"sizing": {"drawdown_floor": 0.2}})
        session.state.account["high_water"] = high_water
        session.state.rules["tighten_drawdown"] = np.inf
        sizes.append(plans(session, 1.0)[0][0]["quantity"])
    assert sizes == pytest.approx([40.0, 40.0 * (1.0 - 0.8 * 0.5)], abs=0.001)


def test_daily_returns_are_those_of_the_last_closes_of_utc_days() -> None:
    """Against numpy over a week of hours with holes."""
    market = random_market(8, 400, 2, step_name="1h")
    session = session_of(market.config)
    feed(session, market.grid, market.X)
    day = market.grid.open_time // DAY_MS
    last = np.full((2, day[-1] - day[0] + 1), np.nan)
    for s in range(2):
        for t in np.flatnonzero(market.grid.present[s]):
            last[s, day[t] - day[0]] = market.grid.close[s, t]
    ended = int(session.state.account["risk_days"][0])
    assert ended == (market.grid.open_time[-1] + 60 * MINUTE) // DAY_MS - day[0] > 14
    expected = last[:, 1:ended] / last[:, : ended - 1] - 1.0
    assert session.state.days[:, 1:ended] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(session.state.days[:, 0]).all()


# ---- limits that tighten -------------------------------------------------------------------------------------------


def test_a_drawdown_past_its_mark_halves_the_limits_until_a_person_loosens_them() -> None:
    fall = (100.0, 100.0, 88.0, 88.0)
    low = (88.0, 88.0, 88.0, 88.0)
    journal = MemoryJournal()
    config = config_of(
        settings=merged(CALM, {"limits": {"held": "mark", "tighten_drawdown": 0.2, "daily_loss": 0.05}}),
        exits=profile(0.2, 2.0, 2),
    )
    session = session_of(config, journal)
    grid = grid_of([FLAT, FLAT, fall, low, low, low, low])
    go = [1, 0, 0, 0, 1, 0, 1]
    X = features_of(config, grid, go=go)
    feed(session, grid, X, 0, 4)
    assert session.tightness == 0.5
    row = feed(session, grid, X, 4, 5)[0].decisions[0]
    assert row["gate_limits"][Gate.MARGIN] == pytest.approx(0.04)
    assert row["gate_limits"][Gate.DRAWDOWN] == 0.05 and row["action"] == Action.LONG
    session.flush()
    again = session_of(config, journal, checkpoint=journal.checkpoint(1))
    assert again.tightness == 0.5, "a restart loosens nothing"
    again.pause()
    again.resume()
    assert again.tightness == 0.5, "resuming is not loosening"
    assert again.loosen() and again.tightness == 1.0 and not again.loosen()
    feed(again, grid, X, 5, 7)
    assert again.tightness == 1.0, "the drawdown that a person saw does not tighten again"
    again.flush()
    kinds = [e.kind for batch in journal.batches for e in batch.events]
    assert kinds == ["tighten", "pause", "resume", "loosen"]


def test_each_day_that_loses_its_limit_takes_a_step_down_to_the_floor() -> None:
    lose = (100.0, 100.0, 90.0, 100.0)
    config = config_of(
        settings=merged(CALM, {"limits": {"tighten_drawdown": 0.0, "drawdown": 0.9, "tighten_day": 0.1}}),
        exits=profile(0.05, 2.0, 9), timeframe="1d",
    )  # fmt: skip
    session = session_of(config)
    grid = grid_of([FLAT, *[lose] * 4], step=DAY_MS, timeframe="1d")
    seen = []
    for t in range(grid.bars):
        feed(session, grid, features_of(config, grid, go=1.0), t, t + 1)
        seen.append(session.tightness)
    assert seen == [1.0, 0.5, 0.25, 0.25, 0.25]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31), symbols=st.integers(1, 2), cuts=st.lists(st.integers(0, 199), max_size=4),
    pauses=st.lists(st.integers(0, 199), max_size=4),
)  # fmt: skip
def test_i9_no_sequence_of_bars_fills_and_restarts_loosens_a_limit(
    seed: int, symbols: int, cuts: list[int], pauses: list[int]
) -> None:
    tight = {"limits": {"drawdown": 0.04, "tighten_drawdown": 0.2, "tighten_day": 0.2, "tighten_factor": 0.7}}
    market = random_market(seed, 200, symbols, settings=tight, step_name="1h", on_halt="stop")
    journal = MemoryJournal()
    session = session_of(market.config, journal)
    tightening = np.array(TIGHTENS)
    before = np.full((symbols, len(GATES)), np.inf)
    for t in range(market.grid.bars):
        if t in cuts:
            session.flush()
            session = session_of(market.config, journal, checkpoint=journal.checkpoint(1) if journal.batches else None)
        if t in pauses:
            session.pause()
            session.resume()
        feed(session, market.grid, market.X, t, t + 1)
        state = session.state
        now = state.limits[:, : len(GATES)] * np.where(tightening, state.account["tightness"][0], 1.0)
        assert (now <= before).all()
        before = now


# ---- ends of ranges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "known"), [(60, False), (61, True)])
def test_value_at_risk_is_measured_from_sixty_days_on(days: int, known: bool) -> None:
    """61 closes are 60 returns; so for one symbol and for two."""
    alone = plans(session_with(closes(days=days)), 1.0)[0][0]
    assert bool(alone["unmeasured"] >> Gate.VAR & 1) is not known
    both = plans(session_with(closes(2, days=days, scale=0.005), 2), 1.0)[0][1]
    assert bool(both["unmeasured"] >> Gate.SHORTFALL & 1) is not known


def test_a_stop_beyond_its_entry_risks_nothing_and_gives_nothing_to_others() -> None:
    """The first long stands at 110 with its stop at 108.9: the second one's plan is all the open risk there is."""
    config = config_of(
        settings=merged(CALM, {"management": {"trailing": 1.0}}), symbols=SYMBOLS[:2], exits=profile(0.01, 90.0, 50)
    )
    session = session_of(config)
    up = (100.0, 110.0, 100.0, 110.0)
    grid = grid_of({SYMBOLS[0]: [FLAT, FLAT, up, up], SYMBOLS[1]: [FLAT] * 4})
    X = features_of(config, grid, go=np.array([[1, 0, 0, 0], [0, 0, 1, 0]]))
    row = feed(session, grid, X, 0, 3)[2].decisions[1]
    assert session.state.positions["stop"][0] > session.state.positions["entry"][0]
    assert row["gate_values"][Gate.OPEN_RISK] == pytest.approx(row["risk_amount"] / session.state.account["equity"][0])


def test_shorts_fill_the_exposure_as_longs_do() -> None:
    session = session_with(None, 2, settings={"limits": {"exposure": 0.6}})
    rows = plans(session, np.array([[-1.0, 0.0], [1.0, 0.0]]))[0]
    assert rows["gate_values"][:, Gate.EXPOSURE].tolist() == pytest.approx([0.4, 0.6])
    assert rows["quantity"].tolist() == pytest.approx([40.0, 20.0])

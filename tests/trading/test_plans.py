"""Plans, sizes and expected values, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ai.exits import exit_profile
from ai.forecast import WIDTH, Abstain, Col
from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    START_MS,
    config_of,
    features_of,
    feed,
    grid_of,
    instrument,
    merged,
    profile,
    session_of,
)  # fmt: skip
from trading.records import Action, Reason
from trading.sizing import kelly_fraction
from trading.strategy.library import ENSEMBLE

FLAT = (100.0, 100.0, 100.0, 100.0)
CALM = merged(FREE, LOOSE)
NAN = float("nan")


def forecast(**changes: float) -> Any:
    """One row that is long with some edge: P(target) 0.5, stop 0.3, time 0.2 at no return; short the other way."""
    row = np.full(WIDTH, np.nan)
    values = {
        "P_LONG": 0.5, "P_SHORT": 0.2, "P_NEUTRAL": 0.3, "L_TARGET": 0.5, "L_STOP": 0.3, "L_TIME": 0.2,
        "L_TIME_RETURN": 0.0, "S_TARGET": 0.2, "S_STOP": 0.6, "S_TIME": 0.2, "S_TIME_RETURN": 0.0, "ABSTAIN": 0,
        "MODEL": 1, "LOWER_LONG": 0.45, "LOWER_SHORT": 0.15, "MEMBERS": 0, **changes,
    }  # fmt: skip
    for name, value in values.items():
        row[Col[name]] = value
    return row


def decide(
    row: Any = None, settings: Any = CALM, go: float = 1.0, columns: Any = None, bars: int = 1, **changes: Any
) -> Any:
    """The last of ``bars`` decisions on flat bars; with a forecast row it is the ensemble's."""
    grid_changes = {name: changes.pop(name) for name in ("funding", "volume") if name in changes}
    config = config_of(ENSEMBLE if row is not None else config_of().strategy, settings=settings, **changes)
    session = session_of(config)
    grid = grid_of([FLAT] * bars, **grid_changes)
    X = features_of(config, grid, **({"go": go} | (columns or {})))
    rows = None if row is None else np.broadcast_to(row, (1, bars, WIDTH))
    return feed(session, grid, X, forecasts=rows)[-1].decisions[0]


def test_a_plan_says_everything() -> None:
    plan = decide(exits=profile(0.01, 2.0, 10))
    assert (plan["action"], plan["signal"], plan["plan_id"], plan["reason"]) == (Action.LONG, 1, 1, Reason.NONE)
    assert (plan["entry"], plan["stop"], plan["target"]) == (100.0, 99.0, 102.0)
    assert (plan["quantity"], plan["leverage"]) == (40.0, 5.0)  # 8 % x 5 of 10,000
    assert plan["risk_amount"] == pytest.approx(40.0) and plan["reward_to_risk"] == pytest.approx(2.0)
    assert plan["risk_score"] == pytest.approx(40.0 / 200.0)
    assert plan["time_limit"] == START_MS + 11 * MINUTE and plan["valid_until"] == START_MS + 2 * MINUTE
    assert np.isnan(plan["expected_value"]) and np.isnan(plan["p_long"]) and np.isnan(plan["confidence"])


def test_two_percent_caps_the_loss_at_the_stop_costs_included() -> None:
    costs = {"costs": {"taker_fee": 0.001, "spread": 0.002, "impact": 0.0}, "sizing": {"risk_share": 0.001}}
    plan = decide(settings=merged(CALM, costs), exits=profile(0.01, 2.0, 10))
    loss = 0.01 + 2.01 * 0.002
    assert plan["quantity"] == np.floor(10_000 * 0.001 / loss / 100 * 1000) / 1000
    assert plan["risk_amount"] == pytest.approx(plan["quantity"] * 100 * loss)
    assert plan["risk_amount"] <= 10.0


def test_the_risk_of_a_plan_bounds_what_a_stop_costs() -> None:
    """Stopped without a gap at the worst allowed impact, no trade loses more than its plan said."""
    settings = merged(LOOSE, {"costs": {"impact": 0.1}})
    for side in (1.0, -1.0):
        config = config_of(settings=settings, exits=profile(0.01, 2.0, 10))
        session = session_of(config)
        adverse = (100, 100, 98.9, 99) if side > 0 else (100, 101.1, 100, 101)
        grid = grid_of([FLAT, FLAT, adverse], volume=400.0)
        X = features_of(config, grid, go=[side, 0, 0], volatility_96=0.002)
        trade = feed(session, grid, X)[2].trades[0]
        tick = 0.1 * trade["quantity"]  # rounding against us at entry and exit
        assert 0.9 * trade["risk_amount"] < -trade["pnl"] <= trade["risk_amount"] + 2 * tick


def test_the_volatility_target_caps_the_notional() -> None:
    plan = decide(settings=FREE, columns={"volatility_96": 0.001})
    expected = 0.2 * 10_000 / (0.001 * np.sqrt(365 * 1440)) / 100
    assert plan["quantity"] == np.floor(expected * 1000) / 1000


def test_a_quantity_below_the_least_notional_is_no_trade() -> None:
    plan = decide(instruments=[instrument(min_notional=4000.5)])
    assert (plan["action"], plan["reason"], plan["plan_id"]) == (Action.ABSTAIN, Reason.TOO_SMALL, 0)
    assert decide(instruments=[instrument(lot="100")])["reason"] == Reason.TOO_SMALL


WIDE = {"margin_share": 0.5, "loss_at_stop": 1.0, "exposure": 10.0, "concentration": 10.0, "open_risk": 1.0}


def test_margin_that_is_bound_already_is_not_bound_twice() -> None:
    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
    settings = merged(CALM, {"sizing": {"margin_share": 0.45}, "limits": WIDE})
    session = session_of(config_of(settings=merged(settings, {"sizing": {"risk_share": 0.5}}), symbols=symbols))
    grid = grid_of({symbol: [FLAT, FLAT] for symbol in symbols})
    rows = feed(session, grid, features_of(session.config, grid, go=1.0))[0].decisions
    assert rows["quantity"].tolist() == [225.0, 225.0, pytest.approx(50.0)]


def test_swing_distances_are_multiples_of_atr() -> None:
    plan = decide(exits=exit_profile("swing", "1h"), columns={"atr_14": 1.0})
    assert (plan["stop"], plan["target"], plan["time_limit"] - START_MS) == (98.5, 103.8, 25 * MINUTE)
    assert plan["failed"] == 0  # rounded so that its own gates pass: 1.5 and 3.8 (3.75 rounded up)


def test_scalp_distances_pass_their_own_gates() -> None:
    config_bars = [(63_251.3, 63_251.3, 63_251.3, 63_251.3)]
    config = config_of(settings=CALM, exits=exit_profile("scalp", "1m"))
    session = session_of(config)
    grid = grid_of(config_bars)
    plan = feed(session, grid, features_of(config, grid, go=-1.0))[0].decisions[0]
    assert (plan["action"], plan["failed"]) == (Action.SHORT, 0)


@pytest.mark.parametrize("name", ["volatility_96", "atr_14"])
def test_what_the_desk_needs_and_does_not_know_is_warming_up(name: str) -> None:
    plan = decide(exits=exit_profile("swing", "1h"), columns={name: NAN})
    assert (plan["action"], plan["reason"]) == (Action.ABSTAIN, Reason.WARMING_UP)


def test_expected_value_is_the_sum_over_outcomes_after_costs() -> None:
    """Taker in, maker out at the target, taker out at stop and time, half the spread on every taker fill."""
    settings = merged(LOOSE, {"costs": {"taker_fee": 0.0005, "maker_fee": 0.0002, "spread": 0.0002, "impact": 0.0}})
    plan = decide(forecast(L_TIME_RETURN=0.001), settings, exits=profile(0.01, 2.0, 10))
    win = 0.02 - 0.0005 - 0.0002 * 1.02 - 0.0001
    loss = 0.01 + 2.01 * 0.0006
    assert plan["expected_value"] == pytest.approx(0.5 * win - 0.3 * loss + 0.2 * (0.001 - 2 * 0.0006))
    assert (plan["action"], plan["confidence"], plan["model"]) == (Action.LONG, 0.5, 1)
    assert plan["reward_to_risk"] == pytest.approx(win / loss)


def test_expected_funding_counts_settlements_until_the_time_limit() -> None:
    """Settlements at minutes 1 and 5 at 0.1 %: 9, 13 and 17 lie within ten minutes of an entry at 8."""
    base = decide(forecast(), exits=profile(0.01, 2.0, 10))["expected_value"]
    funding = [(1 * MINUTE, 0.001, 100.0), (5 * MINUTE, 0.001, 100.0)]
    config = config_of(ENSEMBLE, settings=CALM, exits=profile(0.01, 2.0, 10))
    session = session_of(config)
    grid = grid_of([FLAT] * 8, funding=funding)
    rows = np.broadcast_to(forecast(ABSTAIN=Abstain.NO_MODEL), (1, 8, WIDTH)).copy()
    rows[0, 7] = forecast()
    plan = feed(session, grid, features_of(config, grid), forecasts=rows)[7].decisions[0]
    assert plan["expected_value"] == pytest.approx(base - 3 * 0.001)


def test_a_quarter_of_kelly_at_the_lower_bound_sizes_the_position() -> None:
    settings = merged(CALM, {"sizing": {"margin_share": 1.0, "risk_share": 0.5}, "limits": {"margin_share": 1.0}})
    plan = decide(forecast(LOWER_LONG=0.36), settings, exits=profile(0.05, 2.0, 10))
    share = 0.25 * (0.36 - 0.64 * 0.05 / 0.10)
    assert plan["quantity"] == pytest.approx(share * 10_000 / 0.05 / 100, abs=0.001)
    assert plan["risk_amount"] == pytest.approx(share * 10_000, rel=1e-4)


def test_kelly_of_a_fair_coin_at_two_to_one_is_a_quarter() -> None:
    assert kelly_fraction(0.5, 2.0, 1.0) == 0.25
    assert kelly_fraction(0.3, 2.0, 1.0) == 0.0 == kelly_fraction(0.5, -1.0, 1.0)


REASONS = {
    "no edge at the lower bound": (forecast(LOWER_LONG=0.3), Reason.TOO_SMALL),
    "a negative value": (forecast(L_TARGET=0.3, L_STOP=0.7, L_TIME=0.0), Reason.NEGATIVE_EV),
    "neither side over the threshold": (
        forecast(P_LONG=0.29, P_SHORT=0.29, P_NEUTRAL=0.42), Reason.BELOW_THRESHOLD),
    "still warming up": (forecast(ABSTAIN=Abstain.WARMING_UP), Reason.WARMING_UP),
    "no model": (forecast(ABSTAIN=Abstain.NO_MODEL), Reason.NO_MODEL),
    "seen in training": (forecast(ABSTAIN=Abstain.IN_SAMPLE), Reason.NO_MODEL),
    "not stored": (forecast(ABSTAIN=Abstain.MISSING), Reason.NO_MODEL),
    "a member said NaN": (forecast(ABSTAIN=Abstain.INVALID), Reason.INVALID_FORECAST),
    "NaN probabilities": (forecast(P_LONG=NAN), Reason.INVALID_FORECAST),
    "probabilities that do not sum to one": (forecast(P_LONG=0.6), Reason.INVALID_FORECAST),
    "outcomes that do not sum to one": (forecast(S_STOP=0.9), Reason.INVALID_FORECAST),
    "an unknown return at the time limit": (forecast(L_TIME_RETURN=NAN), Reason.INVALID_FORECAST),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_a_forecast_that_does_not_trade_says_why(name: str) -> None:
    row, reason = REASONS[name]
    decision = decide(row, exits=profile(0.01, 2.0, 10))
    assert (decision["action"], Reason(decision["reason"])) == (Action.ABSTAIN, reason)
    assert decision["abstain"] == row[Col.ABSTAIN]


def test_the_side_with_the_higher_value_is_taken() -> None:
    both = forecast(P_LONG=0.45, P_SHORT=0.45, P_NEUTRAL=0.1, S_TARGET=0.6, S_STOP=0.3, S_TIME=0.1, LOWER_SHORT=0.5)
    assert decide(both)["action"] == Action.SHORT
    assert decide(forecast())["action"] == Action.LONG


def test_without_forecasts_an_ensemble_abstains() -> None:
    config = config_of(ENSEMBLE, settings=CALM)
    session = session_of(config)
    grid = grid_of([FLAT])
    row = feed(session, grid, features_of(config, grid))[0].decisions[0]
    assert (row["reason"], row["abstain"]) == (Reason.NO_MODEL, Abstain.NO_MODEL)


def test_the_digest_names_everything_that_changes_results() -> None:
    base = config_of()
    changed = [
        config_of(seed=8), config_of(enforce=False), config_of(on_halt="next-day"), config_of(timeframe="5m"),
        config_of(exits=profile(0.02)), config_of(ENSEMBLE), config_of(instruments=[instrument(tick="0.5")]),
        config_of(settings={"limits": {"drawdown": 0.1}}),
    ]  # fmt: skip
    assert len({config.digest() for config in [base, *changed]}) == 9
    assert config_of(settings={"paper": {"batch_bars": 7}}).digest() == base.digest()

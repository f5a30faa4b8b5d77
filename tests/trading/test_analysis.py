"""The parts of a result add up to the whole, and stand where they belong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.cases import SYMBOLS, random_market
from trading.analysis import analysis, bars_of_entry, costs, excursions, groups
from trading.backtest import RunResult, run_fast
from trading.records import TRADE

HOUR = 3_600_000
SUMS = ("gross", "fees", "slippage", "funding", "net")


def traded(seed: int) -> RunResult:
    market = random_market(seed, 400, 2, enforce=False)
    return run_fast(market.config, market.grid, market.X, market.forecasts)


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_the_parts_of_every_grouping_sum_to_the_whole(seed: int) -> None:
    result = traded(seed)
    regimes = np.random.default_rng(seed).choice(["up", "down", "unknown"], len(result.trades)).tolist()
    document = analysis(result.trades, SYMBOLS, regimes)
    whole = document["costs"]
    assert whole["net"] == pytest.approx(result.equity_end - result.equity_start, abs=1e-6)
    assert whole["fees"] == pytest.approx(result.fees) and whole["funding"] == pytest.approx(result.funding)
    by = [name for name in document if name.startswith("by_")]
    assert len(by) == 5
    for name in by:
        rows = document[name]
        assert sum(row["trades"] for row in rows) == len(result.trades), name
        assert sum(row["wins"] for row in rows) == (result.trades["pnl"] > 0).sum(), name
        for part in SUMS:
            assert sum(row[part] for row in rows) == pytest.approx(whole[part], abs=1e-6), (name, part)
        assert [row["name"] for row in rows] == sorted({row["name"] for row in rows})
    json.dumps(document, allow_nan=False)


def test_gross_is_what_fills_at_the_reference_prices_would_have_made() -> None:
    """From the fills alone: realised at fill prices, plus the slippage that moved these prices."""
    result = traded(5)
    found = costs(result.trades)
    assert len(result.trades) > 20
    gross = result.fills["realised"].sum() + result.fills["slippage"].sum()
    assert found["gross"] == pytest.approx(gross, abs=1e-6)
    assert found["gross"] - found["fees"] - found["slippage"] + found["funding"] == pytest.approx(found["net"])


def rows(count: int) -> np.ndarray:
    out = np.zeros(count, dtype=TRADE)
    out["side"], out["exit_reason"], out["entry_price"], out["stop"] = 1, 1, 100.0, 99.0
    return out


def test_trades_stand_in_the_groups_they_belong_to() -> None:
    trades = rows(3)
    trades["entry_time"] = [0, 25 * HOUR, 5 * HOUR]
    trades["pnl"], trades["symbol"], trades["side"] = [1.0, -2.0, 4.0], [0, 1, 0], [1, -1, -1]
    trades["exit_reason"] = [1, 2, 2]
    document = analysis(trades, SYMBOLS, ["unknown", "up", "up"])
    nets = {name: {row["name"]: row["net"] for row in document[name]} for name in document if name.startswith("by_")}
    assert nets == {
        "by_symbol": {SYMBOLS[0]: 5.0, SYMBOLS[1]: -2.0}, "by_side": {"long": 1.0, "short": 2.0},
        "by_hour": {"00": 1.0, "01": -2.0, "05": 4.0}, "by_exit": {"stop": 1.0, "target": 2.0},
        "by_regime": {"unknown": 1.0, "up": 2.0},
    }  # fmt: skip


def test_excursions_are_quantiles_by_outcome() -> None:
    trades = rows(3)
    trades["pnl"] = [1.0, -1.0, -1.0]
    trades["mfe"], trades["mae"] = [0.03, 0.01, 0.005], [-0.002, -0.01, -0.01]
    found = excursions(trades)
    assert found["mfe"][2] == 0.01 and found["mae_of_winners"] == [-0.002] * 5
    assert found["mfe_of_losers"][2] == pytest.approx(0.0075)
    assert found["mfe_r"] == pytest.approx(np.quantile([3.0, 1.0, 0.5], found["quantiles"]))
    assert excursions(rows(0))["mfe"] is None and groups(rows(0), []) == []


def test_an_entry_belongs_to_the_close_it_was_decided_on() -> None:
    """Bars open at 0, 1, 2 h; an entry at 2 h was decided at the close of the bar that opened at 1 h."""
    trades = rows(4)
    trades["entry_time"] = [2 * HOUR, HOUR, 0, 9 * HOUR]
    trades["symbol"] = [0, 1, 0, 0]
    times = HOUR * np.arange(3)
    assert bars_of_entry(trades, 0, times, HOUR).tolist() == [1, -1, 2]
    assert bars_of_entry(trades, 1, times, HOUR).tolist() == [0]

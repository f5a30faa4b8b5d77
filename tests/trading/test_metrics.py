"""Performance figures against three libraries, numpy and by hand."""

from __future__ import annotations

import json
import math
from typing import Literal, get_origin

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from tests.trading.cases import START_MS
from trading.metrics import daily_returns, drawdown, false_signals, fill_rate, metrics, sharpe, sortino
from trading.metrics_meaning import MEASURES
from trading.records import DECISION, EQUITY, FILL, TRADE, Action, ExitReason, Purpose
from trading.settings import TradingSettings

HOUR = 3_600_000


def equity_rows(values: list[float], step: int = 24 * HOUR) -> np.ndarray:
    rows = np.zeros(len(values), dtype=EQUITY)
    rows["open_time"] = START_MS + step * np.arange(len(values))
    rows["equity"] = values
    return rows


def trade_rows(pnl: list[float]) -> np.ndarray:
    rows = np.zeros(len(pnl), dtype=TRADE)
    rows["pnl"] = pnl
    rows["exit_reason"] = ExitReason.STOP
    rows["exit_time"] = 2 * HOUR
    return rows


def test_daily_returns_go_from_midnight_to_midnight() -> None:
    values = np.linspace(101.0, 148.0, 48)
    times = START_MS + HOUR * np.arange(48)
    returns = daily_returns(times, values, 100.0, HOUR)
    assert returns.tolist() == pytest.approx([values[23] / 100 - 1, values[47] / values[23] - 1])


def test_days_without_bars_return_nothing() -> None:
    times = START_MS + 24 * HOUR * np.array([0, 3])
    assert daily_returns(times, np.array([110.0, 121.0]), 100.0, 24 * HOUR).tolist() == pytest.approx([0.1, 0, 0, 0.1])


def test_sharpe_is_daily_by_root_365_with_ddof_1() -> None:
    returns = np.random.default_rng(1).normal(0.001, 0.01, 200)
    assert sharpe(returns) == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    below = np.sqrt(np.mean(np.clip(returns, None, 0) ** 2))
    assert sortino(returns) == pytest.approx(returns.mean() / below * math.sqrt(365))


def test_drawdown_counts_from_the_start_equity() -> None:
    deepest, longest = drawdown(np.array([90.0, 95, 110, 99, 104, 120]), 100.0, 24 * HOUR)
    assert (deepest, longest) == (pytest.approx(0.1), 2.0)
    assert drawdown(np.array([101.0, 102]), 100.0, 24 * HOUR) == (0.0, 0.0)


def test_figures_of_a_small_run() -> None:
    found = metrics(trade_rows([30.0, -10.0, 20.0, 0.0]), equity_rows([1030.0, 1020, 1040, 1040]), 1000.0, 24 * HOUR)
    assert found["net_return"] == pytest.approx(0.04)
    assert (found["trades"], found["win_rate"], found["profit_factor"]) == (4, 0.5, 5.0)
    assert (found["expectancy"], found["average_win"], found["average_loss"]) == (10.0, 25.0, -10.0)
    assert (found["time_in_trade"], found["exit_stop"], found["exit_target"]) == (2.0, 4, 0)
    assert found["max_drawdown"] == pytest.approx(10 / 1030)
    annual = 1.04 ** (365 / 4) - 1
    assert found["calmar"] == pytest.approx(annual / (10 / 1030))


def test_what_is_undefined_is_none() -> None:
    found = metrics(trade_rows([]), equity_rows([1000.0, 1000.0]), 1000.0, HOUR)
    assert found["trades"] == 0
    for name in ("sharpe", "sortino", "calmar", "win_rate", "profit_factor", "expectancy", "average_loss"):
        assert found[name] is None, name
    none = metrics(trade_rows([]), equity_rows([]), 1000.0, HOUR)
    assert none["net_return"] == 0.0 and none["exposure"] is None
    json.dumps(found, allow_nan=False)


def test_only_wins_have_no_profit_factor() -> None:
    assert metrics(trade_rows([1.0]), equity_rows([1001.0]), 1000.0, HOUR)["profit_factor"] is None


# ---- other libraries over the same run ------------------------------------------------------------------------------

# 500 fat-tailed days and 60 trades; 365 periods a year everywhere. Computed once with the versions named.
EMPYRICAL = {  # empyrical-reloaded 0.7.1: cum_returns_final, cagr, annual_volatility, sharpe_ratio, ...
    "net_return": 1.985559630399973, "annual_return": 1.2221265958059755, "volatility": 0.5717345474072647,
    "sharpe": 1.680781578735093, "sortino": 2.620279013059563, "calmar": 4.447276684871037,
    "max_drawdown": 0.2748033644867353,
}  # fmt: skip
QUANTSTATS = {  # quantstats 0.0.86: comp, volatility, sharpe, sortino, calmar, max_drawdown; by trade the others
    "net_return": 1.985559630399973, "volatility": 0.5717345474072647, "sharpe": 1.6807815787350933,
    "sortino": 2.620279013059562, "calmar": 4.447276684871038, "max_drawdown": 0.27480336448673526,
    "win_rate": 0.5666666666666667, "payoff_ratio": 0.8277192727719862, "profit_factor": 1.0824021259325973,
}  # fmt: skip
BACKTESTING = {  # backtesting.py 0.6.6: compute_stats; its Sharpe and Sortino are of other definitions
    "net_return": 1.985559630399973, "annual_return": 1.222126595806022, "max_drawdown": 0.27480336448673526,
    "max_drawdown_days": 79.0, "calmar": 4.447276684871207, "win_rate": 0.5666666666666666,
    "profit_factor": 1.082402125932597, "expectancy": 1.2351666666666659, "time_in_trade": 72.0,
}  # fmt: skip
QUANTSTATS_PROBABILISTIC = 0.9769226992913442  # its skewness and kurtosis are those of pandas, corrected for bias


def fat_tailed_run() -> dict[str, float | None]:
    rng = np.random.default_rng(2024)
    returns = 0.0012 + 0.02 * rng.standard_t(4, 500)
    rows = equity_rows((10_000.0 * np.cumprod(1.0 + returns)).tolist())
    trades = trade_rows(rng.normal(3, 40, 60).round(2).tolist())
    trades["exit_time"] = 3 * 24 * HOUR
    return metrics(trades, rows, 10_000.0, 24 * HOUR)


@pytest.mark.parametrize("other", [EMPYRICAL, QUANTSTATS, BACKTESTING], ids=["empyrical", "quantstats", "backtesting"])
def test_figures_are_those_of_other_libraries(other: dict[str, float]) -> None:
    found = fat_tailed_run()
    assert {name: found[name] for name in other} == pytest.approx(other, rel=1e-12)


def test_the_probability_of_a_true_sharpe_is_that_of_quantstats_but_for_its_bias() -> None:
    assert fat_tailed_run()["probabilistic_sharpe"] == pytest.approx(QUANTSTATS_PROBABILISTIC, abs=1e-5)


def test_every_figure_has_a_meaning_and_a_unit() -> None:
    assert set(MEASURES) == set(fat_tailed_run())
    for name, measure in MEASURES.items():
        assert measure.unit and measure.meaning.endswith("."), name


def test_a_figure_is_none_only_where_its_meaning_says_so() -> None:
    empty = metrics(trade_rows([]), equity_rows([]), 1000.0, HOUR)
    lone = metrics(trade_rows([5.0]), equity_rows([1005.0]), 1000.0, HOUR)
    for found in (empty, lone):
        for name, value in found.items():
            assert (value is None) <= bool(MEASURES[name].none_when), name


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    grows = equity_rows((1000.0 * 1.001 ** np.arange(1, 31)).tolist())
    found = metrics(trade_rows([]), grows, 1000.0, 24 * HOUR)
    assert found["sharpe"] is None and found["sortino"] is None and found["probabilistic_sharpe"] is None
    assert found["annual_return"] == pytest.approx(1.001**365 - 1)


def test_a_growth_that_no_number_holds_is_not_given() -> None:
    assert metrics(trade_rows([]), equity_rows([1e9]), 1.0, HOUR)["annual_return"] is None
    assert metrics(trade_rows([]), equity_rows([0.0, 0.0]), 1000.0, HOUR)["annual_return"] is None


def test_the_fill_rate_counts_what_was_sent_not_what_was_blocked() -> None:
    """Of 1 and 2 and 4 sent, all, half and nothing were filled; the fourth plan was blocked, the exit counts not."""
    decisions = np.zeros(5, dtype=DECISION)
    decisions["action"] = [Action.LONG, Action.SHORT, Action.LONG, Action.BLOCKED, Action.ABSTAIN]
    decisions["plan_id"] = [1, 2, 3, 4, 0]
    decisions["quantity"] = [1.0, 2.0, 4.0, 8.0, np.nan]
    fills = np.zeros(4, dtype=FILL)
    fills["plan_id"], fills["quantity"] = [1, 1, 2, 1], [0.25, 0.75, 1.0, 1.0]
    fills["purpose"] = [Purpose.ENTRY, Purpose.ENTRY, Purpose.ENTRY, Purpose.EXIT]
    assert fill_rate(fills, decisions) == pytest.approx(0.5)
    assert fill_rate(fills, decisions[3:]) is None


def test_a_false_signal_lost_without_ever_earning_its_risk() -> None:
    trades = trade_rows([-5.0, -5.0, 5.0, -5.0])
    trades["entry_price"], trades["stop"] = 100.0, [99.0, 99.0, 99.0, 101.0]
    trades["mfe"] = [0.005, 0.02, 0.0, 0.0099]
    assert false_signals(trades).tolist() == [1.0, 0.0, 0.0, 1.0]
    assert metrics(trades, equity_rows([1.0]), 1.0, HOUR)["false_signal_rate"] == 0.5


DEFAULTS = {
    "costs.taker_fee": 0.0005, "costs.maker_fee": 0.0002, "costs.spread": 0.0001, "costs.impact": 0.1,
    "costs.volume_share": 0.10, "limits.margin_share": 0.08, "limits.max_leverage": 5.0,
    "limits.exchange_leverage": 20.0, "limits.loss_at_stop": 0.02, "limits.daily_loss": 0.02,
    "limits.daily_trades": 15, "limits.loss_streak": 8, "limits.drawdown": 0.05, "limits.sharpe": 0.5,
    "limits.black_swan": 3.0, "limits.minimum_trades": 10, "sizing.risk_share": 0.02, "sizing.kelly_share": 0.25,
    "sizing.volatility_target": 0.20, "sizing.margin_share": 0.08, "sizing.leverage": 5.0,
    "paper.start_equity": 10_000.0,
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_those_of_the_definitions(name: str) -> None:
    group, field = name.split(".")
    assert getattr(getattr(TradingSettings(), group), field) == DEFAULTS[name]


def test_every_setting_has_a_sentence_and_a_unit_and_a_range() -> None:
    for group in TradingSettings.model_fields.values():
        assert isinstance(group.annotation, type) and issubclass(group.annotation, BaseModel)
        for name, field in group.annotation.model_fields.items():
            assert field.description and field.description.endswith("."), name
            assert isinstance(field.json_schema_extra, dict) and field.json_schema_extra["unit"], name
            assert field.metadata or get_origin(field.annotation) is Literal, name


@pytest.mark.parametrize(
    "bad", [{"limits": {"drawdown": 2}}, {"limits": {"nothing": 1}}, {"costs": {"spread": math.nan}}]
)
def test_bad_settings_are_refused(bad: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValidationError):
        TradingSettings.model_validate(bad)

"""Performance figures against numpy and by hand."""

from __future__ import annotations

import json
import math
from typing import Literal, get_origin

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from tests.trading.cases import START_MS
from trading.metrics import daily_returns, drawdown, metrics, sharpe, sortino
from trading.records import EQUITY, TRADE, ExitReason
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

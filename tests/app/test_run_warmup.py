"""A run that forecasts begins with the ninety days that the regime is ranked among, also after a restart."""

from __future__ import annotations

import numpy as np
import pytest

from ai.features.registry import warmup_bars
from ai.forecast import REGIMES, Extra
from ai.overlay_market import TRACK_FEATURES
from ai.regime import UNKNOWN, regime_warmup_bars
from ai.training import training_data
from app.trader import Trader
from app.wiring import cut, run_schema, run_warmup
from data.grid import align
from data.instruments import instrument_for
from data.synthetic import synthetic_market
from tests.ai.overlay.conftest import trained
from trading.config import TradingConfig
from trading.strategy.library import load_strategy

SYMBOL = "BTC/USDT:USDT"


class NoJournal:
    """Keeps nothing."""

    def open_account(self, *_: object) -> int:
        return 1

    def commit(self, _batch: object) -> None:
        return

    def checkpoint(self, _account_id: int) -> None:
        return

    def forget(self, _account_id: int) -> None:
        return


def config_of(name: str) -> TradingConfig:
    strategy = load_strategy(name)
    return TradingConfig((SYMBOL,), "1h", strategy, strategy.profile("1h"), (instrument_for(SYMBOL),))


def test_a_run_reads_as_much_as_the_regime_needs_where_a_training_does() -> None:
    assert run_warmup("15m", 20_000) == regime_warmup_bars("15m") > run_warmup("15m")
    assert run_warmup("1m", 20_000) == run_warmup("1m") == warmup_bars(None, "1m")  # 90 days are 129,600 minutes


@pytest.mark.parametrize("name", ["ensemble", "auto"])
def test_a_run_of_models_computes_what_the_regime_is_told_from(name: str) -> None:
    assert set(TRACK_FEATURES) <= set(run_schema(config_of(name)).names)


def test_a_run_of_rules_computes_nothing_for_it() -> None:
    assert "trend_t_96" not in run_schema(config_of("rsi-oversold")).names


def test_the_regime_after_a_restart_is_that_of_a_run_that_went_on() -> None:

    warmup = run_warmup("1h", 20_000)
    assert warmup >= regime_warmup_bars("1h")
    first, last = warmup, warmup + 60
    frame, funding = synthetic_market("BTCUSDT", "1h", 5_000, 3)
    data = training_data(frame, None, "swing")
    model = trained(data, 4_500)
    later, _ = synthetic_market("BTCUSDT", "1h", 5_000 + last, 3)
    grid = align([later.slice(5_000, 5_000 + last)], [funding])
    config = config_of("ensemble")

    def trader() -> Trader:
        made = Trader(config, run_schema(config), NoJournal(), 1)
        made.add_model(0, "a", model, int(grid.open_time[first]))
        made.warm(cut(grid, 0, first), False)
        return made

    def rows(made: Trader, begin: int) -> np.ndarray:
        out = []
        for t in range(begin, last):
            made.step(grid, t)
            out.append(made.forecasts[0].copy())
        return np.array(out)

    whole = rows(trader(), first)
    again = trader()
    again.warm(cut(grid, first, first + 25), True)
    restarted = rows(again, first + 25)
    regime = slice(int(Extra.REGIME), int(Extra.FIRST_REGIME) + REGIMES)
    assert restarted[:, regime].tobytes() == whole[25:, regime].tobytes()
    assert (whole[:, Extra.REGIME] != UNKNOWN).all()

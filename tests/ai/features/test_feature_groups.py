"""Longer timeframes as of the moment, and Monte-Carlo as features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import talib

from ai.exits import exit_profile
from ai.features.engine import FeatureEngine
from ai.features.registry import MODEL_FEATURES, REGISTRY, schema_of, warmup_bars
from ai.features.simulated import HORIZON, SEED
from ai.monte_carlo import DrawKey, Simulation, simulate
from data.market import Frame, SeriesKey
from data.point_in_time import join_bars
from data.resample import resample

MakeMarket = Callable[..., Frame]
SIMULATED = [spec.name for spec in REGISTRY if spec.group == "monte_carlo"]
PER_FACTOR = ("return_1", "rsi_14", "slope_20", "range_position_20")


def longer_values(bars: Frame) -> np.ndarray:
    """``[4, N]`` of a frame of longer bars: TA-Lib's slope, and plain numpy."""
    out = np.full((4, len(bars)), np.nan)
    close = bars.close
    out[0, 1:] = np.diff(np.log(close))
    change = np.diff(close)
    for t in range(14, len(bars)):
        up, down = np.maximum(change[t - 14 : t], 0).mean(), np.maximum(-change[t - 14 : t], 0).mean()
        out[1, t] = 100 - 100 / (1 + up / down)
    out[2] = 1000 * talib.LINEARREG_SLOPE(close, 20) / close
    high, low = talib.MAX(bars.high, 20), talib.MIN(bars.low, 20)
    out[3] = (close - low) / (high - low)
    return out


@pytest.mark.data
@pytest.mark.kernel
@pytest.mark.parametrize(("factor", "longer"), [(4, "1h"), (16, "4h")])
def test_longer_timeframes_are_those_of_the_resampled_series_as_of_the_close(
    factor: int, longer: str, btc_quarters: Frame
) -> None:
    names = [f"higher_{factor}_{name}" for name in PER_FACTOR]
    ours = FeatureEngine(schema_of(names), "15m").batch(btc_quarters)
    bars = resample(btc_quarters, longer)
    values = longer_values(bars)
    closes = btc_quarters.open_time + btc_quarters.key.step_ms
    for k, name in enumerate(names):
        told = Frame.of(bars.key, bars.open_time, values[k], values[k], values[k], values[k], bars.volume)
        theirs = join_bars(told, closes, ("close",))[:, 0]
        late = slice(21 * factor + factor, None)
        np.testing.assert_allclose(ours[k][late], theirs[late], rtol=1e-9, atol=1e-9 * np.nanstd(theirs), err_msg=name)
        assert np.isfinite(theirs[late]).all()


def test_a_longer_bar_counts_from_its_close_on_and_only_if_it_is_whole(make_market: MakeMarket) -> None:
    frame = make_market(400, "15m", skip=(202,))  # the market begins at midnight: bar 202 is within the hour of 200-203
    value = FeatureEngine(schema_of(["higher_4_return_1"]), "15m").batch(frame)[0]
    changes = np.flatnonzero(np.diff(value) != 0) + 1
    steady = changes[(changes > 8) & (changes < 200)]
    assert (frame.open_time[steady] // 900_000 % 4 == 3).all()  # the last quarter of an hour closes it
    before = float(np.log(frame.close[199] / frame.close[195]))
    assert value[199] == value[201] == pytest.approx(before)
    assert np.isnan(value[202:210]).all()  # 203 ends a broken hour; two whole hours follow, the second closes at 210
    assert value[210] == pytest.approx(float(np.log(frame.close[210] / frame.close[206])))


@pytest.mark.nojit
def test_the_next_bars_do_not_change_a_longer_bar_that_is_still_open(make_market: MakeMarket) -> None:
    frame = make_market(120, "15m")
    names = [spec.name for spec in REGISTRY if spec.group == "higher"]
    engine = FeatureEngine(schema_of(names), "15m")
    whole = engine.batch(frame)
    for t in (81, 82, 83, 84):
        assert np.array_equal(engine.batch(frame.slice(0, t + 1))[:, -1], whole[:, t], equal_nan=True)


@pytest.mark.data
def test_monte_carlo_features_are_the_simulation_of_the_last_fifty_returns(btc: Frame) -> None:
    frame = btc.slice(0, 900)
    values = dict(zip([*SIMULATED, "atr_14"], FeatureEngine(schema_of([*SIMULATED, "atr_14"]), "1h").batch(frame),
                      strict=True))  # fmt: skip
    swing = exit_profile("swing", "1h")
    assert np.isnan([values[name][:50] for name in SIMULATED]).all()
    for t in (50, 51, 400, 899):
        stop = swing.stop * values["atr_14"][t]
        said = simulate(
            frame.close[: t + 1], DrawKey(SEED, 0, int(frame.open_time[t])), Simulation(HORIZON), stop,
            swing.target_ratio * stop,
        )  # fmt: skip
        low, high = said.band(95)[-1] / frame.close[t]
        row = {name: values[name][t] for name in SIMULATED}
        assert row == {
            "mc_up_24": said.up, "mc_return_24": said.expected / frame.close[t] - 1.0,
            "mc_band_95_24": pytest.approx(high - low, rel=1e-12), "mc_long_target_24": said.long.target,
            "mc_short_target_24": said.short.target,
        }  # fmt: skip


def test_monte_carlo_is_missing_over_a_gap_and_in_a_flat_market(make_market: MakeMarket) -> None:
    frame = make_market(200, skip=(100,))
    up = FeatureEngine(schema_of(["mc_up_24"]), "1h").batch(frame)[0]
    assert np.isfinite(up[50:100]).all()
    assert np.isnan(up[100:150]).all()
    assert np.isfinite(up[150:]).all()
    flat = np.full(80, 100.0)
    still = Frame.of(SeriesKey("x", "BTC/USDT:USDT", "1h"), frame.open_time[:80], flat, flat, flat, flat, flat)
    assert np.isnan(FeatureEngine(schema_of(SIMULATED), "1h").batch(still)).all()


def test_models_read_neither_unasked() -> None:
    assert not {spec.name for spec in REGISTRY if spec.group in ("monte_carlo", "higher")} & set(MODEL_FEATURES)
    assert warmup_bars(None, "15m") == 2_733, "the longest look-back is that of EMA 200, as before"

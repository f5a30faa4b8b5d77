"""Every feature that has a counterpart in TA-Lib, pandas or numpy equals it on recorded Bitcoin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import talib

from ai.features.engine import FeatureEngine
from ai.features.registry import MODEL_FEATURES, REGISTRY, rows_beside, schema_of
from data.market import Frame

pytestmark = pytest.mark.data

Array = npt.NDArray[np.float64]
RTOL = 1e-9


@pytest.fixture(scope="module")
def values(btc: Frame) -> dict[str, Array]:
    schema = schema_of()
    return dict(zip(schema.names, FeatureEngine(schema, "1h").batch(btc), strict=True))


def before(values: Array) -> Array:
    """The value at the bar before."""
    return np.concatenate(([np.nan], values[:-1]))


def talib_values(f: Frame) -> dict[str, Array]:
    """What TA-Lib says, as our names and units."""
    h, low, c, v = f.high, f.low, f.close, f.volume
    macd, signal, hist = talib.MACD(c)
    k, d = talib.STOCH(h, low, c, 14, 3, 0, 3, 0)
    upper, middle, lower = talib.BBANDS(c, 20, 2.0, 2.0)
    obv = talib.OBV(c, v)
    out = {
        "rsi_14": talib.RSI(c, 14),
        "macd": macd, "macd_signal": signal, "macd_hist": hist,
        "macd_pct": 100 * macd / c, "macd_signal_pct": 100 * signal / c, "macd_hist_pct": 100 * hist / c,
        "stochastic_k": k, "stochastic_d": d,
        "bollinger_upper": upper, "bollinger_lower": lower,
        "bollinger_position": (c - lower) / (upper - lower), "bollinger_width": 100 * (upper - lower) / middle,
        "zscore_20": (c - middle) / talib.STDDEV(c, 20),
        "atr_14": talib.ATR(h, low, c, 14), "atr_pct_14": talib.NATR(h, low, c, 14),
        "true_range_pct": 100 * talib.TRANGE(h, low, c) / c,
        "adx_14": talib.ADX(h, low, c, 14),
        "plus_di_14": talib.PLUS_DI(h, low, c, 14), "minus_di_14": talib.MINUS_DI(h, low, c, 14),
        "cci_20": talib.CCI(h, low, c, 20), "mfi_14": talib.MFI(h, low, c, v, 14),
        "obv_20": (obv - np.concatenate((np.full(20, np.nan), obv[:-20]))) / talib.SUM(v, 20),
        "slope_10": 1000 * talib.LINEARREG_SLOPE(c, 10) / c,
        "slope_96": 1000 * talib.LINEARREG_SLOPE(c, 96) / c,
        "range_position_20": (c - talib.MIN(low, 20)) / (talib.MAX(h, 20) - talib.MIN(low, 20)),
        "high_distance_96": 100 * (c / talib.MAX(h, 96) - 1), "low_distance_96": 100 * (c / talib.MIN(low, 96) - 1),
        "sma_20": talib.SMA(c, 20),
        **{f"channel_high_{n}": before(talib.MAX(h, n)) for n in (20, 55)},
        **{f"channel_low_{n}": before(talib.MIN(low, n)) for n in (20, 55)},
    }  # fmt: skip
    for n in (9, 20, 50, 200):
        out[f"ema_{n}"] = talib.EMA(c, n)
    for name in ("ema_9", "ema_20", "ema_50", "ema_200", "sma_20"):
        out[f"{name}_distance"] = 100 * (c / out[name] - 1)
    out["ema_20_50_spread"] = 100 * (out["ema_20"] / out["ema_50"] - 1)
    return out


def table_values(f: Frame) -> dict[str, Array]:
    """What pandas says for the rest."""
    o, h, low, c, v = (pd.Series(x) for x in (f.open, f.high, f.low, f.close, f.volume))
    r = np.log(c).diff()
    typical = (h + low + c) / 3
    park, body = np.log(h / low) ** 2, np.log(c / o) ** 2
    gk = 0.5 * park - (2 * np.log(2) - 1) * body
    clv = ((c - low) - (h - c)) / (h - low)
    rms = np.sqrt((r**2).rolling(96).mean())
    out = {
        "open": o, "high": h, "low": low, "close": c, "volume": v,
        "momentum_6": np.log(c).diff(6) / (rms * np.sqrt(6)), "momentum_24": np.log(c).diff(24) / (rms * np.sqrt(24)),
        "momentum_96": np.log(c).diff(96) / (rms * np.sqrt(96)),
        "realised_volatility_12": np.sqrt((r**2).rolling(12).mean()),
        "realised_volatility_24": np.sqrt((r**2).rolling(24).mean()),
        "volatility_96": r.rolling(96).std(),
        "volatility_ratio": np.sqrt((r**2).rolling(12).mean()) / r.rolling(96).std(),
        "return_skew_96": r.rolling(96).apply(lambda w: ((w - w.mean()) ** 3).mean() / w.var(ddof=0) ** 1.5),
        "parkinson_20": np.sqrt(park.rolling(20).mean() / (4 * np.log(2))),
        "garman_klass_20": np.sqrt(gk.rolling(20).mean()),
        "body_pct": 100 * (c / o - 1), "range_pct": 100 * (h - low) / c,
        "upper_wick": (h - np.maximum(o, c)) / (h - low), "lower_wick": (np.minimum(o, c) - low) / (h - low),
        "vwap_20": (typical * v).rolling(20).sum() / v.rolling(20).sum(),
        "volume_zscore_20": (v - v.rolling(20).mean()) / v.rolling(20).std(ddof=0),
        "relative_volume_20": v / v.rolling(20).mean(),
        "relative_volume_96": v.rolling(20).mean() / v.rolling(96).mean(),
        "volume_trend": np.log(v.rolling(5).mean() / v.rolling(20).mean()),
        "buy_pressure": clv, "buy_pressure_20": (clv * v).rolling(20).sum() / v.rolling(20).sum(),
        "efficiency_24": c.diff(24) / c.diff().abs().rolling(24).sum(),
        "up_share_24": (r > 0).astype(float).rolling(24).mean().where(r.rolling(24).count() == 24),
    }  # fmt: skip
    out["vwap_distance_20"] = 100 * (c / out["vwap_20"] - 1)
    for n in (1, 2, 3, 6, 12, 24, 48, 96):
        out[f"log_return_{n}"] = np.log(c).diff(n)
    return {name: np.asarray(column, dtype=np.float64) for name, column in out.items()}


def assert_equals(name: str, ours: Array, theirs: Array) -> None:
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    assert both.sum() > len(ours) - 260, f"{name}: too few values to compare"
    assert np.isnan(ours[:1]).all() or both[0], f"{name}: a value before its warm-up"
    scale = np.nanstd(theirs)
    np.testing.assert_allclose(ours[both], theirs[both], rtol=RTOL, atol=RTOL * scale, err_msg=name)


def test_indicators_equal_talib(btc: Frame, values: dict[str, Array]) -> None:
    for name, theirs in talib_values(btc).items():
        assert_equals(name, values[name], theirs)


def test_talib_and_we_begin_at_the_same_bar(btc: Frame, values: dict[str, Array]) -> None:
    theirs = talib_values(btc)
    names = "rsi_14 macd macd_signal atr_14 adx_14 plus_di_14 ema_9 ema_200 cci_20 mfi_14 stochastic_d slope_10 sma_20"
    for name in [*names.split(), "zscore_20", "true_range_pct"]:
        assert np.isnan(values[name]).sum() == np.isnan(theirs[name]).sum(), name


def test_returns_volatility_and_volume_equal_pandas(btc: Frame, values: dict[str, Array]) -> None:
    for name, theirs in table_values(btc).items():
        assert_equals(name, values[name], theirs)


def test_trend_t_value_equals_a_least_squares_fit(btc: Frame, values: dict[str, Array]) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    for t in range(200, len(btc), 611):
        fit = scipy_stats.linregress(np.arange(96), btc.close[t - 95 : t + 1])
        assert values["trend_t_96"][t] == pytest.approx(fit.slope / fit.stderr, rel=1e-8)


def test_black_swan_ratio_of_hourly_bars_is_garman_klass_over_its_median(btc: Frame, values: dict[str, Array]) -> None:
    span, body = np.log(btc.high / btc.low), np.log(btc.close / btc.open)
    gk = np.sqrt(np.maximum(0.5 * span**2 - (2 * np.log(2) - 1) * body**2, 0))
    ratio = values["black_swan_ratio"]
    assert np.isnan(ratio[:48]).all()
    assert not np.isnan(ratio[48:]).any()
    for t in (48, 49, 300, 719, 720, 721, 5_000, len(btc) - 1):
        assert ratio[t] == pytest.approx(gk[t] / np.median(gk[max(t - 720, 0) : t]), rel=1e-12)


def test_black_swan_ratio_of_quarter_hours_is_the_last_hour_over_hourly_samples(btc_quarters: Frame) -> None:
    ratio = FeatureEngine(schema_of(["black_swan_ratio"]), "15m").batch(btc_quarters)[0]
    r = pd.Series(np.log(btc_quarters.close)).diff()
    hour = np.sqrt((r**2).rolling(4).sum()).to_numpy()
    full = (btc_quarters.open_time + 900_000) % 3_600_000 == 0
    for t in (700, 701, 702, 703, 2_000, 4_001, len(btc_quarters) - 2):
        earlier = hour[:t][full[:t]]
        earlier = earlier[~np.isnan(earlier)][-720:]
        assert ratio[t] == pytest.approx(hour[t] / np.median(earlier), rel=1e-9)


def test_every_market_feature_has_an_oracle(btc: Frame) -> None:
    elsewhere = {"trend_t_96", "black_swan_ratio"}  # their own tests above
    elsewhere |= {spec.name for spec in REGISTRY if spec.group in ("calendar", "funding")}  # test_feature_engine
    elsewhere |= {spec.name for spec in REGISTRY if spec.group in ("higher", "monte_carlo")}  # test_feature_groups
    elsewhere |= {spec.name for spec in REGISTRY if rows_beside([spec.name])}  # test_features_beside
    covered = set(talib_values(btc)) | set(table_values(btc)) | elsewhere
    assert {spec.name for spec in REGISTRY} - covered == set()


def test_model_features_are_complete_after_the_warm_up_without_funding(btc: Frame, values: dict[str, Array]) -> None:
    from ai.features.registry import warmup_bars

    warm = warmup_bars(MODEL_FEATURES, "1h")
    assert not any(np.isnan(values[name][warm:]).any() for name in MODEL_FEATURES)

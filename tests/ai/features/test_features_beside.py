"""What stands beside the candles: every feature against numpy, pandas or TA-Lib, with holes; and what is missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import talib

from ai.features.engine import FeatureEngine
from ai.features.registry import BESIDE_FEATURES, MODEL_FEATURES, REGISTRY, rows_beside, schema_of, warmup_bars
from data.beside import BESIDE, Beside
from data.market import Frame

Array = npt.NDArray[np.float64]
MakeMarket = Callable[..., Frame]
MakeBeside = Callable[..., Beside]
NAMES = tuple(spec.name for spec in REGISTRY if rows_beside([spec.name]))


def windows(values: Array, bars: int) -> Array:
    """``[T, bars]`` newest values at each bar; the first ``bars - 1`` rows are all NaN."""
    whole = np.full((len(values), bars), np.nan)
    whole[bars - 1 :] = np.lib.stride_tricks.sliding_window_view(values, bars)
    return whole


def zscore(values: Array, least: int = 72) -> Array:
    frame = pd.DataFrame(windows(values, 96))
    score = (values - frame.mean(axis=1)) / frame.std(axis=1, ddof=0)
    return np.where(frame.count(axis=1) >= least, score, np.nan)


def balance(plus: Array, minus: Array, bars: int) -> Array:
    a, b = (pd.Series(x).rolling(bars, min_periods=1).sum() for x in (plus, minus))
    there = pd.Series(plus).rolling(bars).count() >= 0.75 * bars
    there &= np.arange(len(plus)) >= bars - 1
    ratio = (a - b) / (a + b).where(a + b > 0)
    return np.where(there, ratio.fillna(0.0), np.nan)


def expected(f: Frame, beside: Beside) -> dict[str, Array]:
    """By numpy and pandas alone."""
    b = dict(zip(BESIDE, beside.values, strict=True))
    out: dict[str, Array] = {}
    out["basis_index"] = 1e4 * (b["mark_price"] / b["index_price"] - 1)
    out["basis_mark"] = 1e4 * (f.close / b["mark_price"] - 1)
    for name in ("basis_index", "basis_mark"):
        out[f"{name}_zscore_96"] = zscore(out[name])
    interest, price = pd.Series(np.log(b["open_interest"])), pd.Series(f.close)
    out["oi_change_1"], out["oi_change_24"] = interest.diff(), interest.diff(24)
    out["oi_zscore_96"] = zscore(interest.to_numpy())
    out["oi_with_price_24"] = interest.diff(24) * np.sign(price.diff(24))
    for name in ("account", "top_account", "top_position", "taker"):
        out[f"{name}_skew"] = np.log(b[f"{name}_ratio"])
    out["account_skew_zscore_96"] = zscore(out["account_skew"])
    out["top_against_all"] = np.log(b["top_position_ratio"] / b["account_ratio"])
    middle = (b["bid"] + b["ask"]) / 2
    out["book_spread"] = 1e4 * (b["ask"] - b["bid"]) / middle
    for k in (1, 5, 10):
        out[f"book_imbalance_{k}"] = b[f"imbalance_{k}"]
    mean = pd.Series(b["imbalance_5"]).rolling(12, min_periods=9).mean()
    out["book_imbalance_5_mean_12"] = mean.where(np.arange(len(mean)) >= 11)
    out["book_microprice"] = 1e4 * (b["microprice"] / middle - 1)
    bought, sold = b["taker_buy"], b["taker_sell"]
    watched = bought + sold >= 0.9 * f.volume
    bought, sold = np.where(watched, bought, np.nan), np.where(watched, sold, np.nan)
    for n in (1, 12, 96):
        out[f"taker_imbalance_{n}"] = balance(bought, sold, n)
    out["taker_buy_share_12"] = 0.5 + 0.5 * out["taker_imbalance_12"]
    out["trade_count_zscore_96"] = zscore(np.where(watched, b["trades"], np.nan))
    forced = pd.Series(b["liquidated_long"] + b["liquidated_short"])
    out["liquidation_share"] = forced / f.volume
    longs, shorts = pd.Series(b["liquidated_long"]), pd.Series(b["liquidated_short"])
    whole = longs.rolling(24).sum() + shorts.rolling(24, min_periods=1).sum()
    out["liquidation_share_24"] = whole / pd.Series(f.volume).rolling(24).sum()
    out["liquidation_lean_24"] = balance(b["liquidated_short"], b["liquidated_long"], 24)
    own = np.log(price).diff().to_numpy()
    for k in (1, 2):
        other = pd.Series(np.log(b[f"cross_{k}_close"]))
        gain = other.diff().to_numpy()
        x, y = windows(gain, 96), windows(own, 96)
        there = ~np.isnan(x) & ~np.isnan(y)
        x, y = np.where(there, x, np.nan), np.where(there, y, np.nan)
        x, y = pd.DataFrame(x), pd.DataFrame(y)
        enough = there.sum(axis=1) >= 72
        out[f"cross_{k}_return_1"] = gain
        out[f"cross_{k}_correlation_96"] = x.corrwith(y, axis=1).where(enough)
        slope = x.sub(x.mean(axis=1), axis=0).mul(y).sum(axis=1) / x.var(axis=1, ddof=0) / there.sum(axis=1)
        out[f"cross_{k}_beta_96"] = slope.where(enough)
        for n in (24, 96):
            out[f"cross_{k}_strength_{n}"] = np.log(price).diff(n) - other.diff(n)
        out[f"cross_{k}_spread_zscore_96"] = zscore((np.log(price) - other).to_numpy())
    return {name: np.asarray(column, dtype=np.float64) for name, column in out.items()}


@pytest.mark.data
@pytest.mark.kernel
def test_every_feature_beside_the_candles_equals_pandas_holes_included(btc: Frame, btc_beside: Beside) -> None:
    frame = btc.slice(0, 5_000)
    ours = dict(zip(NAMES, FeatureEngine(schema_of(NAMES), "1h").batch(frame, None, btc_beside), strict=True))
    theirs = expected(frame, Beside(frame.open_time, btc_beside.at(frame.open_time)))
    assert set(theirs) == set(NAMES)
    for name, column in theirs.items():
        late = slice(97, None)  # from the first bar at which every window is full
        assert np.array_equal(np.isnan(ours[name][late]), np.isnan(column[late])), name
        scale = np.nanstd(column)
        np.testing.assert_allclose(ours[name][late], column[late], rtol=1e-9, atol=1e-9 * scale, err_msg=name)
        assert np.isfinite(column).mean() > 0.5, name


@pytest.mark.data
def test_correlation_and_beta_of_ethereum_and_bitcoin_equal_talib(btc: Frame, btc_beside: Beside) -> None:
    names = ["cross_1_correlation_96", "cross_1_beta_96"]
    correlation, beta = FeatureEngine(schema_of(names), "1h").batch(btc, None, btc_beside)
    own, other = (np.diff(np.log(x)) for x in (btc.close, btc_beside.values[BESIDE.index("cross_1_close")]))
    assert np.isfinite(other).all(), "Ethereum was recorded at every hour"
    theirs = talib.CORREL(other, own, 96)
    np.testing.assert_allclose(correlation[96:], theirs[95:], rtol=1e-7)
    deviations = talib.STDDEV(own, 96) / talib.STDDEV(other, 96)
    np.testing.assert_allclose(beta[96:], (theirs * deviations)[95:], rtol=1e-6)
    assert 0.6 < np.median(correlation[96:]) < 0.95
    assert np.isfinite(correlation[96:]).all()


def test_a_missing_value_is_missing_and_is_not_carried_on(make_market: MakeMarket, make_beside: MakeBeside) -> None:
    frame = make_market(1_200)
    beside = make_beside(frame)
    beside.values[:, 400:430] = np.nan
    values = dict(zip(NAMES, FeatureEngine(schema_of(NAMES), "1h").batch(frame, None, beside), strict=True))
    short = {"book_imbalance_5_mean_12", "taker_imbalance_12", "taker_buy_share_12", "liquidation_lean_24"}
    long = {"taker_imbalance_96"} | {n for n in NAMES if n.endswith(("correlation_96", "beta_96"))}
    for name in NAMES:
        if name in long:
            assert np.isfinite(values[name][405]), f"{name}: most of its window is still there"
        gone = slice(428, 430) if name in short | long else slice(400, 430)
        assert np.isnan(values[name][gone]).all(), name


def test_without_anything_beside_the_candles_only_their_features_are_missing(make_market: MakeMarket) -> None:
    frame = make_market(900)
    schema = schema_of([*NAMES, *MODEL_FEATURES])
    x = FeatureEngine(schema, "1h").batch(frame)
    assert np.isnan(x[: len(NAMES)]).all()
    plain = FeatureEngine(schema_of(MODEL_FEATURES), "1h").batch(frame)
    assert np.array_equal(x[len(NAMES) :], plain, equal_nan=True)


def test_no_change_is_measured_over_a_gap(make_market: MakeMarket, make_beside: MakeBeside) -> None:
    frame = make_market(400, skip=(250, 251))
    names = ["oi_change_1", "oi_change_24", "cross_1_return_1", "cross_1_strength_24", "basis_mark"]
    beside = make_beside(frame)
    beside.values[:, 240:] = np.nan_to_num(beside.values[:, 240:], nan=1.0)
    one, day, gain, strength, basis = FeatureEngine(schema_of(names), "1h").batch(frame, None, beside)
    for values, bars in ((one, 1), (day, 24), (gain, 1), (strength, 24)):
        assert np.isnan(values[250 : 250 + bars]).all()
        assert np.isfinite(values[250 + bars])
    assert np.isfinite(basis[250])


def test_a_bar_that_was_watched_in_part_says_nothing_of_its_flow() -> None:
    engine = FeatureEngine(schema_of(["taker_imbalance_1", "liquidation_share"]), "1m")
    row = np.full(len(BESIDE), np.nan)
    row[[BESIDE.index(n) for n in ("taker_buy", "taker_sell", "trades")]] = 6.0, 2.9, 5.0
    row[[BESIDE.index(n) for n in ("liquidated_long", "liquidated_short")]] = 0.5, 1.0
    partly = engine.step(0, 1.0, 1.0, 1.0, 1.0, 10.0, beside=row)
    assert np.isnan(partly[0])
    assert partly[1] == 0.15
    row[BESIDE.index("taker_sell")] = 3.0
    assert engine.step(60_000, 1.0, 1.0, 1.0, 1.0, 10.0, beside=row)[0] == pytest.approx(1 / 3)


def test_models_may_read_them_and_nobody_waits_for_them() -> None:
    assert set(BESIDE_FEATURES) < set(NAMES)
    assert not set(BESIDE_FEATURES) & set(MODEL_FEATURES)
    assert warmup_bars(BESIDE_FEATURES, "1h") == 0
    assert rows_beside(["oi_with_price_24", "close"]) == {"open_interest"}
    assert rows_beside(MODEL_FEATURES) == frozenset()
    assert rows_beside() == set(BESIDE)

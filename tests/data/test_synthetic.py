"""The synthetic market: reproducible, extendable, on the grid, and tuned so that the default strategy has work."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from data.errors import UserError
from data.instruments import INSTRUMENTS, step_of
from data.market import BarMark, Frame
from data.synthetic import BLOCK, FUNDING_MS, REGIMES, random_walk, regime_path, synthetic_market
from data.timeframes import TIMEFRAMES, timeframe_ms

COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
MAKERS = pytest.mark.parametrize("make", [synthetic_market, random_walk])


def returns(frame: Frame) -> np.ndarray:
    return np.diff(np.log(frame.close))


@MAKERS
def test_one_seed_gives_one_market(make) -> None:
    first, again, other = (make("BTCUSDT", "1m", 3000, seed)[0] for seed in (5, 5, 6))
    assert all(np.array_equal(getattr(first, c), getattr(again, c)) for c in COLUMNS)
    assert not np.array_equal(first.close, other.close)


@MAKERS
@pytest.mark.parametrize("timeframe", ["1m", "1h", "1d"])
def test_a_longer_request_extends_the_series(make, timeframe: str) -> None:
    long, long_funding = make("ETHUSDT", timeframe, 2 * BLOCK + 17, 3)
    for bars in (1, 100, BLOCK, BLOCK + 1):
        short, funding = make("ETHUSDT", timeframe, bars, 3)
        assert len(short) == bars
        assert all(np.array_equal(getattr(short, c), getattr(long, c)[:bars]) for c in COLUMNS)
        n = len(funding)
        assert np.array_equal(funding.time, long_funding.time[:n])
        assert np.array_equal(funding.rate, long_funding.rate[:n])
        assert np.array_equal(funding.mark_price, long_funding.mark_price[:n])


@MAKERS
@pytest.mark.parametrize("symbol", sorted(INSTRUMENTS))
def test_bars_are_whole_and_on_the_tick_and_lot_grid(make, symbol: str) -> None:
    frame, _ = make(symbol, "1m", 20_000, 7)
    assert np.all(frame.high >= np.maximum(frame.open, frame.close))
    assert np.all(frame.low <= np.minimum(frame.open, frame.close))
    assert np.all(frame.low > 0)
    assert np.all(frame.volume > 0)
    prices = np.concatenate([frame.open, frame.high, frame.low, frame.close])
    assert step_of(prices) == INSTRUMENTS[symbol].tick
    assert step_of(frame.volume) == INSTRUMENTS[symbol].lot
    assert np.all(frame.mark == BarMark.SYNTHETIC)
    assert (frame.key.source, frame.key.exchange) == ("synthetic", "binanceusdm")
    assert np.all(np.diff(frame.open_time) == 60_000)


def test_the_next_open_is_the_last_close_or_one_tick_beside_it() -> None:
    frame, _ = synthetic_market("BTCUSDT", "1m", 10_000, 7)
    ticks = np.rint((frame.open[1:] - frame.close[:-1]) / 0.1)
    assert set(ticks) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("timeframe", sorted(TIMEFRAMES))
def test_volatility_grows_with_the_root_of_the_bar(timeframe: str) -> None:
    frame, _ = synthetic_market("BTCUSDT", timeframe, 20_000, 7)
    per_minute = returns(frame).std() / np.sqrt(timeframe_ms(timeframe) / 60_000)
    assert 0.0005 < per_minute < 0.0009


@pytest.mark.parametrize(("symbol", "seed"), [("BTCUSDT", 7), ("DOGEUSDT", 3), ("ETHUSDT", 11)])
def test_one_minute_bars_are_tuned_for_the_default_strategy(symbol: str, seed: int, record_property) -> None:
    frame, _ = synthetic_market(symbol, "1m", 150_000, seed)
    sigma = returns(frame).std() * 100
    rsi, ema = talib.RSI(frame.close, 14), talib.EMA(frame.close, 200)
    dip = (rsi < 30) & (frame.close > ema)
    peak = (rsi > 70) & (frame.close < ema)
    every = len(frame) / dip.sum(), len(frame) / peak.sum()
    turbulent = share_of_turbulence(frame)
    figures = f"sigma {sigma:.4f} %, setups every {every[0]:.0f} / {every[1]:.0f} bars, turbulent {turbulent:.6f}"
    record_property(symbol, figures)
    assert 0.06 <= sigma <= 0.09
    assert all(100 <= bars <= 300 for bars in every)
    assert turbulent < 0.001


def share_of_turbulence(frame: Frame) -> float:
    """Share of bars whose 60-minute realised volatility exceeds three times its trailing 30-day median."""
    squares = np.concatenate([[0.0], np.cumsum(returns(frame) ** 2)])
    hourly = np.sqrt(squares[60:] - squares[:-60])
    window = 30 * 1440
    medians = np.array([np.median(hourly[i - window : i]) for i in range(window, len(hourly), 1000)])
    limit = np.repeat(3 * medians, 1000)[: len(hourly) - window]
    return float(np.mean(hourly[window:] > limit))


def test_volatility_clusters_and_tails_are_fat_but_the_walk_has_neither() -> None:
    lively, plain = (returns(make("BTCUSDT", "1m", 60_000, 7)[0]) for make in (synthetic_market, random_walk))

    def memory(r: np.ndarray) -> float:
        return float(np.corrcoef(np.abs(r[1:]), np.abs(r[:-1]))[0, 1])

    def tails(r: np.ndarray) -> float:
        return float(np.mean((r - r.mean()) ** 4) / r.var() ** 2)

    assert memory(lively) > 0.08
    assert tails(lively) > 4.0
    assert abs(memory(plain)) < 0.015
    assert abs(tails(plain) - 3.0) < 0.1
    assert abs(np.corrcoef(plain[1:], plain[:-1])[0, 1]) < 0.015
    assert abs(plain.mean()) < 3 * plain.std() / np.sqrt(len(plain))


def test_all_seven_regimes_come_and_stay_a_while() -> None:
    regimes = regime_path("BTCUSDT", "1m", 60_000, 7)
    share = np.bincount(regimes, minlength=len(REGIMES)) / len(regimes)
    assert len(REGIMES) == 7
    assert np.all(share > 0.02)
    assert 60 < np.count_nonzero(np.diff(regimes)) < 600
    frame, _ = synthetic_market("BTCUSDT", "1m", 60_000, 7)
    spread = {name: returns(frame)[regimes[1:] == i].std() for i, name in enumerate(REGIMES)}
    assert spread["high_volatility"] > 1.5 * spread["low_volatility"]
    drift = {name: returns(frame)[regimes[1:] == i].mean() for i, name in enumerate(REGIMES)}
    assert drift["strong_up"] > 0 > drift["strong_down"]


def test_activity_has_a_daily_season() -> None:
    frame, _ = synthetic_market("BTCUSDT", "1m", 60 * 1440, 7)
    hour = (frame.open_time // 3_600_000) % 24
    assert np.median(frame.volume[hour == 15]) > 1.3 * np.median(frame.volume[hour == 3])


def test_symbols_of_one_seed_move_together_but_not_alike() -> None:
    btc, eth = (returns(synthetic_market(s, "1m", 30_000, 7)[0]) for s in ("BTCUSDT", "ETHUSDT"))
    assert 0.3 < np.corrcoef(btc, eth)[0, 1] < 0.7


def test_funding_settles_every_eight_hours_at_the_price_of_that_moment() -> None:
    frame, funding = synthetic_market("BTCUSDT", "1m", 3 * 1440, 7)
    assert np.all(funding.time % FUNDING_MS == 0)
    assert len(funding) == 9
    assert funding.time[-1] == frame.known_at[-1]
    at = np.searchsorted(frame.known_at, funding.time)
    assert np.array_equal(funding.mark_price, frame.close[at])
    assert np.all(np.abs(funding.rate) <= 0.003)
    assert funding.rate.std() > 0
    _, calm = random_walk("BTCUSDT", "1m", 3 * 1440, 7)
    assert set(calm.rate) == {0.0001}


def test_a_symbol_outside_the_table_gets_a_market_too() -> None:
    frame, _ = synthetic_market("AVAXUSDT", "5m", 500, 7)
    assert step_of(frame.close) >= step_of(np.array([0.001]))


@pytest.mark.parametrize(
    ("symbol", "timeframe", "bars", "start", "words"),
    [
        ("BTCUSDT", "1m", 0, 0, "at least one bar"),
        ("BTCUSDT", "7m", 10, 0, "Unknown timeframe"),
        ("???", "1m", 10, 0, "Unknown symbol"),
        ("BTCUSDT", "1h", 10, 60_000, "on the 1h grid"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(symbol: str, timeframe: str, bars: int, start: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        synthetic_market(symbol, timeframe, bars, 7, start_ms=start)

"""A seeded synthetic market: seven regimes, clustered volatility, jumps, a daily season, funding every eight hours.

The series is scale-free: every timeframe has the same behaviour per bar, with a volatility that grows with the square
root of the bar's length (about 0.075 % a minute). Random numbers are drawn in blocks keyed by (seed, timeframe,
symbol, block), so the first n bars do not depend on how many are asked for, and symbols of one seed share a common
factor. Nothing here is a forecast of a real market; every bar carries the mark SYNTHETIC.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.compiled import kernel
from data.errors import UserError
from data.instruments import instrument_for
from data.market import Float64Array, Frame, FundingFrame, Int64Array, SeriesKey, short_symbol, unified_symbol
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, timeframe_ms

DEFAULT_START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
MINUTE_VOLATILITY = 0.00068  # standard deviation of a quiet minute's log return
FUNDING_MS = 8 * HOUR_MS
BASE_FUNDING = 0.0001
FUNDING_LIMIT = 0.003
BLOCK = 4096  # bars drawn at a time
STEPS = 6  # prices looked at inside a bar
COMMON_SHARE = 0.5  # of a bar's variance that all symbols share

SWING_KEEP = 0.94  # pull-backs: a drift that lives about 16 bars and turns back towards the anchor
SWING_TURN = 0.0005
SWING_NOISE = 0.08

REGIMES = ("range", "up", "strong_up", "down", "strong_down", "high_volatility", "low_volatility")
_DRIFT = np.array([0.0, 0.035, 0.075, -0.035, -0.075, 0.0, 0.0])  # in standard deviations a bar
_VOLATILITY = np.array([0.9, 1.0, 1.1, 1.0, 1.1, 1.45, 0.65])
_PULL = np.array([0.03, 0.0, 0.0, 0.0, 0.0, 0.01, 0.03])  # towards the moving anchor, per bar
_STAY_BARS = np.array([350.0, 450.0, 250.0, 450.0, 250.0, 200.0, 350.0])  # mean stay
_NEXT = np.array(
    [  # to: range up strong_up down strong_down high low
        [0.00, 0.28, 0.07, 0.28, 0.07, 0.12, 0.18],
        [0.35, 0.00, 0.30, 0.12, 0.03, 0.12, 0.08],
        [0.20, 0.45, 0.00, 0.05, 0.05, 0.25, 0.00],
        [0.35, 0.12, 0.03, 0.00, 0.30, 0.12, 0.08],
        [0.20, 0.05, 0.05, 0.45, 0.00, 0.25, 0.00],
        [0.40, 0.16, 0.14, 0.16, 0.14, 0.00, 0.00],
        [0.60, 0.18, 0.02, 0.18, 0.02, 0.00, 0.00],
    ]
)
_NEXT_CUMULATIVE = np.cumsum(_NEXT, axis=1)


class Quote(NamedTuple):
    """Where a symbol's series starts, its grid, and its daily turnover in quote."""

    price: float
    price_decimals: int
    lot_decimals: int
    turnover: float


_STARTS: dict[str, tuple[float, float]] = {  # base: price, daily turnover
    "BTC": (42_000.0, 12e9), "ETH": (2_300.0, 6e9), "SOL": (100.0, 2e9), "XRP": (0.62, 8e8),
    "BNB": (310.0, 4e8), "ADA": (0.60, 3e8), "DOGE": (0.09, 4e8), "LTC": (73.0, 2e8),
}  # fmt: skip
_OTHER_START = (10.0, 1e8)


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Random numbers of one block: normals ``[BLOCK, STEPS]``, the rest ``[BLOCK]``."""

    steps: Float64Array
    cluster: Float64Array
    volume: Float64Array
    swing: Float64Array
    regime: Float64Array
    next_regime: Float64Array
    jump: Float64Array
    jump_size: Float64Array
    gap: Float64Array


def synthetic_market(
    symbol: str, timeframe: str, bars: int, seed: int, start_ms: int = DEFAULT_START_MS, exchange: str = "binanceusdm"
) -> tuple[Frame, FundingFrame]:
    """A regime-switching market of ``bars`` bars from ``start_ms``, and its funding.

    Raises:
        UserError: unknown symbol or timeframe, no bars asked for, or a start off the timeframe's grid.
    """
    key, quote, count = _series(symbol, timeframe, bars, start_ms, exchange)
    columns = np.empty((5, count))
    _walk_regimes(key, quote, seed, start_ms, columns, np.empty(count, dtype=np.int64))
    frame = _frame(key, start_ms, columns[:, :bars].copy())
    return frame, _funding(frame, seed, lively=True)


def regime_path(symbol: str, timeframe: str, bars: int, seed: int, start_ms: int = DEFAULT_START_MS) -> Int64Array:
    """The hidden regime of each bar of :func:`synthetic_market`, an index into ``REGIMES``, ``[bars]``."""
    key, quote, count = _series(symbol, timeframe, bars, start_ms, "binanceusdm")
    regimes = np.empty(count, dtype=np.int64)
    _walk_regimes(key, quote, seed, start_ms, np.empty((5, count)), regimes)
    return regimes[:bars].copy()


def random_walk(
    symbol: str, timeframe: str, bars: int, seed: int, start_ms: int = DEFAULT_START_MS, exchange: str = "binanceusdm"
) -> tuple[Frame, FundingFrame]:
    """A geometric random walk of constant volatility: no drift, no memory, nothing to learn. For tests of honesty.

    Raises:
        UserError: as :func:`synthetic_market`.
    """
    key, quote, count = _series(symbol, timeframe, bars, start_ms, exchange)
    sigma = _bar_volatility(key)
    drawn = [_draw(key, seed, block, "walk") for block in range(count // BLOCK)]
    moves = np.concatenate([d.steps for d in drawn]) * (sigma / np.sqrt(STEPS)) - 0.5 * sigma**2 / STEPS
    path = np.log(quote.price) + np.cumsum(moves.ravel()).reshape(moves.shape)
    opens = np.concatenate([[np.log(quote.price)], path[:-1, -1]])
    top, bottom = np.maximum(path.max(axis=1), opens), np.minimum(path.min(axis=1), opens)
    prices = np.maximum(np.rint(np.exp(np.stack([opens, top, bottom, path[:, -1]])) * 10.0**quote.price_decimals), 1.0)
    spread = np.exp(0.5 * np.concatenate([d.volume for d in drawn]))
    volume = np.rint(_bar_turnover(key, quote) * spread / np.exp(path[:, -1]) * 10.0**quote.lot_decimals)
    columns = np.vstack([prices / 10.0**quote.price_decimals, volume / 10.0**quote.lot_decimals])
    frame = _frame(key, start_ms, columns[:, :bars].copy())
    return frame, _funding(frame, seed, lively=False)


def _series(symbol: str, timeframe: str, bars: int, start_ms: int, exchange: str) -> tuple[SeriesKey, Quote, int]:
    """The key, where the series starts, and how many bars whole blocks hold."""
    key = SeriesKey(exchange, unified_symbol(symbol), timeframe, source="synthetic")
    step = timeframe_ms(timeframe)
    if bars < 1:
        raise UserError(f"A synthetic series needs at least one bar, not {bars}.")
    if start_ms % step:
        raise UserError(f"The start of a synthetic {timeframe} series must lie on the {timeframe} grid (UTC).")
    price, turnover = _STARTS.get(short_symbol(key.symbol).removesuffix("USDT"), _OTHER_START)
    rules = instrument_for(key.symbol)
    quote = Quote(price, -rules.tick.adjusted(), -rules.lot.adjusted(), turnover)
    return key, quote, -(-bars // BLOCK) * BLOCK


def _bar_volatility(key: SeriesKey) -> float:
    return float(MINUTE_VOLATILITY * np.sqrt(key.step_ms / MINUTE_MS))


def _bar_turnover(key: SeriesKey, quote: Quote) -> float:
    return quote.turnover * key.step_ms / DAY_MS


def _generator(seed: int, key: SeriesKey, block: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed % 2**63, key.step_ms, block, zlib.crc32(name.encode())])


def _draw(key: SeriesKey, seed: int, block: int, process: str) -> _Draws:
    """One block's random numbers; the common factor of all symbols is mixed into the steps."""
    common = _generator(seed, key, block, f"{process} common").standard_normal((BLOCK, STEPS))
    own = _generator(seed, key, block, f"{process} {key.symbol}")
    steps = np.sqrt(COMMON_SHARE) * common + np.sqrt(1.0 - COMMON_SHARE) * own.standard_normal((BLOCK, STEPS))
    cluster, volume, swing = own.standard_normal((3, BLOCK))
    regime, following, jump, gap = own.random((4, BLOCK))
    return _Draws(steps, cluster, volume, swing, regime, following, jump, own.standard_exponential(BLOCK), gap)


def _walk_regimes(
    key: SeriesKey, quote: Quote, seed: int, start_ms: int, columns: Float64Array, regimes: Int64Array
) -> None:
    """Fill ``columns`` (open high low close volume, ``[5, blocks x BLOCK]``) and ``regimes`` block by block."""
    state = np.array([np.log(quote.price), np.log(quote.price), 0.0, _VOLATILITY[0], 0.0, 0.0])
    sigma, turnover = _bar_volatility(key), _bar_turnover(key, quote)
    for block in range(columns.shape[1] // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        times = start_ms + np.arange(part.start, part.stop, dtype=np.int64) * key.step_ms
        d = _draw(key, seed, block, "regimes")
        _simulate(
            state, _season(times, key.step_ms), d.steps, d.cluster, d.volume, d.swing, d.regime, d.next_regime, d.jump,
            d.jump_size, d.gap, sigma, np.log(quote.price), turnover, 10.0**quote.price_decimals,
            10.0**quote.lot_decimals, _DRIFT, _VOLATILITY, _PULL, _STAY_BARS, _NEXT_CUMULATIVE,
            columns[:, part], regimes[part],
        )  # fmt: skip


def _season(times: Int64Array, step_ms: int) -> Float64Array:
    """Activity by the hour of the day (UTC): highest when Europe and America are both awake; flat for long bars."""
    if step_ms >= 4 * HOUR_MS:
        return np.ones(len(times))
    day = (times % DAY_MS) / DAY_MS
    return 1.0 + 0.2 * np.cos(2 * np.pi * (day - 15.0 / 24.0)) + 0.05 * np.cos(4 * np.pi * (day - 2.0 / 24.0))


@kernel
def _simulate(
    state: Float64Array, season: Float64Array, steps: Float64Array, cluster_noise: Float64Array,
    volume_noise: Float64Array, swing_noise: Float64Array, regime_draw: Float64Array, next_draw: Float64Array,
    jump_draw: Float64Array, jump_size: Float64Array, gap_draw: Float64Array, sigma: float, home: float,
    turnover: float, price_scale: float, lot_scale: float, drift: Float64Array, volatility: Float64Array,
    pull: Float64Array, stay: Float64Array, following: Float64Array, out: Float64Array, regimes: Int64Array,
) -> None:  # fmt: skip
    """One block of bars; ``state`` (log price, anchor, cluster, volatility level, regime, swing) goes in and out."""
    x, anchor, cluster, level, swing = state[0], state[1], state[2], state[3], state[5]
    regime = int(state[4])
    inner = steps.shape[1]
    for t in range(steps.shape[0]):
        if regime_draw[t] < 1.0 / stay[regime]:
            row = following[regime]
            chosen = 0
            while chosen < row.shape[0] - 1 and next_draw[t] >= row[chosen]:
                chosen += 1
            regime = chosen
        regimes[t] = regime
        level += 0.05 * (volatility[regime] - level)
        cluster = 0.985 * cluster + 0.035 * cluster_noise[t]
        bar_sigma = sigma * season[t] * level * np.exp(min(max(cluster, -0.45), 0.45))
        swing = SWING_KEEP * swing - SWING_TURN * (x - anchor) / sigma + SWING_NOISE * swing_noise[t]
        lean = (drift[regime] + swing) * sigma - pull[regime] * (x - anchor) - 7e-6 * (x - home)
        jump = 0.0
        if jump_draw[t] < 0.0015:
            jump = (3.0 + 1.5 * min(jump_size[t], 4.0)) * bar_sigma
            if jump_draw[t] < 0.00075:
                jump = -jump
        first = max(np.rint(np.exp(x) * price_scale), 1.0)
        if gap_draw[t] < 0.15:
            first += 1.0
        elif gap_draw[t] > 0.85 and first > 1.0:
            first -= 1.0
        high = low = first
        start = x
        jump_at = int(gap_draw[t] * inner)
        for i in range(inner):
            x += lean / inner + bar_sigma / np.sqrt(inner) * steps[t, i]
            if i == jump_at:
                x += jump
            price = max(np.rint(np.exp(x) * price_scale), 1.0)
            high, low = max(high, price), min(low, price)
        anchor += 0.01 * (x - anchor)
        move = abs(x - start) / sigma
        activity = season[t] * level * (0.5 + 0.5 * min(move, 8.0)) * np.exp(0.45 * volume_noise[t] + 0.8 * cluster)
        out[0, t] = first / price_scale
        out[1, t] = high / price_scale
        out[2, t] = low / price_scale
        out[3, t] = max(np.rint(np.exp(x) * price_scale), 1.0) / price_scale
        out[4, t] = max(np.rint(turnover * activity / np.exp(x) * lot_scale), 1.0) / lot_scale
    state[0], state[1], state[2], state[3], state[4], state[5] = x, anchor, cluster, level, regime, swing


def _frame(key: SeriesKey, start_ms: int, columns: npt.NDArray[np.float64]) -> Frame:
    times = start_ms + np.arange(columns.shape[1], dtype=np.int64) * key.step_ms
    return Frame.of(key, times, *columns)


def _funding(frame: Frame, seed: int, lively: bool) -> FundingFrame:
    """Settlements at 00, 08, 16 UTC after the first open up to the last close; the rate leans on the last move."""
    key = frame.key
    first = (int(frame.open_time[0]) // FUNDING_MS + 1) * FUNDING_MS
    end = int(frame.open_time[-1]) + key.step_ms
    times = np.arange(first, end + 1, FUNDING_MS, dtype=np.int64)
    at = np.searchsorted(frame.open_time + key.step_ms, times, side="right") - 1  # the last bar closed by then
    mark = np.where(at >= 0, frame.close[np.maximum(at, 0)], frame.open[0])
    rate = np.full(len(times), BASE_FUNDING)
    if lively and len(times):
        before = np.concatenate([[frame.open[0]], mark[:-1]])
        noise = _generator(seed, key, 0, f"funding {key.symbol}").standard_normal(len(times))
        lean = np.log(mark / before) / (_bar_volatility(key) * np.sqrt(max(1.0, FUNDING_MS / key.step_ms)))
        rate = np.clip(rate + 5e-5 * lean + 4e-5 * noise, -FUNDING_LIMIT, FUNDING_LIMIT)
    return FundingFrame(key.exchange, key.symbol, key.source, times, np.round(rate, 8), mark)

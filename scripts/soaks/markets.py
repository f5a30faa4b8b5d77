"""Markets of which it is known what there is to be found in them: nothing, or one edge of a known size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai.regime_control import turned_market
from ai.training import training_data
from ai.validation.scores import roc_auc
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame, Int64Array, SeriesKey, unified_symbol
from data.timeframes import HOUR_MS, timeframe_ms

START_MS = 1_640_995_200_000  # 2022-01-01
TURN = 0.1  # chance that a settlement has the other sign than the one before
STEPS = 12  # prices looked at inside a bar
SETTLED_MS = 8 * HOUR_MS
ARCH, KEEP, TAIL = 0.09, 0.89, 6.0  # GARCH(1,1) as measured on quarter hours of crypto futures, Student t shocks


def random_walk(bars: int, seed: int, volatility: float, *, clustered: bool = False, timeframe: str = "15m") -> Frame:
    """A geometric random walk whose bars are made of finer steps, so that highs and lows are those of a walk.

    Args:
        bars: how many.
        seed: of every draw.
        volatility: standard deviation of a bar's log return.
        clustered: its variance follows a GARCH(1,1) with heavy tails instead of standing still; directions stay
            a fair coin's.
        timeframe: of the bars.
    """
    generator = np.random.default_rng(seed)
    sizes = np.full(bars, volatility)
    if clustered:
        sizes = volatility * _garch(generator, bars)
    steps = generator.normal(0.0, 1.0 / np.sqrt(STEPS), (bars, STEPS)) * sizes[:, None]
    price = 100.0 * np.exp(np.cumsum(steps)).reshape(bars, STEPS)
    close = price[:, -1].copy()
    opened = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(price.max(axis=1), opened), np.minimum(price.min(axis=1), opened)
    volume = generator.lognormal(size=bars) * (1.0 + sizes / volatility)
    times = START_MS + timeframe_ms(timeframe) * np.arange(bars, dtype=np.int64)
    key = SeriesKey("binanceusdm", unified_symbol("BTCUSDT"), timeframe, "ohlcv", "synthetic")
    return Frame.of(key, times, opened, high, low, close, volume)


def _garch(generator: np.random.Generator, bars: int) -> Float64Array:
    """Standard deviations ``[bars]`` around 1."""
    shocks = generator.standard_t(TAIL, bars) / np.sqrt(TAIL / (TAIL - 2.0))
    variance = np.ones(bars)
    for k in range(1, bars):
        variance[k] = (1.0 - ARCH - KEEP) + variance[k - 1] * (KEEP + ARCH * shocks[k - 1] ** 2)
    return np.sqrt(variance)


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """A market whose directions lean to the side of the last settled funding rate, and what leans when."""

    frame: Frame
    funding: FundingFrame
    state: Int64Array  # [T] at the close of each bar: the coming bars' side and how long it lasts


def planted_market(base: Frame, lean: float, seed: int, coin: int = 0) -> Planted:
    """The bars of ``base`` with their sizes kept and every direction drawn anew.

    A bar goes up with probability ``0.5 + lean`` while the last settled rate is above zero and ``0.5 - lean`` while it
    is below. The rate is settled every eight hours, is known when it takes effect, and turns one time in ten. ``seed``
    draws the rates; with another ``coin`` the bars' directions are drawn anew under the same rates.
    """
    generator = np.random.default_rng(seed)
    first = int(base.open_time[0]) // SETTLED_MS * SETTLED_MS
    settled = np.arange(first, int(base.open_time[-1]) + base.key.step_ms + SETTLED_MS, SETTLED_MS, dtype=np.int64)
    side = np.cumprod(np.where(generator.random(len(settled)) < TURN, -1.0, 1.0)) * generator.choice([-1.0, 1.0])
    rate = 1e-4 * side
    of_bar = (base.open_time - first) // SETTLED_MS
    wanted = np.where(np.random.default_rng((seed, coin)).random(len(base)) < 0.5 + lean * side[of_bar], 1.0, -1.0)
    before = np.concatenate([base.open[:1], base.close[:-1]])
    frame = turned_market(base, wanted * np.where(base.close >= before, 1.0, -1.0))
    key = base.key
    funding = FundingFrame(key.exchange, key.symbol, key.source, settled, rate, np.full(len(settled), np.nan))
    coming = base.open_time + key.step_ms - first
    left = (coming % SETTLED_MS) // key.step_ms
    state = np.where(side[coming // SETTLED_MS] > 0, 1, 0) + 2 * left
    return Planted(frame, funding, state.astype(np.int64))


def knowing_auc(base: Frame, lean: float, profile: str, seed: int, draws: int, first: int = 0) -> Float64Array:
    """What a model that knows the plant would score from bar ``first`` on, ``[draws]``: AUC of the direction.

    Of :func:`planted_market` under the same rates with other coins. Its score for a bar is the share of longs among
    the touched bars of the same state (side of the rate, bars until the next settlement) in all the other draws.
    """
    markets = [planted_market(base, lean, seed, 1 + k) for k in range(draws)]
    states = np.array([market.state[first:] for market in markets])
    labels = np.array([_labels(market, profile)[first:] for market in markets])
    count = int(states.max()) + 1
    longs, shorts = (
        np.array([np.bincount(s[y == side], minlength=count) for s, y in zip(states, labels, strict=True)])
        for side in (1, -1)
    )
    found = []
    for k in range(draws):
        ups, downs = longs.sum(axis=0) - longs[k], shorts.sum(axis=0) - shorts[k]
        share = (ups + 1.0) / (ups + downs + 2.0)
        touched = labels[k] != 0
        found.append(roc_auc(share[states[k]][touched], labels[k][touched] > 0))
    return np.array(found)


def _labels(market: Planted, profile: str) -> npt.NDArray[np.int8]:
    data = training_data(market.frame, market.funding, profile, ("log_return_1",))
    return np.where(data.labels.complete, data.labels.label, 0).astype(np.int8)


def data_folder(text: str | None) -> Path:
    """Where recorded series lie: the option, else ``QUANTAI_TEST_DATA``.

    Raises:
        UserError: neither names a folder.
    """
    folder = Path(text or os.environ.get("QUANTAI_TEST_DATA", ""))
    if not (folder / "ohlcv").is_dir():
        raise UserError("No recorded series: name their folder by --data or QUANTAI_TEST_DATA.")
    return folder


def recorded_market(folder: Path, symbol: str, timeframe: str) -> tuple[Frame, FundingFrame]:
    """All recorded bars of a symbol (``BTCUSDT``) and their settlements.

    Raises:
        UserError: there are none.
    """
    from tests.data.recorded_series import names, recorded, recorded_funding

    found = [name for name in names(folder, timeframe) if name.startswith(f"{symbol}-")]
    if not found:
        raise UserError(f"No bars of {symbol} {timeframe} lie in {folder}.")
    frame = recorded(folder, found[0])
    parts = [recorded_funding(folder, f.stem) for f in sorted((folder / "funding").rglob(f"{symbol}-8h-*.parquet"))]
    time, first = np.unique(np.concatenate([part.time for part in parts]), return_index=True)
    rate, mark = (np.concatenate([getattr(p, n) for p in parts])[first] for n in ("rate", "mark_price"))
    return frame, FundingFrame(frame.key.exchange, frame.key.symbol, frame.key.source, time, rate, mark)

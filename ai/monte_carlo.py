"""Monte-Carlo: where the price may stand in the coming bars, and whether it meets a target before a stop.

Paths follow the last ``window`` log returns, in one of two ways:

- ``drift``: normal steps with the returns' mean and standard deviation, which is geometric Brownian motion. Between two
  closes a path may cross a barrier and come back; each step's high and low are drawn as a Brownian bridge has them, so
  touches agree with the closed form of continuous watching (checking closes alone finds too few).
- ``bootstrap``: blocks of the returns themselves, so with their fat tails and short memory. What happened between two
  closes is not known of a return, so touches count at the closes only, and are somewhat rarer for it.

Neither knows more than the returns do: with the drift of 50 bars an up-probability is momentum, not skill. Draws are
keyed by (seed, symbol index, open time): the same question has the same answer, bit for bit, in whatever order asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from ai.monte_carlo_draws import start_of
from ai.monte_carlo_paths import LEVELS, walk_blocks, walk_normal
from data.compiled import kernel, kernel_allocating
from data.errors import UserError
from data.market import Float64Array, Int64Array

PATHS, WINDOW, BLOCK = 1000, 50, 5
METHODS = ("drift", "bootstrap")
STRONG_UP, MODERATE_UP, AVOID_UP = 0.65, 0.55, 0.45

_BAND_COLUMNS = {95: (0, 5), 90: (1, 4), 70: (2, 3)}
_FLAT = 1e-12  # a standard deviation of log returns below this is rounding


class Unknown(IntEnum):
    """Why there is no answer."""

    NO = 0
    TOO_FEW = 1  # closes for the window
    INVALID = 2  # a close in the window is missing, or not a positive number
    FLAT = 3  # the returns of the window do not vary


UNKNOWN_WORDS: dict[Unknown, str] = {
    Unknown.NO: "",
    Unknown.TOO_FEW: "fewer closes than the Monte-Carlo window needs",
    Unknown.INVALID: "a close in the Monte-Carlo window is missing or not positive",
    Unknown.FLAT: "the returns in the Monte-Carlo window do not vary",
}


class UpReading(IntEnum):
    """How a strategy reads the up-probability."""

    AVOID = -1
    NONE = 0
    MODERATE = 1
    STRONG = 2


@dataclass(frozen=True, slots=True)
class DrawKey:
    """Whose random numbers: the run's seed, the symbol's index in the run, the open time (ms) of the newest bar."""

    seed: int
    symbol: int
    open_time: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is simulated: ``paths`` paths of ``horizon`` bars from the last ``window`` returns.

    ``block`` is the length of a bootstrap's blocks in bars (1: single returns); ``band_steps`` are the bars ahead at
    which bands are wanted, ascending (``None``: every one).

    Raises:
        UserError: a number is out of its range.
    """

    horizon: int
    paths: int = PATHS
    method: str = "drift"
    window: int = WINDOW
    block: int = BLOCK
    band_steps: tuple[int, ...] | None = None
    steps: Int64Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"Unknown Monte-Carlo method '{self.method}': use one of {', '.join(METHODS)}.")
        if self.horizon < 1:
            raise UserError(f"The Monte-Carlo horizon is {self.horizon} bars: it must be at least 1.")
        if self.paths < 100 or self.paths % 4:
            raise UserError(f"{self.paths} Monte-Carlo paths: use a multiple of 4, at least 100.")
        if self.window < 2:
            raise UserError(f"The Monte-Carlo window is {self.window} returns: it must be at least 2.")
        if not 1 <= self.block <= self.window:
            raise UserError(f"The Monte-Carlo block is {self.block} bars: use 1 to {self.window}, the window.")
        steps = tuple(range(1, self.horizon + 1)) if self.band_steps is None else self.band_steps
        if any(b <= a for a, b in zip((0, *steps), (*steps, self.horizon + 1), strict=True)):
            raise UserError(f"Monte-Carlo band steps {steps}: they must ascend from 1 to at most {self.horizon}.")
        object.__setattr__(self, "steps", np.array(steps, np.int64))


@dataclass(frozen=True, slots=True)
class TouchFirst:
    """One side's probabilities: target before stop, stop before target, neither within the horizon (NaN: not asked)."""

    target: float
    stop: float

    @property
    def neither(self) -> float:
        """What is left of one."""
        return 1.0 - (self.target + self.stop)


@dataclass(frozen=True, slots=True, eq=False)
class MonteCarlo:
    """Answers; all are NaN unless ``unknown`` is ``NO``.

    ``up``: probability that the last close is above the newest one. ``expected``: mean of the last close, in price.
    ``bands``: prices ``[len(steps), 6]`` at ``LEVELS``, after each of ``steps`` bars.
    ``drift`` and ``volatility``: mean and standard deviation (ddof 1) of the window's log returns, per bar.
    Standard errors: at most sqrt(p (1 - p) / paths) for every probability but ``neither`` of the method ``drift``,
    which may have sqrt(2) times that, because mirrored paths often agree on it; a band's end is known to about 0.08
    standard deviations at 1,000 paths (95 %).
    """

    unknown: Unknown
    up: float
    expected: float
    long: TouchFirst
    short: TouchFirst
    steps: Int64Array
    bands: Float64Array
    drift: float
    volatility: float

    def band(self, percent: int) -> Float64Array:
        """Lower and upper end of the 70, 90 or 95 % band, ``[len(steps), 2]``."""
        if percent not in _BAND_COLUMNS:
            raise UserError(f"There is no {percent} % band: use 70, 90 or 95.")
        return self.bands[:, _BAND_COLUMNS[percent]]


@kernel
def _level(price: float, distance: float) -> float:
    """Log price of a barrier from the price; a price of nothing is never met."""
    return math.log((price + distance) / price) if price + distance > 0.0 else -np.inf


@kernel_allocating
def run_monte_carlo(
    close: Float64Array, seed: int, symbol: int, open_time: int, horizon: int, paths: int, window: int, block: int,
    stop: float, target: float, steps: Int64Array, bands: Float64Array,
) -> tuple[int, float, float, float, float, float, float, float, float]:  # fmt: skip
    """The compiled whole of :func:`simulate`, for kernels; ``block`` 0 is the method ``drift``.

    Fills ``bands[len(steps), 6]``. Gives (:class:`Unknown`, up, expected, long target, long stop, short target, short
    stop, drift, volatility).
    """
    nan = np.nan
    bands[:] = nan
    if len(close) <= window:
        return 1, nan, nan, nan, nan, nan, nan, nan, nan
    newest, returns = close[-1], np.empty(window)
    first = len(close) - window
    drift = spread = 0.0
    for i in range(window):
        a, b = close[first + i - 1], close[first + i]
        if not (0.0 < a < np.inf and 0.0 < b < np.inf):
            return 2, nan, nan, nan, nan, nan, nan, nan, nan
        returns[i] = math.log(b / a)
        drift += returns[i]
    drift /= window
    for i in range(window):
        spread += (returns[i] - drift) * (returns[i] - drift)
    volatility = math.sqrt(spread / (window - 1))
    if not volatility > _FLAT:
        return 3, nan, nan, nan, nan, nan, nan, nan, nan
    barriers = np.full((2, 2), nan)
    if 0.0 < stop < np.inf and 0.0 < target < np.inf:
        barriers[0, 0], barriers[0, 1] = _level(newest, -stop), _level(newest, target)
        barriers[1, 0], barriers[1, 1] = _level(newest, -target), _level(newest, stop)
    start, shares, end = start_of(seed, symbol, open_time), np.empty((2, 2)), np.empty(paths)
    if block == 0:
        walk_normal(start, drift, volatility, horizon, barriers, steps, shares, bands, end)
    else:
        walk_blocks(start, returns, block, horizon, barriers, steps, shares, bands, end)
    up, expected = 0, 0.0
    for i in range(paths):
        up += end[i] > 0.0
        expected += math.exp(end[i])
    for k in range(len(steps)):
        for j in range(len(LEVELS)):
            bands[k, j] = newest * math.exp(bands[k, j])
    return (
        0, up / paths, newest * expected / paths, shares[0, 1], shares[0, 0], shares[1, 0], shares[1, 1], drift,
        volatility,
    )  # fmt: skip


def simulate(
    close: Float64Array, key: DrawKey, simulation: Simulation, stop: float = math.nan, target: float = math.nan
) -> MonteCarlo:
    """Simulate from the newest close.

    Args:
        close: closes ``[n]``, oldest first; the last ``window + 1`` of them are read.
        key: names the random numbers.
        simulation: how many paths, how far, by which method.
        stop, target: distances from the newest close in price, as for labels: the long side's target is close +
            target and its stop close - stop, the short side's are mirrored. NaN or not positive: touches are NaN.
    """
    bands = np.empty((len(simulation.steps), len(LEVELS)))
    block = simulation.block if simulation.method == "bootstrap" else 0
    unknown, up, expected, long_target, long_stop, short_target, short_stop, drift, volatility = run_monte_carlo(
        np.ascontiguousarray(close, np.float64), key.seed, key.symbol, key.open_time, simulation.horizon,
        simulation.paths, simulation.window, block, float(stop), float(target), simulation.steps, bands,
    )  # fmt: skip
    return MonteCarlo(
        Unknown(unknown), up, expected, TouchFirst(long_target, long_stop), TouchFirst(short_target, short_stop),
        simulation.steps, bands, drift, volatility,
    )  # fmt: skip


def read_up(up: float) -> UpReading:
    """Above 65 % strong, above 55 % moderate, below 45 % avoid, else (and where it is unknown) nothing."""
    if up > STRONG_UP:
        return UpReading.STRONG
    if up > MODERATE_UP:
        return UpReading.MODERATE
    return UpReading.AVOID if up < AVOID_UP else UpReading.NONE


def warm() -> None:
    """Compile the kernels of both methods."""
    close = 100.0 + np.arange(5.0) % 2.0
    for method in METHODS:
        simulate(close, DrawKey(0, 0, 0), Simulation(2, 100, method, window=4, block=1), 1.0, 1.0)

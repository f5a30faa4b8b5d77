"""Monte-Carlo: determinism by key, what must always hold, the bootstrap, what it declines, and how it is read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from ai.monte_carlo import (
    METHODS,
    UNKNOWN_WORDS,
    DrawKey,
    MonteCarlo,
    Simulation,
    Unknown,
    UpReading,
    read_up,
    simulate,
)
from ai.monte_carlo_draws import draw_exponentials, draw_normals, draw_places, start_of
from ai.monte_carlo_paths import walk_blocks
from data.errors import UserError

MASK = 2**64 - 1


def market(bars: int = 60, seed: int = 1, volatility: float = 0.006, price: float = 100.0) -> np.ndarray:
    steps = volatility * np.random.default_rng(seed).standard_t(4, size=bars - 1)
    return price * np.exp(np.concatenate([[0.0], np.cumsum(steps)]))


def numbers(answer: MonteCarlo) -> bytes:
    """Every number of an answer, bit for bit."""
    sides = [answer.long.target, answer.long.stop, answer.short.target, answer.short.stop]
    row = np.array([answer.up, answer.expected, *sides, answer.drift, answer.volatility])
    return row.tobytes() + answer.bands.tobytes()


def end_of_blocks(returns: np.ndarray, block: int, horizon: int, paths: int, key: int) -> np.ndarray:
    end, nothing = np.empty(paths), np.full((2, 2), np.nan)
    walk_blocks(
        np.uint64(start_of(7, 0, key)), returns, block, horizon, nothing, np.empty(0, np.int64), np.empty((2, 2)),
        np.empty((0, 6)), end,
    )  # fmt: skip
    return end


# Draws


def splitmix(z: int) -> int:
    """Next output of SplitMix64 from the state z - 0x9E3779B97F4A7C15, in plain integers (Vigna's splitmix64.c)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def outputs(state: int, first: int, count: int) -> list[int]:
    return [splitmix((state + (first + i + 1) * 0x9E3779B97F4A7C15) & MASK) for i in range(count)]


def test_draws_are_those_of_splitmix64() -> None:
    # The first outputs for seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64").
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert outputs(1234567, 0, 5) == known
    places = np.empty(5, np.int32)
    draw_places(np.uint64(1234567), 0, 1_000_000, places)
    assert places.tolist() == [((bits >> 32) * 1_000_000) >> 32 for bits in known]
    draw_places(np.uint64(1234567), 2, 1_000_000, places[:3])
    assert places[:3].tolist() == [((bits >> 32) * 1_000_000) >> 32 for bits in known[2:]]


def test_normal_and_exponential_numbers_are_exact_functions_of_the_draws() -> None:
    state, n = 99, 250
    normal, exponential = np.empty((2, n)), np.empty(2 * n)
    draw_normals(np.uint64(state), 40, np.empty((3, n)), normal)
    draw_exponentials(np.uint64(state), 40, np.empty(2 * n), exponential)
    bits = outputs(state, 40, n)
    high, low = np.array([b >> 32 for b in bits], float), [b & 0xFFFFFFFF for b in bits]
    radius = np.sqrt(-2.0 * np.log((high + 0.5) / 2**32))
    angle = 0.5 * math.pi * (np.array([v >> 2 for v in low]) + 0.5) / 2**30
    signs = np.array([[1 - 2 * (v & 1), 1 - 2 * (v >> 1 & 1)] for v in low]).T
    assert np.abs(normal - signs * radius * [np.cos(angle), np.sin(angle)]).max() < 1e-10
    uniform = (np.concatenate([high, np.array(low, float)]) + 0.5) / 2**32
    assert np.abs(exponential + np.log(uniform)).max() < 1e-11


def test_normal_numbers_are_normal_and_independent() -> None:
    rows = np.empty((2000, 2, 250))
    for k, row in enumerate(rows):
        draw_normals(np.uint64(start_of(7, 3, k)), 0, np.empty((3, 250)), row)
    z = rows.ravel()
    n = len(z)
    assert kstest(z, norm.cdf).pvalue > 0.001
    # mean, variance, skewness and kurtosis in their standard errors (1, 2, 15, 96 over n)
    moments = [z.mean(), (z**2).mean() - 1.0, (z**3).mean(), (z**4).mean() - 3.0]
    assert (np.abs(moments) < 4.0 * np.sqrt(np.array([1.0, 2.0, 15.0, 96.0]) / n)).all()
    pairs = [(rows[:, 0], rows[:, 1]), (rows[:-1], rows[1:]), (rows[..., :-1], rows[..., 1:])]
    for a, b in pairs:
        for power in (1, 2):
            assert abs(np.corrcoef(a.ravel() ** power, b.ravel() ** power)[0, 1]) < 4.0 / math.sqrt(a.size)


# What must always hold


@pytest.mark.kernel
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_depends_on_its_key_alone_not_on_the_order_of_questions(method: str) -> None:
    simulation = Simulation(20, 200, method)
    keys = [DrawKey(seed, symbol, time) for seed in (0, 7) for symbol in (0, 1) for time in (0, 60_000, 120_000)]
    once = {key: numbers(simulate(market(), key, simulation, 1.0, 2.0)) for key in keys}
    for key in reversed(keys):
        assert numbers(simulate(market(), key, simulation, 1.0, 2.0)) == once[key]
    assert len(set(once.values())) == len(keys)


@pytest.mark.kernel
@pytest.mark.parametrize("method", METHODS)
def test_only_the_window_is_read(method: str) -> None:
    simulation, key = Simulation(10, 200, method, window=30), DrawKey(7, 0, 5)
    close = market(200)
    whole = numbers(simulate(close, key, simulation, 1.0, 2.0))
    assert numbers(simulate(close[-31:], key, simulation, 1.0, 2.0)) == whole
    other = close.copy()
    other[-31] *= 1.01
    assert numbers(simulate(other, key, simulation, 1.0, 2.0)) != whole
    # a view with gaps between its numbers is read as what it is
    assert numbers(simulate(np.repeat(close, 2)[::2], key, simulation, 1.0, 2.0)) == whole


@examples(max_examples=120)
@given(
    seed=st.integers(0, 2**62), symbol=st.integers(0, 500), time=st.integers(0, 4 * 10**12),
    volatility=st.floats(1e-5, 0.2), price=st.sampled_from([1e-6, 1.0, 1e5]), horizon=st.integers(1, 40),
    method=st.sampled_from(METHODS), block=st.integers(1, 50), stop=st.floats(1e-4, 2.0), target=st.floats(1e-4, 2.0),
)  # fmt: skip
def test_probabilities_sum_to_one_and_bands_are_ordered(
    seed: int, symbol: int, time: int, volatility: float, price: float, horizon: int, method: str, block: int,
    stop: float, target: float,
) -> None:  # fmt: skip
    close = market(51, seed % 1000, volatility, price)
    simulation = Simulation(horizon, 100, method, block=block)
    answer = simulate(close, DrawKey(seed, symbol, time), simulation, stop * close[-1], target * close[-1])
    assert answer.unknown is Unknown.NO
    for side in (answer.long, answer.short):
        parts = (side.target, side.stop, side.neither)
        assert sum(parts) == pytest.approx(1.0, abs=1e-12)
        assert all(-1e-12 <= p <= 1.0 for p in parts)
    assert 0.0 <= answer.up <= 1.0
    assert answer.bands.shape == (horizon, 6)
    assert (np.diff(answer.bands, axis=1) >= 0.0).all()
    assert (answer.bands > 0.0).all()
    assert answer.expected > 0.0


def test_bands_at_declared_steps_are_those_of_all_steps() -> None:
    key = DrawKey(7, 0, 5)
    every = simulate(market(), key, Simulation(24))
    some = simulate(market(), key, Simulation(24, band_steps=(1, 6, 24)))
    assert some.steps.tolist() == [1, 6, 24]
    assert (some.bands == every.bands[[0, 5, 23]]).all()
    assert (every.band(90) == every.bands[:, [1, 4]]).all()
    assert (every.band(95)[:, 0] <= every.band(70)[:, 0]).all()
    with pytest.raises(UserError, match="80 %"):
        every.band(80)


def test_touches_do_not_change_where_the_paths_go() -> None:
    key = DrawKey(7, 0, 5)
    for method in METHODS:
        plain = simulate(market(), key, Simulation(24, method=method))
        asked = simulate(market(), key, Simulation(24, method=method), 1.0, 2.0)
        assert (plain.up, plain.expected) == (asked.up, asked.expected)
        assert (plain.bands == asked.bands).all()
        assert math.isnan(plain.long.target) and math.isnan(plain.short.neither)


def test_a_stop_or_target_below_nothing_is_never_met() -> None:
    answer = simulate(market(), DrawKey(7, 0, 5), Simulation(60), 5.0, 400.0)
    assert answer.short.target == 0.0
    assert answer.short.stop > 0.0


def test_a_nearer_target_is_met_more_often_and_a_nearer_stop_too() -> None:
    key, simulation = DrawKey(7, 0, 5), Simulation(24, band_steps=())
    near, far = (simulate(market(), key, simulation, 2.0, target) for target in (2.0, 4.0))
    assert near.long.target > far.long.target
    tight = simulate(market(), key, simulation, 1.0, 4.0)
    assert tight.long.stop > far.long.stop


# Bootstrap


def test_single_steps_of_the_bootstrap_are_distributed_as_their_source() -> None:
    returns = np.diff(np.log(market(51)))
    drawn = np.concatenate(
        [end_of_blocks(returns, block, 1, 1000, 10 * k + block) for k in range(100) for block in (1, 7)]
    )
    assert np.isin(drawn, returns).all()
    # equal counts: chi-square with 49 degrees of freedom, 99.9 % below 85.4; and the distributions (two-sample KS)
    counts = np.unique(drawn, return_counts=True)[1]
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 85.4
    assert kstest(drawn, np.repeat(returns, 4000)).pvalue > 0.001


def test_every_step_within_a_block_is_distributed_as_the_source() -> None:
    """The ring: returns at the window's ends are drawn as often as others, at any place in a block."""
    returns = np.diff(np.log(market(51)))
    total = np.concatenate([end_of_blocks(returns, 7, 7, 1000, k) for k in range(100)])
    ring = np.concatenate([returns, returns])
    sums = np.array([ring[i : i + 7].sum() for i in range(50)])
    assert np.abs(total[:, None] - sums).min(axis=1).max() < 1e-14
    assert total.mean() == pytest.approx(7 * returns.mean(), abs=4.0 * sums.std() / math.sqrt(len(total)))


def test_blocks_keep_the_memory_of_a_planted_process_better_than_single_draws() -> None:
    """AR(1) with 0.7: the variance of four steps together over four times that of one is 2.53 (single draws: 1)."""
    rng, phi, n = np.random.default_rng(4), 0.7, 4000
    returns = np.zeros(n)
    for i in range(1, n):
        returns[i] = phi * returns[i - 1] + 0.01 * rng.normal()
    source = np.convolve(returns, np.ones(4), "valid").var() / (4 * returns.var())
    assert source == pytest.approx(1 + 2 * sum((1 - k / 4) * phi**k for k in (1, 2, 3)), rel=0.1)

    def ratio(block: int) -> float:
        ends = np.concatenate([end_of_blocks(returns, block, 4, 1000, k) for k in range(60)])
        return float(ends.var() / (4 * returns.var()))

    assert ratio(1) == pytest.approx(1.0, abs=0.05)
    assert ratio(4) == pytest.approx(source, rel=0.05)
    assert ratio(1) < ratio(2) < ratio(4)


def test_bootstrap_touches_are_those_of_its_paths_at_the_closes() -> None:
    """Two returns only: every path can be followed by hand."""
    up, down = math.log(1.1), math.log(0.9)
    close = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum([up, down] * 2)]))
    simulation = Simulation(2, 20_000, "bootstrap", window=4, block=1)
    answer = simulate(close, DrawKey(7, 0, 5), simulation, 0.05 * close[-1], 0.15 * close[-1])
    # long: down at first (1/2) stops; up, up (1/4) is the target; up, down (-1 %) is neither
    error = 4.0 * math.sqrt(0.25 / 20_000)
    assert answer.long.stop == pytest.approx(0.5, abs=error)
    assert answer.long.target == pytest.approx(0.25, abs=error)
    assert answer.long.neither == pytest.approx(0.25, abs=error)
    assert answer.up == pytest.approx(0.25, abs=error)
    assert answer.expected == pytest.approx(close[-1], rel=0.005)


def test_bands_of_the_bootstrap_are_the_quantiles_of_its_paths() -> None:
    """A crash in the window: the tail is far from normal, and the bands still are numpy's quantiles of the paths."""
    close = market(51)
    close[-10:] *= 0.7
    returns = np.diff(np.log(close))
    answer = simulate(close, DrawKey(7, 0, 5), Simulation(8, method="bootstrap", block=4, band_steps=(8,)))
    end = end_of_blocks(returns, 4, 8, 1000, 5)
    exact = np.quantile(end, [0.025, 0.05, 0.15, 0.85, 0.95, 0.975])
    assert np.abs(np.log(answer.bands[0] / close[-1]) - exact).max() < 2 * 6.4 * end.std() / 512


def test_blocks_as_long_as_the_window_have_one_end() -> None:
    close = market(51)
    answer = simulate(close, DrawKey(7, 0, 5), Simulation(50, method="bootstrap", block=50))
    assert answer.bands[-1] == pytest.approx(np.full(6, close[-1] ** 2 / close[0]))
    assert answer.expected == pytest.approx(close[-1] ** 2 / close[0])
    # twice and half: here all paths end exactly where they began
    answer = simulate(np.array([1.0, 2.0, 1.0]), DrawKey(7, 0, 5), Simulation(2, 100, "bootstrap", window=2, block=2))
    assert (answer.bands[-1] == 1.0).all()
    assert answer.up == 0.0


def test_paths_of_the_bootstrap_are_independent() -> None:
    """The up-probability spreads over keys as that of independent paths."""
    simulation = Simulation(24, method="bootstrap", block=4, band_steps=())
    up = np.array([simulate(market(), DrawKey(7, 0, k), simulation).up for k in range(1000)])
    assert up.std() == pytest.approx(math.sqrt(up.mean() * (1.0 - up.mean()) / 1000), rel=0.1)


# What it declines


@pytest.mark.kernel
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("close", "why"),
    [
        (np.empty(0), Unknown.TOO_FEW), (market(1 + 1), Unknown.TOO_FEW), (market(50), Unknown.TOO_FEW),
        (np.full(51, 100.0), Unknown.FLAT), (100.0 * 1.001 ** np.arange(51), Unknown.FLAT),
        (np.where(np.arange(51) == 0, np.nan, market(51)), Unknown.INVALID),
        (np.where(np.arange(51) == 50, np.nan, market(51)), Unknown.INVALID),
        (np.where(np.arange(51) == 20, 0.0, market(51)), Unknown.INVALID),
        (np.where(np.arange(51) == 20, -5.0, market(51)), Unknown.INVALID),
        (np.where(np.arange(51) == 20, np.inf, market(51)), Unknown.INVALID),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_nan_and_says_why(method: str, close: np.ndarray, why: Unknown) -> None:
    answer = simulate(close, DrawKey(7, 0, 5), Simulation(12, 100, method), 1.0, 2.0)
    assert answer.unknown is why
    assert UNKNOWN_WORDS[why]
    assert np.isnan(np.frombuffer(numbers(answer))).all()
    assert math.isnan(answer.long.neither)
    assert answer.bands.shape == (12, 6)
    assert read_up(answer.up) is UpReading.NONE


@pytest.mark.parametrize(
    ("stop", "target"), [(math.nan, 1.0), (1.0, math.nan), (0.0, 1.0), (1.0, -1.0), (math.inf, 1.0)]
)
def test_a_barrier_that_is_none_leaves_only_touches_unknown(stop: float, target: float) -> None:
    answer = simulate(market(), DrawKey(7, 0, 5), Simulation(12), stop, target)
    assert answer.unknown is Unknown.NO
    assert 0.0 < answer.up < 1.0
    sides = [answer.long.target, answer.long.stop, answer.short.target, answer.short.stop]
    assert np.isnan(sides).all()


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("method", {"method": "levy"}), ("horizon", {"horizon": 0}), ("multiple of 4", {"paths": 1001}),
        ("multiple of 4", {"paths": 96}), ("window", {"window": 1}), ("block", {"block": 51}), ("block", {"block": 0}),
        ("ascend", {"band_steps": (1, 1)}), ("ascend", {"band_steps": (0,)}), ("ascend", {"band_steps": (13,)}),
    ],
)  # fmt: skip
def test_a_simulation_out_of_range_is_refused(words: str, given: dict[str, object]) -> None:
    with pytest.raises(UserError, match=words):
        Simulation(**{"horizon": 12, **given})  # type: ignore[arg-type]


# Reading


@pytest.mark.parametrize(
    ("up", "reading"),
    [
        (0.66, UpReading.STRONG), (0.65, UpReading.MODERATE), (0.56, UpReading.MODERATE), (0.55, UpReading.NONE),
        (0.5, UpReading.NONE), (0.45, UpReading.NONE), (0.44, UpReading.AVOID), (0.0, UpReading.AVOID),
        (1.0, UpReading.STRONG), (math.nan, UpReading.NONE),
    ],
)  # fmt: skip
def test_the_up_probability_is_read_as_defined(up: float, reading: UpReading) -> None:
    assert read_up(up) is reading

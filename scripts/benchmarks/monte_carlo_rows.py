"""P5: Monte-Carlo, 1,000 paths of 60 bars with bands at every bar and touch probabilities of both sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import in_turn, repeated

PATHS, HORIZON, WINDOW = 1000, 60, 50
LEVELS = (0.025, 0.05, 0.15, 0.85, 0.95, 0.975)
STOP, TARGET = 1.5, 3.75  # in standard deviations of one bar
CALLS = 20  # per measurement


def _steps(close: Any, draws: np.random.Generator) -> tuple[Any, float]:
    returns = np.diff(np.log(close[-WINDOW - 1 :]))
    deviation = float(returns.std(ddof=1))
    return returns.mean() + deviation * draws.standard_normal((PATHS, HORIZON)), deviation


def _summary(paths: Any, newest: float) -> tuple[Any, ...]:
    price = newest * np.exp(paths)
    return (price[:, -1] > newest).mean(), price[:, -1].mean(), np.quantile(price, LEVELS, axis=0)


def _first(met: Any) -> Any:
    return np.where(met.any(axis=1), met.argmax(axis=1), HORIZON)


def at_closes(close: Any, stop: float, target: float, draws: np.random.Generator) -> tuple[Any, ...]:
    """numpy as one writes it: touches are looked for at the closes only (so there are too few)."""
    steps, _ = _steps(close, draws)
    paths, newest = np.cumsum(steps, axis=1), close[-1]
    touches = []
    for above, below in ((newest + target, newest - stop), (newest + stop, newest - target)):
        up, down = _first(paths >= np.log(above / newest)), _first(paths <= np.log(below / newest))
        touches.append(((up < down).mean(), (down < up).mean()))
    return *_summary(paths, newest), touches


def between_closes(close: Any, stop: float, target: float, draws: np.random.Generator) -> tuple[Any, ...]:
    """The same with each bar's high and low as a Brownian bridge has them: the statistics of the program."""
    steps, deviation = _steps(close, draws)
    paths, newest = np.cumsum(steps, axis=1), close[-1]
    ends = 2.0 * paths - steps
    span = np.sqrt(steps**2 + 2.0 * deviation**2 * draws.standard_exponential((PATHS, HORIZON)))
    low, high = 0.5 * (ends - span), 0.5 * (ends + span)
    touches = []
    for above, below in ((newest + target, newest - stop), (newest + stop, newest - target)):
        up, down = _first(high >= np.log(above / newest)), _first(low <= np.log(below / newest))
        touches.append(((up < down).mean(), ((down <= up) & (down < HORIZON)).mean()))
    return *_summary(paths, newest), touches


def simulating(bench: Bench) -> list[Row]:
    """P5, beside both peers. Every call has a new key: fresh draws."""
    from ai.monte_carlo import DrawKey, Simulation, simulate

    frame, _ = bench.market
    close = np.ascontiguousarray(frame.close[-WINDOW - 1 :])
    deviation = float(np.diff(np.log(close)).std(ddof=1)) * float(close[-1])
    stop, target = STOP * deviation, TARGET * deviation
    draws, opened = np.random.default_rng(SEED), [0]

    def ours(simulation: Any) -> Any:
        def once() -> None:
            opened[0] += frame.key.step_ms
            simulate(close, DrawKey(SEED, 0, opened[0]), simulation, stop, target)

        return repeated(once, CALLS)

    drift = Simulation(HORIZON, PATHS)
    blocks = Simulation(HORIZON, PATHS, "bootstrap")
    mine, plain, same, drawn = in_turn(
        ours(drift),
        repeated(lambda: at_closes(close, stop, target, draws), CALLS),
        repeated(lambda: between_closes(close, stop, target, draws), CALLS),
        ours(blocks),
        rounds=11,
    )
    what = f"Monte-Carlo, {PATHS:,} × {HORIZON}, bands and touches"
    goal, title = Goal("≥ 10×", ratio=10.0), f"numpy {np.__version__}"
    return [
        measured("P5", what, 1e6 * mine, "µs", goal, f"{title}, closes only", 1e6 * plain,
                 "here touches between the closes count too; fresh draws, bands at every bar, both sides; one thread"),
        measured("P5", "the same", 1e6 * mine, "µs", goal, f"{title}, the same rules", 1e6 * same),
        measured("P5", "the same, block bootstrap", 1e6 * drawn, "µs", Goal("–"), None, None,
                 "touches at the closes only"),
    ]  # fmt: skip

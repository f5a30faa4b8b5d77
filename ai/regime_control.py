"""The control of a regime forecast: what the same classifier scores where direction is a coin's.

Every bar keeps its size, its range and its volume; whether it went up or down is drawn anew. Volatility stays as it
was, trends are chance. Skill that is left in the control comes from the overlap of the windows, not from the market.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ai.regime import regime_ahead, regime_warmup_bars
from ai.regime_model import frame_inputs
from ai.regime_scores import RegimeScores, RegimeWalk, walk_regimes
from ai.validation.splits import Duration, walk_forward_windows
from data.market import Float64Array, Frame


@dataclass(frozen=True, slots=True)
class RegimeReport:
    """Scores of the market and of its control, and what they say together."""

    market: RegimeScores
    control: RegimeScores
    verdict: str


def flipped_market(frame: Frame, generator: np.random.Generator) -> Frame:
    """The same bars with their directions drawn by a fair coin, from the first open on; gaps between bars turn too."""
    return turned_market(frame, generator.choice([-1.0, 1.0], len(frame)))


def turned_market(frame: Frame, sign: Float64Array) -> Frame:
    """The same bars, those with ``sign[T]`` -1 upside down, each from the close before it on; 1 leaves it as it was."""
    if not len(frame):
        return frame
    before = np.concatenate([frame.open[:1], frame.close[:-1]])
    opened, high, low, close = (np.log(x / before) * sign for x in (frame.open, frame.high, frame.low, frame.close))
    level = np.log(frame.open[0]) + np.concatenate([[0.0], np.cumsum(close)[:-1]])
    prices = [np.exp(level + x) for x in (opened, np.maximum(high, low), np.minimum(high, low), close)]
    return dataclasses.replace(frame, open=prices[0], high=prices[1], low=prices[2], close=prices[3])


def walk_frame(frame: Frame, train: Duration, test: Duration, seed: int = 7, draws: int = 1000) -> RegimeWalk:
    """Walk the classifier over a frame, each fold tested right after its training window.

    Raises:
        UserError: too little data for one fold.
    """
    inputs, path = frame_inputs(frame)
    target = regime_ahead(path.state, frame.open_time, frame.key.step_ms)
    warmup = regime_warmup_bars(frame.key.timeframe)
    windows = walk_forward_windows(frame.open_time, frame.key.step_ms, train, test, test, warmup)
    return walk_regimes(inputs, path.state, target, windows, seed, draws)


def regime_report(frame: Frame, train: Duration, test: Duration, seed: int = 7, draws: int = 1000) -> RegimeReport:
    """Out-of-sample scores of the classifier beside those of its control.

    Raises:
        UserError: too little data for one fold.
    """
    market = walk_frame(frame, train, test, seed, draws).scores
    flipped = flipped_market(frame, np.random.default_rng(seed))
    control = walk_frame(flipped, train, test, seed, draws).scores
    return RegimeReport(market, control, _verdict(market, control))


def _verdict(market: RegimeScores, control: RegimeScores) -> str:
    if market.skill.high >= 0.0:
        return market.verdict
    if market.skill.high < control.skill.low:
        return f"{market.verdict}; more than where directions are a coin's, so the market tells something of its own"
    return f"{market.verdict}; but no more than where directions are a coin's: the windows overlap, no more is known"

"""What stands beside a decision's probabilities: the models' own judgement of them, and simulated paths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ai.forecast import ABSTAIN_WORDS, FIRST_ADVICE, REGIMES, Abstain, Col, Extra
from ai.monte_carlo import DrawKey, MonteCarlo, Simulation, Unknown, simulate
from ai.regime import REGIME_NAMES
from app.contract.judgement import JudgementView, NamedAmount, PathsView
from app.documents import number

if TYPE_CHECKING:
    from data.market import Float64Array, Frame, Record

CLASSES = ("short", "neutral", "long")  # bits 1, 2, 4 of a conformal set
PATHS_AHEAD = 24  # bars, where the decision made no plan


def regime_words(state: int) -> str:
    """``Strong up`` of a state's number; empty where it is unknown."""
    return REGIME_NAMES[state].replace("_", " ").capitalize() if 0 <= state < len(REGIME_NAMES) else ""


def judgement(row: Float64Array | None) -> JudgementView | None:
    """Of a forecast row ``[WIDTH]``; ``None`` where there is none."""
    if row is None or not math.isfinite(float(row[Col.P_LONG])):
        return None
    code, state, held = Abstain(int(row[Col.ABSTAIN])), number(row[Extra.REGIME]), number(row[Extra.SET])
    first = int(Extra.FIRST_REGIME)
    chances = [number(value) for value in row[first : first + REGIMES]]
    known = [(regime_words(k), p) for k, p in enumerate(chances) if p is not None]
    return JudgementView(
        advice=ABSTAIN_WORDS[code] if code >= FIRST_ADVICE else "",
        regime="" if state is None else regime_words(int(state)),
        regimes=tuple(NamedAmount(name, p) for name, p in known),
        spread=number(row[Extra.SPREAD]), outside=number(row[Extra.OUTSIDE]),
        possible=() if held is None else tuple(name for k, name in enumerate(CLASSES) if int(held) >> k & 1),
        take=number(row[Extra.TAKE]), size=number(row[Extra.SIZE]),
    )  # fmt: skip


def paths(frame: Frame, row: Record, seed: int, step_ms: int) -> PathsView | None:
    """Simulated from the last close of ``frame``, the bar decided on; with the plan's stop and target where it has one.

    The random numbers are keyed by seed, symbol and time, so the same decision always shows the same paths.
    """
    planned = int(row["plan_id"]) != 0
    entry = float(row["entry"])
    stop = abs(float(row["stop"]) - entry) if planned else math.nan
    target = abs(float(row["target"]) - entry) if planned else math.nan
    opened = int(row["open_time"]) + step_ms
    bars = max(1, round((int(row["time_limit"]) - opened) / step_ms)) if planned and row["time_limit"] else PATHS_AHEAD
    key = DrawKey(seed, int(row["symbol"]), int(row["open_time"]))
    made = simulate(frame.close, key, Simulation(bars, band_steps=(bars,)), stop, target)
    return None if made.unknown != Unknown.NO else _view(made, bars, short=int(row["signal"]) < 0)


def _view(made: MonteCarlo, bars: int, short: bool) -> PathsView:
    side = made.short if short else made.long
    low, high = made.band(95)[-1]
    return PathsView(
        Simulation(bars).paths, bars, made.up, made.expected, number(side.target), number(side.stop), float(low),
        float(high),
    )  # fmt: skip

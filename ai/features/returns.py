"""Log returns over several horizons and momentum in units of volatility."""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec
from ai.features.window import CLOSE, RETURN_COUNT, RETURNS, RUN, newest, squares
from data.compiled import kernel_part
from data.market import Float64Array

HORIZONS = (1, 2, 3, 6, 12, 24, 48, 96)

RETURN_SPECS: tuple[FeatureSpec, ...] = tuple(
    FeatureSpec(f"log_return_{n}", "returns", n + 1, "fraction", f"log return over {n} bars", ("close",), "TA-Lib LN")
    for n in HORIZONS
) + tuple(
    FeatureSpec(
        f"momentum_{n}", "returns", 97, "standard deviations",
        f"log return over {n} bars / (root mean square of 96 returns x sqrt({n}))", ("close",), "scaled return",
    )
    for n in (6, 24, 96)
)  # fmt: skip


@kernel_part
def step_returns(state: Float64Array, close: float, out: Float64Array, at: int) -> None:
    """Returns whose horizon holds a gap are NaN."""
    run = state[RUN]
    for i in range(len(HORIZONS)):
        bars = HORIZONS[i]
        if run > bars:
            out[at + i] = math.log(close / newest(state, CLOSE, bars))
    if state[RETURN_COUNT] >= 96:
        scale = math.sqrt(squares(state, RETURNS, 96, 0.0) / 96)
        for i in range(3):
            bars = (6, 24, 96)[i]
            if run > bars:
                out[at + 8 + i] = out[at + (3, 5, 7)[i]] / (scale * math.sqrt(bars)) if scale > 0.0 else 0.0

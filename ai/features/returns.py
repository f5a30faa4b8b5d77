"""Log returns over several horizons and momentum in units of volatility."""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec
from ai.features.window import CLOSE, RETURN_COUNT, RETURNS, RUN, squares, window
from data.compiled import kernel
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


@kernel
def step_returns(market: Float64Array, close: float, out: Float64Array) -> None:
    """Returns whose horizon holds a gap are NaN."""
    run = market[RUN]
    for i, bars in enumerate(HORIZONS):
        if run > bars:
            out[i] = math.log(close / window(market, CLOSE, bars + 1)[0])
    if market[RETURN_COUNT] >= 96:
        scale = math.sqrt(squares(window(market, RETURNS, 96), 0.0) / 96)
        for i in range(3):
            bars = (6, 24, 96)[i]
            if run > bars:
                out[8 + i] = out[(3, 5, 7)[i]] / (scale * math.sqrt(bars)) if scale > 0.0 else 0.0

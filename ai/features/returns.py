"""Log returns over several horizons and momentum in units of volatility."""

from __future__ import annotations

import math

from ai.features.blocks import FREE, first_of, since, slot
from ai.features.spec import FeatureSpec
from ai.features.sums import square_totals
from ai.features.window import CLOSE, MASK, RETURN_COUNT, RETURNS, RUN
from data.compiled import kernel_part
from data.market import Float64Array, UInt8Array

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
def step_returns(state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """Returns whose horizon holds a gap are NaN."""
    n, run, c = held & MASK, state[RUN], first_of(state, CLOSE, held)
    if asked[at]:
        returns = first_of(state, RETURNS, held)
        for k in range(since(run, held, 2), n):
            out[at, k] = state[returns + k]
    for i in range(1, len(HORIZONS)):
        if asked[at + i] or (i % 2 == 1 and i > 1 and asked[at + 7 + i // 2]):
            bars = HORIZONS[i]
            for k in range(since(run, held, bars + 1), n):
                out[at + i, k] = math.log(state[c + k] / state[c + k - bars])
    if not (asked[at + 8] or asked[at + 9] or asked[at + 10]):
        return
    scales = slot(FREE)
    square_totals(state, RETURNS, held, 96, FREE)
    for k in range(n):
        state[scales + k] = math.sqrt(state[scales + k] / 96)
    for i in range(3):
        if not asked[at + 8 + i]:
            continue
        bars, row = (6, 24, 96)[i], at + (3, 5, 7)[i]
        first = max(since(run, held, bars + 1), since(state[RETURN_COUNT], held, 96))
        for k in range(first, n):
            scale = state[scales + k]
            out[at + 8 + i, k] = out[row, k] / (scale * math.sqrt(bars)) if scale > 0.0 else 0.0

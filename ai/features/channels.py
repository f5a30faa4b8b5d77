"""Price channels of the bars before this one: what a breakout is measured against (Donchian).

Here, and not beside the other ranges, because only strategies that name them read them; in price, so that a condition
compares them with the close.
"""

from __future__ import annotations

from ai.features.spec import FeatureSpec
from ai.features.window import COUNT, HIGH, LOW, window
from data.compiled import kernel_part
from data.market import Float64Array

SHORT, LONG = 20, 55


def _spec(side: str, which: str, column: str, bars: int) -> FeatureSpec:
    return FeatureSpec(
        f"channel_{side}_{bars}", "channels", bars + 1, "price", f"{which} of the {bars} bars before this one",
        (column,), "Donchian channel",
    )  # fmt: skip


CHANNELS: tuple[FeatureSpec, ...] = tuple(
    _spec(side, which, side, bars)
    for bars in (SHORT, LONG)
    for side, which in (("high", "highest high"), ("low", "lowest low"))
)


@kernel_part
def _channel(state: Float64Array, bars: int, out: Float64Array, at: int) -> None:
    if state[COUNT] <= bars:
        return
    highs, lows = window(state, HIGH, bars + 1), window(state, LOW, bars + 1)
    top, bottom = state[highs], state[lows]
    for m in range(1, bars):
        top, bottom = max(top, state[highs + m]), min(bottom, state[lows + m])
    out[at], out[at + 1] = top, bottom


@kernel_part
def step_channels(state: Float64Array, out: Float64Array, at: int) -> None:
    """The newest bar's channels; its own high and low are no part of them."""
    _channel(state, SHORT, out, at)
    _channel(state, LONG, out, at + 2)

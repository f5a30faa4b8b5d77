"""Basis, open interest and ratios of long to short, as they were known at the bar's close.

Everything here reads what stands beside the candles (:mod:`data.beside`): NaN where nothing was known, or nothing
young enough. Windows hold a value for every bar; where fewer than three quarters of them are there, the feature is
missing. Nothing is carried on and nothing is filled in from later. After a gap in the bars a change is missing until
its whole span lies behind the gap.
"""

from __future__ import annotations

import math

import numpy as np

from ai.features.spec import FeatureSpec
from ai.features.window import (
    ACCOUNTS,
    BASIS_INDEX,
    BASIS_MARK,
    CLOSE,
    COUNT,
    OPEN_INTEREST,
    RUN,
    newest,
    put,
    zscore_present,
)
from data.beside import ACCOUNT, INDEX, INTEREST, MARK, TAKER, TOP_ACCOUNT, TOP_POSITION
from data.compiled import kernel
from data.market import Float64Array

LONG, LEAST = 96, 72  # bars of a window, and how many of them have to be there
_DAY = 24  # bars

_BP = "basis points"
_Z = "standard deviations"
_MI, _MC = ("mark_price", "index_price"), ("mark_price", "close")
_OI, _OIC = ("open_interest",), ("open_interest", "close")


def _spec(
    name: str, group: str, lookback: int, unit: str, meaning: str, inputs: tuple[str, ...], source: str
) -> FeatureSpec:
    return FeatureSpec(name, group, lookback, unit, meaning, inputs, source, optional=True)


BASIS: tuple[FeatureSpec, ...] = (
    _spec("basis_index", "basis", 1, _BP, "mark price above (+) or below (-) the index", _MI, "premium"),
    _spec("basis_mark", "basis", 1, _BP, "close above (+) or below (-) the mark price", _MC, "premium"),
    _spec("basis_index_zscore_96", "basis", LONG, _Z, "basis_index against 96 bars (ddof 0)", _MI, "z-score"),
    _spec("basis_mark_zscore_96", "basis", LONG, _Z, "basis_mark against 96 bars (ddof 0)", _MC, "z-score"),
)

INTEREST_SPECS: tuple[FeatureSpec, ...] = (
    _spec("oi_change_1", "open_interest", 2, "fraction", "log change of open interest in 1 bar", _OI, "log change"),
    _spec("oi_change_24", "open_interest", _DAY + 1, "fraction", "log change of open interest in 24 bars", _OI,
          "log change"),
    _spec("oi_zscore_96", "open_interest", LONG, _Z, "open interest against 96 bars (ddof 0)", _OI, "z-score"),
    _spec("oi_with_price_24", "open_interest", _DAY + 1, "fraction",
          "oi_change_24 with the sign of the price's change: + where positions are built with the move", _OIC,
          "signed change"),
)  # fmt: skip

RATIO_SPECS: tuple[FeatureSpec, ...] = (
    _spec("account_skew", "ratios", 1, "log ratio", "accounts that are long over those short", ("account_ratio",),
          "exchange ratio"),
    _spec("top_account_skew", "ratios", 1, "log ratio", "the same of the large accounts", ("top_account_ratio",),
          "exchange ratio"),
    _spec("top_position_skew", "ratios", 1, "log ratio", "positions of the large accounts, long over short",
          ("top_position_ratio",), "exchange ratio"),
    _spec("taker_skew", "ratios", 1, "log ratio", "volume that takers bought over what they sold", ("taker_ratio",),
          "exchange ratio"),
    _spec("account_skew_zscore_96", "ratios", LONG, _Z, "account_skew against 96 bars (ddof 0)", ("account_ratio",),
          "z-score"),
    _spec("top_against_all", "ratios", 1, "log ratio", "top_position_skew above (+) or below (-) account_skew",
          ("top_position_ratio", "account_ratio"), "difference"),
)  # fmt: skip


@kernel
def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else np.nan


@kernel
def step_basis(state: Float64Array, c: float, beside: Float64Array, b: int, out: Float64Array, at: int) -> None:
    """Premium of the mark price over the index and of the close over the mark price."""
    mark, index = beside[b + MARK], beside[b + INDEX]
    out[at] = 1e4 * (mark / index - 1.0)
    out[at + 1] = 1e4 * (c / mark - 1.0)
    put(state, BASIS_INDEX, out[at])
    put(state, BASIS_MARK, out[at + 1])
    if state[COUNT] >= LONG:
        out[at + 2] = zscore_present(state, BASIS_INDEX, LONG, LEAST)
        out[at + 3] = zscore_present(state, BASIS_MARK, LONG, LEAST)


@kernel
def step_open_interest(state: Float64Array, c: float, beside: Float64Array, b: int, out: Float64Array, at: int) -> None:
    """Changes of open interest, in base units so that the price does not enter."""
    put(state, OPEN_INTEREST, _log(beside[b + INTEREST]))
    now = newest(state, OPEN_INTEREST, 0)
    if state[RUN] > 1:
        out[at] = now - newest(state, OPEN_INTEREST, 1)
    if state[RUN] > _DAY:
        change = now - newest(state, OPEN_INTEREST, _DAY)
        out[at + 1] = change
        out[at + 3] = change * np.sign(c - newest(state, CLOSE, _DAY))
    if state[COUNT] >= LONG:
        out[at + 2] = zscore_present(state, OPEN_INTEREST, LONG, LEAST)


@kernel
def step_ratios(state: Float64Array, beside: Float64Array, b: int, out: Float64Array, at: int) -> None:
    """Logarithms, so that twice as many longs and twice as many shorts are equally far from even."""
    out[at] = _log(beside[b + ACCOUNT])
    out[at + 1] = _log(beside[b + TOP_ACCOUNT])
    out[at + 2] = _log(beside[b + TOP_POSITION])
    out[at + 3] = _log(beside[b + TAKER])
    put(state, ACCOUNTS, out[at])
    if state[COUNT] >= LONG:
        out[at + 4] = zscore_present(state, ACCOUNTS, LONG, LEAST)
    out[at + 5] = out[at + 2] - out[at]

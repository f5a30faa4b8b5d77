"""The order book at the bar's close, what takers did inside the bar, and forced orders.

Everything here reads what stands beside the candles (:mod:`data.beside`): NaN where nothing was recorded. Trades count
only where those recorded make up nearly the whole volume of the bar: a bar that was watched for its last seconds only
says nothing of its flow.
"""

from __future__ import annotations

import numpy as np

from ai.features.positioning import LEAST, LONG
from ai.features.spec import FeatureSpec
from ai.features.window import (
    BOOK_LEAN,
    COUNT,
    LIQUIDATED_LONG,
    LIQUIDATED_SHORT,
    TAKER_BUY,
    TAKER_SELL,
    TRADE_COUNT,
    VOLUME,
    present,
    put,
    total,
    zscore_present,
)
from data.beside import ASK, BID, BOUGHT, IMBALANCE, LIQUIDATED, MICROPRICE, SOLD, TRADES
from data.compiled import kernel
from data.market import Float64Array

WATCHED = 0.9  # share of the bar's volume that the recorded trades must make up
_DAY = 24  # bars
_SHARE = 0.75  # of a window's bars that have to be there

_L, _T, _Q = ("bid", "ask"), ("taker_buy", "taker_sell", "volume"), ("liquidated_long", "liquidated_short", "volume")


def _spec(
    name: str, group: str, lookback: int, unit: str, meaning: str, inputs: tuple[str, ...], source: str
) -> FeatureSpec:
    return FeatureSpec(name, group, lookback, unit, meaning, inputs, source, optional=True)


BOOK: tuple[FeatureSpec, ...] = (
    _spec("book_spread", "book", 1, "basis points", "ask above bid, of their middle", _L, "order book"),
    _spec("book_imbalance_1", "book", 1, "-1..1", "best bid's size against the best ask's", ("imbalance_1",),
          "order book"),
    _spec("book_imbalance_5", "book", 1, "-1..1", "the same of five levels", ("imbalance_5",), "order book"),
    _spec("book_imbalance_10", "book", 1, "-1..1", "the same of ten levels", ("imbalance_10",), "order book"),
    _spec("book_imbalance_5_mean_12", "book", 12, "-1..1", "mean of book_imbalance_5 at 12 closes", ("imbalance_5",),
          "mean"),
    _spec("book_microprice", "book", 1, "basis points", "microprice above (+) or below (-) the middle",
          (*_L, "microprice"), "Gatheral & Oomen 2010: middle weighted by sizes"),
)  # fmt: skip

FLOW_SPECS: tuple[FeatureSpec, ...] = (
    *(
        _spec(f"taker_imbalance_{n}", "flow", n, "-1..1", f"takers bought (+) or sold (-) more in {n} bars", _T,
              "recorded trades")
        for n in (1, 12, 96)
    ),
    _spec("taker_buy_share_12", "flow", 12, "fraction", "buy pressure: share of 12 bars' volume that takers bought", _T,
          "recorded trades"),
    _spec("trade_count_zscore_96", "flow", LONG, "standard deviations", "number of trades against 96 bars (ddof 0)",
          ("trades", "taker_buy", "taker_sell", "volume"), "z-score"),
    _spec("liquidation_share", "flow", 1, "fraction", "volume of forced orders, of the bar's volume", _Q,
          "recorded liquidations"),
    _spec("liquidation_share_24", "flow", _DAY, "fraction", "the same of 24 bars", _Q, "recorded liquidations"),
    _spec("liquidation_lean_24", "flow", _DAY, "-1..1", "shorts (+) or longs (-) were forced out more in 24 bars", _Q,
          "recorded liquidations"),
)  # fmt: skip


@kernel
def step_book(state: Float64Array, beside: Float64Array, b: int, out: Float64Array, at: int) -> None:
    """Spread, lean of the sizes, and where the microprice stands."""
    bid, ask = beside[b + BID], beside[b + ASK]
    middle = 0.5 * (bid + ask)
    out[at] = 1e4 * (ask - bid) / middle
    for k in range(3):
        out[at + 1 + k] = beside[b + IMBALANCE + k]
    put(state, BOOK_LEAN, out[at + 2])
    if state[COUNT] >= 12:
        count, summed = present(state, BOOK_LEAN, 12)
        if count >= 12 * _SHARE:
            out[at + 4] = summed / count
    out[at + 5] = 1e4 * (beside[b + MICROPRICE] / middle - 1.0)


@kernel
def _balance(state: Float64Array, plus: int, minus: int, bars: int) -> float:
    """(plus - minus) / (plus + minus) over the bars that are there; 0 where nothing happened, NaN where few are."""
    count, added = present(state, plus, bars)
    taken = present(state, minus, bars)[1]
    if state[COUNT] < bars or count < bars * _SHARE:
        return np.nan
    return (added - taken) / (added + taken) if added + taken > 0.0 else 0.0


@kernel
def step_flow(state: Float64Array, v: float, beside: Float64Array, b: int, out: Float64Array, at: int) -> None:
    """Who took, how many trades, and what was forced."""
    bought, sold, trades = beside[b + BOUGHT], beside[b + SOLD], beside[b + TRADES]
    if not bought + sold >= WATCHED * v:
        bought = sold = trades = np.nan
    put(state, TAKER_BUY, bought)
    put(state, TAKER_SELL, sold)
    put(state, TRADE_COUNT, trades)
    for k in range(3):
        out[at + k] = _balance(state, TAKER_BUY, TAKER_SELL, (1, 12, 96)[k])
    out[at + 3] = 0.5 + 0.5 * out[at + 1]
    if state[COUNT] >= LONG:
        out[at + 4] = zscore_present(state, TRADE_COUNT, LONG, LEAST)
    longs, shorts = beside[b + LIQUIDATED], beside[b + LIQUIDATED + 1]
    put(state, LIQUIDATED_LONG, longs)
    put(state, LIQUIDATED_SHORT, shorts)
    out[at + 5] = (longs + shorts) / v if v > 0.0 else 0.0 * (longs + shorts)
    if state[COUNT] >= _DAY:
        count, forced = present(state, LIQUIDATED_LONG, _DAY)
        if count == _DAY:
            traded = total(state, VOLUME, _DAY)
            forced += present(state, LIQUIDATED_SHORT, _DAY)[1]
            out[at + 6] = forced / traded if traded > 0.0 else 0.0
    out[at + 7] = _balance(state, LIQUIDATED_SHORT, LIQUIDATED_LONG, _DAY)

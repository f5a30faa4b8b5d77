"""The chart: bars, indicators, trades and the open position of one series."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ai.features.engine import FeatureEngine
from ai.features.registry import BY_NAME, schema_of
from app.contract.queries import ChartQuery
from app.contract.views import ChartView, FloatArray, TradeMarker
from app.documents import SIDES, exit_name
from app.projection_context import Context, base, digits, newest_bar_ms
from app.result_rows import trade_row
from data.market import Frame
from data.timeframes import TIMEFRAMES
from database.trading import Filter

if TYPE_CHECKING:
    from data.market import SeriesKey
    from data.store import CandleStore

ROOM_BARS = 500  # before the trade that a person wants to see
NAMES = {"EMA": "ema_{}", "RSI": "rsi_{}", "ATR": "atr_{}"}


def chart(query: ChartQuery, context: Context) -> ChartView:
    """The newest bars of a series with what was traded on them."""
    store = context.place.database.candles
    symbol = query.symbol or context.symbols[0]
    key = context.key_of(symbol, query.timeframe)
    stored = [i.key for i in store.series() if i.key.kind == "ohlcv" and i.rows and _same_market(i.key, key)]
    last = newest_bar_ms(context.account) if context.account is not None else None
    # only bars that had closed with the run's newest one are shown; a back-test's trades may lie behind it
    before = None if last is None or query.backtest else last + context.step_ms - key.step_ms + 1
    frame = store.tail(key, _bars(query, store, key), before)
    own = [k for k in stored if k.symbol == symbol]
    return ChartView(
        symbol=symbol, timeframe=key.timeframe, origin="synthetic" if key.source == "synthetic" else key.exchange,
        symbols=tuple(dict.fromkeys([*context.symbols, *(k.symbol for k in stored)])),
        timeframes=tuple(sorted({key.timeframe, *(k.timeframe for k in own)}, key=lambda t: TIMEFRAMES[t])),
        time=frame.open_time, open=frame.open, high=frame.high, low=frame.low, close=frame.close,
        volume=frame.volume, base=base(symbol), price_digits=digits(symbol)[0],
        indicators=indicators(frame, query.indicators),
        trades=_backtested(context, query, frame) if query.backtest else _markers(context, symbol, frame),
        position=next((p for p in context.positions.positions if p.symbol == symbol), None),
    )  # fmt: skip


def _bars(query: ChartQuery, store: CandleStore, key: SeriesKey) -> int:
    """How many bars: those asked for, or as many as reach back to ``from_ms`` with some room before it."""
    if query.from_ms is None:
        return query.bars
    newest = store.tail(key, 1)
    behind = (int(newest.open_time[-1]) - query.from_ms) // key.step_ms if len(newest) else 0
    return max(query.bars, int(behind) + ROOM_BARS)


def _backtested(context: Context, query: ChartQuery, frame: Frame) -> tuple[TradeMarker, ...]:
    """The trades of a stored back-test on these bars; none where it was put away meanwhile."""
    stored = context.place.database.backtests
    if query.backtest not in {head.number for head in stored.heads()}:
        return ()
    document = stored.body(query.backtest)["document"]
    rows = (trade_row(t) for t in document["trades"] if t["symbol"] == frame.key.symbol)
    first = int(frame.open_time[0]) if len(frame) else 0
    return tuple(
        TradeMarker(t.trade_id, t.side, t.entry_ms, t.entry, t.exit_ms, t.exit, t.pnl, t.exit_reason)
        for t in rows if t.entry_ms >= first
    )  # fmt: skip


def _same_market(one: SeriesKey, other: SeriesKey) -> bool:
    return (one.exchange, one.source) == (other.exchange, other.source)


def indicators(frame: Frame, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """``"EMA 20"`` and the like over the frame, by the registry's own features; unknown ones are left out."""
    wanted: dict[str, str] = {}
    for name in names:
        found = re.fullmatch(r"([A-Z]+) (\d+)", name.strip().upper())
        feature = NAMES[found[1]].format(found[2]) if found and found[1] in NAMES else ""
        if feature in BY_NAME:
            wanted[name] = feature
    if not wanted or not len(frame):
        return {}
    schema = schema_of(dict.fromkeys(wanted.values()))
    values = FeatureEngine(schema, frame.key.timeframe).batch(frame)
    return {name: values[schema.index(feature)] for name, feature in wanted.items()}


def _markers(context: Context, symbol: str, frame: Frame) -> tuple[TradeMarker, ...]:
    account = context.account
    if account is None or symbol not in account.symbols or not len(frame):
        return ()
    trades = context.place.database.trading.trades(
        account.id, Filter(symbol=symbol, start_ms=int(frame.open_time[0]))
    )  # fmt: skip
    here = trades[np.asarray(trades["entry_time"]) >= frame.open_time[0]]
    return tuple(
        TradeMarker(
            int(t["trade_id"]), SIDES[int(t["side"])], int(t["entry_time"]), float(t["entry_price"]),
            int(t["exit_time"]), float(t["exit_price"]), float(t["pnl"]), exit_name(int(t["exit_reason"])),
        )
        for t in here
    )  # fmt: skip

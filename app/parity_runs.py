"""The back-tests of a parity: what each of them reads, from today's bars to what the session knew and met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.forecast import Abstain, abstaining_row
from ai.schema import FeatureSchema
from app.day_history import day_closes
from app.finer_bars import Read, finer_of, reads_finer
from app.parity_session import Session, same_settings
from app.wiring import (
    Workplace,
    cut,
    extras_for,
    feature_cube,
    first_bar,
    mark_frame,
    read_funding,
    with_marks,
)
from data.grid import align
from data.market import Float64Array, Frame, FundingFrame, Record, SeriesKey
from trading.backtest import RunResult, run_fast
from trading.departures import Departures, run_departing
from trading.finer import FinerGrid
from trading.parity import FUNDING, MISSED, REVISED
from trading.records import ExitReason

if TYPE_CHECKING:
    from data.grid import Grid
    from trading.config import TradingConfig

SAME_RATE = 1e-9  # relative: charged fees are sums of rounded products


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What one back-test reads, with the warm-up."""

    config: TradingConfig
    frames: tuple[Frame, ...]
    fundings: tuple[FundingFrame, ...]
    read: Read  # of finer bars inside these


def inputs_of(place: Workplace, session: Session) -> tuple[Inputs, list[str]]:
    """Today's bars and settlements under the session's rules, and what a person should know of them."""
    plan, store, notes = session.plan, place.database.candles, []
    begin, end = session.span[0] - plan.warmup * plan.step_ms, session.span[1]
    if not same_settings(place, session.account, plan):
        notes.append("The settings or the trading rules are not those of the run: what follows from that is 'fee' "
                     "where fees changed, else 'size', 'missed_fill' or 'unexplained'.")  # fmt: skip
    paper = plan.config.settings.paper.model_copy(update={"start_equity": session.account.start_equity})
    config = replace(plan.config, settings=plan.config.settings.model_copy(update={"paper": paper}))
    frames = tuple(store.read(key, begin, end) for key in plan.keys)
    fundings = tuple(with_marks(store, key, read_funding(store, key, begin, end)) for key in plan.keys)
    return Inputs(config, frames, fundings, store.read), notes


def known_then(place: Workplace, session: Session, now: Inputs) -> Sequence[tuple[str, Inputs, int]]:
    """The steps: (part, inputs after it, how many bars or settlements it changes)."""
    then = tuple(_as_first_known(place, session, frame) for frame in now.frames)
    frames = tuple(_valued(frame, old) for frame, old in zip(now.frames, then, strict=True))
    valued = replace(now, frames=frames, read=partial(_read_then, place, session))
    came = [_came(session, s, frame) for s, frame in enumerate(now.frames)]
    short = replace(valued, frames=tuple(f.take(seen) for f, seen in zip(valued.frames, came, strict=True)))
    settled = replace(short, fundings=tuple(_settlements_then(place, session, s) for s in range(len(then))))
    return (
        (
            REVISED,
            valued,
            sum(_changed(a, b) for a, b in zip(now.frames, valued.frames, strict=True))
            + _told_otherwise(place, session, now, valued),
        ),
        (MISSED, short, sum(int((~seen).sum()) for seen in came)),
        (FUNDING, settled, sum(_differ(a, b) for a, b in zip(now.fundings, settled.fundings, strict=True))),
    )


def _as_first_known(place: Workplace, session: Session, frame: Frame) -> Frame:
    """Bars before the session as they stood when it began; its own ones, on a live feed, as each came."""
    if not len(frame):
        return frame
    return _read_then(place, session, frame.key, int(frame.open_time[0]), int(frame.open_time[-1]) + 1)


def _read_then(place: Workplace, session: Session, key: SeriesKey, first: int, last: int) -> Frame:
    store = place.database.candles
    if session.account.key.mode == "replay":
        return store.read(key, first, last, session.began_ms)
    before = store.read(key, first, session.span[0], session.began_ms)
    return _joined(before, store.read_first(key, max(first, session.span[0]), last))


def _joined(a: Frame, b: Frame) -> Frame:
    names = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
    return Frame(a.key, *(np.concatenate([getattr(a, name), getattr(b, name)]) for name in names))


def _valued(frame: Frame, then: Frame) -> Frame:
    """Today's bars with the values of ``then`` where it has them."""
    kept = frame.take(~np.isin(frame.open_time, then.open_time))
    whole = _joined(kept, then)
    return whole.take(np.argsort(whole.open_time, kind="stable"))


def _changed(a: Frame, b: Frame) -> int:
    names = ("open", "high", "low", "close", "volume", "mark")
    differs = np.zeros(len(a), dtype=np.bool_)
    for name in names:
        differs |= getattr(a, name) != getattr(b, name)
    return int(differs.sum())


def _told_otherwise(place: Workplace, session: Session, now: Inputs, then: Inputs) -> int:
    """Bars inside which other finer bars are stored now than were then."""
    if not reads_finer(now.config):
        return 0
    grid = align(now.frames, now.fundings)
    part = cut(grid, first_bar(grid, session.span))
    a, b = (_finer(place, replace(now, read=inputs.read), part) for inputs in (now, then))
    if a is None or b is None:
        told = a or b
        return 0 if told is None else int(np.count_nonzero(told.begin >= 0))
    return sum(
        not all(np.array_equal(*pair) for pair in zip(_inside(a, *at), _inside(b, *at), strict=True))
        for at in np.argwhere((a.begin >= 0) | (b.begin >= 0)).tolist()
    )


def _inside(finer: FinerGrid, s: int, t: int) -> tuple[Float64Array, Float64Array]:
    first = int(finer.begin[s, t])
    part = slice(first, first + finer.parts) if first >= 0 else slice(0, 0)
    return finer.high[part], finer.low[part]


def _came(session: Session, s: int, frame: Frame) -> Any:
    """Which bars the session had: those before it, and those its ledger knows."""
    inside = frame.open_time >= session.span[0]
    missing = [time for symbol, time in session.missing if symbol == s]
    return ~inside | (np.isin(frame.open_time, session.bars) & ~np.isin(frame.open_time, missing))


def _settlements_then(place: Workplace, session: Session, s: int) -> FundingFrame:
    plan, store, key = session.plan, place.database.candles, session.plan.keys[s]
    begin, end = session.span[0] - plan.warmup * plan.step_ms, session.span[1] + plan.step_ms
    known = store.read_funding(key.exchange, key.symbol, key.source, begin, end, session.ended_ms)
    return with_marks(store, key, known)


def _differ(a: FundingFrame, b: FundingFrame) -> int:
    """Settlements that only one of the two has, or that say something else."""
    first = set(zip(a.time.tolist(), a.rate.tolist(), np.nan_to_num(a.mark_price).tolist(), strict=True))
    second = set(zip(b.time.tolist(), b.rate.tolist(), np.nan_to_num(b.mark_price).tolist(), strict=True))
    return len({row[0] for row in first ^ second})


def charged_config(config: TradingConfig, usual: Record, fills: Record) -> TradingConfig | None:
    """The run under the fees that the session's fills show; ``None`` where they are the back-test's own."""
    instruments, costs, other = list(config.instruments), {}, False
    for maker, name in ((0, "taker_fee"), (1, "maker_fee")):
        for s in range(len(instruments)):
            rate, before = _rate(fills, s, maker), _rate(usual, s, maker)
            if rate is None or before is None or abs(rate - before) <= SAME_RATE * max(abs(rate), abs(before)):
                continue
            other, costs[name] = True, rate
            instruments[s] = replace(instruments[s], **{name: rate})  # type: ignore[arg-type]
    if not other:
        return None
    settings = config.settings.model_copy(update={"costs": config.settings.costs.model_copy(update=costs)})
    return replace(config, instruments=tuple(instruments), settings=settings)


def _rate(fills: Record, s: int, maker: int) -> float | None:
    """Fees over notional of a symbol's fills, liquidations left out."""
    own = fills[(fills["symbol"] == s) & (fills["maker"] == maker) & (fills["reason"] != ExitReason.LIQUIDATION)]
    notional = float((own["price"] * own["quantity"]).sum())
    return float(own["fee"].sum()) / notional if notional else None


def run(place: Workplace, session: Session, inputs: Inputs, departures: Departures | None = None) -> RunResult:
    """One back-test; with ``departures`` bar by bar."""
    config, ai = inputs.config, place.settings.values.ai
    schema = FeatureSchema(config.features())
    grid = _grid(place, session, inputs)
    besides = [extras_for(place.database, frame, ai, schema.names).beside for frame in inputs.frames]
    features = feature_cube(schema, grid, inputs.frames, inputs.fundings, besides)
    first = first_bar(grid, session.span)
    part, X = cut(grid, first), np.ascontiguousarray(features[:, :, first:])
    rows = None if config.strategy.kind == "rule" else _forecasts(session, part)
    history, finer = _history(place, inputs, part), _finer(place, inputs, part)
    if departures is None:
        return run_fast(config, part, X, rows, schema, finer, history)
    return run_departing(config, part, X, rows, schema, finer, history, departures)


def _grid(place: Workplace, session: Session, inputs: Inputs) -> Grid:
    marks = [mark_frame(place.database.candles, frame.key, *session.span) for frame in inputs.frames]
    return align(inputs.frames, inputs.fundings, marks)


def _finer(place: Workplace, inputs: Inputs, part: Grid) -> FinerGrid | None:
    keys = [frame.key for frame in inputs.frames]
    return finer_of(place.database.candles, keys, part, inputs.config, inputs.read)


def _history(place: Workplace, inputs: Inputs, part: Grid) -> Float64Array | None:
    keys = [frame.key for frame in inputs.frames]
    return day_closes(place.database.candles, keys, int(part.open_time[0]), inputs.config) if part.bars else None


def _forecasts(session: Session, grid: Grid) -> Float64Array:
    """What was said, on the grid."""
    rows = np.tile(abstaining_row(Abstain.NO_MODEL), (len(grid.symbols), grid.bars, 1))
    at = {int(time): t for t, time in enumerate(grid.open_time)}
    for (s, time), row in session.forecasts.items():
        if time in at:
            rows[s, at[time]] = row
    return rows

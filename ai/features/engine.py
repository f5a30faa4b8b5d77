"""Feature values: one bar at a time, or a whole frame by a compiled loop over the very same step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai.features.calendar import step_calendar
from ai.features.cross import step_cross
from ai.features.derivatives import DERIVATIVES_STATE, step_derivatives
from ai.features.indicators import (
    AVERAGES_STATE,
    OSCILLATORS_STATE,
    step_averages,
    step_bands,
    step_oscillators,
)
from ai.features.order_flow import step_book, step_flow
from ai.features.positioning import step_basis, step_open_interest, step_ratios
from ai.features.registry import GROUPS, REGISTRY, rows_beside
from ai.features.returns import step_returns
from ai.features.shock import SHOCK_STATE, step_shock
from ai.features.trend import DIRECTION_STATE, step_direction, step_trend
from ai.features.volatility import step_volatility
from ai.features.volume import step_volume
from ai.features.window import COUNT, LAST_OPEN, STATE, push
from ai.schema import FeatureSchema
from data.beside import BESIDE, Beside
from data.compiled import kernel, kernel_part
from data.errors import UserError
from data.market import BarMark, Float64Array, Frame, FundingFrame, Int64Array
from data.timeframes import timeframe_ms

# state vector: rings, then what the recursive groups keep
_AVERAGES = STATE
_OSCILLATORS = _AVERAGES + AVERAGES_STATE
_DIRECTION = _OSCILLATORS + OSCILLATORS_STATE
_FUNDING = _DIRECTION + DIRECTION_STATE
_SHOCK = _FUNDING + DERIVATIVES_STATE
_STATE = _SHOCK + SHOCK_STATE

_AT = tuple(sum(len(group) for group in GROUPS[:g]) for g in range(len(GROUPS)))  # where a group's values begin
_ALL = len(REGISTRY)
_FURTHER = 1 + len(GROUPS)  # of the plan: whether any group after the twelfth runs
_BLOCK = 16


@kernel
def _step_further(
    state: Float64Array, plan: Int64Array, c: float, v: float, beside: Float64Array, b: int, full: Float64Array,
    at: int,
) -> None:  # fmt: skip
    """The groups that most schemas do without; a call of their own, so that the others do not pay for them."""
    if plan[13]:
        step_basis(state, c, beside, b, full, at + _AT[12])
    if plan[14]:
        step_open_interest(state, c, beside, b, full, at + _AT[13])
    if plan[15]:
        step_ratios(state, beside, b, full, at + _AT[14])
    if plan[16]:
        step_book(state, beside, b, full, at + _AT[15])
    if plan[17]:
        step_flow(state, v, beside, b, full, at + _AT[16])
    if plan[18]:
        step_cross(state, c, beside, b, full, at + _AT[17])


@kernel_part
def step_full(
    state: Float64Array, plan: Int64Array, open_time: int, o: float, h: float, low: float, c: float, v: float,
    funding_rate: float, beside: Float64Array, b: int, full: Float64Array, at: int,
) -> None:  # fmt: skip
    """One closed bar into ``state``, its values into ``full[at:]`` (registry order; what is not known stays as it is).

    ``plan`` holds the length of a bar in ms, then for each group of the registry whether it runs, then whether any
    group after the twelfth does. What stands beside the bar begins at ``beside[b]``.
    """
    if not push(state, plan[0], open_time, o, h, low, c, v):
        return
    close_time = open_time + plan[0]
    if plan[1]:
        full[at], full[at + 1], full[at + 2], full[at + 3], full[at + 4] = o, h, low, c, v
    if plan[2]:
        step_averages(state, _AVERAGES, c, full, at + _AT[1])
    if plan[3]:
        step_bands(state, c, full, at + _AT[2])
    if plan[4]:
        step_oscillators(state, _OSCILLATORS, c, full, at + _AT[3])
    if plan[5]:
        step_direction(state, _DIRECTION, c, full, at + _AT[4])
    if plan[6]:
        step_trend(state, c, full, at + _AT[5])
    if plan[7]:
        step_returns(state, c, full, at + _AT[6])
    if plan[8]:
        step_volatility(state, o, h, low, c, full, at + _AT[7])
    if plan[9]:
        step_volume(state, h, low, c, v, full, at + _AT[8])
    if plan[10]:
        step_calendar(close_time, full, at + _AT[9])
    if plan[11]:
        step_derivatives(state, _FUNDING, close_time, funding_rate, full, at + _AT[10])
    if plan[12]:
        step_shock(state, _SHOCK, plan[0], close_time, full, at + _AT[11])
    if plan[_FURTHER]:
        _step_further(state, plan, c, v, beside, b, full, at)


@kernel
def step_row(
    state: Float64Array, plan: Int64Array, pick: Int64Array, open_time: int, o: float, h: float, low: float, c: float,
    v: float, funding_rate: float, beside: Float64Array, full: Float64Array, row: Float64Array,
) -> None:  # fmt: skip
    """One closed bar; the asked features into ``row[F]``."""
    full[:] = np.nan
    step_full(state, plan, open_time, o, h, low, c, v, funding_rate, beside, 0, full, 0)
    for f in range(len(pick)):
        row[f] = full[pick[f]]


@kernel
def run_rows(
    state: Float64Array, plan: Int64Array, pick: Int64Array, open_time: Int64Array, o: Float64Array, h: Float64Array,
    low: Float64Array, c: Float64Array, v: Float64Array, funding: Float64Array, beside: Float64Array, apart: int,
    out: Float64Array,
) -> None:  # fmt: skip
    """The same step over all bars into ``out[F, T]``, written in blocks so that memory is touched in lines.

    What stands beside bar t begins at ``beside[t * apart]``.
    """
    bars = len(open_time)
    block = np.empty(_BLOCK * _ALL)
    for first in range(0, bars, _BLOCK):
        held = min(_BLOCK, bars - first)
        block[:] = np.nan
        for k in range(held):
            t = first + k
            step_full(
                state, plan, open_time[t], o[t], h[t], low[t], c[t], v[t], funding[t], beside, t * apart, block,
                k * _ALL,
            )  # fmt: skip
        for f in range(len(pick)):
            at = pick[f]
            for k in range(held):
                out[f, first + k] = block[at + k * _ALL]


def funding_by_bar(
    open_time: Int64Array, step_ms: int, funding: FundingFrame | None, known_ms: int | None = None
) -> Float64Array:
    """Per bar the rate of the last settlement that became known by its close, NaN where there was none: ``[T]``.

    A settlement at T belongs to the first bar with T <= close; one inside a gap to the bar after the gap. Those at or
    before ``known_ms`` (default: the first bar's open) are left out.
    """
    rates = np.full(len(open_time), np.nan)
    if funding is None or not len(funding) or not len(open_time):
        return rates
    first = np.searchsorted(funding.time, open_time[0] if known_ms is None else known_ms, side="right")
    bar = np.searchsorted(open_time + step_ms, funding.time[first:], side="left")
    inside = bar < len(open_time)
    rates[bar[inside]] = funding.rate[first:][inside]  # in time order: the last one of a bar stays
    return rates


class FeatureEngine:
    """Values of one symbol's features in the order of its closed bars.

    A value is NaN until its feature is warm. A group of which nothing is asked is not computed, and a value does not
    depend on what else is asked. A bar with a missing or non-positive price gives a row of NaN and is not taken in; nor
    is a suspect bar of a frame (``step`` is never given one), so no return is measured to, from or across it.
    Gaps: see :mod:`ai.features.window`.
    """

    def __init__(self, schema: FeatureSchema, timeframe: str) -> None:
        """Begin with no history.

        Raises:
            UserError: the schema names an unknown feature, or the timeframe is unknown.
        """
        position = {spec.name: i for i, spec in enumerate(REGISTRY)}
        unknown = [name for name in schema.names if name not in position]
        if unknown:
            raise UserError(f"Unknown feature '{unknown[0]}': 'features list' shows the registry.")
        self.schema = schema
        self.timeframe = timeframe
        self._step_ms = timeframe_ms(timeframe)
        asked = set(schema.names)
        runs = [int(any(spec.name in asked for spec in group)) for group in GROUPS]
        self._plan: Int64Array = np.array([self._step_ms, *runs, max(runs[12:])], dtype=np.int64)
        self._pick: Int64Array = np.array([position[name] for name in schema.names], dtype=np.int64)
        self._full: Float64Array = np.empty(len(REGISTRY))
        self._state: Float64Array = np.zeros(_STATE)
        self._reads_beside = bool(rows_beside(schema.names))
        self._nothing: Float64Array = np.full(len(BESIDE), np.nan)

    def step(
        self, open_time: int, o: float, h: float, low: float, c: float, v: float, funding_rate: float = np.nan,
        beside: Float64Array | None = None,
    ) -> Float64Array:  # fmt: skip
        """Take the next closed bar and give its values ``[F]`` (a new array).

        Args:
            open_time: ms UTC, after that of the bar before.
            o, h, low, c, v: the bar; prices in quote per base, volume in base units.
            funding_rate: of the settlement that became known by this bar's close (T <= close), NaN if there is none.
            beside: ``[B]`` what else was known at the close, in the order of BESIDE; ``None``: nothing.
        """
        row: Float64Array = np.empty(len(self._pick))
        step_row(
            self._state, self._plan, self._pick, int(open_time), float(o), float(h), float(low), float(c), float(v),
            float(funding_rate), self._nothing if beside is None else beside, self._full, row,
        )  # fmt: skip
        return row

    def batch(
        self, frame: Frame, funding: FundingFrame | None = None, beside: Beside | None = None
    ) -> npt.NDArray[np.float64]:
        """Values over a whole frame, ``[F, T]`` C-contiguous, from a fresh state; the engine's own history stays.

        ``beside``: what else was known at the closes; bars that it does not hold have nothing beside them.
        """
        return self._run(np.zeros(_STATE), frame, funding, beside)

    def extend(
        self, frame: Frame, funding: FundingFrame | None = None, beside: Beside | None = None
    ) -> npt.NDArray[np.float64]:
        """Take a whole frame into the engine's own history, as ``step`` would bar by bar: ``[F, T]``."""
        return self._run(self._state, frame, funding, beside)

    def _run(
        self, state: Float64Array, frame: Frame, funding: FundingFrame | None, beside: Beside | None
    ) -> npt.NDArray[np.float64]:
        sound = frame.mark != BarMark.SUSPECT
        if not sound.all():
            spread: npt.NDArray[np.float64] = np.full((len(self._pick), len(frame)), np.nan)
            spread[:, sound] = self._run(state, frame.take(sound), funding, beside)
            return spread
        out: npt.NDArray[np.float64] = np.empty((len(self._pick), len(frame)))
        known = int(state[LAST_OPEN]) + self._step_ms if state[COUNT] > 0 else None
        whole, flat, apart = np.ascontiguousarray, self._nothing, 0
        if beside is not None and self._reads_beside:
            flat, apart = whole(beside.at(frame.open_time).T).ravel(), len(BESIDE)
        run_rows(
            state, self._plan, self._pick, whole(frame.open_time), whole(frame.open), whole(frame.high),
            whole(frame.low), whole(frame.close), whole(frame.volume),
            funding_by_bar(frame.open_time, self._step_ms, funding, known), flat, apart, out,
        )  # fmt: skip
        return out

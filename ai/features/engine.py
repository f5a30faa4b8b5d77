"""Feature values: one bar at a time, or a whole frame by a compiled loop over the very same step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ai.features.registry import GROUPS, REGISTRY, rows_beside
from ai.features.simulated import MONTE_CARLO
from ai.features.steps import PLAIN_GROUPS, WHOLE_STATE, run_rows, run_whole_rows, step_row, step_whole_row
from ai.features.window import COUNT, LAST_OPEN
from ai.schema import FeatureSchema
from data.beside import BESIDE, Beside
from data.compiled import threads
from data.errors import UserError
from data.market import BarMark, Float64Array, Frame, FundingFrame, Int64Array, UInt8Array
from data.timeframes import timeframe_ms

Columns = tuple[Int64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]
LONG = 50_000  # bars of a frame that is worth a second thread
HALF = 6  # plain groups before this one take about as long as the others


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
        if asked & {spec.name for spec in MONTE_CARLO}:
            asked.add("atr_14")  # their stop and target stand by it
        runs = [int(any(spec.name in asked for spec in group)) for group in GROUPS]
        self._plan: Int64Array = np.array([self._step_ms, *runs], dtype=np.int64)
        self._into: Int64Array = np.arange(len(schema.names), dtype=np.int64)
        self._pick: Int64Array = np.array([position[name] for name in schema.names], dtype=np.int64)
        group_of = np.repeat(np.arange(len(GROUPS)), [len(group) for group in GROUPS])
        self._group = group_of[self._pick]  # of each asked feature
        self._plain = not any(runs[PLAIN_GROUPS:])
        self._asked: UInt8Array = np.array([spec.name in asked for spec in REGISTRY], dtype=np.uint8)
        rows = sum(map(len, GROUPS[:PLAIN_GROUPS])) if self._plain else len(REGISTRY)
        self._full: Float64Array = np.empty((rows, 1))
        self._state: Float64Array = np.zeros(WHOLE_STATE)
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
        if self._plain:
            step_row(
                self._state, self._plan, self._asked, self._pick, int(open_time), float(o), float(h), float(low),
                float(c), float(v), float(funding_rate),
                self._full, row,
            )  # fmt: skip
        else:
            step_whole_row(
                self._state, self._plan, self._asked, self._pick, int(open_time), float(o), float(h), float(low),
                float(c), float(v), float(funding_rate),
                self._nothing if beside is None else np.ascontiguousarray(beside), self._full, row,
            )  # fmt: skip
        return row

    def batch(
        self, frame: Frame, funding: FundingFrame | None = None, beside: Beside | None = None
    ) -> npt.NDArray[np.float64]:
        """Values over a whole frame, ``[F, T]`` C-contiguous, from a fresh state; the engine's own history stays.

        A long frame is run on two threads where the process may: each has some of the groups, and a state of its own.

        ``beside``: what else was known at the closes; bars that it does not hold have nothing beside them.
        """
        return self._run(None, frame, funding, beside)

    def extend(
        self, frame: Frame, funding: FundingFrame | None = None, beside: Beside | None = None
    ) -> npt.NDArray[np.float64]:
        """Take a whole frame into the engine's own history, as ``step`` would bar by bar: ``[F, T]``."""
        return self._run(self._state, frame, funding, beside)

    def _run(
        self, own: Float64Array | None, frame: Frame, funding: FundingFrame | None, beside: Beside | None
    ) -> npt.NDArray[np.float64]:
        sound = frame.mark != BarMark.SUSPECT
        if not sound.all():
            spread: npt.NDArray[np.float64] = np.full((len(self._pick), len(frame)), np.nan)
            spread[:, sound] = self._run(own, frame.take(sound), funding, beside)
            return spread
        out: npt.NDArray[np.float64] = np.empty((len(self._pick), len(frame)))
        state: Float64Array = np.zeros(WHOLE_STATE) if own is None else own
        known = int(state[LAST_OPEN]) + self._step_ms if state[COUNT] > 0 else None
        whole = np.ascontiguousarray
        bars = (
            whole(frame.open_time), whole(frame.open), whole(frame.high), whole(frame.low), whole(frame.close),
            whole(frame.volume), funding_by_bar(frame.open_time, self._step_ms, funding, known),
        )  # fmt: skip
        if self._plain and own is None and len(frame) >= LONG and threads() > 1:
            self._run_halves(bars, out)
            return out
        if self._plain:
            run_rows(state, self._plan, self._asked, self._pick, self._into, *bars, out)
            return out
        flat, apart = self._nothing, 0
        if beside is not None and self._reads_beside:
            flat, apart = whole(beside.at(frame.open_time).T).ravel(), len(BESIDE)
        run_whole_rows(state, self._plan, self._asked, self._pick, self._into, *bars, flat, apart, out)
        return out

    def _run_halves(self, bars: Columns, out: npt.NDArray[np.float64]) -> None:
        """The plain groups on two threads from fresh states; a group does not read what another one writes."""

        def half(groups: range) -> None:
            plan, kept = np.zeros_like(self._plan), np.isin(self._group, groups)
            plan[0] = self._step_ms
            plan[1 + groups.start : 1 + groups.stop] = self._plan[1 + groups.start : 1 + groups.stop]
            if kept.any():
                run_rows(np.zeros(WHOLE_STATE), plan, self._asked, self._pick[kept], self._into[kept], *bars, out)

        with ThreadPoolExecutor(1) as other:
            second = other.submit(half, range(HALF, PLAIN_GROUPS))
            half(range(HALF))
            second.result()

"""Repair of stored bars: asked for again from the exchange, else made of a finer stored series. Nothing is invented.

A bar that comes back otherwise than it was stored is written with the mark REPAIRED, known from the moment of the
repair: who asks what was known earlier still sees the hole or the first version. A bar that the exchange confirms stays
as it is. What neither the exchange nor a finer series has stays a gap and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from data.clock import Clock
from data.errors import QuantError, Rejected, Retryable
from data.market import BarMark, Frame, FundingFrame, SeriesKey
from data.quality_findings import Finding, Flags, at, count
from data.resample import resample
from data.store import CandleStore

Progress = Callable[[float], None]  # share done
Cancelled = Callable[[], bool]

CURABLE = frozenset({  # kinds that another look can change
    "gap", "bad_price", "bad_volume", "crossed", "outlier", "zero_volume", "partial_volume", "stuck", "repeated",
    "disagreement", "mark_disagreement",
})  # fmt: skip
NEAR_BARS = 20  # spans so close are asked for at once
WRONG = frozenset({"bad_price", "bad_volume", "crossed", "repeated", "stuck"})  # a sound finer bar is better than these


class CandleSource(Protocol):
    """What a repair asks of an exchange session."""

    async def candles(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int | None = None, kind: str = "ohlcv"
    ) -> Frame:
        """Closed bars with ``start_ms <= open_time < end_ms``."""
        ...


class FundingSource(Protocol):
    """What a repair of settlements asks of an exchange session."""

    async def funding(self, symbol: str, start_ms: int, end_ms: int | None = None) -> FundingFrame:
        """Settlements with ``start_ms <= time < end_ms``."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """Bars to ask for, ``start_ms <= open_time < end_ms``."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class RepairedSpan:
    """What became of one span: bars written, bars confirmed as they are, bars that stay missing."""

    start_ms: int
    end_ms: int
    repaired: int
    unchanged: int
    missing: int
    words: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did to one series."""

    key: SeriesKey
    spans: tuple[RepairedSpan, ...]
    cancelled: bool = False

    @property
    def repaired(self) -> int:
        """Bars written."""
        return sum(s.repaired for s in self.spans)

    @property
    def unrepaired(self) -> int:
        """Bars that stay missing."""
        return sum(s.missing for s in self.spans)


def plan_repair(findings: Sequence[Finding], frame: Frame) -> list[Span]:
    """The spans worth asking for again, in order: grid-aligned, near ones as one.

    Findings of other series, those that are only good to know, and those that no second look changes are left out.
    """
    step = frame.key.step_ms
    wanted = sorted(
        (f.start_ms // step * step, -(-f.end_ms // step) * step)
        for f in findings
        if f.kind in CURABLE and f.level != "info" and f.series in (None, frame.key)
    )
    planned: list[Span] = []
    for start, end in wanted:
        if planned and start <= planned[-1].end_ms + NEAR_BARS * step:
            planned[-1] = Span(planned[-1].start_ms, max(planned[-1].end_ms, end))
        else:
            planned.append(Span(start, end))
    return planned


async def repair(
    session: CandleSource | None,
    store: CandleStore,
    key: SeriesKey,
    findings: Sequence[Finding],
    clock: Clock,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> RepairReport:
    """Repair what the findings name, span by span; each span is one transaction.

    Args:
        session: of the series' own exchange; ``None``: finer stored series only. When it cannot be reached the finer
            ones are taken for this and all later spans.
        clock: names the moment from which repaired bars are known.
    """
    frame = store.read(key)
    planned = plan_repair(findings, frame)
    wrong = [f for f in findings if f.kind in WRONG and f.series in (None, key)]
    asked = _Asked(session if key.source == "exchange" else None)
    done: list[RepairedSpan] = []
    for k, span in enumerate(planned):
        if cancelled is not None and cancelled():
            return RepairReport(key, tuple(done), cancelled=True)
        if progress is not None:
            progress(k / len(planned))
        done.append(await _repair_span(asked, store, key, span, wrong, clock))
    if progress is not None:
        progress(1.0)
    return RepairReport(key, tuple(done))


async def repair_funding(
    session: FundingSource | None, store: CandleStore, key: SeriesKey, findings: Sequence[Finding]
) -> RepairReport:
    """Ask again for settlements that are missing or cannot be; there is nothing finer to make them of."""
    done: list[RepairedSpan] = []
    why = "the exchange was not asked"
    for finding in (f for f in findings if f.kind in ("funding_gap", "bad_rate")):
        start, end = finding.start_ms, finding.end_ms
        written = 0
        if session is not None and key.source == "exchange":
            try:
                settlements = await session.funding(key.symbol, start, end)
                report = store.write_funding(settlements)
                written, why = report.inserted + report.revised, "the exchange has no others"
            except (Retryable, Rejected) as error:
                session, why = None, _sentence(error)
        missing = max(finding.bars - written, 0) if finding.kind == "funding_gap" else 0
        told = f"{count(written, 'settlement')} fetched again" if written else why
        stay = f"; {count(missing, 'settlement')} missing" if missing else ""
        done.append(RepairedSpan(start, end, written, 0, missing, f"{at(start)}: {told}{stay}."))
    return RepairReport(key, tuple(done))


@dataclass(slots=True)
class _Asked:
    """The exchange, until it is found not to answer."""

    session: CandleSource | None
    why: str = "the exchange was not asked"

    async def candles(self, key: SeriesKey, span: Span) -> Frame | None:
        """Its bars of a span; ``None`` if it cannot be asked."""
        if self.session is None:
            return None
        try:
            return await self.session.candles(key.symbol, key.timeframe, span.start_ms, span.end_ms, key.kind)
        except (Retryable, Rejected) as error:
            self.session, self.why = None, _sentence(error)
            return None


def _sentence(error: QuantError) -> str:
    return str(error).rstrip(".")


async def _repair_span(
    asked: _Asked, store: CandleStore, key: SeriesKey, span: Span, wrong: Sequence[Finding], clock: Clock
) -> RepairedSpan:
    offered = await asked.candles(key, span)
    stored = store.read(key, span.start_ms, span.end_ms)
    parts: list[tuple[Frame, str]] = []
    confirmed = 0
    if offered is not None:
        offered = offered.between(span.start_ms, span.end_ms)
        fresh = _unlike(offered, stored)
        parts.append((offered.take(fresh), "fetched again from the exchange"))
        confirmed = int((~fresh).sum())
    told = offered if offered is not None else Frame.empty(key)
    made, of_what = _made(store, key, span)
    made = made.take(~np.isin(made.open_time, told.open_time))
    useful = _unlike(made, stored) & _better(made, stored, wrong)
    parts.append((made.take(useful), of_what))
    written = _in_order(replace(frame, key=key) for frame, _ in parts)
    if len(written):
        store.write(_repaired(written, clock.now_ms()))
    held = len(np.union1d(stored.open_time, written.open_time))
    missing = (span.end_ms - span.start_ms) // key.step_ms - held
    words = _outcome(span, parts, confirmed, missing, None if offered is not None else asked.why)
    return RepairedSpan(span.start_ms, span.end_ms, len(written), confirmed, missing, words)


def _repaired(bars: Frame, now_ms: int) -> Frame:
    """The bars as repaired ones, known from now on."""
    mark = np.maximum(bars.mark, np.uint8(BarMark.REPAIRED))  # a synthetic bar stays one
    known = np.maximum(bars.open_time + bars.key.step_ms, now_ms)
    return replace(bars, known_at=known, mark=mark)


def _unlike(offered: Frame, stored: Frame) -> Flags:
    """Which offered bars the store lacks or has otherwise: ``[n]``."""
    at_stored = np.searchsorted(stored.open_time, offered.open_time)
    inside = np.minimum(at_stored, max(len(stored) - 1, 0))
    same = stored.open_time[inside] == offered.open_time if len(stored) else np.zeros(len(offered), dtype=np.bool_)
    for name in ("open", "high", "low", "close", "volume") if len(stored) else ():
        same = same & np.isclose(getattr(stored, name)[inside], getattr(offered, name), rtol=1e-9, atol=0.0)
    return np.asarray(~same, dtype=np.bool_)


def _better(offered: Frame, stored: Frame, wrong: Sequence[Finding]) -> Flags:
    """Which bars made of finer ones may replace what is stored: missing, impossible, or short of volume: ``[n]``."""
    volume = dict(zip(stored.open_time.tolist(), stored.volume.tolist(), strict=True))
    better = [
        t not in volume or v > volume[t] or any(f.start_ms <= t < f.end_ms for f in wrong)
        for t, v in zip(offered.open_time.tolist(), offered.volume.tolist(), strict=True)
    ]
    return np.array(better, dtype=np.bool_)


def _made(store: CandleStore, key: SeriesKey, span: Span) -> tuple[Frame, str]:
    """Bars of the span made of finer stored series, the coarsest of them first, and from what."""
    made = Frame.empty(key)
    used: list[str] = []
    for finer in _finer(store, key):
        bars = resample(store.read(finer, span.start_ms, span.end_ms), key.timeframe)
        bars = bars.take((bars.mark != BarMark.SUSPECT) & ~np.isin(bars.open_time, made.open_time))
        if len(bars):
            made = _in_order((made, replace(bars, key=key)))
            used.append(finer.timeframe)
    return made, f"made of {' and '.join(used)} bars"


def _finer(store: CandleStore, key: SeriesKey) -> Iterator[SeriesKey]:
    same = (replace(i.key, timeframe=key.timeframe) == key and i.key.step_ms < key.step_ms for i in store.series())
    keys = [i.key for i, fits in zip(store.series(), same, strict=True) if fits and key.step_ms % i.key.step_ms == 0]
    yield from sorted(keys, key=lambda k: -k.step_ms)


def _in_order(frames: Iterable[Frame]) -> Frame:
    """Bars of one series from several frames that share none."""
    held = list(frames)
    names = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
    both = Frame(held[0].key, *(np.concatenate([getattr(frame, n) for frame in held]) for n in names))
    return both.take(np.argsort(both.open_time, kind="stable"))


def _outcome(
    span: Span, parts: Sequence[tuple[Frame, str]], confirmed: int, missing: int, offline: str | None
) -> str:  # fmt: skip
    told = [f"{count(len(frame))} {how}" for frame, how in parts if len(frame)]
    if confirmed:
        told.append(f"the exchange says the same of {count(confirmed)}")
    if missing:
        told.append(f"{count(missing)} {'stay' if missing > 1 else 'stays'} missing")
    if not told:
        told.append("nothing better is known")
    if offline is not None:
        told.append(offline)
    return f"{at(span.start_ms)}: {'; '.join(told)}."

"""One series' closed bars in order, from a stream and from REST alike: each once, none guessed, none invented.

:class:`BarSequence` is pure: it is told what was heard and what REST answered, and it says which bars are now certain
(``take``), what has to be asked (``ask``, ``ask_marks``) and what was noticed (``notes``). It never waits, reads no
clock and makes no request; whoever drives it does. Times are ms UTC on the exchange's clock.

A bar is certain when the exchange's own flag says that it is closed, or when its time is over and REST shows it with a
later bar behind it, or twice the same (docs/decisions/0012, 0017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from data.bar_notes import Bar, Hole, Note, Quarantined, Revision, Suspect, bars_of, frame_of
from data.exchange.events import CandleUpdate
from data.market import BarMark, Frame, SeriesKey

HOLE_LOOKS = 3  # so many looks at REST that show later bars and not this one: the exchange does not have it
REMEMBERED = 128  # bars already given whose revisions are noticed
OVERLAP = 2  # bars already given that every look reads again
FLAG_TOLERANCE_MS = 1000  # a closed flag may come so much before the close by the exchange's clock
LONGEST_WAIT_MS = 30_000  # between two looks that bring nothing
NO_MARK = (math.nan, math.nan)


@dataclass(slots=True)
class _Waiting:
    """A bar after the last one given."""

    bar: Bar
    flagged: bool = False  # the exchange's flag says that it is closed
    confirmed: bool = False  # REST says so


@dataclass(slots=True)
class _Doubt:
    """Other values for a bar already given."""

    bar: Bar
    over_rest: bool


@dataclass(slots=True)
class _Marks:
    """Mark price ranges (low, high) by open time: as sampled, and as the exchange's mark candles have them."""

    sampled: dict[int, tuple[float, float]] = field(default_factory=dict)
    exact: dict[int, tuple[float, float]] = field(default_factory=dict)  # NO_MARK: the exchange has none
    looks: dict[int, int] = field(default_factory=dict)
    not_before: int = 0

    def of(self, open_time: int) -> tuple[float, float] | None:
        """The best range known of a bar."""
        exact = self.exact.get(open_time)
        if exact is None or math.isnan(exact[0]):
            return self.sampled.get(open_time, exact)
        return exact

    def forget_before(self, open_time: int) -> None:
        for held in (self.sampled, self.exact, self.looks):
            _drop_before(held, open_time)


class BarSequence:
    """Closed bars of ``key`` after ``after_ms`` (open time of the last bar already known).

    Args:
        patience_ms: a bar is asked for over REST so long after its close (a stream gets its chance first).
        confirm_ms: shortest time between two looks.
        spike_limit: a bar further than this fraction from its mark price is suspect.
        known: bars up to ``after_ms`` that were given before; their revisions are noticed too.
    """

    def __init__(
        self,
        key: SeriesKey,
        after_ms: int,
        *,
        patience_ms: int = 1500,
        confirm_ms: int = 1000,
        spike_limit: float = 0.10,
        known: Frame | None = None,
    ) -> None:
        self.key = key
        self.step = key.step_ms
        self.last_ms = after_ms
        self.patience_ms = patience_ms
        self.confirm_ms = confirm_ms
        self.spike_limit = spike_limit
        self._given = {} if known is None else {bar.open_time: bar for bar in bars_of(known)}
        self._waiting: dict[int, _Waiting] = {}
        self._looked: dict[int, Bar] = {}  # seen once over REST after its close, with nothing behind it
        self._missing: dict[int, int] = {}  # looks that showed later bars and not this one
        self._holes: set[int] = set()
        self._doubts: dict[int, _Doubt] = {}
        self._bad: dict[int, str] = {}  # why a bar is quarantined, by open time
        self._marks = _Marks()
        self._notes: list[Note] = []
        self._review_from: int | None = None
        self._hurried: int | None = None  # this bar may have been lost on its way: it is asked for at once
        self._looked_at = 0
        self._wait_ms = 0

    # ---- what is heard ---------------------------------------------------------------------------------------------

    def hear(self, update: CandleUpdate) -> None:
        """A message of the stream; only closed bars count (forming ones and those without a flag leave it to REST)."""
        if not update.closed:
            return
        bar = Bar(update.open_time, update.open, update.high, update.low, update.close, update.volume)
        moment = max(update.event_ms, update.received_ms)
        early = moment < bar.open_time + self.step - FLAG_TOLERANCE_MS
        why = bar.fault(self.step) or ("it is called closed before its time" if early else "")
        held = self._waiting.get(bar.open_time)
        if why:
            self._quarantine(bar, why)
        elif bar.open_time <= self.last_ms:
            self._hear_again(bar)
        elif held is None:
            self._waiting[bar.open_time] = _Waiting(bar, flagged=bar.open_time not in self._bad)
        elif not held.confirmed and not held.bar.equals(bar):
            held.flagged = False  # two closed bars of one time: REST decides

    def _hear_again(self, bar: Bar) -> None:
        given = self._given.get(bar.open_time)
        other = bar.open_time in self._holes if given is None else not given.equals(bar)
        if other and bar.open_time not in self._doubts:
            self._doubts[bar.open_time] = _Doubt(bar, over_rest=False)
            self._wait_ms = min(self._wait_ms, self.confirm_ms)

    def hear_mark(self, price: float, time_ms: int) -> None:
        """A mark price as of ``time_ms``."""
        if not (math.isfinite(price) and price > 0):
            return
        time = time_ms // self.step * self.step
        low, high = self._marks.sampled.get(time, (price, price))
        self._marks.sampled[time] = min(low, price), max(high, price)

    def doubt(self, now_ms: int) -> None:
        """Messages may have been lost: a bar that is due already is asked for without the stream's patience."""
        front = self.last_ms + self.step
        if front + self.step <= now_ms:
            self._hurried = front
            self._wait_ms = min(self._wait_ms, self.confirm_ms)

    def review(self, bars: int) -> None:
        """Read the last ``bars`` bars again at the next look, so that silent revisions are noticed."""
        self._review_from = self.last_ms - (bars - 1) * self.step

    # ---- what REST answers -----------------------------------------------------------------------------------------

    def read_page(self, page: Frame, forming: int, since_ms: int, now_ms: int) -> None:
        """One page from ``since_ms``: the bars that are closed by time, and how many forming ones follow them.

        Bars that cannot be may stand in it. ``now_ms`` is the exchange's time when the answer came.
        """
        before = len(self._waiting), len(self._doubts)
        rows = bars_of(page)
        for place, bar in enumerate(rows):
            later = forming > 0 or place < len(rows) - 1
            if why := bar.fault(self.step):
                self._quarantine(bar, why)
            elif bar.open_time <= self.last_ms:
                self._read_again(bar)
            elif later or self._seen_before(bar):
                self._waiting[bar.open_time] = _Waiting(bar, confirmed=True)
                self._bad.pop(bar.open_time, None)
            else:
                self._looked[bar.open_time] = bar
        self._count_missing(rows, forming, since_ms, now_ms)
        if self._review_from is not None and since_ms <= self._review_from:
            self._review_from = None
        progress = before != (len(self._waiting), len(self._doubts))
        self._pause(now_ms, progress)
        ends_early = bool(rows) and not forming and rows[-1].open_time + 2 * self.step <= now_ms
        if progress and ends_early and not self._missing:
            self._wait_ms = 0  # the page was full: there is more (without progress the exchange has no newer bar)

    def failed(self, now_ms: int, wait_s: float | None = None) -> None:
        """A look brought no answer; ``wait_s``: there is none before so many seconds have passed."""
        self._pause(now_ms, progress=False)
        self._wait_ms = max(self._wait_ms, round(1000 * (wait_s or 0.0)))
        self._marks.not_before = now_ms + self._wait_ms

    def _seen_before(self, bar: Bar) -> bool:
        looked = self._looked.get(bar.open_time)
        return looked is not None and looked.equals(bar)

    def _pause(self, now_ms: int, progress: bool) -> None:
        """Look again soon where another look decides something, and less and less often where looks bring nothing."""
        self._looked_at = now_ms
        soon = progress or self._looked or self._doubts or self._missing or self._bad
        longest = max(LONGEST_WAIT_MS, self.confirm_ms)
        self._wait_ms = self.confirm_ms if soon else min(max(2 * self._wait_ms, self.confirm_ms), longest)

    def _read_again(self, bar: Bar) -> None:
        """A bar already given, or told as a hole: a change counts at its second notice, the last one over REST."""
        time = bar.open_time
        given = self._given.get(time)
        doubt = self._doubts.get(time)
        if given is None and time not in self._holes:
            return
        if given is not None and given.equals(bar):
            self._doubts.pop(time, None)
        elif doubt is None or (doubt.over_rest and not doubt.bar.equals(bar)):
            self._doubts[time] = _Doubt(bar, over_rest=True)
        else:
            del self._doubts[time]
            self._holes.discard(time)
            self._given[time] = bar
            self._notes.append(Revision(self.key, given, bar))

    def _count_missing(self, rows: list[Bar], forming: int, since_ms: int, now_ms: int) -> None:
        """Count the looks that lack a bar although they show later ones."""
        covered = now_ms // self.step * self.step if forming else (rows[-1].open_time if rows else since_ms)
        shown = {bar.open_time for bar in rows if bar.open_time not in self._bad}
        for time in [t for t in self._doubts if since_ms <= t < covered and t not in shown]:
            del self._doubts[time]
        for time in range(max(since_ms, self.last_ms + self.step), covered, self.step):
            if time not in shown and not self._certain(time):
                self._missing[time] = self._missing.get(time, 0) + 1

    def read_marks(self, marks: Frame | None, start_ms: int, end_ms: int, now_ms: int) -> None:
        """Mark candles of the span that ``ask_marks`` named; ``None``: the exchange has no such candles."""
        places = {} if marks is None else {int(time): i for i, time in enumerate(marks.open_time)}
        for time in range(start_ms, end_ms, self.step):
            place = places.get(time)
            if marks is not None and place is not None:
                self._marks.exact[time] = float(marks.low[place]), float(marks.high[place])
                continue
            looks = self._marks.looks[time] = self._marks.looks.get(time, 0) + 1
            if marks is None or looks >= HOLE_LOOKS:
                self._marks.exact[time] = NO_MARK
        self._marks.not_before = now_ms + self.confirm_ms

    # ---- what is certain -------------------------------------------------------------------------------------------

    def take(self, now_ms: int) -> Frame:
        """The bars that became certain, in order; ``known_at`` is ``now_ms``."""
        bars: list[Bar] = []
        marks: list[BarMark] = []
        while (mark := self._front_mark()) is not None or self._step_over_hole():
            if mark is not None:
                bar = self._waiting.pop(self.last_ms + self.step).bar
                self._given[bar.open_time] = bar
                self.last_ms = bar.open_time
                bars.append(bar)
                marks.append(mark)
        if bars:
            self._forget()
        return frame_of(self.key, bars, marks, now_ms)

    def notes(self) -> list[Note]:
        """What was noticed since the last call."""
        told, self._notes = self._notes, []
        return told

    def _certain(self, time: int) -> bool:
        held = self._waiting.get(time)
        return held is not None and (held.flagged or held.confirmed)

    def _front_mark(self) -> BarMark | None:
        """The mark of the next bar, ``None`` while it may not be given."""
        front = self.last_ms + self.step
        if not self._certain(front):
            return None
        held = self._waiting[front]
        if not self._conspicuous(held.bar):
            return BarMark.REAL
        if not held.confirmed or front not in self._marks.exact:
            return None
        self._notes.append(Suspect(self.key, held.bar, *(self._marks.of(front) or NO_MARK)))
        return BarMark.SUSPECT

    def _conspicuous(self, bar: Bar) -> bool:
        """Is a price far outside the range of the mark price, or, where none is known, of the close before?"""
        span = self._marks.of(bar.open_time)
        if span is None:
            previous = self._given.get(self.last_ms)
            if previous is None:
                return False
            span = previous.close, previous.close
        low, high = span
        return not (bar.high <= high * (1 + self.spike_limit) and bar.low >= low * (1 - self.spike_limit))

    def _step_over_hole(self) -> bool:
        """Pass the bars that the exchange does not have; True when some were passed."""
        start = time = self.last_ms + self.step
        while self._missing.get(time, 0) >= HOLE_LOOKS and not self._certain(time):
            self._holes.add(time)
            self._waiting.pop(time, None)
            time += self.step
        if time == start:
            return False
        self._notes.append(Hole(self.key, start, time))
        self.last_ms = time - self.step
        self._forget()
        return True

    def _forget(self) -> None:
        """Keep the memory flat: what lies before the next bar, and what was given long ago."""
        for now_decided in (self._missing, self._looked, self._bad):
            _drop_before(now_decided, self.last_ms + 1)
        oldest = self.last_ms - REMEMBERED * self.step
        for remembered in (self._given, self._doubts):
            _drop_before(remembered, oldest)
        self._holes = {time for time in self._holes if time >= oldest}
        self._marks.forget_before(self.last_ms)

    def _quarantine(self, bar: Bar, why: str) -> None:
        """Tell a bar that cannot be; the same one at the front is told once."""
        if self._bad.get(bar.open_time) != why:
            self._notes.append(Quarantined(self.key, bar, why))
        if bar.open_time > self.last_ms and bar.open_time % self.step == 0:
            self._bad[bar.open_time] = why
            if (held := self._waiting.get(bar.open_time)) is not None:
                held.flagged = False

    # ---- what has to be asked --------------------------------------------------------------------------------------

    @property
    def _overlap_ms(self) -> int:
        return self.last_ms - (OVERLAP - 1) * self.step

    def ask(self, now_ms: int) -> int | None:
        """From which open time on REST has to be asked now; ``None``: nothing is due."""
        due = [since for at, since in self._wanted() if max(at, self._looked_at + self._wait_ms) <= now_ms]
        return min(due) if due else None

    def ask_marks(self, now_ms: int) -> tuple[int, int] | None:
        """The span ``start <= time < end`` of mark candles that the next bar waits for now; ``None``: nothing."""
        if not self._wants_marks() or now_ms < self._marks.not_before:
            return None
        last = self.last_ms
        while self._certain(last + self.step):
            last += self.step
        return self.last_ms + self.step, last + self.step

    def due_ms(self, now_ms: int) -> int:
        """When ``ask`` or ``ask_marks`` may next have something, if nothing is heard until then."""
        due = [max(at, self._looked_at + self._wait_ms) for at, _ in self._wanted()]
        if self._wants_marks():
            due.append(self._marks.not_before)
        return max(now_ms, min(due, default=now_ms))

    def _wanted(self) -> list[tuple[int, int]]:
        """``(from when, since which bar)`` of every reason to ask."""
        wanted = [(0, time) for time in self._doubts]
        if self._review_from is not None:
            wanted.append((0, self._review_from))
        front = self.last_ms + self.step
        close = front + self.step
        if not self._certain(front):
            urgent = bool(self._waiting) or front in self._bad or front == self._hurried
            wanted.append((close if urgent else close + self.patience_ms, self._overlap_ms))
        elif not self._waiting[front].confirmed and self._conspicuous(self._waiting[front].bar):
            wanted.append((close, front))
        return wanted

    def _wants_marks(self) -> bool:
        front = self.last_ms + self.step
        held = self._waiting.get(front)
        waits = held is not None and held.confirmed and front not in self._marks.exact
        return waits and held is not None and self._conspicuous(held.bar)


def _drop_before(held: dict[int, Any], time: int) -> None:
    for old in [t for t in held if t < time]:
        del held[old]

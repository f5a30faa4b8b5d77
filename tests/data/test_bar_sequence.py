"""The closed-bar sequence by itself: whatever way the bars come, they are given once, in order and unchanged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.bar_notes import Bar, Hole, Quarantined, Revision, Suspect, bars_of, frame_of, revised_frame
from data.bar_sequence import HOLE_LOOKS, REMEMBERED, BarSequence
from data.exchange.events import CandleUpdate
from data.market import BarMark, Frame, SeriesKey
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market

MINUTE = 60_000
KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
TRUTH = bars_of(synthetic_market("BTCUSDT", "1m", 400, 3)[0])
BEFORE = START - MINUTE


def update(bar: Bar, closed: bool | None = True, received_ms: int | None = None) -> CandleUpdate:
    moment = bar.open_time + MINUTE if received_ms is None else received_ms
    return CandleUpdate(KEY.symbol, "1m", bar.open_time, *bar.values, closed, moment, moment)


def page(since_ms: int, now_ms: int, bars: list[Bar] = TRUTH, limit: int = 1000) -> tuple[Frame, int]:
    """What REST answers: closed bars by time from ``since_ms``, and whether the forming one follows."""
    shown = [b for b in bars if since_ms <= b.open_time <= now_ms][:limit]
    closed = [b for b in shown if b.open_time + MINUTE <= now_ms]
    return frame_of(KEY, closed, [BarMark.REAL] * len(closed), now_ms), len(shown) - len(closed)


def look(sequence: BarSequence, now_ms: int, bars: list[Bar] = TRUTH, limit: int = 1000) -> bool:
    """Answer what is asked; whether anything was."""
    since = sequence.ask(now_ms)
    if since is not None:
        sequence.read_page(*page(since, now_ms, bars, limit), since, now_ms)
    return since is not None


def settle(sequence: BarSequence, now_ms: int, bars: list[Bar] = TRUTH, seconds: int = 10) -> list[Bar]:
    """Answer every question for some seconds; the bars given."""
    found: list[Bar] = []
    for moment in range(now_ms, now_ms + seconds * 1000 + 1, 1000):
        look(sequence, moment, bars)
        if (span := sequence.ask_marks(moment)) is not None:
            sequence.read_marks(page(span[0], moment, bars)[0], *span, moment)
        found += bars_of(sequence.take(moment))
    return found


def test_a_closed_flag_is_enough() -> None:
    sequence = BarSequence(KEY, BEFORE)
    sequence.hear(update(TRUTH[0]))
    frame = sequence.take(START + MINUTE + 70)
    assert bars_of(frame) == TRUTH[:1]
    assert frame.known_at.tolist() == [START + MINUTE + 70]
    assert frame.mark.tolist() == [BarMark.REAL]
    assert sequence.last_ms == START


@pytest.mark.parametrize("closed", [False, None])
def test_a_bar_without_the_flag_waits_for_rest(closed: bool | None) -> None:
    sequence = BarSequence(KEY, BEFORE)
    sequence.hear(update(TRUTH[0], closed))
    assert not len(sequence.take(START + MINUTE))
    assert sequence.ask(START + MINUTE + 1499) is None
    assert sequence.ask(START + MINUTE + 1500) is not None


def test_nothing_is_asked_while_the_stream_delivers() -> None:
    sequence = BarSequence(KEY, BEFORE)
    for bar in TRUTH[:50]:
        sequence.hear(update(bar))
        assert len(sequence.take(bar.open_time + MINUTE)) == 1
        assert sequence.ask(bar.open_time + MINUTE + 1000) is None
        assert sequence.due_ms(bar.open_time + MINUTE) == bar.open_time + 2 * MINUTE + 1500


def test_one_look_without_a_later_bar_is_not_enough_and_two_that_agree_are() -> None:
    sequence = BarSequence(KEY, BEFORE)
    now = START + MINUTE + 1500
    look(sequence, now, TRUTH[:1])
    assert not len(sequence.take(now))
    assert sequence.ask(now + 999) is None
    look(sequence, now + 1000, [replace(TRUTH[0], volume=TRUTH[0].volume + 1)])
    assert not len(sequence.take(now + 1000))
    look(sequence, now + 2000, [replace(TRUTH[0], volume=TRUTH[0].volume + 1)])
    (bar,) = bars_of(sequence.take(now + 2000))
    assert bar.volume == TRUTH[0].volume + 1


def test_two_closed_bars_of_one_time_are_decided_by_rest() -> None:
    sequence = BarSequence(KEY, START - 2 * MINUTE)  # the bar before the first is missing, so the first has to wait
    sequence.hear(update(TRUTH[0]))
    sequence.hear(update(replace(TRUTH[0], close=TRUTH[0].open)))
    first = replace(TRUTH[0], open_time=BEFORE)
    assert settle(sequence, START + MINUTE, [first]) == [first], "neither of the two"
    assert settle(sequence, START + MINUTE + 20_000, [first, *TRUTH]) == [TRUTH[0]]


def test_f28_an_impossible_bar_is_never_given_and_asked_over_rest() -> None:
    good = TRUTH[0]
    for broken in (
        replace(good, close=math.nan), replace(good, high=math.inf), replace(good, open=0.0), replace(good, low=-1.0),
        replace(good, high=good.low - 1.0), replace(good, close=good.high + 1.0), replace(good, volume=-1.0),
        replace(good, open_time=START + 7),
    ):  # fmt: skip
        sequence = BarSequence(KEY, BEFORE)
        sequence.hear(update(broken, received_ms=START + MINUTE))
        assert not len(sequence.take(START + MINUTE))
        (note,) = sequence.notes()
        assert isinstance(note, Quarantined) and note.why
        if broken.open_time == START:
            assert sequence.ask(START + MINUTE) is not None, "without waiting for the stream"
        assert settle(sequence, START + MINUTE + 1500) == [good]
    sequence = BarSequence(KEY, BEFORE)
    sequence.hear(update(good, received_ms=START + 30_000))
    assert not len(sequence.take(START + 30_000)), "a flag before the bar's close"


def test_f28_a_bar_that_rest_has_broken_for_good_becomes_a_hole() -> None:
    bars = [TRUTH[0], replace(TRUTH[1], high=math.nan), *TRUTH[2:]]
    sequence = BarSequence(KEY, BEFORE)
    given = settle(sequence, START + 5 * MINUTE, bars)
    assert given == [TRUTH[0], *TRUTH[2:5]]
    notes = sequence.notes()
    assert [n for n in notes if isinstance(n, Hole)] == [Hole(KEY, START + MINUTE, START + 2 * MINUTE)]
    assert len([n for n in notes if isinstance(n, Quarantined)]) == 1, "told once"


def test_f29_a_hole_in_the_stream_is_filled_from_rest_before_anything_later_is_given() -> None:
    sequence = BarSequence(KEY, BEFORE, patience_ms=600_000)
    for bar in (TRUTH[0], TRUTH[3]):
        sequence.hear(update(bar))
    assert bars_of(sequence.take(TRUTH[3].open_time + MINUTE)) == TRUTH[:1]
    assert sequence.ask(TRUTH[3].open_time + MINUTE) is not None, "a later bar is there: no patience"
    assert settle(sequence, TRUTH[3].open_time + MINUTE) == TRUTH[1:4]
    assert sequence.notes() == []


def test_f29_bars_that_the_exchange_does_not_have_are_told_and_not_invented() -> None:
    bars = TRUTH[:2] + TRUTH[5:]
    sequence = BarSequence(KEY, BEFORE)
    now = START + 8 * MINUTE + 1500
    for second in range(HOLE_LOOKS - 1):
        look(sequence, now + second * 1000, bars)
        assert len(sequence.take(now)) == (2 if second == 0 else 0), "not before it was tried often enough"
    assert settle(sequence, now + (HOLE_LOOKS - 1) * 1000, bars) == TRUTH[5:8]
    (hole,) = sequence.notes()
    assert hole == Hole(KEY, START + 2 * MINUTE, START + 5 * MINUTE) and hole.bars == 3


def test_f29_a_bar_that_comes_after_its_hole_was_told_is_a_repair() -> None:
    sequence = BarSequence(KEY, BEFORE)
    settle(sequence, START + 4 * MINUTE, TRUTH[:1] + TRUTH[2:])
    sequence.notes()
    sequence.review(10)
    assert settle(sequence, START + 4 * MINUTE + 20_000) == []
    (note,) = sequence.notes()
    assert note == Revision(KEY, None, TRUTH[1])
    assert revised_frame(note, 5).mark.tolist() == [BarMark.REPAIRED]


def test_f30_repeats_and_reorderings_change_nothing() -> None:
    sequence = BarSequence(KEY, BEFORE)
    given = []
    for bar in (TRUTH[1], TRUTH[0], TRUTH[0], TRUTH[1], TRUTH[2], TRUTH[1], TRUTH[2]):
        sequence.hear(update(bar))
        given += bars_of(sequence.take(bar.open_time + MINUTE))
    assert given == TRUTH[:3]
    assert sequence.notes() == []
    assert sequence.ask(START + 3 * MINUTE) is None


def test_f30_a_revision_counts_when_rest_shows_it() -> None:
    changed = replace(TRUTH[1], close=TRUTH[1].close * 1.0001, high=TRUTH[1].high * 1.001)
    now = START + 3 * MINUTE
    sequence = BarSequence(KEY, BEFORE)
    settle(sequence, now)
    sequence.hear(update(changed))
    assert sequence.notes() == []
    assert settle(sequence, now + 10_000) == [] and sequence.notes() == [], "REST does not know of it"
    sequence.hear(update(changed))
    settle(sequence, now + 30_000, [TRUTH[0], changed, *TRUTH[2:]])
    (note,) = sequence.notes()
    assert note == Revision(KEY, TRUTH[1], changed)
    frame = revised_frame(note, 77)
    assert bars_of(frame) == [changed] and frame.known_at.tolist() == [77] and frame.mark.tolist() == [BarMark.REAL]


def test_f30_a_revision_that_only_rest_shows_needs_a_second_look() -> None:
    changed = replace(TRUTH[1], volume=TRUTH[1].volume + 5.0)
    bars = [TRUTH[0], changed, *TRUTH[2:]]
    sequence = BarSequence(KEY, BEFORE)
    settle(sequence, START + 3 * MINUTE)
    now = START + 4 * MINUTE + 1500
    sequence.review(3)
    look(sequence, now, bars)
    assert sequence.notes() == []
    look(sequence, now + 1000, bars)
    assert sequence.notes() == [Revision(KEY, TRUTH[1], changed)]
    sequence.review(3)
    look(sequence, now + 5000, bars)
    assert sequence.notes() == [], "told once"


def test_f30_the_look_after_a_close_reads_the_bar_before_it_again() -> None:
    changed = replace(TRUTH[0], volume=TRUTH[0].volume + 5.0)
    sequence = BarSequence(KEY, BEFORE)
    settle(sequence, START + MINUTE + 1500)
    settle(sequence, START + 2 * MINUTE + 1500, [changed, *TRUTH[1:]])
    assert sequence.notes() == [Revision(KEY, TRUTH[0], changed)]


def test_f30_other_values_of_a_bar_that_rest_no_longer_shows_are_let_go() -> None:
    sequence = BarSequence(KEY, BEFORE)
    settle(sequence, START + 2 * MINUTE + 1500)
    sequence.hear(update(replace(TRUTH[0], volume=1.0)))
    assert look(sequence, START + 2 * MINUTE + 30_000, TRUTH[1:])
    assert sequence.ask(START + 2 * MINUTE + 50_000) is None and sequence.notes() == []


def test_a_failed_look_is_not_repeated_before_the_exchange_wants_it() -> None:
    sequence = BarSequence(KEY, BEFORE)
    now = START + MINUTE + 1500
    assert sequence.ask(now) is not None
    sequence.failed(now, 20.0)
    assert sequence.ask(now + 19_999) is None and sequence.due_ms(now) == now + 20_000
    assert sequence.ask(now + 20_000) is not None


def spiked(bar: Bar, factor: float = 10.0) -> Bar:
    return replace(bar, high=bar.high * factor)


def test_f31_a_spike_of_the_stream_that_rest_does_not_have_is_put_right() -> None:
    sequence = BarSequence(KEY, BEFORE)
    sequence.hear_mark(TRUTH[0].close, START + 30_000)
    sequence.hear(update(spiked(TRUTH[0])))
    assert not len(sequence.take(START + MINUTE))
    assert sequence.ask(START + MINUTE) is not None
    assert settle(sequence, START + MINUTE) == TRUTH[:1]
    assert sequence.notes() == []


def test_f31_a_spike_that_rest_confirms_is_given_as_suspect() -> None:
    bars = [TRUTH[0], spiked(TRUTH[1]), *TRUTH[2:]]
    sequence = BarSequence(KEY, BEFORE)
    sequence.hear(update(bars[0]))
    sequence.take(START + MINUTE)
    sequence.hear(update(bars[1]))  # no mark price heard: the close before makes it conspicuous
    now = START + 2 * MINUTE + 1500
    assert look(sequence, now, bars)
    assert not len(sequence.take(now))
    span = sequence.ask_marks(now)
    assert span == (START + MINUTE, START + 2 * MINUTE)
    sequence.read_marks(page(START + MINUTE, now)[0], *span, now)
    frame = sequence.take(now)
    assert frame.mark.tolist() == [BarMark.SUSPECT] and bars_of(frame) == [bars[1]]
    (note,) = sequence.notes()
    assert note == Suspect(KEY, bars[1], TRUTH[1].low, TRUTH[1].high)


def test_f31_the_stream_alone_is_not_enough_for_a_spike_even_if_the_mark_price_is_known() -> None:
    sequence = BarSequence(KEY, BEFORE)
    sequence.read_marks(page(START, START + MINUTE)[0], START, START + MINUTE, START + MINUTE)
    sequence.hear(update(spiked(TRUTH[0])))
    assert not len(sequence.take(START + MINUTE))


def test_f31_a_move_that_the_mark_price_made_too_is_no_spike() -> None:
    crash = replace(TRUTH[1], low=TRUTH[1].low * 0.7)
    bars = [TRUTH[0], crash, *TRUTH[2:]]
    sequence = BarSequence(KEY, BEFORE)
    sequence.hear_mark(TRUTH[1].open, START + MINUTE + 500)
    given = settle(sequence, START + 2 * MINUTE + 1500, bars)  # mark candles of the same shape
    assert given == [TRUTH[0], crash]
    assert sequence.notes() == []


def test_f31_without_any_mark_price_a_conspicuous_bar_is_suspect() -> None:
    bars = [TRUTH[0], spiked(TRUTH[1]), *TRUTH[2:]]
    sequence = BarSequence(KEY, BEFORE)
    now = START + 2 * MINUTE + 1500
    look(sequence, now, bars)
    assert bars_of(sequence.take(now)) == [TRUTH[0]]
    span = sequence.ask_marks(now)
    assert span is not None
    sequence.read_marks(None, *span, now)
    assert sequence.take(now).mark.tolist() == [BarMark.SUSPECT]


def test_f12_after_a_gap_of_the_stream_rest_is_asked_without_patience() -> None:
    sequence = BarSequence(KEY, BEFORE, patience_ms=20_000)
    for bar in TRUTH[:2]:
        sequence.hear(update(bar))
    sequence.take(START + 2 * MINUTE)
    now = START + 6 * MINUTE + 10
    assert sequence.ask(START + 3 * MINUTE + 10) is None
    sequence.doubt(START + 2 * MINUTE + 30_000)
    assert sequence.ask(START + 3 * MINUTE + 10) is None, "nothing was due when messages may have been lost"
    sequence.doubt(now)
    assert sequence.ask(now) is not None
    assert settle(sequence, now) == TRUTH[2:6]


def test_looks_that_bring_nothing_become_rarer() -> None:
    sequence = BarSequence(KEY, BEFORE)
    asked = 0
    for second in range(600):
        asked += look(sequence, START + MINUTE + 1500 + second * 1000, [])
        sequence.take(START + MINUTE + second * 1000)
    assert 20 <= asked <= 30
    sequence.failed(START + 15 * MINUTE)
    assert sequence.due_ms(START + 15 * MINUTE) == START + 15 * MINUTE + 30_000


def test_pages_of_a_long_absence_follow_at_once() -> None:
    sequence = BarSequence(KEY, BEFORE)
    now = START + 350 * MINUTE + 30_000
    given = []
    for _ in range(4):
        assert look(sequence, now, TRUTH, 100)
        given += bars_of(sequence.take(now))
    assert given == TRUTH[:350]


def test_memory_does_not_grow() -> None:
    sequence = BarSequence(KEY, BEFORE)
    for bar in TRUTH:
        sequence.hear_mark(bar.close, bar.open_time + 1)
        sequence.hear(update(bar))
        sequence.take(bar.open_time + MINUTE)
    sizes = {name: len(v) for name, v in vars(sequence).items() if isinstance(v, dict | set | list)}
    assert max(sizes.values()) <= REMEMBERED + 1
    assert len(sequence._marks.sampled) <= 2


class Feed:
    """A stream and REST over one truth, with the disorder that Hypothesis draws."""

    def __init__(self, bars: list[Bar], sequence: BarSequence) -> None:
        self.bars = bars
        self.sequence = sequence
        self.given: list[Bar] = []
        self.notes: list[object] = []

    def take(self, now_ms: int) -> None:
        frame = self.sequence.take(now_ms)
        assert (frame.open_time + MINUTE <= now_ms).all(), "no bar before its close"
        self.given += bars_of(frame)
        self.notes += self.sequence.notes()


@settings(max_examples=150)
@given(st.data())
def test_any_disorder_of_stream_and_rest_gives_the_same_sequence(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 40), label="bars")
    bars = TRUTH[: count + 10]
    messages = []  # (delivered at, message): late, lost, repeated, broken, forming ones too
    for place, bar in enumerate(bars[:count]):
        close = bar.open_time + MINUTE
        for _ in range(data.draw(st.integers(0, 3), label="copies")):
            late = data.draw(st.sampled_from([0, 20, 500, 3000, 61_000, 130_000, 400_000]))
            kind = data.draw(st.sampled_from(["closed"] * 4 + ["forming", "unflagged", "broken"]))
            told = update(bar, {"forming": False, "unflagged": None}.get(kind, True), close + late)
            if kind == "broken":
                told = replace(told, high=math.nan)
            elif kind == "forming":
                told = replace(told, close=bar.open, volume=bar.volume / 2)
            messages.append((close + late, place, told))
    end = START + count * MINUTE
    feed = Feed(bars, BarSequence(KEY, BEFORE, patience_ms=data.draw(st.sampled_from([0, 1500, 10_000]))))
    deaf = data.draw(st.booleans(), label="REST does not answer until the end")
    limit = data.draw(st.sampled_from([3, 10, 1000]), label="bars a page")
    moments = sorted({*range(START, end + 1, 15_000), *(at for at, _, _ in messages)})
    for now in moments:
        for _, _, told in [m for m in messages if m[0] == now]:
            feed.sequence.hear(told)
        feed.take(now)
        if (since := feed.sequence.ask(now)) is not None:
            if deaf or data.draw(st.booleans()):
                feed.sequence.failed(now)
            else:
                feed.sequence.read_page(*page(since, now, bars, limit), since, now)
                feed.take(now)
    for moment in range(moments[-1], moments[-1] + 120_000, 500):
        if (since := feed.sequence.ask(moment)) is not None:
            feed.sequence.read_page(*page(since, moment, bars, max(limit, 4)), since, moment)
            feed.take(moment)
    assert feed.given[:count] == bars[:count]
    assert all(isinstance(note, Quarantined) for note in feed.notes)


def test_a_frame_of_no_bars_is_empty() -> None:
    assert len(frame_of(KEY, [], [], 0)) == 0 and np.array_equal(frame_of(KEY, [], [], 0).open_time, [])


def test_f24_an_exchange_that_shows_no_newer_bar_is_asked_less_and_less_often() -> None:
    """A symbol that settles stays listed: its last bar is answered again and again."""
    sequence = BarSequence(KEY, BEFORE)
    over = TRUTH[:20]
    asked = 0
    for moment in range(START + 20 * MINUTE, START + 80 * MINUTE, 1000):
        asked += look(sequence, moment, over)
        sequence.take(moment)
    assert sequence.last_ms == over[-1].open_time
    assert asked < 3 * 60, "an hour at one look in thirty seconds is 120 looks"

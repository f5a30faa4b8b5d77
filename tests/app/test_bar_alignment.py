"""Which bars may be given out while symbols come one after another, fall behind, and catch up."""

from __future__ import annotations

import pytest

from app.bar_alignment import BarAlignment

MINUTE = 60_000
PATIENCE = 45_000


@pytest.fixture
def bars() -> BarAlignment:
    return BarAlignment(("A", "B", "C"), 0, PATIENCE)


def test_a_bar_is_ready_when_everybody_has_it(bars: BarAlignment) -> None:
    bars.hear("A", MINUTE, 1_000)
    bars.hear("B", MINUTE, 1_500)
    assert bars.ready_ms(2_000, ()) == 0 and bars.due_ms(2_000, ()) == 1_000 + PATIENCE
    bars.hear("C", MINUTE, 2_000)
    assert bars.ready_ms(2_000, ()) == MINUTE and bars.due_ms(2_000, ()) is None


def test_one_that_catches_up_many_bars_later_than_another_loses_none(bars: BarAlignment) -> None:
    for name, at in (("A", 0), ("B", 20_000), ("C", 40_000)):
        bars.hear(name, 10 * MINUTE, at)
        assert bars.ready_ms(at, ()) == (10 * MINUTE if name == "C" else 0)


def test_who_stays_behind_is_left_out_until_it_has_caught_up(bars: BarAlignment) -> None:
    for name in "AB":
        bars.hear(name, MINUTE, 0)
    assert bars.ready_ms(PATIENCE - 1, ()) == 0
    assert bars.ready_ms(PATIENCE, ()) == MINUTE and bars.due_ms(PATIENCE, ()) is None
    for name in "AB":
        bars.hear(name, 2 * MINUTE, MINUTE)
    assert bars.ready_ms(MINUTE, ()) == 2 * MINUTE, "it is not waited for at every bar again"
    bars.hear("C", 2 * MINUTE, MINUTE + 5)
    for name in "AB":
        bars.hear(name, 3 * MINUTE, 2 * MINUTE)
    assert bars.ready_ms(2 * MINUTE, ()) == 2 * MINUTE, "it counts again"


def test_ended_symbols_are_not_waited_for_unless_all_have_ended(bars: BarAlignment) -> None:
    bars.hear("A", MINUTE, 0)
    bars.hear("B", MINUTE, 0)
    assert bars.ready_ms(0, {"C"}) == MINUTE and bars.due_ms(0, {"C"}) is None
    bars.hear("C", MINUTE, 0)
    assert bars.ready_ms(0, {"A", "B", "C"}) == MINUTE
    bars.hear("C", 2 * MINUTE, 0)
    assert bars.ready_ms(PATIENCE, {"C"}) == MINUTE, "the ended one alone is ahead"

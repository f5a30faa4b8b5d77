"""What stays for good is kept out of collections, once."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from data.memory import MANY, set_aside_long_lived


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    gc.unfreeze()
    gc.collect()
    yield
    gc.unfreeze()


def test_many_old_objects_are_set_aside_and_few_are_not() -> None:
    kept = [[number] for number in range(2 * MANY)]
    gc.collect()
    set_aside_long_lived()
    aside = gc.get_freeze_count()
    assert aside >= len(kept)
    few = [[number] for number in range(MANY // 2)]
    gc.collect()
    set_aside_long_lived()
    assert len(few) == MANY // 2 and gc.get_freeze_count() <= aside


def test_what_is_loaded_after_the_first_time_is_set_aside_too() -> None:
    first = [[number] for number in range(2 * MANY)]
    gc.collect()
    set_aside_long_lived()
    later = [[number] for number in range(2 * MANY)]
    gc.collect()
    set_aside_long_lived()
    assert gc.get_freeze_count() >= len(first) + len(later)

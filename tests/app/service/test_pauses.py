"""A running service is not held up by full collections of garbage, and leaves the collector as it found it."""

from __future__ import annotations

import gc
import weakref

import pytest

from app.pauses import short_collections
from tests.app.service.running import running
from tests.app.service.test_commands import SLOW, going


class Node:
    """Garbage that only the collector finds: it holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_set_aside() -> None:
    gc.unfreeze()


def test_what_was_there_is_passed_over_and_what_comes_is_collected() -> None:
    kept = [[number] for number in range(1000)]
    left = weakref.ref(Node())
    with short_collections():
        assert left() is None, "garbage is collected first, not kept"
        seen = {id(item) for item in gc.get_objects()}
        assert not any(id(item) in seen for item in kept), "a collection does not look at these"
        new = weakref.ref(Node())
        gc.collect()
        assert new() is None
    assert gc.get_freeze_count() == 0
    seen = {id(item) for item in gc.get_objects()}
    assert all(id(item) in seen for item in kept)


def test_an_error_inside_puts_everything_back() -> None:
    with pytest.raises(RuntimeError), short_collections():
        raise RuntimeError
    assert gc.get_freeze_count() == 0


async def test_a_service_that_runs_has_short_collections(stocked) -> None:
    async with running(stocked, **SLOW) as run:
        await run.until(going)
        assert gc.get_freeze_count() > 10_000
        run.service.stop()
        await run.document()
    assert gc.get_freeze_count() == 0

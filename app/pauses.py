"""A running service is not held up by Python's collector of garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def short_collections() -> Iterator[None]:
    """Collect now, and let later collections pass over what is alive now, until the block ends.

    A full collection looks at every object of the process. After the warm-up most of them are modules, markets and
    bars that stay, and looking at them holds the loop (and the window) for 50 to 170 ms each time; without them it
    takes a few. Where blocks overlap, the first to end puts everything back: then pauses are long again, nothing else.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

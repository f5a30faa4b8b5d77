"""Python's collector of cycles, kept from holding up an event loop.

A full collection looks at every object of the process; the modules and tables that stay for good are most of them
(ccxt alone brings some 300,000), and looking at them takes 150 ms on a slow core. Once they are set aside a full
collection takes a few milliseconds.
"""

from __future__ import annotations

import gc

MANY = 50_000  # objects that have grown old since the last call: looking at so many takes 10 ms or more
OLDEST = 2  # generation of those that outlived two collections


def set_aside_long_lived() -> None:
    """Keep what is alive now out of all later collections, where enough has grown old to be worth it.

    Nothing is collected first: that would hold up the loop itself, and little garbage lies about at a start. Calling
    it again and again in a process (a market that ends and begins) sets nothing more aside.
    """
    if len(gc.get_objects(OLDEST)) > MANY:
        gc.freeze()

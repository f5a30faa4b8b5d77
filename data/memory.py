"""Python's collector of cycles, kept from holding up an event loop.

A full collection looks at every object of the process; the modules and tables that stay for good are most of them
(ccxt alone brings some 300,000), and looking at them takes 150 ms on a slow core. Once they are set aside a full
collection takes a few milliseconds.
"""

from __future__ import annotations

import gc


def set_aside_long_lived() -> None:
    """Keep what is alive now out of all later collections; in a process only the first call acts.

    Nothing is collected first: that would hold up the loop itself, and little garbage lies about at a start.
    """
    if gc.get_freeze_count() == 0:
        gc.freeze()

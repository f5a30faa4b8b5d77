"""mlfinpy: the triple-barrier method on every bar, with a vertical barrier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

DISTRIBUTION = "mlfinpy"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """Events and their bins of one side's barriers (the program labels both sides in a run)."""
    import pandas as pd
    from mlfinpy.labeling.labeling import (  # type: ignore[import-not-found, unused-ignore]
        add_vertical_barrier,
        get_bins,
        get_events,
    )

    count = int(len(data["close"]) * options.get("share", 1.0))
    close = pd.Series(data["close"][:count], index=pd.to_datetime(data["time"][:count], unit="ms"))
    target = pd.Series(options["stop"], index=close.index)

    def run() -> dict[str, Any]:
        began = perf_counter()
        limit = add_vertical_barrier(close.index, close, num_minutes=options["limit_bars"])
        events = get_events(
            close, close.index[:-1], [options["ratio"], 1.0], target, 0.0, options["threads"], limit, verbose=False
        )
        bins = get_bins(events, close)
        return {"seconds": perf_counter() - began, "labels": len(bins)}

    return run

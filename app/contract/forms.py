"""What a person fills in. Texts are as typed; they are checked by the service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BacktestForm:
    """What a person asks of a back-test. Texts are as typed; an empty one is the default of the settings or the data.

    ``symbols`` all come from ``exchange`` and ``source``; dates are as people write them, half-open.
    """

    symbols: tuple[str, ...]
    timeframe: str
    strategy: str  # name in the library, path of a strategy file
    schedule: str = ""  # id of a stored walk-forward, for strategies that read forecasts; empty: the newest
    since: str = ""
    until: str = ""
    exchange: str = ""
    source: str = ""
    exits: str = ""  # scalp | swing | even; empty: those of the strategy
    gates: str = "enforce"  # or observe
    on_halt: str = "stop"  # stop | next-day | next-month
    seed: str = ""
    overrides: tuple[tuple[str, str], ...] = ()  # 'trading.' settings of this back-test alone, by key

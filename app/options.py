"""What a person asks of ``run``: plain values, parsed by the command line and the window, read by the service."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

RUN_SOURCES = ("exchange", "synthetic", "replay")
MAX_SPEED = math.inf


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run of the service. ``None`` means "not said": the service takes the setting or its own default.

    A run is (source, exchange, symbols, timeframe, strategy or model, FROM..TO, settings, seed); ``speed``,
    ``for_seconds``, ``bars`` and ``fresh`` are no part of it and never enter the account's key.
    """

    home: Path
    mode: str = "paper"
    symbols: tuple[str, ...] | None = None  # unified, in the order given
    timeframe: str | None = None
    strategy: str | None = None  # name in the library, path of a strategy file, or "ensemble"
    source: str | None = None  # one of RUN_SOURCES; None: the operator's choice, else synthetic
    exchange: str | None = None
    data_source: str | None = None  # of a replay: "exchange" or "synthetic" where a series is stored from both
    replay: tuple[int, int] | None = None  # half-open span of open times, ms UTC; None: all that is stored
    schedule: str | None = None  # "walk-forward" or the id of a stored walk-forward run: no retraining
    speed: float | None = None  # bars per second and symbol; MAX_SPEED = unpaced; None: the source's default
    for_seconds: float | None = None  # stop after this many seconds
    bars: int | None = None  # stop after this many bars per symbol
    fresh: bool = False  # start the account anew
    exit_profile: str | None = None  # scalp | swing | even; None: by timeframe
    profile: str | None = None  # named bundle of settings, above the stored ones
    seed: int | None = None
    json: bool = False
    debug: bool = False

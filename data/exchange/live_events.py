"""What a live market tells besides bars, and how it says that it is well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.exchange.health import RestHealth, StreamHealth
from data.market import SeriesKey


@dataclass(frozen=True, slots=True)
class Settlement:
    """A funding settlement that the exchange shows; ``interval_ms`` to the one before it, ``None``: not known."""

    symbol: str
    time_ms: int
    rate: float  # fraction of notional; positive: longs pay
    interval_ms: int | None


@dataclass(frozen=True, slots=True)
class IntervalChanged:
    """The exchange settles a symbol's funding at another rhythm than before."""

    symbol: str
    before_ms: int
    after_ms: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something cannot be read or stored now; it is tried again. ``sentence`` empty: it is over."""

    what: str  # "candles BTCUSDT 1m", "funding BTCUSDT", "the store", …
    sentence: str


@dataclass(frozen=True, slots=True)
class SeriesHealth:
    """One series; times are ms UTC of the exchange's clock."""

    key: SeriesKey
    last_ms: int  # open time of the last bar given
    age_ms: int  # since that bar's close
    stale: bool


@dataclass(frozen=True, slots=True)
class LiveHealth:
    """The whole market; counts are since it began to run."""

    rest: RestHealth
    stream: StreamHealth | None  # ``None``: streams are off
    mode: Literal["stream", "rest"]  # where closed bars come from now
    series: tuple[SeriesHealth, ...]
    bars: int
    holes: int  # bars that the exchange does not have
    revisions: int
    quarantined: int
    suspects: int
    resyncs: int  # of order books
    unsettled: tuple[str, ...]  # symbols whose settlement is overdue
    troubles: tuple[str, ...]  # sentences of what goes wrong now
    not_given: tuple[str, ...] = ()  # sentences of what is to be collected and cannot be had here

    @property
    def stale(self) -> tuple[SeriesKey, ...]:
        """Series that are too old to decide on."""
        return tuple(series.key for series in self.series if series.stale)

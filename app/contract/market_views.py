"""What is stored of the market, what is wrong with it, how the feeds are. Conventions as in ``app.contract.views``."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.contract.views import FloatArray, no_floats


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One stored series; its ``coverage`` lies on the axis of the :class:`DataView`."""

    key: str  # names the series in questions and commands
    exchange: str
    symbol: str
    timeframe: str  # "tick" for series of events
    kind: str  # ohlcv mark index funding premium metrics trades book liquidations
    source: str  # exchange | synthetic
    rows: int
    first_ms: int
    last_ms: int  # end of the last row
    missing: int | None  # rows absent between first and last; None: the kind has no step
    coverage: FloatArray = field(default_factory=no_floats)  # [bins] share present, 0..1; NaN outside the series
    findings: int | None = None  # warnings and worse of the last check; None: not checked yet
    worst: str = "idle"  # ok | info | warn | bad | idle (not checked)
    checked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding of the last check of a series."""

    number: int
    kind: str  # gap zero_volume partial_volume outlier …
    level: str  # info | warn | bad
    start_ms: int
    end_ms: int
    bars: int
    words: str


@dataclass(frozen=True, slots=True)
class FindingsView:
    """The data report of one series, in order of time."""

    key: str
    findings: tuple[FindingRow, ...]
    checked_ms: int | None = None
    repaired: int = 0  # bars that the last check repaired
    repair_blocked: str = ""  # why Repair is disabled; empty = enabled


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One way by which data come in while a run is live: the requests, the stream, or one series."""

    name: str  # "Requests", "Stream", "BTCUSDT 1m"
    state: str  # Live | Polling | Late | Stale | Waiting | Off
    level: str
    last_ms: int | None  # newest answer, message or bar
    age_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """The market of one symbol at this moment, as far as it is followed."""

    symbol: str
    last: float | None
    bid: float | None
    ask: float | None
    spread: float | None  # fraction of the mid
    imbalance: float | None  # −1 … 1, bid size against ask size over the top 10
    microprice: float | None
    flow_imbalance: float | None  # −1 … 1 over the last 1,000 trades
    buy_pressure: float | None  # share of taker buying, 0 … 1
    mark: float | None
    index: float | None
    basis: float | None  # (mark − index) / index
    funding_rate: float | None  # fraction at the next settlement; positive: longs pay
    next_funding_ms: int | None
    interval_ms: int | None
    open_interest: float | None  # base units
    account_ratio: float | None  # long / short accounts
    taker_ratio: float | None  # taker buy / sell volume
    age_s: float | None  # of the newest of these
    price_digits: int = 1


@dataclass(frozen=True, slots=True)
class DataView:
    """What do I have."""

    series: tuple[SeriesRow, ...]
    from_ms: int | None  # axis of the coverage strips
    to_ms: int | None
    feeds: tuple[FeedRow, ...] = ()
    quotes: tuple[QuoteRow, ...] = ()
    exchange: str = ""  # that downloads ask
    size_bytes: int | None = None  # of the database
    check_blocked: str = ""
    symbols: tuple[str, ...] = ()  # offered for a download

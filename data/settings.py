"""Settings of the data floor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

TimeframeName = Literal["1m", "5m", "15m", "1h", "4h", "8h", "1d"]
ExchangeName = Literal["binanceusdm", "bybit", "okx", "weex"]
SymbolText = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,20}/(USDT|USDC|USD):(USDT|USDC|USD)$")]


class DataSettings(BaseModel):
    """Where market data come from and how politely they are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: ExchangeName = Field(
        default="binanceusdm", description="Exchange that market data come from.", json_schema_extra={"unit": "name"}
    )
    symbols: tuple[SymbolText, ...] = Field(
        default=("BTC/USDT:USDT",), min_length=1, max_length=50, description="Symbols that are followed and traded.",
        json_schema_extra={"unit": "symbols"},
    )  # fmt: skip
    timeframe: TimeframeName = Field(
        default="1m", description="Length of the bars that decisions are made on.", json_schema_extra={"unit": "bar"}
    )
    base_url: str | None = Field(
        default=None, pattern=r"^https?://[^\s/]+(:\d+)?$", examples=["http://127.0.0.1:9000"],
        description="Address instead of the exchange's own, for practice against a local server; empty: the real one.",
        json_schema_extra={"unit": "URL"},
    )  # fmt: skip
    request_timeout_s: float = Field(
        default=10.0, ge=0.1, le=120.0, description="One request to the exchange gives up after this long.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    request_attempts: int = Field(
        default=4, ge=1, le=20, description="A request that may be repeated is tried this often in all.",
        json_schema_extra={"unit": "attempts"},
    )  # fmt: skip
    retry_first_delay_s: float = Field(
        default=0.5, ge=0.01, le=60.0,
        description="Longest wait before the second attempt; it doubles with every further one and is drawn at random.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    retry_longest_delay_s: float = Field(
        default=60.0, ge=0.1, le=600.0,
        description="No wait between attempts is longer; an exchange that asks for more ends the attempts.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    request_weight_per_minute: int = Field(
        default=1200, ge=60, le=2400, description="Request weight used at most (Binance allows 2,400 in a minute).",
        json_schema_extra={"unit": "weight/minute"},
    )  # fmt: skip
    poll_delay_s: float = Field(
        default=1.5, ge=0.0, le=60.0, description="A new bar is asked for this long after its close.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    confirm_delay_s: float = Field(
        default=1.0, ge=0.05, le=60.0, description="Wait between two looks at a bar that is not yet confirmed.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    order_weight_share: float = Field(
        default=0.3, ge=0.0, le=0.9, description="Share of the request weight that only orders may use.",
        json_schema_extra={"unit": "fraction"},
    )  # fmt: skip
    breaker_failures: int = Field(
        default=5, ge=1, le=100, description="After so many failed requests in a row nothing is asked for a while.",
        json_schema_extra={"unit": "requests"},
    )  # fmt: skip
    breaker_pause_s: float = Field(
        default=5.0, ge=0.1, le=600.0,
        description="First pause after too many failures; it doubles up to the longest wait while they go on.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    rules_refresh_s: float = Field(
        default=900.0, ge=10.0, le=86_400.0, description="Trading rules are read again this often.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    streams: bool = Field(
        default=True, description="Listen to the exchange's streams; off: candles are asked for after each close.",
        json_schema_extra={"unit": "switch"},
    )  # fmt: skip
    stream_silence_s: float = Field(
        default=20.0, ge=1.0, le=600.0,
        description="A stream that says nothing for so long counts as dead: it is opened anew and REST fills the gap.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    stream_queue: int = Field(
        default=20_000, ge=100, le=1_000_000, description="Messages kept unread at most; then the oldest prices go.",
        json_schema_extra={"unit": "messages"},
    )  # fmt: skip
    stale_bars: float = Field(
        default=2.0, ge=1.0, le=20.0, description="A series without a new bar for so many bars is stale: no entries.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    spike_limit: float = Field(
        default=0.10, ge=0.005, le=10.0,
        description="A bar further than this from the mark price is suspect: stored, but nothing is decided on it.",
        json_schema_extra={"unit": "fraction"},
    )  # fmt: skip
    book_sample_s: float = Field(
        default=1.0, ge=0.1, le=3600.0, description="The top of the order book is stored this often.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    follow_timeframes: tuple[TimeframeName, ...] = Field(
        default=(), max_length=6, json_schema_extra={"unit": "bars"},
        description="Further timeframes of the traded symbols that are kept while a run is live.",
    )  # fmt: skip
    collect: tuple[Literal["book", "trades", "premium", "metrics", "liquidations"], ...] = Field(
        default=("premium",), description="What is collected besides candles and funding while a run is live.",
        json_schema_extra={"unit": "kinds"},
    )  # fmt: skip

"""Settings of the data floor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

TimeframeName = Literal["1m", "5m", "15m", "1h", "4h", "8h", "1d"]
SymbolText = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,20}/(USDT|USDC|USD):(USDT|USDC|USD)$")]


class DataSettings(BaseModel):
    """Where market data come from and how politely they are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: Literal["binanceusdm"] = Field(
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
        default=None, pattern=r"^https?://[^\s/]+(:\d+)?$",
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

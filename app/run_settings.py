"""Settings of a run: what the service trades when nothing else is said."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """What ``run`` does without options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["synthetic", "exchange", "replay"] = Field(
        "synthetic", description="Where the service takes its bars from when --source is not given",
        json_schema_extra={"unit": ""},
    )  # fmt: skip
    symbols: tuple[str, ...] = Field(
        ("BTC/USDT:USDT",), min_length=1, max_length=64, description="Symbols that the service trades",
        json_schema_extra={"unit": ""},
    )  # fmt: skip
    timeframe: Literal["1m", "5m", "15m", "1h", "4h", "8h", "1d"] = Field(
        "1m", description="Length of a bar that the service decides on", json_schema_extra={"unit": ""}
    )
    strategy: str = Field(
        "auto", min_length=1, max_length=400, json_schema_extra={"unit": ""},
        description="Strategy of the service: a name or a file; 'auto' is rsi-oversold until a model is promoted",
    )  # fmt: skip
    exchange: str = Field(
        "binanceusdm", min_length=1, max_length=40, description="Exchange whose series and bars are used",
        json_schema_extra={"unit": ""},
    )  # fmt: skip
    synthetic_speed: float = Field(
        20.0, ge=0.01, le=100_000.0, description="Pace of the synthetic market when --speed is not given",
        json_schema_extra={"unit": "bars/s"},
    )  # fmt: skip

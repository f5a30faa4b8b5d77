"""Settings of a run: what the service trades when nothing else is said."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """What ``run`` does without options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["synthetic", "exchange", "replay"] = Field(
        default="synthetic", description="Where the service takes its bars from when --source is not given",
        json_schema_extra={"unit": ""},
    )  # fmt: skip
    strategy: str = Field(
        default="auto", min_length=1, max_length=400, json_schema_extra={"unit": ""},
        description="Strategy of the service: a name or a file; 'auto' is rsi-oversold until a model is promoted",
    )  # fmt: skip
    synthetic_speed: float = Field(
        default=20.0, ge=0.01, le=100_000.0, description="Pace of the synthetic market when --speed is not given",
        json_schema_extra={"unit": "bars/s"},
    )  # fmt: skip

"""Settings of the models floor."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MemberName = Literal["logistic", "xgboost", "lightgbm"]
ProfileName = Literal["scalp", "swing", "even"]


class AiSettings(BaseModel):
    """Training, walk-forward and ensemble. Every number has its unit, range and meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enable_training: bool = Field(
        default=True,
        description="Train and retrain models while the service runs.",
        json_schema_extra={"unit": "yes/no"},
    )
    model_retrain_every_n_steps: int = Field(
        default=2000,
        ge=50,
        le=1_000_000,
        description="Retrain after this many bars.",
        json_schema_extra={"unit": "bars"},
    )
    history_limit: int = Field(
        default=20_000, ge=500, le=5_000_000, description="Newest bars that a training reads.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    retrain_latency_bars: int = Field(
        default=1, ge=1, le=1000, description="A retrain asked for at a bar takes effect this many bars later.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    seed: int = Field(
        default=7, ge=0, le=2**31 - 1, description="Seed of every random choice in training.",
        json_schema_extra={"unit": "number"},
    )  # fmt: skip
    members: tuple[MemberName, ...] = Field(
        default=("logistic", "xgboost", "lightgbm"), min_length=1, max_length=8,
        description="Models of the ensemble.", json_schema_extra={"unit": "names"},
    )  # fmt: skip
    calibration_share: float = Field(
        default=0.15, ge=0.05, le=0.5, description="Last part of a training window that calibrates.",
        json_schema_extra={"unit": "share"},
    )  # fmt: skip
    walk_forward_train: str = Field(
        default="6mo", pattern=r"^\d{1,7}(mo|y|d|w|b)$", description="Training window of a fold.",
        json_schema_extra={"unit": "duration"},
    )  # fmt: skip
    walk_forward_test: str = Field(
        default="1mo", pattern=r"^\d{1,7}(mo|y|d|w|b)$", description="Test window of a fold.",
        json_schema_extra={"unit": "duration"},
    )  # fmt: skip
    walk_forward_step: str = Field(
        default="1mo", pattern=r"^\d{1,7}(mo|y|d|w|b)$", description="From one fold to the next.",
        json_schema_extra={"unit": "duration"},
    )  # fmt: skip
    profile_short: ProfileName = Field(
        default="scalp", description="Exit profile on 1m and 5m bars.", json_schema_extra={"unit": "name"}
    )
    profile_long: ProfileName = Field(
        default="swing", description="Exit profile on 15m bars and longer.", json_schema_extra={"unit": "name"}
    )

    def profile_for(self, timeframe: str) -> ProfileName:
        """The exit profile that labels and plans use on ``timeframe``."""
        return self.profile_short if timeframe in ("1m", "5m") else self.profile_long

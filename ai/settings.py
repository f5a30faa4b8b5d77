"""Settings of the models floor."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MemberName = Literal["logistic", "random_forest", "hist_boosting", "xgboost", "lightgbm", "catboost"]
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
    walk_forward_anchored: bool = Field(
        default=False, description="Every training window begins at the first bar, instead of rolling on.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    embargo_bars: int = Field(
        default=0, ge=0, le=10_000, description="Bars left out between a training window and its test window.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    cpcv_groups: int = Field(
        default=0, ge=0, le=20,
        description="Groups of the combinatorial cross-validation, two tested at a time; 0: none is made.",
        json_schema_extra={"unit": "groups"},
    )  # fmt: skip
    walk_forward_tuning: int = Field(
        default=0, ge=0, le=10_000,
        description="Configurations that each fold of a walk-forward tries on its training window; 0: none.",
        json_schema_extra={"unit": "trials"},
    )  # fmt: skip
    workers: int = Field(
        default=0, ge=0, le=1024, description="Processes for folds and sweeps; 0: as many as there are cores.",
        json_schema_extra={"unit": "processes"},
    )  # fmt: skip
    cluster: str = Field(
        default="", description="Address of a Dask scheduler that does the work of folds and sweeps; empty: none.",
        json_schema_extra={"unit": "address"},
    )  # fmt: skip
    finer_labels: bool = Field(
        default=True,
        description="Let finer bars decide which barrier was touched first, where they cover the whole span.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    cross_asset_symbols: tuple[str, ...] = Field(
        default=("BTC/USDT:USDT", "ETH/USDT:USDT"), max_length=4,
        description="Symbols whose bars other symbols' features look at, where they are stored.",
        json_schema_extra={"unit": "symbols"},
    )  # fmt: skip
    max_disagreement: float = Field(
        default=0.08, ge=0.0, le=1.0,
        description="Act on no forecast whose members' probabilities of a side spread wider (standard deviation).",
        json_schema_extra={"unit": "probability"},
    )  # fmt: skip
    max_outside_share: float = Field(
        default=0.1, ge=0.0, le=1.0,
        description="Act on no forecast with a greater share of features outside their range in training.",
        json_schema_extra={"unit": "share"},
    )  # fmt: skip
    conformal_coverage: float = Field(
        default=0.0, ge=0.0, le=0.99,
        description="Act on no forecast whose conformal set at this coverage holds both sides; 0: off.",
        json_schema_extra={"unit": "share"},
    )  # fmt: skip
    meta_model: bool = Field(
        default=False, description="A second model decides which of the ensemble's trades to take.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    regime_filter: bool = Field(
        default=False, description="Leave out regimes in which the forecasts have not earned out of sample.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    adaptive_threshold: bool = Field(
        default=False, description="Ask for a higher probability where volatility is unusual.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    shrink_when_worse: bool = Field(
        default=True, description="Trade smaller while the live forecasts are worse than those of the folds.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    promotion_luck: float = Field(
        default=0.01, ge=0.0, le=1.0,
        description="Chance that luck promotes any model of a series that knows nothing, all retrainings together.",
        json_schema_extra={"unit": "probability"},
    )  # fmt: skip
    try_unproven: bool = Field(
        default=True,
        description="On paper, models that are better than the base rate but not proven forecast on trial.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    drift_alarms: bool = Field(
        default=True, description="Tell when features or scores drift away from those of the training.",
        json_schema_extra={"unit": "yes/no"},
    )  # fmt: skip
    training_time_limit_s: int = Field(
        default=1800, ge=1, le=86_400, description="A training in the background that takes longer is ended.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    training_memory_limit_mb: int = Field(
        default=4096, ge=256, le=1_000_000, description="A training in the background that takes more is ended.",
        json_schema_extra={"unit": "MiB"},
    )  # fmt: skip
    tuning_trials: int = Field(
        default=40, ge=1, le=10_000, description="Configurations that a search for hyper-parameters tries.",
        json_schema_extra={"unit": "trials"},
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

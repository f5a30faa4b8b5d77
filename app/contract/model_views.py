"""What models scored, what became of their live forecasts, and what was tried. Conventions as in app.contract.views."""

from __future__ import annotations

from dataclasses import dataclass

from app.contract.judgement import NamedAmount


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One forecaster on the pooled test rows; ``*_low`` and ``*_high`` are 95 % bands."""

    name: str
    kind: str  # ensemble | part | member | baseline | trading
    rows: int | None
    log_loss: float | None  # nats
    skill: float | None  # share of the base rate's log loss that is saved: above 0 is better
    skill_low: float | None
    skill_high: float | None
    auc: float | None  # of the direction
    auc_low: float | None
    auc_high: float | None
    brier: float | None
    ece: float | None
    weight: float | None = None  # mean share of the vote
    net_return: float | None = None  # after costs
    sharpe: float | None = None


@dataclass(frozen=True, slots=True)
class LiveLine:
    """What became of a model's forecasts since it took over, beside what the folds promised."""

    symbol: str
    model_id: str
    state: str  # "as expected", "worse than expected: trades smaller" …
    level: str
    labels: int
    effective: float  # independent labels they amount to
    log_loss: float | None
    expected: float | None
    error: float | None  # beyond the expected loss plus this the size falls
    calibration_error: float | None
    held_back_calibration: float | None
    size: float  # factor in force
    coverage: float | None
    target_coverage: float | None
    faded: tuple[NamedAmount, ...] = ()  # members worse than the base rate, and how much of their voice is left
    drifting: tuple[str, ...] = ()  # features whose distribution has left that of the training
    drift_words: str = ""
    regime: str = ""
    regimes: tuple[NamedAmount, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One search over a series: how many configurations were really tried, and the best of them."""

    symbol: str
    timeframe: str
    kind: str  # walk-forward | sweep | tuning
    tried: int
    failed: int
    running: int  # begun and not ended
    best_sharpe: float | None  # of the daily returns after costs, not annualised
    best_score: float | None  # in the search's own unit
    newest_ms: int


@dataclass(frozen=True, slots=True)
class OverlayLine:
    """What a model holds besides its members."""

    part: str  # "Regime", "Meta-model", "Regime filter", "Adaptive threshold", "Abstention"
    state: str  # "on", "off", "not enough proposals" …
    level: str
    words: str

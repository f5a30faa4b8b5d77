"""Columns of what models scored, how they fare live, what they hold, and what was tried."""

from __future__ import annotations

from app.contract.model_views import LiveLine, ScoreLine
from app.contract.results import ModelRow
from dashboard import numbers
from dashboard.cells import Cell, Column
from dashboard.widgets.controls import level_tone

STATE_TONES = {"active": "accent", "rejected": "warn", "training": "text2", "retired": "text2", "candidate": "text2"}
KIND_WORDS = {
    "ensemble": "ensemble", "part": "advised to act", "member": "member", "baseline": "baseline",
    "walk-forward": "Walk-forward", "sweep": "Sweep", "tuning": "Hyper-parameters",
}  # fmt: skip


def _band(value: float | None, low: float | None, high: float | None, digits: int, *, signed: bool = False) -> str:
    if value is None:
        return numbers.UNKNOWN
    words = numbers.number(value, digits, signed=signed)
    if low is None or high is None:
        return words
    ends = (numbers.number(end, digits, signed=signed) for end in (low, high))
    return f"{words} [{', '.join(ends)}]"


def _auc_cell(r: ModelRow | ScoreLine) -> Cell:
    words = _band(r.auc, r.auc_low, r.auc_high, 3)
    tone = "text3" if r.auc is None else "text2"
    tip = "ROC-AUC of long against short with its 95 % band; 0.5 is a coin toss"
    return Cell(words, tone, tip=tip, sort=r.auc if r.auc is not None else -1.0)


def _verdict_cell(r: ModelRow) -> Cell:
    tone = level_tone(r.verdict_level) if r.verdict_level in ("ok", "bad", "warn") else "text3"
    return Cell(r.verdict, tone, 400, tip=r.verdict)


def model_columns() -> list[Column]:
    """Columns of the registry."""
    return [
        Column("model", "Model", lambda r: Cell(r.model_id, "text", 600), 150, grow=2),
        Column("kind", "Kind", lambda r: Cell(r.kind), 120, grow=2, rank=2),
        Column("trained", "Trained on",
               lambda r: Cell(f"{numbers.date(r.trained_from_ms)} … {numbers.date(r.trained_to_ms)}"), 186, grow=1,
               rank=1),
        Column("features", "Features", lambda r: Cell(numbers.measured(r.features, "count")), 72, right=True, rank=4),
        Column("auc", "AUC direction", _auc_cell, 140, right=True),
        Column("gain", "Log-loss gain", lambda r: Cell(numbers.percent(r.log_loss_gain, signed=True)), 96, right=True,
               tip="Share of the base rate's log-loss that the model saves"),
        Column("ece", "ECE", lambda r: Cell(numbers.number(r.ece, 3)), 60, right=True, rank=3,
               tip="Expected calibration error"),
        Column("sharpe", "Defl. Sharpe", lambda r: Cell(numbers.number(r.deflated_sharpe)), 90, right=True, rank=3,
               tip="Probability that the Sharpe ratio is above zero, counting every configuration tried"),
        Column("size", "Size", lambda r: Cell(numbers.size(r.size_bytes)), 64, right=True, rank=5),
        Column("state", "State", lambda r: Cell(r.state_words, badge=STATE_TONES.get(r.state, "text2")), 124, grow=1),
        Column("verdict", "Verdict", _verdict_cell, 150, grow=4),
    ]  # fmt: skip


def _skill_cell(r: ScoreLine) -> Cell:
    if r.skill is None:
        return Cell(numbers.UNKNOWN, "text3", sort=-9.0)
    words = numbers.percent(r.skill, 2, signed=True)
    if r.skill_low is not None and r.skill_high is not None:
        ends = (numbers.percent(end, 2, signed=True) for end in (r.skill_low, r.skill_high))
        words += f" [{', '.join(ends)}]"
    better = r.skill_low is not None and r.skill_low > 0
    worse = r.skill_high is not None and r.skill_high < 0
    tone = "profit" if better else "loss" if worse else "text2"
    return Cell(words, tone, tip="Share of the base rate's log loss that is saved, with its 95 % band", sort=r.skill)


def score_columns() -> list[Column]:
    """Columns of every forecaster beside every other one."""
    return [
        Column("name", "Forecaster", lambda r: Cell(r.name, "text", 600 if r.kind == "ensemble" else 500), 130, grow=1),
        Column("kind", "Is", lambda r: Cell(KIND_WORDS.get(r.kind, r.kind), "text3"), 96, grow=1, rank=3),
        Column("weight", "Mean weight", lambda r: Cell(numbers.percent(r.weight, 0)), 84, right=True, rank=4),
        Column("rows", "Rows", lambda r: Cell(numbers.measured(r.rows, "count")), 76, right=True, rank=5),
        Column("loss", "Log loss", lambda r: Cell(numbers.number(r.log_loss, 4)), 72, right=True, rank=2),
        Column("skill", "Against the base rate", _skill_cell, 196, right=True),
        Column("auc", "AUC direction", _auc_cell, 152, right=True),
        Column("brier", "Brier", lambda r: Cell(numbers.number(r.brier, 4)), 70, right=True, rank=4),
        Column("ece", "ECE", lambda r: Cell(numbers.number(r.ece, 3)), 56, right=True, rank=3),
        Column("net", "Net return", lambda r: Cell(numbers.percent(r.net_return, 1, signed=True)), 84, right=True,
               rank=1, tip="After costs over the tested bars"),
        Column("sharpe", "Sharpe", lambda r: Cell(numbers.number(r.sharpe)), 64, right=True, rank=2,
               tip="Of daily returns, a year"),
    ]  # fmt: skip


def _live_loss_cell(r: LiveLine) -> Cell:
    if r.log_loss is None:
        return Cell(numbers.UNKNOWN, "text3", tip="No forecast's label has ended yet")
    room = f" ± {numbers.number(r.error, 3)}" if r.error is not None else ""
    words = f"{numbers.number(r.log_loss, 4)} / {numbers.number(r.expected, 4)}{room}"
    return Cell(words, "text2", tip="Live log loss / what the forecasts announced, and beyond which positions shrink")


def _drift_cell(r: LiveLine) -> Cell:
    if not r.drift_words:
        return Cell(numbers.UNKNOWN, "text3", tip="Not looked at yet")
    return Cell(r.drift_words, "warn" if r.drifting else "text2", tip=", ".join(r.drifting) or r.drift_words)


def live_columns() -> list[Column]:
    """Columns of the models that forecast now."""
    return [
        Column("symbol", "Symbol", lambda r: Cell(numbers.ticker(r.symbol), "text", 600), 84),
        Column("model", "Model", lambda r: Cell(r.model_id), 146, grow=1, rank=2),
        Column("state", "State", lambda r: Cell(r.state, badge=level_tone(r.level) if r.level != "idle" else "text2"),
               150, grow=1),
        Column("labels", "Labels", lambda r: Cell(f"{r.labels:,}", extra=f"≈ {r.effective:,.0f}"), 92, rank=3,
               tip="Forecasts whose label has ended, and how many independent ones they amount to"),
        Column("loss", "Log loss, live / announced", _live_loss_cell, 190, right=True),
        Column("ece", "Calibration error",
               lambda r: Cell(f"{numbers.percent(r.calibration_error, 1)} / "
                              f"{numbers.percent(r.held_back_calibration, 1)}"), 118, right=True, rank=1,
               tip="Live / held back"),
        Column("size", "Size", lambda r: Cell(numbers.percent(r.size, 0), "warn" if r.size < 1 else "text2"), 60,
               right=True, tip="Factor of the position's size while live forecasts are worse than announced"),
        Column("cover", "Coverage", lambda r: Cell(numbers.percent(r.coverage, 0)), 76, right=True, rank=4,
               tip="Share of labels that their conformal sets held"),
        Column("faded", "Faded", lambda r: Cell(", ".join(f"{f.label} {numbers.percent(f.value, 0)}" for f in r.faded)
                                                or "none", "warn" if r.faded else "text3"), 90, grow=1, rank=3),
        Column("drift", "Drift", _drift_cell, 130, grow=2),
        Column("regime", "Regime", lambda r: Cell(r.regime or "unknown", "text2" if r.regime else "text3",
                                                  tip=", ".join(f"{n.label} {numbers.percent(n.value, 0)}"
                                                                for n in r.regimes)), 120, grow=1, rank=1),
    ]  # fmt: skip


def overlay_columns() -> list[Column]:
    """Columns of what a model holds besides its members."""
    return [
        Column("part", "Part", lambda r: Cell(r.part, "text", 600), 150),
        Column("state", "State", lambda r: Cell(r.state, badge=level_tone(r.level) if r.level != "idle" else "text2"),
               150),
        Column("words", "What", lambda r: Cell(r.words, "text2", tip=r.words), 300, grow=5),
    ]  # fmt: skip


def trial_columns() -> list[Column]:
    """Columns of the searches that were made."""
    return [
        Column("series", "Series", lambda r: Cell(numbers.ticker(r.symbol), "text", 600, extra=r.timeframe), 130),
        Column("kind", "Search", lambda r: Cell(KIND_WORDS.get(r.kind, r.kind)), 130, grow=1),
        Column("tried", "Tried", lambda r: Cell(f"{r.tried:,}", "text", 600), 76, right=True,
               tip="Different configurations; each counts in the deflated Sharpe ratio"),
        Column("failed", "Failed", lambda r: Cell(f"{r.failed:,}", "warn" if r.failed else "text3"), 70, right=True),
        Column("running", "Not ended", lambda r: Cell(f"{r.running:,}", "text2" if r.running else "text3"), 82,
               right=True, rank=2),
        Column("sharpe", "Best Sharpe", lambda r: Cell(numbers.number(
            None if r.best_sharpe is None else r.best_sharpe * 365**0.5)), 96, right=True,
               tip="Of daily returns after costs, a year; the best of many looks good by chance"),
        Column("newest", "Newest", lambda r: Cell(f"{numbers.date(r.newest_ms)} {numbers.clock(r.newest_ms)}"), 140,
               grow=1, rank=1),
    ]  # fmt: skip

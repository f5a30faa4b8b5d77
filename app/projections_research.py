"""What the Models tab shows under the evidence: every forecaster's scores, what was tried, what models hold besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.contract.model_views import ScoreLine, TrialLine
from app.projections_forecast import member_name

if TYPE_CHECKING:
    from app.projection_context import Context

TRADED = {
    "no_trade": "No trade",
    "no trade": "No trade",
    "buy_and_hold": "Buy and hold",
    "buy and hold": "Buy and hold",
}


def score_lines(result: Mapping[str, Any]) -> tuple[ScoreLine, ...]:
    """Of a stored walk-forward: the ensemble, the part that is acted on, members, baselines."""
    if not result.get("overall"):
        return ()
    trading: Mapping[str, Any] = result.get("trading", {})
    lines = [_line("Ensemble", "ensemble", result["overall"], trading)]
    acted = result.get("advice", {}).get("acted_on")
    if acted and result["advice"].get("advised_against"):
        lines.append(_line("Acted on", "part", acted))
    lines += [_line(member_name(name), "member", said) for name, said in result.get("members", {}).items()]
    for name, said in result.get("baselines", {}).items():
        if isinstance(said, Mapping):
            lines.append(_line(str(name).replace("_", " ").capitalize(), "baseline", said, said))
    return tuple(lines)


def _line(name: str, kind: str, said: Mapping[str, Any], traded: Mapping[str, Any] | None = None) -> ScoreLine:
    held = traded or {}
    return ScoreLine(
        name, kind, said.get("n"), said.get("log_loss"), said.get("skill"), said.get("skill_low"),
        said.get("skill_high"), said.get("auc"), said.get("auc_low"), said.get("auc_high"), said.get("brier"),
        said.get("ece"), said.get("mean_weight"), held.get("net_return"), held.get("sharpe"),
    )  # fmt: skip


def trial_lines(context: Context) -> tuple[TrialLine, ...]:
    """Every kind of search of every stored series, the newest first."""
    return tuple(
        TrialLine(
            s.key.symbol, s.key.timeframe, s.kind, s.tried, s.failed, s.running, s.best_sharpe, s.best_score,
            s.newest_ms,
        )
        for s in context.place.database.trials.summary()
    )  # fmt: skip

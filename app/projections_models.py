"""Models: can I believe it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.models.files import MANIFEST
from app.contract.queries import ModelsQuery
from app.contract.results import FoldRow, ModelRow, ModelsView, ReliabilityBin, Score
from app.contract.views import FloatArray
from app.projection_context import Context
from app.projections_forecast import member_name
from app.projections_holds import overlay_lines
from app.projections_research import score_lines, trial_lines
from data.timeframes import parse_time

if TYPE_CHECKING:
    from database.forecasts import RunInfo
    from database.models import ModelRow as StoredModel

STATES = {"promoted": "active", "candidate": "candidate", "retired": "retired"}
STATE_WORDS = {"active": "promoted", "candidate": "waits for promotion", "retired": "was replaced"}
VERDICTS = {None: "no out-of-sample score", True: "beats the base rate", False: "no better than the base rate"}
LONG = 1
EVIDENCE = 0.95
Z95 = 1.96
WEIGHT_POINTS = 48


def models(query: ModelsQuery, context: Context) -> ModelsView:
    """The newest walk-forward of a series, and the registry."""
    stored = context.place.database.models.all()
    registry = tuple(_model(row, *_files(context.place.home.models / row.path)) for row in stored)
    run = _run(query, context)
    former = _former(stored)
    shared: dict[str, Any] = {
        "registry": registry, "rollback_to": former, "trials": trial_lines(context),
        "live": context.live_models, "overlay": overlay_lines(context),
        "rollback_blocked": "" if former else "There is no earlier promoted and audited model to go back to.",
    }  # fmt: skip
    if run is None:
        sentence = "Run a walk-forward: it trains and scores every model on bars that it has not seen."
        return ModelsView("", "idle", "paper only", sentence, **shared)
    result = run.result
    overall: Mapping[str, Any] = result.get("overall", {})
    title, level = _title(overall, result.get("trading", {}))
    weights: Mapping[str, Any] = result.get("weights", {})
    spec = run.spec
    return ModelsView(
        title, level, "paper only", str(result.get("verdict", "")), scores=_scores(overall, result),
        symbol=run.key.symbol, timeframe=run.key.timeframe,
        about=f"train {spec.get('train')} · test {spec.get('test')} · step {spec.get('step')}",
        lines=score_lines(result), folds=tuple(_fold(f) for f in result.get("folds", ())),
        auc_low=overall.get("auc_low"), auc_high=overall.get("auc_high"), reliability=_reliability(result),
        weights_time=_blocks(np.array(weights.get("time", ()), dtype=np.float64)).astype(np.int64),
        weights={
            member_name(name): _blocks(np.array([np.nan if v is None else v for v in values], dtype=np.float64))
            for name, values in weights.get("members", {}).items()
        },
        **shared,
    )  # fmt: skip


def _blocks(values: FloatArray) -> FloatArray:
    """Means of stretches of equal length, so that the weights' course shows and not their jitter."""
    if len(values) <= WEIGHT_POINTS:
        return values
    edges = np.linspace(0, len(values), WEIGHT_POINTS + 1).astype(np.int64)
    return np.array([values[a:b].mean() for a, b in pairwise(edges.tolist())])


def _run(query: ModelsQuery, context: Context) -> RunInfo | None:
    runs = context.place.database.forecasts.runs()
    fitting = [
        r for r in runs
        if query.symbol in ("", r.key.symbol) and query.timeframe in ("", r.key.timeframe)
    ]  # fmt: skip
    return fitting[0] if fitting else None


def _former(stored: list[StoredModel]) -> str:
    """The model that a roll-back would return to: promoted before the present one of its series, its audit passed."""
    active = [m for m in stored if m.state == "promoted"]
    if not active:
        return ""
    newest = max(active, key=lambda m: m.promoted_ms or 0)
    before = [
        m for m in stored
        if m.key == newest.key and m.promoted_ms is not None and m.promoted_ms < (newest.promoted_ms or 0)
        and m.audited
    ]  # fmt: skip
    return max(before, key=lambda m: m.promoted_ms or 0).model_id if before else ""


def _title(overall: Mapping[str, Any], trading: Mapping[str, Any]) -> tuple[str, str]:
    low, high = overall.get("auc_low"), overall.get("auc_high")
    if low is None or high is None or low <= 0.5 <= high:
        return "No evidence of an edge", "warn"
    if high < 0.5:
        return "Worse than chance", "bad"
    chance = trading.get("deflated_sharpe")
    if chance is not None and chance >= EVIDENCE:
        return "There may be an edge after costs", "ok"
    return "Better than chance, not proved after costs", "info"


def _scores(overall: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[Score, ...]:
    trading: Mapping[str, Any] = result.get("trading", {})
    loss, baseline = overall.get("log_loss"), overall.get("base_log_loss")
    gain = 1.0 - loss / baseline if loss is not None and baseline else None
    low, high = overall.get("auc_low"), overall.get("auc_high")
    holds = low is not None and high is not None and low <= 0.5 <= high
    chance = trading.get("deflated_sharpe")
    return (
        Score("Direction AUC", overall.get("auc"), "ratio", low, high, None if low is None else low > 0.5,
              "band holds 0.5" if holds else "want the band above 0.5",
              "Ranks LONG before SHORT, out of sample; 0.5 is a coin. Band: 95 %, block bootstrap.", digits=3),
        Score("Log-loss gain", gain, "fraction", passed=None if gain is None else gain > 0,
              words="against the base rate, want > 0", signed=True),
        Score("Calibration error", overall.get("ece"), "fraction", words="predicted against observed, small is good"),
        Score("Touch AUC", overall.get("auc_touch"), "ratio", words="volatility, never an edge", digits=3),
        Score("Deflated Sharpe", chance, "fraction", passed=None if chance is None else chance >= EVIDENCE,
              words=f"want > 95 %, {trading.get('trials', 1)} tried"),
        Score("Net return", trading.get("net_return"), "fraction", words="after costs, gates observed", signed=True),
    )  # fmt: skip


def _fold(fold: Mapping[str, Any]) -> FoldRow:
    auc, low, high = fold.get("auc"), fold.get("auc_low"), fold.get("auc_high")
    return FoldRow(
        parse_time(str(fold["test_from"])), parse_time(str(fold["test_to"])), int(fold["n"]), auc, low, high,
        fold.get("log_loss"), fold.get("base_log_loss"), fold.get("brier"), fold.get("ece"),
    )  # fmt: skip


def _reliability(result: Mapping[str, Any]) -> tuple[ReliabilityBin, ...]:
    """Of the LONG probability: mean predicted and observed share by bin, with the binomial 95 % band."""
    rows = []
    for b in result.get("reliability", ()):
        if b.get("label") != LONG or not b.get("n"):
            continue
        share, n = float(b["observed"]), int(b["n"])
        middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)  # Wilson 1927
        half = Z95 * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n)) / (1 + Z95**2 / n)
        rows.append(ReliabilityBin(float(b["mean_p"]), share, float(middle - half), float(middle + half), n))
    return tuple(rows)


def _kind(row: StoredModel) -> str:
    """``Ensemble of 3``."""
    members = row.params.get("members", ())
    return f"Ensemble of {len(members)}" if len(members) > 1 else row.kind.capitalize()


def _files(folder: Path) -> tuple[int | None, int | None]:
    """How many features a stored model reads, and its size in bytes; unknown where its files are gone."""
    try:
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        return len(json.loads((folder / MANIFEST).read_bytes())["features"]), size
    except (OSError, ValueError, KeyError):
        return None, None


def _model(row: StoredModel, features: int | None, size: int | None) -> ModelRow:
    scores = row.scores
    state = STATES.get(row.state, row.state)
    loss, baseline = scores.get("log_loss"), scores.get("base_log_loss")
    gain = 1.0 - loss / baseline if loss is not None and baseline else None
    beats = gain is not None and gain > 0
    return ModelRow(
        model_id=row.model_id, kind=_kind(row), trained_from_ms=row.from_ms, trained_to_ms=row.to_ms, features=features,
        auc=scores.get("auc"), auc_low=scores.get("auc_low"), auc_high=scores.get("auc_high"), log_loss_gain=gain,
        ece=scores.get("ece"), deflated_sharpe=scores.get("deflated_sharpe"), size_bytes=size, state=state,
        state_words=STATE_WORDS.get(state, ""),
        verdict=_verdict(gain, scores.get("luck")),
        verdict_level="idle" if gain is None else "ok" if beats else "warn",
        promote_blocked="It makes the forecasts already." if state == "active" else _audit_missing(row),
    )  # fmt: skip


def _verdict(gain: float | None, luck: float | None) -> str:
    """Against the base rate, and how often luck alone ranks direction as well where that is known."""
    words = VERDICTS[None if gain is None else gain > 0]
    return f"{words}, luck does as well in {luck:.0%}" if gain is not None and gain > 0 and luck is not None else words


def _audit_missing(row: StoredModel) -> str:
    """Why the model cannot be promoted; empty where its leak audit has passed."""
    if row.audited:
        return ""
    found = row.audit
    return f"Its leak audit found: {found['sentence']}." if found else "It has no leak audit yet: audit it first."

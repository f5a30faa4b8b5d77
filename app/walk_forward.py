"""``walk-forward``: train and score out of sample, trade the forecasts after costs, store forecasts and schedule."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ai.ensemble import EnsembleOptions
from ai.validation.splits import Duration
from ai.validation.walk_forward import WalkForwardResult, WalkForwardSpec, walk_forward
from app.evaluation import TradingEvaluator, Trial
from app.instrument_rules import rules_of
from app.wiring import Workplace, choose_series, extras_for, market_for
from data.market import Frame, FundingFrame, SeriesKey
from database.models import OVERALL, MetricRow

if TYPE_CHECKING:
    from ai.validation.walk_forward import Cancelled

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

STARTED = "walk_forward_started"  # audit kind: every configuration tried leaves a trace, failed ones too
PARALLEL_FROM_BARS = 20_000  # below this the workers' start costs more than they save
SCORES = ("n", "log_loss", "base_log_loss", "brier", "auc", "auc_touch", "ece")
GOOD_CHANCE = 0.95  # of the deflated Sharpe, to speak of evidence


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: the setting, or all that is stored. Times are ms UTC, half-open."""

    symbol: str
    timeframe: str
    train: str | None = None
    test: str | None = None
    step: str | None = None  # None: the setting, or the test window where one is given
    members: tuple[str, ...] | None = None
    seed: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    exchange: str | None = None
    source: str | None = None
    exit_profile: str | None = None
    workers: int | None = None


def perform(
    place: Workplace, request: Request, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Document:
    """Walk forward, store, and say what came of it; the keys of COMMANDS.

    Raises:
        UserError: no such series, wrong options, or too little data for one fold.
    """
    store = place.database.candles
    info = choose_series(store, request.symbol, request.timeframe, request.exchange, request.source)
    _, frames, fundings = market_for(
        store, [request.symbol], request.timeframe, (request.start_ms, request.end_ms), info.key.source, 0,
        info.key.exchange,
    )  # fmt: skip
    spec = spec_of(place, request, len(frames[0]))
    digest, about = _identity(spec, info.key, frames[0])
    trials = trials_of(place, info.key, digest)
    place.database.audit.append(None, STARTED, {**about, "digest": digest})
    extras = extras_for(place.database, frames[0], place.settings.values.ai)
    rules = rules_of(place.database, info.key, frames[0])
    evaluator = TradingEvaluator(place.settings, trials, spec.seed, rules, extras.beside)
    result = walk_forward(
        frames[0], _funding(fundings[0]), spec, evaluator, progress, cancelled, extras.beside, extras.finer
    )
    document = {
        **result.as_dict(), "run_id": f"wf-{digest}", "series": str(info.key), "bars": len(frames[0]),
        "verdict": words(result), "spec": about,
    }  # fmt: skip
    save(place, info.key, f"wf-{digest}", frames[0], result, about, document, evaluator)
    return document


def spec_of(place: Workplace, request: Request, bars: int) -> WalkForwardSpec:
    """The request with the settings in the places that it leaves open.

    Raises:
        UserError: no duration, or an unknown member.
    """
    ai = place.settings.values.ai
    return WalkForwardSpec(
        train=Duration.parse(request.train or ai.walk_forward_train),
        test=Duration.parse(request.test or ai.walk_forward_test),
        step=Duration.parse(request.step or request.test or ai.walk_forward_step),
        members=request.members or tuple(ai.members), seed=ai.seed if request.seed is None else request.seed,
        profile=request.exit_profile or ai.profile_for(request.timeframe), calibration_share=ai.calibration_share,
        anchored=ai.walk_forward_anchored, embargo_bars=ai.embargo_bars, options=EnsembleOptions.of(ai),
        workers=request.workers or (min(os.cpu_count() or 1, 4) if bars >= PARALLEL_FROM_BARS else 1),
    )  # fmt: skip


def _funding(funding: FundingFrame) -> FundingFrame | None:
    return funding if len(funding) else None


def _identity(spec: WalkForwardSpec, key: SeriesKey, frame: Frame) -> tuple[str, Document]:
    """A digest of what decides the result, and the same in words."""
    about = {
        "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "source": key.source,
        "from_ms": int(frame.open_time[0]), "to_ms": int(frame.open_time[-1]) + key.step_ms, "bars": len(frame),
        "train": str(spec.train), "test": str(spec.test), "step": str(spec.step), "members": list(spec.members),
        "seed": spec.seed, "profile": spec.profile, "calibration_share": spec.calibration_share,
    }  # fmt: skip
    text = json.dumps(about, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest(), about


def trials_of(place: Workplace, key: SeriesKey, present: str) -> list[Trial]:
    """Other configurations tried on the series: those that left a result with their days, failed ones without."""
    stored = {run.run_id.removeprefix("wf-"): run.result for run in place.database.forecasts.runs(key)}
    tried: dict[str, Trial] = {}
    for entry in place.database.audit.entries(kind=STARTED):
        body = json.loads(entry.body)
        same = all(body.get(name) == getattr(key, name) for name in ("exchange", "symbol", "timeframe", "source"))
        if same and body["digest"] != present:
            daily = stored.get(body["digest"], {}).get("daily", {})
            tried[body["digest"]] = Trial(body["digest"], {int(day): float(r) for day, r in daily.items()})
    return list(tried.values())


def save(
    place: Workplace, key: SeriesKey, run_id: str, frame: Frame, result: WalkForwardResult, about: Document,
    document: Document, evaluator: TradingEvaluator,
) -> None:  # fmt: skip
    """Forecast rows from the first test bar on, the schedule, the scores of every fold and of all together."""
    first = result.schedule[0].from_ms
    at = int(frame.open_time.searchsorted(first))
    stop = max(fold.window.test_rows[1] for fold in result.folds)  # what comes after was never forecast
    kept = {**document, "daily": {str(day): r for day, r in (evaluator.daily or {}).items()}}
    kept["weights"] = _thinned_weights(frame, result)
    place.database.forecasts.save(
        run_id, key, place.clock.now_ms(), frame.open_time[at:stop], result.rows[at:stop], result.schedule,
        result.member_names, about, kept,
    )  # fmt: skip
    rows = [
        MetricRow(run_id, k, name, _finite(getattr(fold.scores, name)))
        for k, fold in enumerate(result.folds)
        for name in SCORES
    ]
    overall = document["overall"]
    rows += [MetricRow(run_id, OVERALL, name, overall.get(name)) for name in (*SCORES, "auc_low", "auc_high")]
    place.database.models.save_metrics(rows)


def _thinned_weights(frame: Frame, result: WalkForwardResult, points: int = 400) -> Document:
    """The members' weights over time, thinned for a chart."""
    import numpy as np

    here = np.flatnonzero(~np.isnan(result.weights[:, 0])) if result.weights.shape[1] else np.empty(0, dtype=np.int64)
    chosen = here[:: max(1, len(here) // points)]
    return {
        "time": frame.open_time[chosen].tolist(),
        "members": {name: result.weights[chosen, k].tolist() for k, name in enumerate(result.member_names)},
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def words(result: WalkForwardResult) -> str:
    """The verdict for a person: what the direction says, and whether it pays after costs."""
    text = result.verdict[:1].upper() + result.verdict[1:]
    edge, account = result.trading.get("edge", {}), result.trading.get("account", {})
    if not edge:
        return f"{text}."
    trades, net = int(edge["trades"]), float(edge["net_return"])
    if not trades:
        return f"{text}. After costs there is nothing to trade: no forecast was both likely enough and worth it."
    text += f". After costs {trades:,} trades make {net:+.1%} with the gates observed"
    text += f" and {float(account['net_return']):+.1%} with them enforced"
    text += f" (halted at {account['halted_at'][:10]})" if account.get("halted_at") else ""
    chance = edge.get("deflated_sharpe")
    if chance is not None:
        enough = "enough to go on" if chance >= GOOD_CHANCE else f"below the {GOOD_CHANCE:.0%} that would be evidence"
        tries = "one try" if edge["trials"] == 1 else f"{edge['trials']} tries"
        text += f"; the chance that this is more than luck after {tries} is {chance:.0%}, {enough}"
    return f"{text}."

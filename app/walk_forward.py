"""``walk-forward``: train and score out of sample, trade the forecasts after costs, store forecasts and schedule."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ai.ensemble import EnsembleOptions
from ai.training import training_schema
from ai.validation.paths import combinatorial_paths
from ai.validation.scores import BETTER
from ai.validation.splits import Duration, walk_forward_windows
from ai.validation.walk_forward import WalkForwardResult, WalkForwardSpec, walk_forward
from app.evaluation import BUY_AND_HOLD, TradingEvaluator
from app.instrument_rules import rules_of
from app.trials import RUN, WALK_FORWARD, note_tuned, sharpe_of, tried
from app.tuning import tuned_for
from app.wiring import Extras, Workplace, choose_series, extras_for, mark_frame, market_for
from data.errors import UserError
from data.market import Frame, FundingFrame, SeriesKey
from database.models import OVERALL, MetricRow

if TYPE_CHECKING:
    from ai.settings import AiSettings
    from ai.validation.walk_forward import Cancelled

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

STARTED = "walk_forward_started"  # audit kind: every configuration tried leaves a trace, failed ones too
PARALLEL_FROM_BARS = 20_000  # below this the workers' start costs more than they save
BANDED = ("log_loss", "base_log_loss", "skill", "brier", "brier_skill", "auc", "auc_within", "auc_touch", "ece")
SCORES = ("n", *(f"{name}{end}" for name in BANDED for end in ("", "_low", "_high")))
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
    anchored: bool | None = None
    embargo_bars: int | None = None
    cpcv_groups: int | None = None  # 0: no combinatorial cross-validation
    tune: int | None = None  # configurations that each fold's inner search tries; 0: none
    cluster: str | None = None


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
    frame, funding = frames[0], _funding(fundings[0])
    spec = spec_of(place, request, info.key, frame)
    groups = place.settings.values.ai.cpcv_groups if request.cpcv_groups is None else request.cpcv_groups
    extras = extras_for(place.database, frame, place.settings.values.ai)
    run, about = _identity(spec, info.key, frame, extras, groups)
    place.database.audit.append(None, STARTED, {**about, "digest": run})
    trial = place.database.trials.begin(info.key, WALK_FORWARD, {RUN: run, **about})
    try:
        evaluator = TradingEvaluator(
            place.settings, partial(tried, place, info.key), trial, WALK_FORWARD, spec.seed,
            rules_of(place.database, info.key, frame), extras.beside, store.read,
            mark_frame(store, info.key, request.start_ms, request.end_ms),
        )  # fmt: skip
        result = walk_forward(
            frame, funding, spec, evaluator, progress, cancelled, extras.beside, extras.finer,
            partial(note_tuned, place, info.key),
        )  # fmt: skip
        paths = _paths(frame, funding, spec, groups, evaluator, progress, cancelled, extras)
    except BaseException as error:
        place.database.trials.fail(info.key, trial, str(error) or type(error).__name__)
        raise
    document = {
        **result.as_dict(), "run_id": f"wf-{run}", "series": str(info.key), "bars": len(frame),
        "verdict": words(result), "spec": about, "paths": paths,
    }  # fmt: skip
    save(place, info.key, f"wf-{run}", frame, result, about, document, evaluator)
    daily = evaluator.daily or {}
    place.database.trials.finish(info.key, trial, result.overall.log_loss, sharpe_of(daily), daily)
    return document


def spec_of(place: Workplace, request: Request, key: SeriesKey, frame: Frame) -> WalkForwardSpec:
    """The request with the settings in the places that it leaves open.

    Tuned parameters are those of searches that had ended before the first test window begins: a later one has looked
    at what is tested.

    Raises:
        UserError: no duration, or an unknown member.
    """
    ai = place.settings.values.ai
    train = Duration.parse(request.train or ai.walk_forward_train)
    test = Duration.parse(request.test or ai.walk_forward_test)
    step = Duration.parse(request.step or request.test or ai.walk_forward_step)
    anchored = ai.walk_forward_anchored if request.anchored is None else request.anchored
    profile = request.exit_profile or ai.profile_for(request.timeframe)
    tuned = tuned_for(place.database, key, profile, _first_test(frame, train, test, step, anchored))
    return WalkForwardSpec(
        train=train, test=test, step=step, members=request.members or tuple(ai.members),
        seed=ai.seed if request.seed is None else request.seed, profile=profile,
        calibration_share=ai.calibration_share, anchored=anchored,
        embargo_bars=ai.embargo_bars if request.embargo_bars is None else request.embargo_bars,
        options=EnsembleOptions.of(ai, tuned), workers=processes(request.workers, ai, len(frame) >= PARALLEL_FROM_BARS),
        tune=ai.walk_forward_tuning if request.tune is None else request.tune,
        cluster=request.cluster or ai.cluster or None,
    )  # fmt: skip


def _first_test(frame: Frame, train: Duration, test: Duration, step: Duration, anchored: bool) -> int:
    try:
        return walk_forward_windows(frame.open_time, frame.key.step_ms, train, test, step, 0, anchored)[0].test_from
    except UserError:  # no fold fits: the walk itself says so, and counts as a try
        return int(frame.open_time[0])


def processes(asked: int | None, ai: AiSettings, much: bool) -> int:
    """How many processes: as asked for, as the setting says, else every core where there is ``much`` to do."""
    return asked or ai.workers or ((os.cpu_count() or 1) if much else 1)


def _paths(
    frame: Frame, funding: FundingFrame | None, spec: WalkForwardSpec, groups: int, evaluator: TradingEvaluator,
    progress: Progress | None, cancelled: Cancelled | None, extras: Extras,
) -> Document | None:  # fmt: skip
    """The paths of the combinatorial cross-validation, where one is asked for; their trading counts no trials."""
    if not groups:
        return None
    alone = TradingEvaluator(
        evaluator.settings, seed=evaluator.seed, rules=evaluator.rules, beside=evaluator.beside, finer=evaluator.finer,
        marks=evaluator.marks,
    )  # fmt: skip
    return combinatorial_paths(
        frame, funding, spec, groups, alone, progress, cancelled, extras.beside, extras.finer
    ).as_dict()


def _funding(funding: FundingFrame) -> FundingFrame | None:
    return funding if len(funding) else None


def _identity(spec: WalkForwardSpec, key: SeriesKey, frame: Frame, extras: Extras, groups: int) -> tuple[str, Document]:
    """A digest of what decides the result, and the same in words; where it is computed decides nothing."""
    profile = str(spec.profile)
    about = {
        "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "source": key.source,
        "from_ms": int(frame.open_time[0]), "to_ms": int(frame.open_time[-1]) + key.step_ms, "bars": len(frame),
        "train": str(spec.train), "test": str(spec.test), "step": str(spec.step), "members": list(spec.members),
        "seed": spec.seed, "profile": profile, "calibration_share": spec.calibration_share,
        "anchored": spec.anchored, "embargo_bars": spec.embargo_bars, "tune": spec.tune, "cpcv_groups": groups,
        "options": asdict(spec.options), "features": training_schema(profile, key.timeframe, spec.features).digest,
        "finer": None if extras.finer is None else extras.finer.key.timeframe,
        "beside": extras.beside is not None,
    }  # fmt: skip
    text = json.dumps(about, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest(), about


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
    parts = [*enumerate(document["folds"]), (OVERALL, document["overall"])]
    place.database.models.save_metrics(
        [MetricRow(run_id, number, name, scores[name]) for number, scores in parts for name in SCORES]
    )


def _thinned_weights(frame: Frame, result: WalkForwardResult, points: int = 400) -> Document:
    """The members' weights over time, thinned for a chart."""
    import numpy as np

    here = np.flatnonzero(~np.isnan(result.weights[:, 0])) if result.weights.shape[1] else np.empty(0, dtype=np.int64)
    chosen = here[:: max(1, len(here) // points)]
    return {
        "time": frame.open_time[chosen].tolist(),
        "members": {name: result.weights[chosen, k].tolist() for k, name in enumerate(result.member_names)},
    }


def words(result: WalkForwardResult) -> str:
    """The verdict for a person: what the direction says, and whether it pays after costs."""
    text = result.verdict[:1].upper() + result.verdict[1:]
    if not result.trading.get("edge"):
        return f"{text}."
    return f"{text}. {money_words(result.trading, result.verdict.startswith(BETTER))}."


def money_words(trading: Mapping[str, Any], ranked: bool) -> str:
    """What the forecasts earn after costs; ``ranked``: direction is ranked better than chance."""
    edge, account = trading["edge"], trading["account"]
    trades, net = int(edge["trades"]), float(edge["net_return"])
    if not trades:
        return "After costs there is nothing to trade: no forecast was both likely enough and worth it"
    text = f"After costs {trades:,} trades make {net:+.1%} with the gates observed"
    text += f" and {float(account['net_return']):+.1%} with them enforced"
    text += f" (halted at {account['halted_at'][:10]})" if account.get("halted_at") else ""
    held = trading.get("baselines", {}).get(BUY_AND_HOLD)
    text += f", buying and holding {float(held['net_return']):+.1%}" if held else ""
    return f"{text}{_luck(edge, ranked)}"


def _luck(edge: Mapping[str, Any], ranked: bool) -> str:
    """What the chance of luck says; ``ranked``: direction is ranked better than chance."""
    chance = edge.get("deflated_sharpe")
    if chance is None:
        return ""
    tries = "one try" if edge["trials"] == 1 else f"{edge['trials']} tries"
    text = f"; the chance that this is more than luck after {tries} is {chance:.0%}, "
    if chance < GOOD_CHANCE:
        return f"{text}below the {GOOD_CHANCE:.0%} that would be evidence"
    if not (edge.get("sharpe_low") or 0.0) > 0.0:
        return f"{text}but the 95 % band of its Sharpe ratio holds zero"
    if (edge.get("reality_check") or 0.0) > 1.0 - GOOD_CHANCE:
        return f"{text}but White's reality check sees as much in {edge['reality_check']:.0%} of what has no edge"
    return f"{text}{'enough to go on' if ranked else 'but it does not come from a ranking of direction'}"

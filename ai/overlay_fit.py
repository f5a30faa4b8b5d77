"""Training of the overlay on one training window: regime, meta-model, regime filter, adaptive threshold.

Meta-model and filter learn from proposals that were made out of sample inside the window (:mod:`ai.overlay_proposals`),
and only from trades that ended inside it. What cannot be learned is left out, and the reason is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ai.labels import Labels
from ai.meta import MetaLabels, MetaModel, meta_inputs, meta_labels
from ai.overlay import Overlay
from ai.overlay_proposals import Proposals, Proposed, one_at_a_time, propose, seen_by_meta
from ai.overlay_regime import fit_regime, held_back_scores
from ai.regime_filter import FilterRules, RegimeFilter, learn_filter
from ai.regime_model import RegimeModel
from data.errors import UserError
from data.market import Float64Array, Int64Array

if TYPE_CHECKING:
    from ai.ensemble import EnsembleOptions, TrainingContext

LEAST_TRADES = 100.0  # effective ones, overlap counted, for a meta-model


def fit_overlay(
    x: Float64Array, labels: Labels, rows: Int64Array, context: TrainingContext, options: EnsembleOptions,
    proposals: Proposals,
) -> Overlay | None:  # fmt: skip
    """Train what ``options`` ask for on the training window ``rows``; ``None`` where that is nothing."""
    if not (options.regime or options.meta_model or options.regime_filter or options.adaptive_threshold):
        return None
    if context.market is not None and len(context.market) != x.shape[1]:
        raise ValueError("the market path and the features belong to different bars: cut both by TrainingContext.part")
    about: dict[str, Any] = {}
    absent: dict[str, str] = {}
    regime: RegimeModel | None = None
    if options.regime or options.regime_filter:
        regime, why = fit_regime(x, context, rows)
        if regime is None:
            absent["regime"] = why
        else:
            about["regime_scores"] = held_back_scores(x, context, rows)
    meta, learned = None, None
    if options.meta_model or options.regime_filter:
        try:
            made = propose(x, labels, rows, context, proposals)
        except UserError as error:
            wanted = {"meta_model": options.meta_model, "regime_filter": options.regime_filter}
            absent |= {name: f"nothing was proposed: {error}" for name, asked in wanted.items() if asked}
        else:
            trades = meta_labels(made.side, labels, options.cost).until(int(rows[-1]) + 1)
            if options.meta_model:
                meta = _meta(x, context, made, trades, options.cost, about, absent)
            if options.regime_filter:
                learned = _filter(made, trades, regime is not None, absent)
            if made.why:
                about["proposals"] = made.why
    about["absent"] = absent
    return Overlay(
        context.profile, context.timeframe, options.cost, options.adaptive_threshold, regime, meta, learned, about
    )


def _meta(
    x: Float64Array, context: TrainingContext, made: Proposed, trades: MetaLabels, cost: float,
    about: dict[str, Any], absent: dict[str, str],
) -> MetaModel | None:  # fmt: skip
    effective = float(trades.weight.sum())
    if effective < LEAST_TRADES:
        absent["meta_model"] = (
            f"{len(trades)} proposals are worth {effective:.0f} separate trades; {LEAST_TRADES:.0f} are needed"
        )
        return None
    inputs = meta_inputs(seen_by_meta(context.schema, x, made, trades.rows, cost), made.side[trades.rows])
    model = MetaModel()
    try:
        model.fit(inputs, trades)
    except UserError as error:
        absent["meta_model"] = str(error)
        return None
    about["meta"] = {
        "proposals": len(trades), "effective": effective, "win_share": float(np.average(trades.take,
        weights=trades.weight)), "threshold": model.threshold, **_newest_part(made, trades, inputs),
    }  # fmt: skip
    return model


def _newest_part(made: Proposed, trades: MetaLabels, inputs: Float64Array) -> dict[str, Any]:
    """What a meta-model of the older parts scores on the newest part; empty where that cannot be told.

    ``skill``: 1 - log loss / log loss of the older parts' win share; payoffs are means a trade after costs with their
    standard errors, overlap counted.
    """
    newest = made.part[trades.rows] == made.part[trades.rows].max()
    old = np.flatnonzero(~newest)
    if not newest.any() or not len(old):
        return {}
    past = trades.until(int(trades.rows[newest][0]))  # rows are ascending: these are the first
    model = MetaModel()
    try:
        model.fit(inputs[np.searchsorted(trades.rows, past.rows)], past)
    except UserError:
        return {}
    p, won = model.predict(inputs[newest]), trades.take[newest].astype(np.float64)
    weight, payoff = trades.weight[newest], trades.payoff[newest]
    base = float(np.clip(np.average(past.take, weights=past.weight), 1e-3, 1.0 - 1e-3))
    loss, base_loss = _log_loss(p, won, weight), _log_loss(np.full(len(won), base), won, weight)
    taken = p > model.threshold
    return {
        "held_back": len(won), "skill": 1.0 - loss / base_loss, "taken_share": float(taken.mean()),
        "taken": _mean_payoff(payoff[taken], weight[taken]), "skipped": _mean_payoff(payoff[~taken], weight[~taken]),
    }  # fmt: skip


def _log_loss(p: Float64Array, won: Float64Array, weight: Float64Array) -> float:
    return float(-np.average(won * np.log(p) + (1.0 - won) * np.log(1.0 - p), weights=weight))


def _mean_payoff(payoff: Float64Array, weight: Float64Array) -> list[float] | None:
    """Mean after costs and its standard error, from as many trades as the weights are worth; ``None`` below two."""
    effective = float(weight.sum())
    if effective < 2.0:
        return None
    mean = float(np.average(payoff, weights=weight))
    spread = float(np.average((payoff - mean) ** 2, weights=weight))
    return [mean, float(np.sqrt(spread / effective))]


def _filter(made: Proposed, trades: MetaLabels, has_regime: bool, absent: dict[str, str]) -> RegimeFilter | None:
    if not has_regime:
        absent["regime_filter"] = "there is no regime to filter by"
        return None
    single = one_at_a_time(trades.rows, trades.end)
    rows = trades.rows[single]
    return learn_filter(made.state[rows], trades.payoff[single], made.part[rows], FilterRules(enabled=True))

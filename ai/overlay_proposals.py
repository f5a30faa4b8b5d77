"""What the ensemble would have proposed on bars that its members had not seen, inside one training window.

The window is walked: its first two fifths train, the next part is proposed on, then both train for the part after,
and so on. The side proposed at a bar is the one with the higher expected gross return, whatever its probability:
every bar with a forecast has one, so that there is enough to learn from and no threshold decides what is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ai.exits import exit_profile
from ai.labels import Int8Array, Labels
from ai.overlay_market import MarketPath
from ai.overlay_regime import fit_regime, regime_states
from ai.payoffs import payoffs_of, side_values
from ai.regime import UNKNOWN
from ai.regime_loop import INPUT_FEATURES, LARGEST_T
from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import Float64Array, Int64Array

if TYPE_CHECKING:
    from ai.ensemble import TrainingContext

Proposals = Callable[[Int64Array, Int64Array], Float64Array]
"""``(train_rows, test_rows) -> P[n, 3]``: the ensemble's calibrated probabilities (short, neutral, long) on test rows
from members trained on other rows only, NaN where a feature is missing. A label counts in training only if it ends
inside ``train_rows``."""

PARTS = 4
FIRST_SHARE = 0.4  # of the window, before the first part


@dataclass(frozen=True, slots=True, eq=False)
class Proposed:
    """Columns over all T bars of the training's matrix; nothing is proposed outside the parts."""

    part: Int64Array  # [T] number of the part, -1 outside
    side: Int8Array  # [T] 1 long, -1 short, 0 nothing proposed
    p: Float64Array  # [T, 3] short, neutral, long
    state: Int8Array  # [T] regime held, by a classifier that had not seen the bar; UNKNOWN where there is none
    market: MarketPath
    why: str  # parts without proposals and their reasons; empty where there are none


def propose(
    x: Float64Array, labels: Labels, rows: Int64Array, context: TrainingContext, proposals: Proposals
) -> Proposed:
    """Walk the training window ``rows``.

    Raises:
        UserError: the training knows no stop distances, or no part could be proposed on.
    """
    if context.market is None:
        raise UserError("nothing is known of the stop distance at each bar")
    bars = x.shape[1]
    part: Int64Array = np.full(bars, -1, dtype=np.int64)
    p: Float64Array = np.full((bars, 3), np.nan)
    side: Int8Array = np.zeros(bars, dtype=np.int8)
    state: Int8Array = np.full(bars, UNKNOWN, dtype=np.int8)
    ratio = exit_profile(context.profile, context.timeframe).target_ratio
    borders = np.round(len(rows) * np.linspace(FIRST_SHARE, 1.0, PARTS + 1)).astype(np.int64)
    failed = []
    for k in range(PARTS):
        train, test = rows[: borders[k]], rows[borders[k] : borders[k + 1]]
        try:
            p[test] = proposals(train, test)
        except UserError as error:
            failed.append(f"part {k + 1}: {error}")
            continue
        known = train[labels.complete[train] & (labels.end[train] <= train[-1])]
        long, short = side_values(p[test], payoffs_of(labels, known, 1.0), context.market.stop_share[test], ratio)
        side[test] = np.where(np.isfinite(long - short), np.where(long >= short, 1, -1), 0)
        part[test] = k
        regime, _ = fit_regime(x, context, train)
        if regime is not None:
            state[test] = regime_states(regime, x, context, test)
    if not (side != 0).any():
        raise UserError(failed[0] if failed else "no bar could be proposed on")
    return Proposed(part, side, p, state, context.market, "; ".join(failed))


def seen_by_meta(schema: FeatureSchema, x: Float64Array, made: Proposed, rows: Int64Array, cost: float) -> Float64Array:
    """What the meta-model reads of the proposals at ``rows``, ``[n, 3 + features + 2]``.

    Probability of the proposed side's target and of the other's, costs as a multiple of the stop distance, the
    regime's input features, t-value and rank; NaN where missing. :func:`ai.overlay_loop.take_probability` reads the
    same of a bar.
    """
    p, up = made.p[rows], made.side[rows] > 0
    ours, other = np.where(up, p[:, 2], p[:, 0]), np.where(up, p[:, 0], p[:, 2])
    stops = cost / made.market.stop_share[rows]
    names = [x[schema.index(name), rows] if name in schema.names else np.full(len(rows), np.nan)
             for name in INPUT_FEATURES]  # fmt: skip
    path = made.market.regime
    return np.column_stack(
        [ours, other, stops, *names, np.clip(path.trend_t[rows], -LARGEST_T, LARGEST_T), path.rank[rows]]
    )


def one_at_a_time(rows: Int64Array, end: Int64Array) -> Int64Array:
    """Places in ascending ``rows`` of trades held one after the other: none begins before the last one has ended."""
    kept, free = [], -1
    for at, row in enumerate(rows.tolist()):
        if row >= free:
            kept.append(at)
            free = int(end[at])
    return np.array(kept, dtype=np.int64)

"""The regime of a training window: the classifier, its states out of sample, and its scores on a part held back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ai.regime import AHEAD_BARS, RANK_DAYS, UNKNOWN, Int8Array, RegimePath, regime_ahead
from ai.regime_loop import INPUT_FEATURES, INPUTS, MARKET, STATES, regime_rows
from ai.regime_model import LEAST_ROWS, RegimeModel, base_shares, regime_inputs, transition_shares
from ai.regime_scores import score_regimes
from data.errors import UserError
from data.market import Float64Array, Int64Array
from data.timeframes import timeframe_ms

if TYPE_CHECKING:
    from ai.ensemble import TrainingContext

HELD_BACK = 0.2  # newest share of the window, that the score is of
DRAWS = 200
MECHANICS = (
    "most of it is known from the overlap of the windows: a market whose directions are a coin's scores the same"
)


def fit_regime(x: Float64Array, context: TrainingContext, rows: Int64Array) -> tuple[RegimeModel | None, str]:
    """The classifier learned from the training window ``rows``, targets known inside it; else ``None`` and why."""
    if context.market is None or not set(INPUT_FEATURES) <= set(context.schema.names):
        return None, "the features that a regime is told from are not part of this training"
    columns = _Columns(x, context, rows)
    known = columns.known()
    if len(known) < LEAST_ROWS:
        return None, f"{len(known)} bars with a known state; {LEAST_ROWS} are needed after {RANK_DAYS} days of history"
    model = RegimeModel()
    try:
        model.fit(columns.inputs, columns.path.state, columns.target, known)
    except UserError as error:
        return None, str(error)
    return model, ""


def regime_states(model: RegimeModel, x: Float64Array, context: TrainingContext, rows: Int64Array) -> Int8Array:
    """States held over ``rows``, as a run that begins there would hold them, ``[n]``."""
    columns = _Columns(x, context, rows)
    design, table = model.lines()
    market: Float64Array = np.empty((len(rows), MARKET))
    market[:, :INPUTS] = columns.inputs[rows - columns.first]
    market[:, INPUTS] = columns.path.state[rows - columns.first]
    p: Float64Array = np.empty((len(rows), STATES))
    held: Int64Array = np.empty(len(rows), dtype=np.int64)
    regime_rows(design, table, market, p, np.array([UNKNOWN, UNKNOWN, 0]), held)
    return held.astype(np.int8)


def held_back_scores(x: Float64Array, context: TrainingContext, rows: Int64Array, seed: int = 7) -> dict[str, Any]:
    """Scores of a classifier of the older part of ``rows`` on the newest part; empty where that is too little.

    Keys: ``n``, losses in nats (``log_loss`` beside those of the transition shares and of the base rate), accuracy
    beside persistence, ``calibration_error``, ``skill`` with its band and the verdict in words.
    """
    columns = _Columns(x, context, rows)
    known = columns.known()
    border = round(len(known) * (1.0 - HELD_BACK))
    past, test = known[:border], known[border:]
    if not len(test):
        return {}
    past = past[past < test[0] - AHEAD_BARS]
    model, state, target = RegimeModel(), columns.path.state, columns.target
    try:
        model.fit(columns.inputs, state, target, past)
    except UserError:
        return {}
    p = model.predict(columns.inputs[test], state[test])
    transitions = transition_shares(state[past], target[past])[state[test]]
    base = np.tile(base_shares(target[past]), (len(test), 1))
    scores = score_regimes(p, transitions, base, state[test], target[test], seed, DRAWS)
    return {
        "n": scores.n, "log_loss": scores.log_loss, "transition_log_loss": scores.transition_log_loss,
        "base_log_loss": scores.base_log_loss, "accuracy": scores.accuracy,
        "persistence_accuracy": scores.persistence_accuracy, "calibration_error": scores.calibration_error,
        "skill": [scores.skill.low, scores.skill.high], "verdict": f"{scores.verdict}; {MECHANICS}",
    }  # fmt: skip


class _Columns:
    """Inputs, states and targets of the span of ``rows``; targets are known inside it."""

    def __init__(self, x: Float64Array, context: TrainingContext, rows: Int64Array) -> None:
        assert context.market is not None
        self.first = int(rows[0])
        span = slice(self.first, int(rows[-1]) + 1)
        whole = context.market.regime
        self.path = RegimePath(whole.state[span], whole.rank[span], whole.trend_t[span])
        names = [context.schema.index(name) for name in INPUT_FEATURES]
        self.inputs = regime_inputs(x[names, span], self.path)
        self.target = regime_ahead(self.path.state, context.open_time[span], timeframe_ms(context.timeframe))
        self._rows = rows - self.first

    def known(self) -> Int64Array:
        """Places of rows whose target is a row as well."""
        rows = self._rows
        inside = np.isin(rows + AHEAD_BARS, rows)
        return np.asarray(rows[inside & (self.target[rows] != UNKNOWN)], dtype=np.int64)

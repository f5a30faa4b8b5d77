"""How the models of a running account fare now, as the window shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai.forecast import REGIMES, Extra
from app.contract.judgement import NamedAmount
from app.contract.model_views import LiveLine
from app.documents import number
from app.projections_forecast import member_name
from app.projections_judgement import regime_words

if TYPE_CHECKING:
    from ai.guard_live import LiveRecord
    from app.model_watch import ModelWatch
    from app.trader import Trader
    from data.market import Float64Array


def live_lines(trader: Trader, watch: ModelWatch) -> tuple[LiveLine, ...]:
    """One line for each symbol with a model that forecasts."""
    watched = {row["symbol"]: row for row in watch.as_document()}
    lines = []
    for s, symbol in enumerate(trader.config.symbols):
        record = trader.live(s)
        if record is not None:
            lines.append(_line(symbol, record, watched.get(symbol, {}), trader.forecasts[s]))
    return tuple(lines)


def _line(symbol: str, record: LiveRecord, watched: dict[str, Any], row: Float64Array) -> LiveLine:
    features, scores = watched.get("feature_drift") or {}, watched.get("score_drift") or {}
    drifting = tuple(features.get("moved", ())) if features.get("alarm") else ()
    words = f"{len(features.get('moved', ()))} of {features['features']} features" if features else ""
    if scores.get("alarm"):
        words = f"{words}, scores" if words else "scores"
        drifting = (*drifting, "scores")
    state, level = _state(record)
    held = number(row[Extra.REGIME])
    first = int(Extra.FIRST_REGIME)
    chances = [number(value) for value in row[first : first + REGIMES]]
    fold = ((watched.get("live") or {}).get("ece") or {}).get("fold")
    return LiveLine(
        symbol, record.model_id, state, level, record.labels, record.effective, record.log_loss,
        record.expected_log_loss, record.expected_error, record.calibration_error, fold, record.size,
        record.coverage, record.target_coverage,
        tuple(NamedAmount(member_name(name), voice) for name, voice in record.faded.items()), drifting, words,
        "" if held is None else regime_words(int(held)),
        tuple(NamedAmount(regime_words(k), p) for k, p in enumerate(chances) if p is not None),
    )  # fmt: skip


def _state(record: LiveRecord) -> tuple[str, str]:
    if record.size < 1.0:
        return "worse: trades smaller", "warn"
    if record.log_loss is None or record.expected_error is None:
        return "too early to say", "idle"
    return "as announced", "ok"

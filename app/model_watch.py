"""What the service notices about the models that forecast: drift of features and scores, and positions made smaller.

Every stretch of bars (see :mod:`ai.drift`) the features of the newest one are held against training; that takes a
millisecond. Scores are looked at as often, in a thread, from what is stored. Nothing here decides anything: the size of
positions follows the forecast row, which the models' floor makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.drift import FeatureDrift, Reference, ScoreDrift, as_metrics
from ai.forecast import Extra
from app.contract.events import Event, NoticeEvent
from app.live_record import LiveCalibration, live_calibration
from data.errors import QuantError
from data.market import Float64Array, Int64Array, short_symbol
from database.models import MetricRow

if TYPE_CHECKING:
    from ai.ensemble import EnsembleModel
    from app.trader import Trader
    from app.wiring import Workplace
    from database.accounts import Account

LIVE = -2  # the fold number of figures that are measured while a model trades
SCORES_EVERY = 500  # bars; and never less often than the features' stretch is long


class _Watched:
    """One symbol's present model."""

    def __init__(self, model_id: str, reference: Reference, columns: Int64Array) -> None:
        self.model_id = model_id
        self.reference = reference
        self.columns = columns
        self.seen: Float64Array = np.empty((len(columns), reference.window_bars))
        self.bars = 0
        self.features: FeatureDrift | None = None


class ModelWatch:
    """Follows one account's forecasts, bar by bar."""

    def __init__(
        self, place: Workplace, account: Account, trader: Trader, tell: Callable[[Event], None]
    ) -> None:  # fmt: skip
        self._place = place
        self._account = account
        self._trader = trader
        self._tell = tell
        self._symbols = trader.config.symbols
        self._watched: list[_Watched | None] = [None] * len(self._symbols)
        self._shrunk = [False] * len(self._symbols)
        self._alarmed: set[tuple[str, str]] = set()  # model and kind: told once until it is over
        self._bars = 0
        self._scoring: asyncio.Task[list[tuple[LiveCalibration, ScoreDrift]]] | None = None
        self.scores: dict[str, tuple[LiveCalibration, ScoreDrift]] = {}  # by model

    def switched(self, s: int, model_id: str, model: EnsembleModel) -> None:
        """Another model forecasts symbol ``s`` from now on."""
        reference = Reference.of(model.files)
        self._watched[s] = None
        if reference is not None and self._place.settings.values.ai.drift_alarms:
            columns = np.array([self._trader.schema.index(name) for name in reference.features], dtype=np.int64)
            self._watched[s] = _Watched(model_id, reference, columns)

    def after_bar(self) -> None:
        """Look at the bar that was just traded."""
        self._bars += 1
        for s in range(len(self._symbols)):
            self._size(s)
            watched = self._watched[s]
            if watched is not None:
                self._features(watched, s)
        if self._place.settings.values.ai.drift_alarms and self._bars % SCORES_EVERY == 0:
            self._score()

    async def close(self) -> None:
        """Wait for what still looks: it reads the database."""
        if self._scoring is not None:
            await asyncio.wait([self._scoring])

    def as_document(self) -> list[dict[str, Any]]:
        """What was found last, by symbol, for ``status``."""
        rows = []
        for s, watched in enumerate(self._watched):
            model_id = self._trader.present_model(s)
            if model_id is None:
                continue
            live, drift = self.scores.get(model_id, (None, None))
            size = float(self._trader.forecasts[s, Extra.SIZE])
            features = None if watched is None else watched.features
            rows.append({
                "symbol": self._symbols[s], "model_id": model_id, "size": 1.0 if np.isnan(size) else size,
                "feature_drift": None if features is None else {
                    "alarm": features.alarm, "moved": list(features.moved), "features": features.features,
                    "allowed": features.allowed,
                },
                "score_drift": None if drift is None else {"alarm": drift.alarm, "sentence": drift.sentence},
                "live": None if live is None else live.as_dict(),
            })  # fmt: skip
        return rows

    def _size(self, s: int) -> None:
        size = float(self._trader.forecasts[s, Extra.SIZE])
        shrunk = size < 1.0  # NaN: whole
        if shrunk == self._shrunk[s]:
            return
        self._shrunk[s] = shrunk
        name = short_symbol(self._symbols[s])
        body: dict[str, object] = {
            "symbol": self._symbols[s],
            "model_id": self._trader.present_model(s),
            "size": size if shrunk else 1.0,
        }
        self._trader.session.note("model_size", body)
        if shrunk:
            sentence = f"Its live forecasts are worse than those of the folds: positions have {size:.0%} of their size."
            self._say("warn", f"{name} trades smaller", sentence)
        else:
            self._say("ok", f"{name} trades at full size again", "Its live forecasts are as good as announced.")

    def _features(self, watched: _Watched, s: int) -> None:
        row = self._trader.features[s][watched.columns]
        watched.seen[:, watched.bars] = row
        watched.bars += 1
        if watched.bars < watched.reference.window_bars:
            return
        watched.bars = 0
        found = watched.features = watched.reference.look(watched.seen)
        self._keep(watched.model_id, found, None)
        self._alarm(watched.model_id, "features", found.alarm, found.sentence)

    def _score(self) -> None:
        forecasting = any(self._trader.present_model(s) is not None for s in range(len(self._symbols)))
        if forecasting and self._scoring is None:
            self._trader.session.flush()
            self._scoring = asyncio.ensure_future(asyncio.to_thread(self._look_at_scores))
            self._scoring.add_done_callback(self._scored)

    def _look_at_scores(self) -> list[tuple[LiveCalibration, ScoreDrift]]:
        return [(live, live.drift) for live in live_calibration(self._place, self._account)]

    def _scored(self, task: asyncio.Task[list[tuple[LiveCalibration, ScoreDrift]]]) -> None:
        self._scoring = None
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, QuantError):
            self._say("warn", "Live scores unknown", f"{error} Trading goes on.")
            return
        if error is not None:
            raise error
        for live, drift in task.result():
            self.scores[live.row.model_id] = (live, drift)
            self._keep(live.row.model_id, None, drift, live)
            self._alarm(live.row.model_id, "scores", drift.alarm, drift.sentence)

    def _alarm(self, model_id: str, kind: str, alarm: bool, sentence: str) -> None:
        known = (model_id, kind) in self._alarmed
        if alarm and not known:
            self._alarmed.add((model_id, kind))
            self._say("warn", f"Drift: {kind} of {model_id}", f"{sentence[:1].upper()}{sentence[1:]}.")
        elif not alarm and known:
            self._alarmed.discard((model_id, kind))
            self._say("ok", f"Drift over: {kind} of {model_id}", f"{sentence[:1].upper()}{sentence[1:]}.")

    def _keep(
        self, model_id: str, features: FeatureDrift | None, scores: ScoreDrift | None,
        live: LiveCalibration | None = None,
    ) -> None:  # fmt: skip
        found = as_metrics(features, scores)
        if live is not None:
            found |= {"log_loss": live.scores.log_loss, "ece": live.scores.ece, "n": float(live.scores.n)}
        self._place.database.models.save_metrics(
            [MetricRow(model_id, LIVE, name, float(value)) for name, value in found.items()]
        )

    def _say(self, level: str, title: str, sentence: str) -> None:
        self._tell(NoticeEvent(self._place.clock.now_ms(), level, title, sentence, "models"))

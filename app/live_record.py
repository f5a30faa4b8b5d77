"""The predictions that a model made since it took over, scored beside those of its newest fold.

Read from the stored decisions and bars of an account, so it is the same for the service, ``models list`` and the
window. Labels are those of the model's exits over the stored bars; only those that have ended count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.drift import ScoreDrift, score_drift
from ai.exits import exit_profile
from ai.features.engine import FeatureEngine
from ai.features.registry import schema_of, warmup_bars
from ai.labels import Labels, stop_distances, triple_barrier, without_marked
from ai.models.files import MANIFEST
from ai.sampling import average_uniqueness
from ai.validation.bands import score_bands
from ai.validation.scores import Scores, log_losses, score_rows
from app.retraining import finite
from data.clock import iso
from database.trading import Filter

if TYPE_CHECKING:
    from app.wiring import Workplace
    from data.market import Float64Array, Frame
    from database.accounts import Account
    from database.models import ModelRow

Document = dict[str, Any]
LIMIT = 5_000  # newest predictions that are looked at
SHOWN = ("log_loss", "brier", "ece")


@dataclass(frozen=True, slots=True)
class LiveCalibration:
    """How one model's predictions came true. Bands are 95 %, by blocks of four labels."""

    row: ModelRow
    from_ms: int  # it forecasts from the bar that opens here
    made: int  # predictions
    scores: Scores  # of those whose label has ended
    effective: float  # independent labels that these amount to
    bands: dict[str, tuple[float, float]]
    excess: Float64Array  # [n] log loss less the base rate's, in time order
    limit_bars: int

    @property
    def drift(self) -> ScoreDrift:
        """Whether they have turned for the worse."""
        return score_drift(self.excess, self.limit_bars)

    @property
    def worse(self) -> bool:
        """The log loss is worse than the newest fold's beyond its own band."""
        fold = self.row.scores.get("log_loss")
        return fold is not None and self.bands["log_loss"][0] > fold

    def as_dict(self) -> Document:
        """Plain values, each score with its band and the fold's beside it."""
        fold = self.row.scores
        shown = {
            name: {
                "value": finite(getattr(self.scores, name)), "low": finite(self.bands[name][0]),
                "high": finite(self.bands[name][1]), "fold": fold.get(name),
            }
            for name in SHOWN
        }  # fmt: skip
        return {
            "model_id": self.row.model_id, "since": iso(self.from_ms), "made": self.made, "n": self.scores.n,
            "effective": finite(self.effective), "base_log_loss": finite(self.scores.base_log_loss), **shown,
            "worse": self.worse,
        }  # fmt: skip


def live_calibration(place: Workplace, account: Account | None = None) -> list[LiveCalibration]:
    """Of each symbol's present model in ``account`` (the newest by default); empty where no model forecasts."""
    account = account or place.database.accounts.newest()
    if account is None:
        return []
    switches = place.database.trading.switches(account.id)
    numbers = {model_id: k for k, model_id in enumerate(dict.fromkeys(s.model_id for s in switches))}
    present: dict[str, tuple[ModelRow, int]] = {}
    for switch in switches:
        row = place.database.models.get(switch.model_id)
        present[row.key.symbol] = (row, switch.from_ms)
    found = [
        _of(place, account, row, from_ms, numbers[row.model_id]) for row, from_ms in present.values()
    ]  # fmt: skip
    return [one for one in found if one is not None]


def _of(place: Workplace, account: Account, row: ModelRow, from_ms: int, number: int) -> LiveCalibration | None:
    which = Filter(symbol=row.key.symbol, start_ms=from_ms, limit=LIMIT)
    said = place.database.trading.decisions(account.id, which).rows
    said = said[(said["model"] == number) & np.isfinite(said["p_long"])]
    base = _base(place, row)
    if not len(said) or base is None:
        return None
    feature = exit_profile(row.profile, row.key.timeframe).feature
    before = 0 if feature is None else warmup_bars([feature], row.key.timeframe)
    first, last = int(said["open_time"][0]), int(said["open_time"][-1])
    frame = place.database.candles.read(row.key, first - before * row.key.step_ms, last + row.key.step_ms)
    if not len(frame):
        return None
    labels = _labels(frame, row.profile)
    at = np.searchsorted(frame.open_time, said["open_time"])
    stored = (at < len(frame)) & (frame.open_time[np.minimum(at, len(frame) - 1)] == said["open_time"])
    known = stored & labels.complete[np.minimum(at, len(frame) - 1)]
    at, said, made = at[known], said[known], len(said)
    p = np.column_stack([said["p_short"], said["p_neutral"], said["p_long"]])
    y, limit = labels.label[at], exit_profile(row.profile, row.key.timeframe).limit_bars
    scores, bands = score_rows(p, y, base), score_bands(p, y, base, limit, row.seed)
    excess = log_losses(p, y) - log_losses(np.broadcast_to(base, p.shape), y)
    effective = float(average_uniqueness(at + 1, labels.end[at]).sum()) if len(at) else 0.0
    shown = {name: (getattr(bands, name).low, getattr(bands, name).high) for name in SHOWN}
    return LiveCalibration(row, from_ms, made, scores, effective, shown, excess, limit)


def _labels(frame: Frame, profile_name: str) -> Labels:
    profile = exit_profile(profile_name, frame.key.timeframe)
    values = None
    if profile.feature is not None:
        values = FeatureEngine(schema_of([profile.feature]), frame.key.timeframe).batch(frame)[0]
    distance = stop_distances(profile, frame.close, values)
    whole = triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile)
    return without_marked(whole, frame.mark)[0]


def _base(place: Workplace, row: ModelRow) -> Float64Array | None:
    """The base rates of the model's training; ``None`` where its files are gone."""
    try:
        stored = json.loads((place.home.models / row.path / MANIFEST).read_bytes())
        return np.array(stored["base"], dtype=np.float64)
    except (OSError, ValueError, KeyError):
        return None

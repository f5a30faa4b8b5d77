"""The leak audit of models: whole forecast rows, and the files that a training makes.

Rows: with the future after bar t cut away or replaced, no column of a row at or before t may move, whether it is a
member's probability, a weight of the ensemble, a threshold, or what else the models say. Files: a model trained on rows
at or before t is the same to the last byte whatever came after. Of the columns that move, the culprit is the one that
the others are computed from: a weight, not the probabilities that it weighs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.ensemble import CALIBRATION_FILE, PLAIN, EnsembleModel, EnsembleOptions, train_ensemble
from ai.exits import exit_profile
from ai.features.engine import FeatureEngine
from ai.features.leak_audit import Kind, Leak, audit_features, audit_labels, moved_values, profile_labels
from ai.features.registry import warmup_bars
from ai.forecast import MEMBER_COLS, WIDTH, Col, Extra, ModelSwitch
from ai.forecaster import Forecaster, forecast_span
from ai.known import KnownMarket, chosen_cuts
from ai.models.files import json_bytes
from ai.overlay import OVERLAY_FILE
from ai.regime import RANK_DAYS
from ai.training import training_data, training_schema
from data.errors import UserError
from data.market import Float64Array
from data.timeframes import DAY_MS

if TYPE_CHECKING:
    from ai.schema import FeatureSchema

ForecastFunction = Callable[[KnownMarket], Float64Array]
"""``market -> rows[T, WIDTH]`` over all its bars."""

Training = Callable[[KnownMarket, int], Mapping[str, bytes]]
"""``(market, bars) -> files`` of a model trained on the first ``bars`` bars of a market that may hold more."""

PROBE_BARS = 1_200  # after the warm-up: what the probe model of a verdict is trained on
SPARE_BARS = 120  # after them: the future that is taken away
MAX_RANKED = 10_000  # bars before them, among which volatility is ranked: 90 days where those are fewer
CUTS = 3
_INDEPENDENT = {int(Extra.THRESHOLD): "threshold", int(Extra.OUTSIDE): "outside", int(Extra.REGIME): "regime"}


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What the audit of one model found; ``words`` where it could not be made."""

    digest: str  # of the model that was audited
    leaks: tuple[Leak, ...]
    bars: int
    checked: int  # features, label columns, forecast columns and files
    words: str = ""

    @property
    def passed(self) -> bool:
        """Nothing leaks, and it was looked at."""
        return not self.leaks and self.checked > 0

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.words:
            return self.words
        if self.passed:
            return f"no leak in {self.checked} values over {self.bars:,} bars"
        first = self.leaks[0]
        more = f" and {len(self.leaks) - 1} more" if len(self.leaks) > 1 else ""
        return f"{first.kind} '{first.name}' {first.detail}{more}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, kept with the model."""
        return {
            "passed": self.passed, "digest": self.digest, "bars": self.bars, "checked": self.checked,
            "sentence": self.sentence,
            "leaks": [{"kind": k.kind, "name": k.name, "at_ms": k.at_ms, "detail": k.detail} for k in self.leaks[:20]],
        }  # fmt: skip


def audit_forecasts(
    compute: ForecastFunction, members: Sequence[str], market: KnownMarket, *, cuts: int | Sequence[int] = CUTS,
    seed: int = 7,
) -> list[Leak]:  # fmt: skip
    """Columns of forecast rows at or before some bar that depend on what comes after it.

    Args:
        compute: makes the rows of a market; called twice for each cut.
        members: names of the members, in the order of their columns.
        market: with at least 4 bars.
        cuts: how many bars to cut after, or which.
        seed: of the changed futures.

    Returns:
        The culprits (see above), each at the earliest bar that moved.

    Raises:
        UserError: too few bars, or cuts outside of them.
    """
    generator = np.random.default_rng(seed)
    base = compute(market)
    found: dict[str, Leak] = {}
    for cut in chosen_cuts(cuts, len(market), generator):
        variants = {"cut away": market.until(cut), "changed": market.with_other_future(cut, generator)}
        for what, known in variants.items():
            rows = compute(known)[: cut + 1]
            moved = moved_values(base[: cut + 1], rows)
            first = np.where(moved.any(axis=0), moved.argmax(axis=0), len(market))
            for column in _culprits(first, len(market), len(members)):
                kind, name = _column(column, members)
                at = int(first[column])
                detail = (
                    f"moved from {base[at, column]:.10g} to {rows[at, column]:.10g} "
                    f"when data after bar {cut} were {what}"
                )
                leak = Leak(kind, name, int(market.frame.open_time[at]), detail)
                if name not in found or leak.at_ms < found[name].at_ms:
                    found[name] = leak
    return list(found.values())


def _culprits(first: np.ndarray[Any, np.dtype[np.int64]], never: int, members: int) -> list[int]:
    """Columns that moved, without those that moved no earlier than one that they are computed from."""
    start = int(Col.FIRST_MEMBER)
    weights = [start + MEMBER_COLS * k + 3 for k in range(members)]
    said = [start + MEMBER_COLS * k + c for k in range(members) for c in range(3)]
    sources = set(_INDEPENDENT) | set(said)
    said_first = min((int(first[c]) for c in said), default=never)
    weights_first = min((int(first[c]) for c in weights), default=never)
    found = [c for c in sources if first[c] < never]
    if weights_first < min(said_first, never):
        found += [c for c in weights if first[c] == weights_first]
    before = min(said_first, weights_first)
    found += [c for c in range(len(first)) if c not in sources and c not in weights and first[c] < before]
    return sorted(found)


def _column(column: int, members: Sequence[str]) -> tuple[Kind, str]:
    """What a column is called in a report."""
    if column == Extra.THRESHOLD:
        return "threshold", "threshold"
    start = int(Col.FIRST_MEMBER)
    k, part = divmod(column - start, MEMBER_COLS)
    if start <= column < start + MEMBER_COLS * len(members):
        if part == MEMBER_COLS - 1:
            return "weights", f"weight of {members[k]}"
        return "forecast", f"{('p_long', 'p_short', 'p_neutral')[part]} of {members[k]}"
    for names in (Col, Extra):
        if column in names._value2member_map_:
            return "forecast", names(column).name.lower()
    return "forecast", f"column {column}"


def audit_training(train: Training, market: KnownMarket, bars: int, *, seed: int = 7) -> list[Leak]:
    """Files of a model trained on the first ``bars`` bars that change with what comes after them.

    Raises:
        UserError: fewer than two bars come after, or the training itself refuses.
    """
    if not 0 < bars <= len(market) - 2:
        raise UserError(f"The audit of a training on {bars} bars needs two more and has {len(market) - bars}.")
    generator = np.random.default_rng(seed)
    base = train(market, bars)
    leaks: dict[str, Leak] = {}
    variants = {
        "cut away": market.until(bars - 1), "changed": market.with_other_future(bars - 1, generator)
    }  # fmt: skip
    for what, known in variants.items():
        files = train(known, bars)
        for name in sorted({*base, *files}):
            if base.get(name) != files.get(name) and name not in leaks:
                detail = f"came out differently when data after its {bars:,} training bars were {what}"
                leaks[name] = Leak(_file_kind(name), name, int(market.frame.open_time[bars]), detail)
    return list(leaks.values())


def _file_kind(name: str) -> Kind:
    if name == CALIBRATION_FILE:
        return "calibrator"
    return "threshold" if name == OVERLAY_FILE else "model"


def model_forecasts(model: EnsembleModel) -> ForecastFunction:
    """The rows of one model from the first bar on, by the service's own forecaster; bars it trained on too."""
    schema = _schema(model)
    exits = exit_profile(model.profile, model.timeframe)

    def compute(market: KnownMarket) -> Float64Array:
        frame = market.frame
        x = FeatureEngine(schema, model.timeframe).batch(frame, market.funding, market.beside)
        switch = (ModelSwitch(int(frame.open_time[0]), "audited"),)
        forecaster = Forecaster({"audited": model}, switch, schema, exits, model.timeframe, allow_in_sample=True)
        rows: Float64Array = forecast_span(forecaster, frame, x)
        return rows

    return compute


def model_training(
    model: EnsembleModel, first: int, options: EnsembleOptions = PLAIN, calibration_share: float = 0.15
) -> Training:
    """How ``model`` was trained, on the bars from ``first`` on: same members, features, seed and options."""

    def train(market: KnownMarket, bars: int) -> Mapping[str, bytes]:
        data = training_data(
            market.frame, market.funding, model.profile, model.features, calibration_share, market.beside, market.finer
        )
        rows = np.arange(first, bars, dtype=np.int64)
        probe = train_ensemble(
            data.x, data.labels, rows, data.context, model.members, model.seed, options=options
        )  # fmt: skip
        return {**probe.files, "manifest": json_bytes(probe.manifest())}

    return train


def audit_model(
    model: EnsembleModel, market: KnownMarket, options: EnsembleOptions = PLAIN, *, calibration_share: float = 0.15,
    seed: int = 7,
) -> AuditVerdict:  # fmt: skip
    """The whole audit of one model over the newest bars of ``market``: what may be promoted has passed it.

    Looked at are the features that it reads, the labels of its exits, its forecast rows with weights, thresholds and
    advice, and a probe trained as it was on :data:`PROBE_BARS` bars. A market too short for that is no pass.
    """
    schema = _schema(model)
    warmup = warmup_bars(schema.names, model.timeframe)
    ranked = min(RANK_DAYS * DAY_MS // market.frame.key.step_ms, MAX_RANKED)
    market = _newest(market, warmup + ranked + PROBE_BARS + SPARE_BARS)
    frame, engine = market.frame, FeatureEngine(schema, model.timeframe)
    leaks: list[Leak] = []
    try:
        leaks += audit_features(
            engine.batch, schema.names, frame, market.funding, cuts=CUTS, seed=seed, beside=market.beside
        )
        leaks += audit_labels(profile_labels(model.profile, model.timeframe), frame, cuts=CUTS, seed=seed)
        leaks += audit_forecasts(model_forecasts(model), model.members, market, seed=seed)
        first = max(warmup, len(market) - SPARE_BARS - PROBE_BARS)
        train = model_training(model, first, options, calibration_share)
        leaks += audit_training(train, market, len(market) - SPARE_BARS, seed=seed)
    except UserError as error:
        words = f"the leak audit could not be made: {error}"
        return AuditVerdict(model.digest, tuple(leaks), len(market), 0, words)
    checked = len(schema) + 7 + WIDTH + len(model.files) + 1
    return AuditVerdict(model.digest, tuple(leaks), len(market), checked)


def _newest(market: KnownMarket, bars: int) -> KnownMarket:
    frame = market.frame.slice(max(0, len(market) - bars), len(market))
    finer = market.finer
    if finer is not None and len(frame):
        finer = finer.slice(int(np.searchsorted(finer.open_time, frame.open_time[0])), len(finer))
    return KnownMarket(frame, market.funding, market.beside, finer)


def _schema(model: EnsembleModel) -> FeatureSchema:
    """What the members read, what the exits read, and what is said beside the forecast reads."""
    known = training_schema(model.profile, model.timeframe).names
    return training_schema(model.profile, model.timeframe, tuple(dict.fromkeys((*model.features, *known))))

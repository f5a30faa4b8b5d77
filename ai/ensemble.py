"""One tradable model: calibrated members, payoff statistics and where they come from, kept as native files."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ai.calibration import (
    calibration_choices,
    calibration_slice,
    calibrators_of,
    calibrators_record,
    choose_calibration,
    fit_calibrators,
)
from ai.features.registry import BESIDE_FEATURES
from ai.guard import Guard, fit_guard, held_back, held_back_rows
from ai.labels import Labels
from ai.models.base import CLASSES
from ai.models.feature_map import FeatureMap
from ai.models.files import json_bytes, read_folder, sha256, write_folder
from ai.models.members import DEFAULT_MEMBERS, MEMBERS, new_member
from ai.models.predictor import IDENTITY, Pack, pack, predict_rows
from ai.overlay import Overlay
from ai.overlay_fit import fit_overlay
from ai.overlay_market import MarketPath
from ai.overlay_proposals import Proposals
from ai.payoffs import Payoffs, payoffs_of
from ai.sampling import average_uniqueness
from ai.schema import FeatureSchema
from ai.settings import AiSettings
from data.clock import iso
from data.errors import QuantError, UserError
from data.market import Float64Array, Int64Array

Progress = Callable[[int, int, str], None]  # done, total, words
Cancelled = Callable[[], bool]

KIND = "ensemble"
CALIBRATION_FILE = "calibration.json"
MIN_FIT_ROWS = 200
MIN_SLICE_ROWS = 20
_BESIDE = frozenset(BESIDE_FEATURES)
ENOUGH = 0.6  # share of a training window's bars for which what stands beside them must be there, to be read


@dataclass(frozen=True, slots=True)
class EnsembleOptions:
    """What is trained besides the members, and with which parameters."""

    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by member, tuned ones
    regime: bool = True  # the regime classifier, where the bars reach back far enough
    meta_model: bool = False
    regime_filter: bool = False
    adaptive_threshold: bool = False
    conformal_coverage: float = 0.0  # 0: no sets
    max_disagreement: float = 1.0  # 1: never abstain
    max_outside_share: float = 1.0  # 1: never abstain
    shrink_when_worse: bool = False
    cost: float = 0.0012  # of a round trip, fraction of notional: what the meta-model and the filter count

    @classmethod
    def of(cls, settings: AiSettings, parameters: Mapping[str, Mapping[str, float]] | None = None) -> Self:
        """As the settings ask for."""
        return cls(
            parameters or {}, True, settings.meta_model, settings.regime_filter, settings.adaptive_threshold,
            settings.conformal_coverage, settings.max_disagreement, settings.max_outside_share,
            settings.shrink_when_worse,
        )  # fmt: skip


PLAIN = EnsembleOptions(regime=False)
"""Members alone."""


class TrainingCancelled(QuantError):
    """The person or the service asked the training to stop."""


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """What the columns of a training are: which series, which features, which exits."""

    schema: FeatureSchema  # rows of X
    open_time: Int64Array  # [T] ms UTC
    profile: str
    timeframe: str
    symbol: str
    features: tuple[str, ...]  # those the members read, all in the schema
    optional: tuple[str, ...] = ()  # of these, the ones that may be NaN (funding)
    calibration_share: float = 0.15
    market: MarketPath | None = None  # volatility rank and state of each bar, known without this window's beginning

    def part(self, bars: slice) -> TrainingContext:
        """The same for some of the columns."""
        market = None if self.market is None else self.market.part(bars)
        return replace(self, open_time=self.open_time[bars], market=market)


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleModel:
    """Calibrated members behind one compiled pack. Weights are not here: they move online, in the forecaster."""

    features: tuple[str, ...]
    optional: tuple[str, ...]
    members: tuple[str, ...]
    profile: str
    timeframe: str
    symbol: str
    seed: int
    train_from_ms: int  # open time of the first training bar
    seen_until_ms: int  # open time of the last bar that training saw, label ends included
    base: tuple[float, float, float]  # class shares of the training labels: short, neutral, long
    rows: int  # labels used
    payoffs: Payoffs
    params: Mapping[str, Any]
    files: Mapping[str, bytes]
    pack: Pack = field(repr=False)
    overlay: Overlay | None = field(default=None, repr=False)
    guard: Guard | None = field(default=None, repr=False)
    versions: Mapping[str, str] = field(default_factory=lambda: library_versions(), repr=False)  # that trained it

    @property
    def schema(self) -> FeatureSchema:
        """The features that the members read."""
        return FeatureSchema(self.features)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest and, through it, of every file."""
        return sha256(json_bytes({**self.manifest(), "files": {n: sha256(c) for n, c in self.files.items()}}))

    def predict(self, x: Float64Array) -> Float64Array:
        """Calibrated probabilities of each member ``[M, n, 3]`` for ``x[n, F]`` in the order of ``features``."""
        return predict_rows(self.pack, x)

    def manifest(self) -> dict[str, Any]:
        """Everything but the files' hashes, as plain JSON values."""
        return {
            "kind": KIND, "features": list(self.features), "features_digest": self.schema.digest,
            "optional": list(self.optional), "members": list(self.members), "profile": self.profile,
            "timeframe": self.timeframe, "symbol": self.symbol, "seed": self.seed,
            "span": [self.train_from_ms, self.seen_until_ms], "base": list(self.base), "rows": self.rows,
            "payoffs": asdict(self.payoffs), "params": dict(self.params), "versions": dict(self.versions),
        }  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """What a table or a person wants to know."""
        return {
            "profile": self.profile, "timeframe": self.timeframe, "symbol": self.symbol, "seed": self.seed,
            "members": list(self.members), "features": len(self.features), "rows": self.rows,
            "train_from": iso(self.train_from_ms), "train_to": iso(self.seen_until_ms),
            "base": {"short": self.base[0], "neutral": self.base[1], "long": self.base[2]},
            "payoffs": asdict(self.payoffs), "digest": self.digest,
            "overlay": None if self.overlay is None else self.overlay.describe(),
            "calibration": calibration_choices(self.files[CALIBRATION_FILE]),
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        """Native files and a manifest, put in place by one rename.

        Raises:
            UserError: the place cannot be written.
        """
        write_folder(folder, self.files, self.manifest())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read, verify every hash and the feature schema, and compile.

        Raises:
            UserError: something is missing, corrupt, or of other features.
        """
        manifest, files = read_folder(folder, KIND)
        try:
            return cls._of(manifest, files)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"The model in {folder} does not fit its manifest ({error}); train it again.") from error

    @classmethod
    def _of(cls, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        features = tuple(manifest["features"])
        if FeatureSchema(features).digest != manifest["features_digest"]:
            raise ValueError("its feature names and their digest differ")
        members = tuple(manifest["members"])
        short, neutral, long = manifest["base"]
        return cls(
            features, tuple(manifest["optional"]), members, manifest["profile"], manifest["timeframe"],
            manifest["symbol"], manifest["seed"], manifest["span"][0], manifest["span"][1], (short, neutral, long),
            manifest["rows"], Payoffs(**manifest["payoffs"]), manifest["params"], dict(files),
            compile_pack(members, files, len(features)), Overlay.of(files), Guard.of(files),
            dict(manifest["versions"]),
        )  # fmt: skip


def compile_pack(members: Sequence[str], files: Mapping[str, bytes], features: int) -> Pack:
    """The predictor's arrays from native files alone; no model library is imported."""
    stored = json.loads(files[CALIBRATION_FILE])
    tables = [MEMBERS[name].of(files).table() for name in members]
    found = FeatureMap.of(files)
    tables = tables if found is None else [found.inside(table) for table in tables]
    return pack(tables, [calibrators_of(stored[name]) for name in members], features)


def library_versions() -> dict[str, str]:
    """Versions of what trained the files."""
    names = ("numpy", "scikit-learn", "lightgbm")
    found = {name: importlib.metadata.version(name) for name in names}
    for name in ("xgboost-cpu", "xgboost"):
        try:
            found["xgboost"] = importlib.metadata.version(name)
            break
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def train_ensemble(
    x: Float64Array,
    labels: Labels,
    rows: Int64Array,
    context: TrainingContext,
    members: Sequence[str] = DEFAULT_MEMBERS,
    seed: int = 7,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    options: EnsembleOptions = PLAIN,
) -> EnsembleModel:
    """Fit and calibrate every member on the training window ``rows`` (ascending positions in ``x[F, T]``).

    Only labels that end inside the window are used; the last ``calibration_share`` calibrates, purged on both sides;
    labels weigh by their uniqueness.

    Raises:
        UserError: an unknown or doubled member, or too few usable rows.
        TrainingCancelled: ``cancelled`` said so between two members.
    """
    if len(set(members)) != len(members) or not members:
        raise UserError("Name at least one model for the ensemble, and each only once.")
    context = _covered(x, rows, context)
    fresh = {name: new_member(name, seed, options.parameters.get(name)) for name in members}
    used = usable_rows(x, labels, rows, context)
    parts = calibration_slice(rows, labels.end, context.calibration_share)
    fit_rows, slice_rows = parts.fit_rows[used[parts.fit_rows]], parts.slice_rows[used[parts.slice_rows]]
    if len(fit_rows) < MIN_FIT_ROWS or len(slice_rows) < MIN_SLICE_ROWS:
        raise UserError(
            f"Training on {context.symbol} {context.timeframe} has {len(fit_rows)} usable bars to fit and "
            f"{len(slice_rows)} to calibrate; it needs {MIN_FIT_ROWS} and {MIN_SLICE_ROWS}: give it more history."
        )
    columns = np.array([context.schema.index(name) for name in context.features], dtype=np.int64)
    fit_x = np.ascontiguousarray(x[columns[:, None], fit_rows].T)
    slice_x = np.ascontiguousarray(x[columns[:, None], slice_rows].T)
    fit_weight = average_uniqueness(fit_rows + 1, labels.end[fit_rows])
    effective = float(average_uniqueness(slice_rows + 1, labels.end[slice_rows]).sum())
    slice_weight = np.full(len(slice_rows), effective / len(slice_rows))  # calibrated per bar, sized by information
    files: dict[str, bytes] = {}
    calibration: dict[str, Any] = {}
    kept, middle = held_back_rows(slice_rows, labels.end)
    held: list[Float64Array] = []
    for k, (name, model) in enumerate(fresh.items()):
        if cancelled is not None and cancelled():
            raise TrainingCancelled("Training was cancelled; nothing was changed.")
        if progress is not None:
            progress(k, len(fresh), f"fitting {name} on {len(fit_rows):,} bars")
        model.fit(fit_x, labels.label[fit_rows], fit_weight)
        raw = predict_rows(pack([model.table()], [[IDENTITY] * 3], len(columns)), slice_x, calibrated=False)[0]
        y = labels.label[slice_rows]
        choice = choose_calibration(raw, y, slice_weight, slice_rows, labels.end[slice_rows])
        calibration[name] = calibrators_record(fit_calibrators(raw, y, slice_weight, choice.method), choice)
        held.append(held_back(raw[kept], y[kept], slice_weight[kept], middle, choice.method))
        files.update(model.files())
    if progress is not None:
        progress(len(fresh), len(fresh), "ensemble ready")
    files[CALIBRATION_FILE] = json_bytes(calibration)
    plain = replace(PLAIN, parameters=options.parameters)
    proposals = _proposals(x, labels, context, members, seed, plain, cancelled)
    overlay = fit_overlay(x, labels, rows, context, options, proposals)
    files.update(overlay.files() if overlay is not None else {})
    rows_held = slice_rows[kept]
    guard = fit_guard(
        context.features, np.concatenate([fit_x, slice_x]), np.array(held), labels.label[rows_held],
        labels.end[rows_held] - rows_held, options,
    )  # fmt: skip
    files.update(guard.files())
    known = np.concatenate([fit_rows, slice_rows])
    return EnsembleModel(
        context.features, context.optional, tuple(members), context.profile, context.timeframe, context.symbol, seed,
        int(context.open_time[rows[0]]), int(context.open_time[rows[-1]]), base_rates(labels, known),
        len(known), payoffs_of(labels, known, effective),
        {name: model.describe() for name, model in fresh.items()}, files,
        compile_pack(members, files, len(columns)), overlay, guard,
    )  # fmt: skip


def _covered(x: Float64Array, rows: Int64Array, context: TrainingContext) -> TrainingContext:
    """Without the features that stand beside the candles and are known for less than :data:`ENOUGH` of ``rows``.

    The window alone decides: what is there later says nothing to an earlier training.
    """
    beside = [name for name in context.features if name in _BESIDE]
    known = {name: float(np.isfinite(x[context.schema.index(name), rows]).mean()) for name in beside if len(rows)}
    gone = {name for name in beside if known.get(name, 0.0) < ENOUGH}
    if not gone:
        return context
    return replace(
        context, features=tuple(name for name in context.features if name not in gone),
        optional=tuple(name for name in context.optional if name not in gone),
    )  # fmt: skip


def usable_rows(x: Float64Array, labels: Labels, rows: Int64Array, context: TrainingContext) -> npt.NDArray[np.bool_]:
    """Which positions ``[T]`` of ``rows`` have a complete label and every feature that may not be missing."""
    named = [name for name in context.features if name not in context.optional]
    required = np.array([context.schema.index(name) for name in named], dtype=np.int64)
    used = np.zeros(x.shape[1], dtype=np.bool_)
    used[rows] = labels.complete[rows] & np.all(np.isfinite(x[required[:, None], rows]), axis=0)
    return used


def base_rates(labels: Labels, rows: Int64Array) -> tuple[float, float, float]:
    """Class shares (short, neutral, long) with one label added to each, so that an unseen class has a finite loss."""
    counts = [int(np.sum(labels.label[rows] == c)) + 1 for c in CLASSES]
    short, neutral, long = (count / sum(counts) for count in counts)
    return short, neutral, long


def _proposals(
    x: Float64Array, labels: Labels, context: TrainingContext, members: Sequence[str], seed: int,
    options: EnsembleOptions, cancelled: Cancelled | None,
) -> Proposals:  # fmt: skip
    """Plain members trained and calibrated on some rows, their mean on others (no weights are learned online)."""

    def propose(train: Int64Array, test: Int64Array) -> Float64Array:
        model = train_ensemble(x, labels, train, context, members, seed, None, cancelled, options)
        out: Float64Array = np.full((len(test), 3), np.nan)
        columns = np.array([context.schema.index(name) for name in context.features], dtype=np.int64)
        named = np.array([name not in context.optional for name in context.features])
        inputs = np.ascontiguousarray(x[columns[:, None], test].T)
        whole = np.isfinite(inputs[:, named]).all(axis=1)
        out[whole] = model.predict(inputs[whole]).mean(axis=0)
        return out

    return propose

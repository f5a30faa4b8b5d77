"""The leak audit: what is known at t must not move when everything after t is changed or cut away.

It takes any function that makes features, labels, or a fitted transform, and names the culprit. Comparison is exact
(NaN equals NaN): a value that does not see the future cannot change by even one bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ai.exits import PROFILE_NAMES, exit_profile
from ai.features.engine import FeatureEngine
from ai.features.registry import schema_of
from ai.known import KnownMarket, chosen_cuts
from ai.labels import Labels, stop_distances, triple_barrier
from data.beside import Beside
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame

Kind = Literal["feature", "label", "scaler", "calibrator", "threshold", "weights", "forecast", "model"]
Array = npt.NDArray[Any]

FeatureFunction = Callable[..., npt.NDArray[np.float64]]
"""``(frame, funding) -> X[F, T]``, or ``(frame, funding, beside)`` where the audit is given something beside."""

LabelFunction = Callable[[Frame], Labels]
"""``frame -> Labels`` over its bars."""

FitApply = Callable[[Array, Array, int, int], Array]
"""``(X[n, ...], y[n], train_rows, query_row) -> values``: fit on the first ``train_rows`` rows, apply to one row.

It is given all rows, later ones too, as the pipeline has them at hand; it must use none of them but the query row,
and of that not its y.
"""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something known at ``at_ms`` moved when only later data were changed."""

    kind: Kind
    name: str
    at_ms: int  # ms UTC, open time of the earliest bar whose value moved
    detail: str


@dataclass(frozen=True, slots=True)
class TransformCase:
    """A scaler or calibrator to audit, with rows to try it on (time order, at least 2 after the training rows)."""

    kind: Kind
    name: str
    fit_apply: FitApply
    x: Array  # [n] or [n, F]
    y: Array  # [n]
    train_rows: int
    at_ms: int = 0  # ms UTC of the first row after training, for the report


def moved_values(before: Array, after: Array) -> npt.NDArray[np.bool_]:
    """Element-wise: not the same value (NaN equals NaN)."""
    same = before == after
    if np.issubdtype(before.dtype, np.floating):
        same |= np.isnan(before) & np.isnan(after)
    return ~np.asarray(same, dtype=np.bool_)


def _keep_earliest(found: dict[str, Leak], leak: Leak) -> None:
    """One leak for each name: that of the earliest bar."""
    if leak.name not in found or leak.at_ms < found[leak.name].at_ms:
        found[leak.name] = leak


def audit_features(
    compute: FeatureFunction, names: Sequence[str], frame: Frame, funding: FundingFrame | None = None, *,
    cuts: int | Sequence[int] = 8, seed: int = 7, kind: Kind = "feature", beside: Beside | None = None,
) -> list[Leak]:  # fmt: skip
    """Features whose values at or before some bar depend on later bars, settlements or values beside them.

    Args:
        compute: makes ``X[F, T]`` from a frame of T bars; called twice for each cut.
        names: ``[F]``, of its rows.
        frame: bars of one series.
        funding: its settlements.
        cuts: how many bars to cut after (chosen by ``seed`` in the second half), or which.
        seed: of the changed futures.
        kind: what the leaks are called.
        beside: what else ``compute`` reads; then it is handed over as its third argument.

    Returns:
        One leak for each feature that moved, at the earliest bar that moved.

    Raises:
        UserError: too few bars, or cuts outside of them.
    """
    generator = np.random.default_rng(seed)
    market = KnownMarket(frame, funding, beside)

    def values_of(known: KnownMarket) -> npt.NDArray[np.float64]:
        more = () if known.beside is None else (known.beside,)
        return compute(known.frame, known.funding, *more)

    base = values_of(market)
    found: dict[str, Leak] = {}
    for cut in chosen_cuts(cuts, len(frame), generator):
        variants = {"cut away": market.until(cut), "changed": market.with_other_future(cut, generator)}
        for what, known in variants.items():
            values = values_of(known)[:, : cut + 1]
            moved = moved_values(base[:, : cut + 1], values)
            for row in np.nonzero(moved.any(axis=1))[0].tolist():
                at = int(moved[row].argmax())
                detail = (
                    f"moved from {base[row, at]:.10g} to {values[row, at]:.10g} when data after bar {cut} were {what}"
                )
                _keep_earliest(found, Leak(kind, names[row], int(frame.open_time[at]), detail))
    return list(found.values())


def audit_labels(
    compute: LabelFunction, frame: Frame, *, cuts: int | Sequence[int] = 8, seed: int = 7, name: str = ""
) -> list[Leak]:
    """Label columns that depend on data after the ``end`` that their row declares.

    Futures are cut right after the ends of labels drawn by ``seed``, so that a label which reads a single bar beyond
    its end is caught. Arguments as :func:`audit_features`; ``name`` goes before the column's name.

    Raises:
        UserError: too few bars, or no complete label.
    """
    generator = np.random.default_rng(seed)
    base = compute(frame)
    if isinstance(cuts, int):
        ends = base.end[base.complete & (base.end < len(frame) - 1)]
        if not len(ends):
            raise UserError("The leak audit found no complete label: give it a longer span.")
        cuts = np.unique(generator.choice(ends, cuts)).tolist()
    found: dict[str, Leak] = {}
    market = KnownMarket(frame)
    for cut in chosen_cuts(cuts, len(frame), generator):
        settled = np.nonzero(base.complete & (base.end <= cut))[0]
        variants = {
            "cut away": market.until(cut).frame, "changed": market.with_other_future(cut, generator).frame
        }  # fmt: skip
        for what, bars in variants.items():
            after = compute(bars)
            for field in dataclasses.fields(Labels):
                before_column, after_column = getattr(base, field.name)[settled], getattr(after, field.name)[settled]
                moved = np.nonzero(moved_values(before_column, after_column))[0]
                if not len(moved):
                    continue
                first = moved[0]
                was, now = before_column[first], after_column[first]
                detail = f"moved from {was} to {now} when data after its end (bar {cut}) were {what}"
                moment = int(frame.open_time[settled[first]])
                _keep_earliest(found, Leak("label", f"{name} {field.name}".strip(), moment, detail))
    return list(found.values())


def audit_transform(case: TransformCase, *, seed: int = 7) -> list[Leak]:
    """A fitted transform whose output for a row depends on rows after its training rows, or on that row's own y.

    Raises:
        UserError: fewer than two rows after the training rows.
    """
    rows, train = len(case.x), case.train_rows
    if not 0 < train <= rows - 2:
        raise UserError(
            f"The audit of '{case.name}' needs two rows after its {train} training rows and has {rows - train}."
        )
    generator = np.random.default_rng(seed)
    for query in (train, rows - 1):
        base = np.asarray(case.fit_apply(case.x, case.y, train, query))
        x, y = np.array(case.x, copy=True), np.array(case.y, copy=True)
        x[train:] = _elsewhere(x[train:], generator)
        x[query] = case.x[query]
        y[train:] = _others(case.y, y[train:], generator)
        variants = {
            "later rows were cut away": (case.x[: query + 1], case.y[: query + 1]),
            "the features of other rows after training were changed": (x, case.y),
            "labels after training were changed": (case.x, y),
        }
        for what, (some_x, some_y) in variants.items():
            after = np.asarray(case.fit_apply(some_x, some_y, train, query))
            if after.shape != base.shape or moved_values(base, after).any():
                detail = f"row {query}, fitted on {train} rows, came out differently when {what}"
                return [Leak(case.kind, case.name, case.at_ms, detail)]
    return []


def _elsewhere(values: Array, generator: np.random.Generator) -> Array:
    """Other numbers, far from these but finite (probabilities stay within 0 and 1)."""
    if len(values) and values.min() >= 0.0 and values.max() <= 1.0:
        return np.asarray(generator.uniform(0.0, 1.0, values.shape))
    return np.asarray(values * generator.uniform(3.0, 9.0, values.shape) + generator.normal(0.0, 5.0, values.shape))


def _others(classes: Array, values: Array, generator: np.random.Generator) -> Array:
    """For each value another of the classes that occur."""
    known = np.unique(classes)
    if len(known) < 2:
        return values
    at = np.searchsorted(known, values)
    return np.asarray(known[(at + generator.integers(1, len(known), len(values))) % len(known)])


def engine_features(timeframe: str, names: Iterable[str] | None = None) -> tuple[FeatureFunction, tuple[str, ...]]:
    """The registry's features as the audit takes them: the function and its row names."""
    schema = schema_of(names)
    engine = FeatureEngine(schema, timeframe)
    return engine.batch, schema.names


def profile_labels(profile_name: str, timeframe: str) -> LabelFunction:
    """Triple-barrier labels of one exit profile as the audit takes them, stop distances included."""
    profile = exit_profile(profile_name, timeframe)
    engine = FeatureEngine(schema_of([] if profile.feature is None else [profile.feature]), timeframe)

    def compute(frame: Frame) -> Labels:
        row: Float64Array | None = engine.batch(frame)[0] if profile.feature else None
        distance = stop_distances(profile, frame.close, row)
        return triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile)

    return compute


def audit_all(
    frame: Frame, funding: FundingFrame | None, timeframe: str, transforms: Sequence[TransformCase] = (), *,
    cuts: int = 8, seed: int = 7, beside: Beside | None = None,
) -> list[Leak]:  # fmt: skip
    """Everything real: all features of the registry, the labels of every exit profile, and the given transforms.

    Raises:
        UserError: too few bars for one of the audits.
    """
    compute, names = engine_features(timeframe)
    leaks = audit_features(compute, names, frame, funding, cuts=cuts, seed=seed, beside=beside)
    for profile in PROFILE_NAMES:
        leaks += audit_labels(profile_labels(profile, timeframe), frame, cuts=cuts, seed=seed, name=profile)
    for case in transforms:
        leaks += audit_transform(case, seed=seed)
    return leaks

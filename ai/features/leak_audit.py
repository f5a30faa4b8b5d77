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
from ai.labels import Labels, stop_distances, triple_barrier
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame

Kind = Literal["feature", "label", "scaler", "calibrator"]
Array = npt.NDArray[Any]

FeatureFunction = Callable[[Frame, FundingFrame | None], npt.NDArray[np.float64]]
"""``(frame, funding) -> X[F, T]``."""

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


def _moved(before: Array, after: Array) -> npt.NDArray[np.bool_]:
    """Element-wise: not the same value (NaN equals NaN)."""
    same = before == after
    if np.issubdtype(before.dtype, np.floating):
        same |= np.isnan(before) & np.isnan(after)
    return ~np.asarray(same, dtype=np.bool_)


def _changed_after(frame: Frame, cut: int, generator: np.random.Generator) -> Frame:
    """The same bars up to and including ``cut``; another market after it (other level, noise and volumes)."""
    tail = len(frame) - cut - 1
    scale = np.exp(generator.normal(0.0, 0.02, (1, tail)) + generator.choice([-0.7, 0.7]))
    noise = np.exp(generator.normal(0.0, 0.01, (4, tail)))
    prices = np.array([frame.open, frame.high, frame.low, frame.close])
    prices[:, cut + 1 :] *= scale * noise
    volume = frame.volume.copy()
    volume[cut + 1 :] = volume[cut + 1 :] * np.exp(generator.normal(0.5, 1.0, tail)) + 1.0
    o, _, _, c = prices
    return dataclasses.replace(
        frame, open=o, high=prices.max(axis=0), low=prices.min(axis=0), close=c, volume=volume
    )  # fmt: skip


def _split_funding(
    funding: FundingFrame | None, known_ms: int, generator: np.random.Generator
) -> tuple[FundingFrame | None, FundingFrame | None]:
    """Funding cut after ``known_ms``, and changed after it."""
    if funding is None:
        return None, None
    keep = int(np.searchsorted(funding.time, known_ms, side="right"))
    cut = dataclasses.replace(
        funding, time=funding.time[:keep], rate=funding.rate[:keep], mark_price=funding.mark_price[:keep]
    )
    rate = funding.rate.copy()
    rate[keep:] += generator.choice([-1.0, 1.0], len(rate) - keep) * generator.uniform(0.001, 0.01, len(rate) - keep)
    return cut, dataclasses.replace(funding, rate=rate)


def _keep_earliest(found: dict[str, Leak], leak: Leak) -> None:
    """One leak for each name: that of the earliest bar."""
    if leak.name not in found or leak.at_ms < found[leak.name].at_ms:
        found[leak.name] = leak


def _cuts(cuts: int | Sequence[int], bars: int, generator: np.random.Generator) -> list[int]:
    """Bars after which the future is taken away."""
    if bars < 4:
        raise UserError(f"The leak audit needs at least 4 bars and got {bars}: give it a longer span.")
    if isinstance(cuts, int):
        return sorted({int(c) for c in generator.integers(bars // 2, bars - 1, max(cuts - 1, 1))} | {bars - 2})
    outside = [c for c in cuts if not 0 <= c < bars - 1]
    if outside:
        raise UserError(f"The cut at bar {outside[0]} leaves no future to change: cut between 0 and {bars - 2}.")
    return sorted(cuts)


def audit_features(
    compute: FeatureFunction, names: Sequence[str], frame: Frame, funding: FundingFrame | None = None, *,
    cuts: int | Sequence[int] = 8, seed: int = 7, kind: Kind = "feature",
) -> list[Leak]:  # fmt: skip
    """Features whose values at or before some bar depend on later bars or settlements.

    Args:
        compute: makes ``X[F, T]`` from a frame of T bars; called twice for each cut.
        names: ``[F]``, of its rows.
        frame: bars of one series.
        funding: its settlements.
        cuts: how many bars to cut after (chosen by ``seed`` in the second half), or which.
        seed: of the changed futures.

    Returns:
        One leak for each feature that moved, at the earliest bar that moved.

    Raises:
        UserError: too few bars, or cuts outside of them.
    """
    generator = np.random.default_rng(seed)
    base = compute(frame, funding)
    found: dict[str, Leak] = {}
    for cut in _cuts(cuts, len(frame), generator):
        known = int(frame.open_time[cut]) + frame.key.step_ms
        funding_cut, funding_changed = _split_funding(funding, known, generator)
        variants = {
            "cut away": (frame.slice(0, cut + 1), funding_cut),
            "changed": (_changed_after(frame, cut, generator), funding_changed),
        }
        for what, (bars, settlements) in variants.items():
            values = compute(bars, settlements)[:, : cut + 1]
            moved = _moved(base[:, : cut + 1], values)
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
    for cut in _cuts(cuts, len(frame), generator):
        settled = np.nonzero(base.complete & (base.end <= cut))[0]
        variants = {"cut away": frame.slice(0, cut + 1), "changed": _changed_after(frame, cut, generator)}
        for what, bars in variants.items():
            after = compute(bars)
            for field in dataclasses.fields(Labels):
                before_column, after_column = getattr(base, field.name)[settled], getattr(after, field.name)[settled]
                moved = np.nonzero(_moved(before_column, after_column))[0]
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
            if after.shape != base.shape or _moved(base, after).any():
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
    cuts: int = 8, seed: int = 7,
) -> list[Leak]:  # fmt: skip
    """Everything real: all features of the registry, the labels of every exit profile, and the given transforms.

    Raises:
        UserError: too few bars for one of the audits.
    """
    compute, names = engine_features(timeframe)
    leaks = audit_features(compute, names, frame, funding, cuts=cuts, seed=seed)
    for profile in PROFILE_NAMES:
        leaks += audit_labels(profile_labels(profile, timeframe), frame, cuts=cuts, seed=seed, name=profile)
    for case in transforms:
        leaks += audit_transform(case, seed=seed)
    return leaks

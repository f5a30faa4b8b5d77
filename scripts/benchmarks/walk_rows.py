"""P15 the whole walk-forward against the fits that it cannot do without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.rows import Goal, Row, absent, measured

if TYPE_CHECKING:
    from ai.validation.fold_fitting import FoldJob
    from data.market import Frame, FundingFrame

MEMBERS = ("logistic", "hist_boosting", "xgboost", "lightgbm")
YEARS_BARS = 3 * 365 * 96
FEATURES = 80
EVERY = 5  # of the folds, every so many-th is fitted bare; all folds have the same length
WHAT = "walk-forward, BTC 15m over three years, 80 features, four members, 30 folds"
GOAL = Goal("≤ 1.3×", at_most=1.3)


def walking(_bench: Bench) -> list[Row]:
    """P15: wall time over (all bare fits that it asks for ÷ processes). Needs recorded series (QUANTAI_TEST_DATA)."""
    from scripts.soaks.markets import recorded_market

    folder = Path(os.environ.get("QUANTAI_TEST_DATA", ""))
    if not (folder / "ohlcv").is_dir():
        return [absent("P15", WHAT, "×", GOAL.words, "no recorded series: name their folder by QUANTAI_TEST_DATA")]
    frame, funding = recorded_market(folder, "BTCUSDT", "15m")
    return [_row(frame.slice(max(0, len(frame) - YEARS_BARS), len(frame)), funding)]


def _row(frame: Frame, funding: FundingFrame) -> Row:
    from ai.ensemble import EnsembleOptions
    from ai.settings import AiSettings
    from ai.training import training_data
    from ai.validation.fold_fitting import FoldPlan, fold_jobs
    from ai.validation.splits import walk_forward_windows
    from ai.validation.walk_forward import WalkForwardSpec, walk_forward

    processes = os.cpu_count() or 1
    features, options = _features(), EnsembleOptions.of(AiSettings())
    spec = WalkForwardSpec(members=MEMBERS, features=features, workers=processes, seed=SEED, options=options)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    began, before = perf_counter(), _processor_s()
    result = walk_forward(frame, funding, spec)
    wall, taken = perf_counter() - began, _processor_s() - before
    data = training_data(frame, funding, "swing", features)
    windows = walk_forward_windows(frame.open_time, frame.key.step_ms, spec.train, spec.test, spec.step, data.warmup)
    jobs = fold_jobs(data, [windows[0], *windows[::EVERY]], FoldPlan(MEMBERS, SEED, options))
    fits = np.array([_bare_fits(job) for job in jobs][1:])  # the first one warms up
    bare, bare_taken = fits.mean(axis=0) * len(windows)
    note = (
        f"{wall:.0f} s against {bare:.0f} s of bare fits (members, their calibration, the regime) on {processes} "
        f"cores; of processor time {taken:.0f} s and {bare_taken:.0f} s: {taken / bare_taken:.2f}×; load before it "
        f"{load:.1f}; {len(result.folds)} folds, {len(features)} features; fits of every {EVERY}th fold, times {EVERY}"
    )
    return measured("P15", WHAT, float(wall / (bare / processes)), "×", GOAL, None, None, note)


def _features() -> tuple[str, ...]:
    from ai.features.registry import FUNDING_FEATURES, MODEL_FEATURES, REGISTRY

    known = (*MODEL_FEATURES, *FUNDING_FEATURES)
    more = (spec.name for spec in REGISTRY if spec.name not in known and spec.group not in ("price", "cross"))
    return (*known, *more)[:FEATURES]


def _processor_s() -> float:
    """Processor time of this process and of those that it has seen the end of."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass
class _Clock:
    """Seconds by the wall and of the processor, of all that was done inside it."""

    wall: float = 0.0
    processor: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began, before = perf_counter(), _processor_s()
        yield
        self.wall += perf_counter() - began
        self.processor += _processor_s() - before


def _bare_fits(job: FoldJob) -> tuple[float, float]:
    """Seconds, by the wall and of the processor, of a fold's own fits on one thread, and of nothing around them."""
    from threadpoolctl import threadpool_limits

    from ai.calibration import calibration_slice, choose_calibration, fit_calibrators
    from ai.ensemble import usable_rows
    from ai.models.members import new_member
    from ai.models.predictor import IDENTITY, pack, predict_rows
    from ai.overlay_regime import fit_regime
    from ai.sampling import average_uniqueness

    labels, context = job.labels, job.context
    rows = np.arange(job.x.shape[1], dtype=np.int64)
    used, parts = (
        usable_rows(job.x, labels, rows, context),
        calibration_slice(rows, labels.end, context.calibration_share),
    )
    fit, held = parts.fit_rows[used[parts.fit_rows]], parts.slice_rows[used[parts.slice_rows]]
    columns = np.array([context.schema.index(name) for name in context.features])[:, None]
    x, held_x = (np.ascontiguousarray(job.x[columns, part].T) for part in (fit, held))
    weight, held_weight = (average_uniqueness(part + 1, labels.end[part]) for part in (fit, held))
    y, clock = labels.label[held], _Clock()
    with threadpool_limits(1):
        for name in job.members:
            model = new_member(name, job.seed)
            with clock.running():
                model.fit(x, labels.label[fit], weight)
            raw = predict_rows(pack([model.table()], [[IDENTITY] * 3], len(columns)), held_x, calibrated=False)[0]
            with clock.running():
                choice = choose_calibration(raw, y, held_weight, held, labels.end[held])
                fit_calibrators(raw, y, held_weight, choice.method)
        with clock.running():
            fit_regime(job.x, context, rows)
    return clock.wall, clock.processor

"""P15 the whole walk-forward against the fits that it cannot do without."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.rows import Goal, Row, absent, measured

if TYPE_CHECKING:
    from ai.training import TrainingData
    from data.market import Frame, FundingFrame

MEMBERS = ("logistic", "hist_boosting", "xgboost", "lightgbm")
YEARS_BARS = 3 * 365 * 96
FEATURES = 80
EVERY = 5  # of the folds, every so many-th is fitted bare; all folds have the same length
WHAT = "walk-forward, BTC 15m over three years, 80 features, four members, 30 folds"
GOAL = Goal("≤ 1.3×", at_most=1.3)


def walking(_bench: Bench) -> list[Row]:
    """P15: wall time over (sum of the bare fits ÷ processes). Needs recorded series (QUANTAI_TEST_DATA)."""
    from scripts.soaks.markets import recorded_market

    folder = Path(os.environ.get("QUANTAI_TEST_DATA", ""))
    if not (folder / "ohlcv").is_dir():
        return [absent("P15", WHAT, "×", GOAL.words, "no recorded series: name their folder by QUANTAI_TEST_DATA")]
    frame, funding = recorded_market(folder, "BTCUSDT", "15m")
    return [_row(frame.slice(max(0, len(frame) - YEARS_BARS), len(frame)), funding)]


def _row(frame: Frame, funding: FundingFrame) -> Row:
    from ai.training import training_data
    from ai.validation.splits import walk_forward_windows
    from ai.validation.walk_forward import WalkForwardSpec, walk_forward

    processes = os.cpu_count() or 1
    features = _features()
    spec = WalkForwardSpec(members=MEMBERS, features=features, workers=processes, seed=SEED)
    began, before = perf_counter(), _processor_s()
    result = walk_forward(frame, funding, spec)
    wall, taken = perf_counter() - began, _processor_s() - before
    data = training_data(frame, funding, "swing", features)
    windows = walk_forward_windows(frame.open_time, frame.key.step_ms, spec.train, spec.test, spec.step, data.warmup)
    fits = np.array([_bare_fits(data, *window.train_rows) for window in windows[::EVERY]])
    bare, bare_taken = fits.mean(axis=0) * len(windows)
    note = (
        f"{wall:.0f} s against {bare:.0f} s of bare fits on {processes} cores (of processor time {taken:.0f} s and "
        f"{bare_taken:.0f} s: {taken / bare_taken:.2f}×); {len(result.folds)} folds, {len(features)} features; fits of "
        f"every {EVERY}th fold, times {EVERY}"
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


def _bare_fits(data: TrainingData, first: int, last: int) -> tuple[float, float]:
    """Seconds, by the wall and of the processor, of the members' own fits on a training window's rows, one thread."""
    from threadpoolctl import threadpool_limits

    from ai.calibration import calibration_slice
    from ai.ensemble import usable_rows
    from ai.models.members import new_member
    from ai.sampling import average_uniqueness

    rows = np.arange(first, last, dtype=np.int64)
    used = usable_rows(data.x, data.labels, rows, data.context)
    fit_rows = calibration_slice(rows, data.labels.end, data.context.calibration_share).fit_rows
    fit_rows = fit_rows[used[fit_rows]]
    columns = [data.schema.index(name) for name in data.context.features]
    x = np.ascontiguousarray(data.x[np.array(columns)[:, None], fit_rows].T)
    y, weight = data.labels.label[fit_rows], average_uniqueness(fit_rows + 1, data.labels.end[fit_rows])
    began, before = perf_counter(), _processor_s()
    with threadpool_limits(1):
        for name in MEMBERS:
            new_member(name, SEED).fit(x, y, weight)
    return perf_counter() - began, _processor_s() - before

"""Repaired and suspect bars: what features, labels, folds and the grid of a back-test make of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai.features.engine import FeatureEngine, funding_by_bar
from ai.features.registry import MODEL_FEATURES, schema_of
from ai.forecast import Abstain, Col
from ai.labels import without_marked
from ai.training import training_data
from ai.validation.splits import Duration
from ai.validation.walk_forward import WalkForwardSpec, walk_forward
from data.grid import align
from data.market import BarMark, Frame, FundingFrame
from data.synthetic import synthetic_market

BARS = 3_000
REPAIRED = (700, 701, 2_300)
SUSPECT = (900, 1_500, 2_600)


@pytest.fixture(scope="module")
def market() -> tuple[Frame, FundingFrame]:
    return synthetic_market("BTCUSDT", "1h", BARS, 5)


def marked(frame: Frame, repaired: tuple[int, ...] = (), suspect: tuple[int, ...] = ()) -> Frame:
    mark = np.full(len(frame), BarMark.REAL, dtype=np.uint8)
    mark[list(repaired)] = BarMark.REPAIRED
    mark[list(suspect)] = BarMark.SUSPECT
    return replace(frame, mark=mark)


def spiked(frame: Frame, rows: tuple[int, ...], factor: float) -> Frame:
    """The same bars, with another story told in ``rows``."""
    columns = {name: getattr(frame, name).copy() for name in ("open", "high", "low", "close")}
    for column in columns.values():
        column[list(rows)] *= factor
    return replace(frame, **columns)


def test_a_suspect_bar_is_to_features_as_if_it_were_missing(market: tuple[Frame, FundingFrame]) -> None:
    frame, funding = market
    suspect = marked(frame, suspect=(*SUSPECT, 7))  # a settlement falls into bar 7
    sound = suspect.mark != BarMark.SUSPECT
    engine = FeatureEngine(schema_of(), "1h")
    batch = engine.batch(suspect, funding)
    assert np.isnan(batch[:, ~sound]).all()
    gapped = frame.take(sound)
    assert np.array_equal(batch[:, sound], engine.batch(gapped, funding), equal_nan=True)
    rates = funding_by_bar(gapped.open_time, gapped.key.step_ms, funding)
    steps = [
        engine.step(int(t), o, h, low, c, v, r)
        for t, o, h, low, c, v, r in zip(
            gapped.open_time, gapped.open, gapped.high, gapped.low, gapped.close, gapped.volume, rates, strict=True
        )
    ]
    assert np.array_equal(batch[:, sound], np.array(steps).T, equal_nan=True)
    returns = FeatureEngine(schema_of(["log_return_1"]), "1h").batch(suspect)[0]
    assert np.isnan(returns[[901, 1_501]]).all()  # none is measured across it
    assert np.isfinite(returns[[902, 1_502]]).all()


def test_what_a_suspect_bar_says_changes_nothing_but_itself(market: tuple[Frame, FundingFrame]) -> None:
    frame, funding = market
    suspect = marked(frame, suspect=SUSPECT)
    other = spiked(suspect, SUSPECT, 1.4)
    a, b = (training_data(f, funding, "swing") for f in (suspect, other))
    assert np.array_equal(a.x, b.x, equal_nan=True)
    for name in ("label", "long_return", "short_return", "complete"):
        assert np.array_equal(getattr(a.labels, name), getattr(b.labels, name), equal_nan=True)
    unmarked = training_data(spiked(marked(frame), SUSPECT, 1.4), funding, "swing")
    assert not np.array_equal(a.x, unmarked.x, equal_nan=True)


def test_labels_that_touch_a_repaired_or_suspect_bar_are_none(market: tuple[Frame, FundingFrame]) -> None:
    frame, funding = market
    clean = training_data(marked(frame), funding, "swing")
    data = training_data(marked(frame, REPAIRED, SUSPECT), funding, "swing")
    assert not clean.marked.any()
    # a repaired bar leaves prices and features as they are: only labels go
    repaired = training_data(marked(frame, REPAIRED), funding, "swing")
    assert np.array_equal(repaired.x, clean.x, equal_nan=True)
    expected = np.array([
        bool(clean.labels.complete[t]) and any(t <= r <= clean.labels.end[t] for r in REPAIRED) for t in range(BARS)
    ])  # fmt: skip
    assert expected.sum() > len(REPAIRED)
    assert np.array_equal(repaired.marked, expected)
    assert np.array_equal(repaired.labels.complete, clean.labels.complete & ~expected)
    assert (repaired.labels.label[expected] == 0).all()
    assert np.isnan(repaired.labels.long_return[expected]).all()
    kept = ~expected
    assert np.array_equal(repaired.labels.label[kept], clean.labels.label[kept])
    for row in SUSPECT:
        assert data.marked[row - 1] or not data.labels.complete[row - 1]
        assert not data.labels.complete[row]


def test_real_and_synthetic_bars_lose_no_label(market: tuple[Frame, FundingFrame]) -> None:
    frame, funding = market
    labels = training_data(frame, funding, "swing").labels
    assert (frame.mark == BarMark.SYNTHETIC).all()
    same, touched = without_marked(labels, frame.mark)
    assert same is labels
    assert not touched.any()


def test_a_fold_counts_its_marked_rows_and_neither_trains_on_nor_scores_them(
    market: tuple[Frame, FundingFrame],
) -> None:
    frame, funding = market
    spec = WalkForwardSpec(
        train=Duration(1_600, "bar"), test=Duration(700, "bar"), step=Duration(700, "bar"), members=("logistic",),
        draws=50, profile="swing", features=MODEL_FEATURES,
    )  # fmt: skip
    plain = walk_forward(marked(frame), funding, spec)
    result = walk_forward(marked(frame, REPAIRED, SUSPECT), funding, spec)
    data = training_data(marked(frame, REPAIRED, SUSPECT), funding, "swing", MODEL_FEATURES)
    for before, after in zip(plain.folds, result.folds, strict=True):
        window = after.window
        assert before.n_marked == 0
        assert after.n_marked == int(data.marked[window.train_rows[0] : window.test_rows[1]].sum()) > 0
        assert after.as_dict()["n_marked"] == after.n_marked
        lost = data.marked[slice(*window.test_rows)].sum()
        assert after.scores.n <= before.scores.n - lost
        model = result.models[after.model_id]
        assert model.rows < plain.models[before.model_id].rows
    tested = [row for row in SUSPECT if any(f.window.test_rows[0] <= row < f.window.test_rows[1] for f in result.folds)]
    assert tested
    assert (result.rows[tested, Col.ABSTAIN] == Abstain.MISSING).all()
    other = walk_forward(spiked(marked(frame, REPAIRED, SUSPECT), SUSPECT, 0.7), funding, spec)
    assert np.array_equal(result.rows, other.rows, equal_nan=True)  # no forecast, weight or score knows their prices


def test_a_grid_decides_on_repaired_bars_and_never_on_suspect_ones(market: tuple[Frame, FundingFrame]) -> None:
    frame, funding = market
    grid = align([marked(frame, REPAIRED, SUSPECT)], [funding])
    assert np.flatnonzero(~grid.present[0]).tolist() == list(SUSPECT)
    assert np.isnan(grid.close[0, list(SUSPECT)]).all()
    assert grid.present[0, list(REPAIRED)].all()
    assert grid.repaired == len(REPAIRED)
    assert grid.mark[0, SUSPECT[0]] == BarMark.SUSPECT

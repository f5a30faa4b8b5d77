"""The audit of models passes what is honest and names what is planted: weights, thresholds, members, trainings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest

from ai.ensemble import CALIBRATION_FILE, EnsembleModel, EnsembleOptions, train_ensemble
from ai.forecast import MEMBER_COLS, Col, Extra
from ai.known import KnownMarket
from ai.leak_audit_models import (
    AuditVerdict,
    audit_forecasts,
    audit_model,
    audit_training,
    model_forecasts,
    model_training,
)
from ai.overlay import OVERLAY_FILE
from ai.training import training_data
from data.beside import BESIDE, Beside
from data.errors import UserError
from data.synthetic import synthetic_market

Rows = npt.NDArray[np.float64]
MEMBERS = ("logistic", "lightgbm")
WEIGHT = int(Col.FIRST_MEMBER) + 3  # of the first member
ALL = EnsembleOptions(
    regime=True, adaptive_threshold=True, conformal_coverage=0.8, max_disagreement=0.1, max_outside_share=0.1,
    shrink_when_worse=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def market() -> KnownMarket:
    frame, funding = synthetic_market("BTC/USDT:USDT", "1h", 5_600, 3)
    rng = np.random.default_rng(1)
    values = np.tile(frame.close, (len(BESIDE), 1)) * np.exp(rng.normal(0.0, 1e-3, (len(BESIDE), len(frame))))
    values[rng.random(values.shape) < 0.05] = np.nan
    return KnownMarket(frame, funding, Beside(frame.open_time, values))


@pytest.fixture(scope="module")
def model(market: KnownMarket) -> EnsembleModel:
    data = training_data(market.frame, market.funding, "swing", None, 0.15, market.beside)
    rows = np.arange(data.warmup, 4_000, dtype=np.int64)
    return train_ensemble(data.x, data.labels, rows, data.context, MEMBERS, 7, options=ALL)


def test_a_model_of_the_product_passes_with_everything_that_it_can_say(
    model: EnsembleModel, market: KnownMarket
) -> None:
    found = audit_model(model, market, ALL)
    assert found.leaks == ()
    assert found.passed and found.digest == model.digest
    assert "no leak in" in found.sentence
    assert found.bars > 2_160 + 1_320, "the volatility's rank of 90 days was not known yet"
    rows = model_forecasts(model)(market)
    said = [int(c) for c in (Extra.THRESHOLD, Extra.SET, Extra.SPREAD, Extra.OUTSIDE, Extra.SIZE, Extra.REGIME)]
    assert np.isfinite(rows[-1, said]).all(), "a column that says nothing was not audited"


def test_too_short_a_market_is_no_pass(model: EnsembleModel, market: KnownMarket) -> None:
    found = audit_model(model, KnownMarket(market.frame.slice(0, 900), market.funding), ALL)
    assert not found.passed
    assert "could not be made" in found.sentence


LEAKS: dict[str, tuple[str, str, Callable[[Rows], None]]] = {}


def plant(kind: str, name: str) -> Callable[[Callable[[Rows], None]], Callable[[Rows], None]]:
    def keep(leak: Callable[[Rows], None]) -> Callable[[Rows], None]:
        LEAKS[leak.__name__] = (kind, name, leak)
        return leak

    return keep


@plant("weights", "weight of logistic")
def weights_learned_before_the_label_ended(rows: Rows) -> None:
    rows[:-5, WEIGHT] = rows[5:, WEIGHT]
    rows[:-5, WEIGHT + MEMBER_COLS] = rows[5:, WEIGHT + MEMBER_COLS]
    rows[:, Col.P_LONG] = rows[:, WEIGHT] * rows[:, Col.FIRST_MEMBER]  # what is mixed by them moves as well


@plant("threshold", "threshold")
def a_threshold_fitted_on_the_test_window(rows: Rows) -> None:
    rows[:, Extra.THRESHOLD] = np.nanquantile(rows[:, Col.P_LONG], 0.9)


@plant("forecast", "p_long of lightgbm")
def a_member_scaled_by_the_whole_window(rows: Rows) -> None:
    column = int(Col.FIRST_MEMBER) + MEMBER_COLS
    rows[:, column] -= np.nanmean(rows[:, column])


@plant("forecast", "set")
def coverage_adapted_to_what_has_not_come(rows: Rows) -> None:
    rows[:-3, Extra.SET] = rows[3:, Extra.SET]


@plant("forecast", "size")
def size_by_tomorrows_losses(rows: Rows) -> None:
    rows[:-2, Extra.SIZE] = rows[2:, Col.P_LONG]


@plant("forecast", "p_neutral")
def a_mixture_smoothed_to_both_sides(rows: Rows) -> None:
    rows[1:-1, Col.P_NEUTRAL] = (rows[:-2, Col.P_NEUTRAL] + rows[2:, Col.P_NEUTRAL]) / 2


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_planted_in_forecasts_is_caught_and_the_culprit_named(
    what: str, model: EnsembleModel, market: KnownMarket
) -> None:
    kind, name, leak = LEAKS[what]
    honest = model_forecasts(model)

    def compute(known: KnownMarket) -> Rows:
        rows = honest(known)
        leak(rows)
        return rows

    newest = KnownMarket(market.frame.slice(2_500, 4_600), market.funding, market.beside)
    found = {(k.kind, k.name) for k in audit_forecasts(compute, MEMBERS, newest)}
    assert (kind, name) in found
    allowed = {(kind, name), ("weights", "weight of lightgbm")} if kind == "weights" else {(kind, name)}
    assert found <= allowed, "columns that only follow are not culprits"


def test_weights_that_start_where_they_ended_are_caught(model: EnsembleModel, market: KnownMarket) -> None:
    """A forecaster that has been over the span once and keeps what it learned."""
    honest = model_forecasts(model)

    def compute(known: KnownMarket) -> Rows:
        rows, last = honest(known), np.empty(0)
        last = rows[-1, [WEIGHT, WEIGHT + MEMBER_COLS]]
        rows[:, [WEIGHT, WEIGHT + MEMBER_COLS]] += last - 0.5
        return rows

    newest = KnownMarket(market.frame.slice(2_500, 4_600), market.funding, market.beside)
    assert {k.kind for k in audit_forecasts(compute, MEMBERS, newest)} == {"weights"}


def peeks_at_calibration(files: Mapping[str, bytes], known: KnownMarket) -> dict[str, bytes]:
    stored = json.loads(files[CALIBRATION_FILE])
    stored["logistic"]["classes"][0]["b"] += float(known.frame.close[-1])
    return {**files, CALIBRATION_FILE: json.dumps(stored).encode()}


def peeks_at_the_threshold(files: Mapping[str, bytes], known: KnownMarket) -> dict[str, bytes]:
    stored = json.loads(files[OVERLAY_FILE])
    stored["about"]["border"] = float(np.quantile(known.frame.volume, 0.9))
    return {**files, OVERLAY_FILE: json.dumps(stored).encode()}


def peeks_at_the_scaler(files: Mapping[str, bytes], known: KnownMarket) -> dict[str, bytes]:
    stored = json.loads(files["logistic.json"])
    stored["mean"][0] = float(known.frame.close.mean())
    return {**files, "logistic.json": json.dumps(stored).encode()}


@pytest.mark.parametrize(
    ("peek", "kind", "name"),
    [
        (peeks_at_calibration, "calibrator", CALIBRATION_FILE),
        (peeks_at_the_threshold, "threshold", OVERLAY_FILE),
        (peeks_at_the_scaler, "model", "logistic.json"),
    ],
)
def test_a_training_that_looks_beyond_its_window_is_caught_by_its_files(
    peek: Callable[[Mapping[str, bytes], KnownMarket], dict[str, bytes]], kind: str, name: str, model: EnsembleModel,
    market: KnownMarket,
) -> None:  # fmt: skip
    honest = model_training(dataclasses.replace(model, members=("logistic",)), 900, ALL)
    newest = KnownMarket(market.frame.slice(3_000, 5_400), market.funding, market.beside)
    assert audit_training(honest, newest, 2_300) == []

    def train(known: KnownMarket, bars: int) -> dict[str, bytes]:
        return peek(honest(known, bars), known)

    assert [(k.kind, k.name) for k in audit_training(train, newest, 2_300)] == [(kind, name)]


def test_features_that_read_what_stands_beside_a_later_bar_are_caught(market: KnownMarket) -> None:
    from ai.features.leak_audit import audit_features

    def compute(frame, funding, beside):
        here = beside.at(frame.open_time)[0]
        return np.array([here, np.append(here[1:], np.nan)])

    frame = market.frame.slice(0, 600)
    found = audit_features(compute, ("now", "next"), frame, market.funding, beside=market.beside)
    assert [k.name for k in found] == ["next"]


def test_an_audit_needs_a_future(model: EnsembleModel, market: KnownMarket) -> None:
    with pytest.raises(UserError, match="needs two more"):
        audit_training(model_training(model, 900), market, len(market) - 1)


def test_a_verdict_is_kept_as_plain_values() -> None:
    verdict = AuditVerdict("abc", (), 2_000, 140)
    assert json.loads(json.dumps(verdict.as_dict())) == {
        "passed": True, "digest": "abc", "bars": 2000, "checked": 140, "leaks": [],
        "sentence": "no leak in 140 values over 2,000 bars",
    }  # fmt: skip

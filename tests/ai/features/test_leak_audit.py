"""The leak audit passes what is honest and names what is planted: in a feature, a label, a scaler, a calibrator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from ai.exits import exit_profile
from ai.features.engine import FeatureEngine
from ai.features.leak_audit import (
    TransformCase,
    audit_all,
    audit_features,
    audit_labels,
    audit_transform,
    engine_features,
    profile_labels,
)
from ai.features.registry import schema_of
from ai.labels import Labels, triple_barrier
from data.errors import UserError
from data.market import Frame, FundingFrame

Array = npt.NDArray[np.float64]
MakeMarket = Callable[..., Frame]


@pytest.mark.data
def test_no_feature_and_no_label_of_the_product_leaks_on_recorded_data(btc: Frame, btc_funding: FundingFrame) -> None:
    assert audit_all(btc, btc_funding, "1h", cuts=5) == []


@pytest.mark.parametrize("timeframe", ["1m", "4h"])
def test_no_feature_and_no_label_leaks_on_a_made_market_with_gaps(
    timeframe: str, make_market: MakeMarket, make_funding: Callable[[Frame], FundingFrame]
) -> None:
    frame = make_market(2_500, timeframe, skip=(1_400, 1_401, 2_000))
    assert audit_all(frame, make_funding(frame), timeframe, cuts=5) == []


def planted(
    leak: Callable[[Frame, FundingFrame | None, Array], Array],
) -> Callable[[Frame, FundingFrame | None], Array]:
    engine = FeatureEngine(schema_of(["rsi_14", "funding_rate", "zscore_20"]), "1h")

    def compute(frame: Frame, funding: FundingFrame | None) -> Array:
        values = engine.batch(frame, funding)
        values[2] = leak(frame, funding, values[2])
        return values

    return compute


LEAKS: dict[str, Callable[[Frame, FundingFrame | None, Array], Array]] = {
    "the next close": lambda frame, _, row: np.append(frame.close[1:], np.nan),
    "scaled by the whole history": lambda frame, _, row: row / frame.close.std(),
    "a centred average": lambda frame, _, row: np.convolve(frame.close, np.ones(3) / 3, "same"),
    "a value fifty bars later": lambda frame, _, row: np.append(frame.volume[50:], np.zeros(50)),
    "the length of the history": lambda frame, _, row: np.full(len(frame), float(len(frame))),
    "filled from behind": lambda frame, _, row: np.where(np.arange(len(frame)) % 7 == 0, np.roll(frame.low, -1), row),
    "an event that only a changed future holds": lambda frame, _, row: (
        row + (np.append(np.maximum.accumulate(frame.volume[::-1])[::-1][1:], 0.0) > 6_000.0)
    ),
    "funding before its settlement": lambda frame, funding, row: funding.rate[  # type: ignore[union-attr]
        np.minimum(np.searchsorted(funding.time, frame.open_time + frame.key.step_ms), len(funding) - 1)  # type: ignore[union-attr]
    ],
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_planted_in_a_feature_is_caught_and_named(
    what: str, make_market: MakeMarket, make_funding: Callable[[Frame], FundingFrame]
) -> None:
    frame = make_market(600)
    names = ("rsi_14", "funding_rate", "zscore_20")
    leaks = audit_features(planted(LEAKS[what]), names, frame, make_funding(frame), cuts=40)
    assert [(leak.kind, leak.name) for leak in leaks] == [("feature", "zscore_20")]
    assert leaks[0].at_ms in frame.open_time
    assert "data after bar" in leaks[0].detail


def test_the_earliest_bar_that_moved_is_named(make_market: MakeMarket) -> None:
    frame = make_market(300)

    def compute(some: Frame, funding: FundingFrame | None) -> Array:
        row = some.close.copy()
        if len(some) > 200:
            row[120] = some.close[200]
        return row[None, :]

    (leak,) = audit_features(compute, ["late"], frame, cuts=[150, 180])
    assert leak.at_ms == frame.open_time[120]


def label_leaks() -> dict[str, Callable[[Frame], Labels]]:
    honest = profile_labels("even", "1h")

    def one_bar_beyond(frame: Frame) -> Labels:
        labels = honest(frame)
        late = np.minimum(labels.end + 1, len(frame) - 1)
        return dataclasses.replace(labels, long_return=frame.close[late] / frame.close - 1.0)

    def end_too_early(frame: Frame) -> Labels:
        labels = honest(frame)
        return dataclasses.replace(labels, end=np.arange(len(frame)) + 1)

    def barrier_from_the_whole_history(frame: Frame) -> Labels:
        distance = np.full(len(frame), np.abs(np.diff(frame.close)).mean() * 2)
        return triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, exit_profile("even", "1h"))

    return {
        "one bar beyond": one_bar_beyond,
        "end too early": end_too_early,
        "global barrier": barrier_from_the_whole_history,
    }


@pytest.mark.parametrize(
    ("what", "column"),
    [("one bar beyond", "long_return"), ("end too early", "label"), ("global barrier", "end")],
)
def test_a_leak_planted_in_a_label_is_caught_and_named(what: str, column: str, make_market: MakeMarket) -> None:
    leaks = audit_labels(label_leaks()[what], make_market(900), cuts=20, name="planted")
    assert f"planted {column}" in {leak.name for leak in leaks}
    assert {leak.kind for leak in leaks} == {"label"}
    if what == "one bar beyond":
        assert len(leaks) == 1


def scaler(fit_rows: Callable[[int, int], slice]) -> Callable[[Array, Array, int, int], Array]:
    def fit_apply(x: Array, y: Array, train_rows: int, query_row: int) -> Array:
        seen = x[fit_rows(train_rows, query_row)]
        return np.asarray((x[query_row] - seen.mean(axis=0)) / seen.std(axis=0))

    return fit_apply


def calibrator(fit_rows: Callable[[int, int], slice]) -> Callable[[Array, Array, int, int], Array]:
    from sklearn.isotonic import IsotonicRegression

    def fit_apply(x: Array, y: Array, train_rows: int, query_row: int) -> Array:
        rows = fit_rows(train_rows, query_row)
        fitted = IsotonicRegression(out_of_bounds="clip").fit(x[rows], y[rows])
        return np.asarray(fitted.predict(x[query_row : query_row + 1]))

    return fit_apply


def honest_rows(train: int, query: int) -> slice:
    return slice(0, train)


def up_to_the_query(train: int, query: int) -> slice:
    return slice(0, query + 1)


def all_rows(train: int, query: int) -> slice:
    return slice(None)


def case(kind: str, fit_rows: Callable[[int, int], slice]) -> TransformCase:
    generator = np.random.default_rng(2)
    score = generator.uniform(0.0, 1.0, 400)
    y = (generator.uniform(0.0, 1.0, 400) < score).astype(np.float64)
    if kind == "scaler":
        return TransformCase("scaler", "standardise", scaler(fit_rows), generator.normal(0, 1, (400, 3)), y, 300, 77)
    return TransformCase("calibrator", "isotonic", calibrator(fit_rows), score, y, 300, 77)


@pytest.mark.parametrize("kind", ["scaler", "calibrator"])
def test_a_transform_fitted_on_its_training_rows_passes(kind: str) -> None:
    assert audit_transform(case(kind, honest_rows)) == []


@pytest.mark.parametrize("kind", ["scaler", "calibrator"])
@pytest.mark.parametrize("rows", [all_rows, up_to_the_query])
def test_a_leak_planted_in_a_scaler_or_calibrator_is_caught_and_named(
    kind: str, rows: Callable[[int, int], slice], make_market: MakeMarket
) -> None:
    (leak,) = audit_transform(case(kind, rows))
    assert (leak.kind, leak.name, leak.at_ms) == (kind, case(kind, rows).name, 77)
    assert leak in audit_all(make_market(1_000), None, "1h", [case(kind, rows)], cuts=2)


def test_a_transform_that_reads_the_answer_of_its_row_is_caught() -> None:
    def peeks(x: Array, y: Array, train_rows: int, query_row: int) -> Array:
        return np.asarray([x[query_row], y[query_row]])

    (leak,) = audit_transform(dataclasses.replace(case("calibrator", honest_rows), name="peeks", fit_apply=peeks))
    assert (leak.kind, leak.name) == ("calibrator", "peeks")
    assert "labels after training were changed" in leak.detail


def test_the_audit_says_what_it_needs(make_market: MakeMarket) -> None:
    compute, names = engine_features("1h", ["rsi_14"])
    with pytest.raises(UserError, match="at least 4 bars and got 3"):
        audit_features(compute, names, make_market(3))
    with pytest.raises(UserError, match="cut at bar 99 leaves no future"):
        audit_features(compute, names, make_market(100), cuts=[99])
    with pytest.raises(UserError, match="no complete label"):
        audit_labels(profile_labels("even", "1h"), make_market(50))
    with pytest.raises(UserError, match="two rows after its 399 training rows and has 1"):
        audit_transform(dataclasses.replace(case("scaler", honest_rows), train_rows=399))

"""Meta-labels and the model that takes or skips: small tables, a planted edge, noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from ai.exits import exit_profile
from ai.labels import Labels, triple_barrier
from ai.meta import MetaLabels, MetaModel, meta_inputs, meta_labels
from data.errors import UserError

Array = npt.NDArray[np.float64]
QUIET = (100.0, 101.0, 99.0, 100.0)
UP, DOWN = [QUIET, (100.0, 110.0, 99.0, 108.0)], [QUIET, (100.0, 101.0, 90.0, 95.0)]
DRIFT = [QUIET, QUIET, QUIET, QUIET, (100.0, 101.0, 99.0, 100.1)]
EVEN = exit_profile("even", "1h")


def labels_of(bars: list[tuple[float, float, float, float]]) -> Labels:
    o, h, low, c = np.array(bars).T
    return triple_barrier(o, h, low, c, np.full(len(bars), 10.0), EVEN)


def test_a_meta_label_says_whether_the_proposed_side_was_worth_it() -> None:
    labels = labels_of(UP + DOWN)
    for side, right in ((1, [1, 0]), (-1, [0, 1])):
        proposed = np.array([side, 0, side, 0], dtype=np.int8)
        made = meta_labels(proposed, labels)
        assert made.rows.tolist() == [0, 2]
        assert made.take.tolist() == right
        assert made.payoff == pytest.approx([0.1 * side, -0.1 * side])
    assert len(meta_labels(np.zeros(4, dtype=np.int8), labels)) == 0


def test_a_small_gain_at_the_time_limit_is_worth_taking_only_above_its_costs() -> None:
    labels, side = labels_of(DRIFT), np.array([1, 0, 0, 0, 0], dtype=np.int8)
    assert meta_labels(side, labels).take.tolist() == [1]
    assert meta_labels(side, labels, 0.0009).take.tolist() == [1]
    assert meta_labels(side, labels, 0.0011).take.tolist() == [0]
    assert meta_labels(side, labels, 0.0011).payoff == pytest.approx([0.001 - 0.0011])


def test_rows_without_a_complete_label_are_left_out() -> None:
    made = meta_labels(np.ones(4, dtype=np.int8), labels_of([QUIET] * 4))
    assert len(made) == 0


def test_weights_count_overlap_among_the_proposed_trades_only() -> None:
    labels = labels_of([QUIET] * 12)
    every = meta_labels(np.ones(12, dtype=np.int8), labels)
    apart = np.zeros(12, dtype=np.int8)
    apart[[0, 4]] = 1
    assert meta_labels(apart, labels).weight.tolist() == [1.0, 1.0]
    assert every.weight.mean() < 0.4
    apart[[0, 2, 4]] = [1, -1, 0]  # lives 1 to 4 and 3 to 6
    assert meta_labels(apart, labels).weight.tolist() == [0.75, 0.75]


def test_only_what_is_known_before_a_bar_may_be_learned_there() -> None:
    made = meta_labels(np.ones(12, dtype=np.int8), labels_of([QUIET] * 12))
    assert made.until(6).rows.tolist() == [0, 1]
    assert (made.until(6).end < 6).all()


def test_sides_of_other_bars_are_refused() -> None:
    with pytest.raises(UserError, match="belong to 3 bars and the labels to 4"):
        meta_labels(np.ones(3, dtype=np.int8), labels_of([QUIET] * 4))


def made_trades(n: int, seed: int, strength: float) -> tuple[Array, MetaLabels]:
    """Proposed trades each four bars long; the side's own view of the first feature says how they end."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, 6))
    side = generator.choice([-1, 1], n).astype(np.int8)
    p = 1.0 / (1.0 + np.exp(-strength * side * x[:, 0]))
    take = (generator.random(n) < p).astype(np.int8)
    payoff = np.where(take == 1, 0.02, -0.02) - 0.001
    rows = 2 * np.arange(n)
    return meta_inputs(x, side), MetaLabels(rows, take, np.full(n, 0.5), payoff, rows + 4)


def part(meta: MetaLabels, which: slice) -> MetaLabels:
    return MetaLabels(meta.rows[which], meta.take[which], meta.weight[which], meta.payoff[which], meta.end[which])


def test_a_planted_edge_of_the_side_is_taken_and_the_rest_skipped() -> None:
    inputs, meta = made_trades(6_000, 1, 1.0)
    model = MetaModel()
    model.fit(inputs[:3_000], part(meta, slice(0, 3_000)))
    late = slice(3_000, 6_000)
    p, taken = model.predict(inputs[late]), model.takes(inputs[late])
    assert roc_auc_score(meta.take[late], p) > 0.7
    assert model.threshold == pytest.approx(0.021 / 0.04, abs=1e-6)
    assert meta.payoff[late][taken].mean() > 0.004 > meta.payoff[late].mean()
    assert abs(p.mean() - meta.take[late].mean()) < 0.03
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        inside = (p >= low) & (p < high)
        assert meta.take[late][inside].mean() == pytest.approx(p[inside].mean(), abs=0.06)


def test_on_noise_it_finds_nothing_and_skips_what_does_not_pay() -> None:
    inputs, meta = made_trades(6_000, 2, 0.0)
    model = MetaModel()
    model.fit(inputs[:3_000], part(meta, slice(0, 3_000)))
    late = slice(3_000, 6_000)
    assert roc_auc_score(meta.take[late], model.predict(inputs[late])) == pytest.approx(0.5, abs=0.04)
    assert model.takes(inputs[late]).mean() < 0.5  # costs outweigh a coin


def test_later_rows_change_nothing_of_what_was_learned() -> None:
    inputs, meta = made_trades(1_000, 3, 1.0)
    models = [MetaModel(), MetaModel()]
    models[0].fit(inputs[:500], part(meta, slice(0, 500)))
    known = meta.until(int(meta.rows[500]) + 3)
    models[1].fit(inputs[: len(known)], known)
    assert len(known) == 500
    assert np.array_equal(models[0].predict(inputs), models[1].predict(inputs))


def test_too_few_trades_or_trades_all_alike_train_nothing() -> None:
    inputs, meta = made_trades(200, 4, 1.0)
    with pytest.raises(UserError, match="has 50 proposed trades and needs 100"):
        MetaModel().fit(inputs[:50], part(meta, slice(0, 50)))
    won = MetaLabels(meta.rows, np.ones(200, dtype=np.int8), meta.weight, meta.payoff, meta.end)
    with pytest.raises(UserError, match="won and lost ones"):
        MetaModel().fit(inputs, won)

"""Ids, records and the rule for taking over."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from ai.models.evidence import level_of_try
from ai.models.registry import Incumbent, ModelRecord, model_id_of, promotion, record_of

JULY_11_2025 = 1_752_192_000_000


def test_an_id_says_profile_day_and_content(model) -> None:
    name = model_id_of(model, JULY_11_2025)
    assert re.fullmatch(r"swing-20250711-[0-9a-f]{4}", name)
    assert model_id_of(model, JULY_11_2025) == name
    assert model_id_of(dataclasses.replace(model, seed=8), JULY_11_2025) != name


def test_a_taken_id_grows_by_more_of_the_hash(model) -> None:
    first = model_id_of(model, JULY_11_2025)
    second = model_id_of(model, JULY_11_2025, taken={first})
    assert second.startswith(first)
    assert len(second) == len(first) + 1


def test_a_record_is_plain_json(model) -> None:
    record = record_of(model, "swing-20250711-7f3a", Path("models/swing-20250711-7f3a"), 5, (0.9, 1.0, 0.55), 0.02)
    row = json.loads(json.dumps(record.as_dict()))
    assert row["model_id"] == "swing-20250711-7f3a"
    assert row["state"] == "candidate"
    assert row["scores"] == {"log_loss": 0.9, "base_log_loss": 1.0, "auc": 0.55, "luck": 0.02}
    assert record_of(model, "x", Path("x"), 5).as_dict()["scores"]["log_loss"] is None


def scored(loss: float | None, base: float | None = 1.0, luck: float | None = 0.001) -> ModelRecord:
    return ModelRecord(
        "m", "BTC/USDT:USDT", "1h", "swing", 0, 1, 2, "m", "d", log_loss=loss, base_log_loss=base, luck=luck
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "incumbent", "allowed", "why"),
    [
        (0.95, None, True, "beats the base rate"),
        (0.95, 0.96, True, "no worse than the present model"),
        (0.95, 0.95, True, "no worse than the present model"),
        (0.95, 0.94, False, "worse than the present model"),
        (1.0, None, False, "does not beat the base rate"),
        (1.02, 1.05, False, "does not beat the base rate"),
        (None, None, False, "no out-of-sample score"),
        (float("nan"), None, False, "no out-of-sample score"),
    ],
)
def test_a_model_takes_over_by_itself_only_if_it_beats_the_base_rate_and_the_incumbent(
    loss, incumbent, allowed, why
) -> None:
    found = promotion(scored(loss), None if incumbent is None else Incumbent(incumbent, True), True)
    assert found.allowed is allowed
    assert why in found.words
    assert not found.on_trial


def test_without_a_passed_audit_nothing_is_promoted_or_tried() -> None:
    found = promotion(scored(0.5), None, audited=False)
    assert not found.allowed and not found.on_trial
    assert "leak audit has not passed" in found.words


@pytest.mark.parametrize("incumbent", [None, Incumbent(0.96, promoted=False)])
def test_a_model_that_luck_may_have_made_is_tried_on_paper_at_most(incumbent) -> None:
    found = promotion(scored(0.95, luck=0.2), incumbent, True)
    assert not found.allowed and found.on_trial
    assert "luck alone ranks direction as well in 20.0% of cases" in found.words
    assert promotion(scored(0.95, luck=None), incumbent, True).on_trial, "nothing known of luck is no proof"
    assert promotion(scored(0.95, luck=0.2), Incumbent(0.96, promoted=True), True).allowed


def test_every_further_try_has_to_be_less_likely_by_luck() -> None:
    assert promotion(scored(0.95, luck=0.004), None, True, tries=1).allowed
    assert not promotion(scored(0.95, luck=0.004), None, True, tries=2).allowed
    assert promotion(scored(0.95, luck=0.0016), None, True, tries=2).allowed
    assert sum(level_of_try(k, 0.01) for k in range(1, 10_000)) == pytest.approx(0.01, rel=1e-3)

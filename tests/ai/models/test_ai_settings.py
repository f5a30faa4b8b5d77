"""The settings of the models floor: defaults of the definitions, ranges, units."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ai.models.members import DEFAULT_MEMBERS
from ai.settings import AiSettings


def test_defaults_are_those_of_the_definitions() -> None:
    found = AiSettings()
    assert (found.history_limit, found.model_retrain_every_n_steps, found.seed) == (20_000, 2_000, 7)
    assert found.enable_training
    assert found.retrain_latency_bars == 1
    assert found.members == DEFAULT_MEMBERS
    assert [found.profile_for(tf) for tf in ("1m", "5m", "15m", "1d")] == ["scalp", "scalp", "swing", "swing"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("history_limit", 10), ("model_retrain_every_n_steps", 0), ("members", ["forest"]), ("members", []),
     ("walk_forward_train", "half a year"), ("moon", 1)],
)  # fmt: skip
def test_values_out_of_range_and_unknown_keys_are_refused_by_name(name, value) -> None:
    with pytest.raises(ValidationError, match=name):
        AiSettings.model_validate({name: value})


def test_every_setting_has_a_description_and_a_unit() -> None:
    for name, field in AiSettings.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["unit"], name

"""Settings of the data floor: frozen, ranged, explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from data.settings import DataSettings


def test_every_setting_has_a_description_and_a_unit() -> None:
    for name, field in DataSettings.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra.get("unit"), name


@pytest.mark.parametrize(
    "change",
    [
        {"exchange": "nowhere"}, {"symbols": ()}, {"symbols": ("BTCUSDT",)}, {"timeframe": "7m"},
        {"base_url": "ftp://x"}, {"base_url": "http://x/path"}, {"request_timeout_s": 0}, {"request_attempts": 0},
        {"request_weight_per_minute": 2401}, {"poll_delay_s": -1}, {"surprise": 1},
    ],
)  # fmt: skip
def test_a_value_out_of_range_or_an_unknown_key_is_refused(change: dict) -> None:
    with pytest.raises(ValidationError):
        DataSettings(**change)


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(ValidationError):
        DataSettings().timeframe = "5m"

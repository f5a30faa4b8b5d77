"""Settings: four places, one precedence, and a sentence for everything that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import find, known, load
from data.errors import UserError
from tests.app.said import Command

SPEED = "run.synthetic_speed"


def test_every_setting_has_words_a_default_within_its_range_and_a_unique_key(tmp_path: Path) -> None:
    rows = load(tmp_path, {}, {}).describe()
    assert len({row["key"] for row in rows}) == len(rows) > 30
    for row in rows:
        assert str(row["sentence"]).count("it takes") == 1, row
        assert row["value"] == row["default"]
        if row["min"] is not None and row["max"] is not None:
            assert row["min"] <= row["value"] <= row["max"]  # type: ignore[operator]


def test_environment_goes_before_stored_before_file_before_default(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[run]\nsynthetic_speed = 3\n")
    environment = {"QUANTAI_RUN__SYNTHETIC_SPEED": "5"}
    seen = [
        load(None, {}, {}), load(tmp_path, {}, {}), load(tmp_path, {SPEED: 4.0}, {}),
        load(tmp_path, {SPEED: 4.0}, environment),
    ]  # fmt: skip
    assert [s.value(SPEED) for s in seen] == [20.0, 3.0, 4.0, 5.0]
    assert [s.describe(SPEED)[0]["origin"] for s in seen] == ["default", "settings.toml", "stored", "environment"]


def test_a_nested_group_keeps_its_other_defaults_when_one_key_is_set() -> None:
    loaded = load(None, {"trading.limits.daily_loss": 0.01}, {"QUANTAI_TRADING__COSTS__TAKER_FEE": "0.001"})
    trading = loaded.values.trading
    assert (trading.limits.daily_loss, trading.limits.drawdown) == (0.01, 0.05)
    assert (trading.costs.taker_fee, trading.costs.maker_fee) == (0.001, 0.0002)


def test_lists_are_written_with_commas() -> None:
    loaded = load(None, {}, {"QUANTAI_AI__MEMBERS": "logistic, lightgbm"})
    assert loaded.values.ai.members == ("logistic", "lightgbm")


@pytest.mark.parametrize(
    ("stored", "environment", "toml", "parts"),
    [
        ({"ai.history_limit": 3}, {}, "", ["'ai.history_limit'", "cannot be 3", "from 500 to 5,000,000 bars"]),
        ({}, {"QUANTAI_AI__HISTORY_LIMIT": "x"}, "", ["'ai.history_limit'", "in the environment", "bars"]),
        ({}, {"QUANTAI_AI__FOO": "1"}, "", ["Unknown setting 'ai.foo'", "in the environment"]),
        ({}, {"QUANTAI_FOO__BAR": "1"}, "", ["Unknown setting 'foo", "in the environment"]),
        ({}, {}, "[ai]\nhistory_limits = 9000\n", ["Unknown setting 'ai.history_limits'", "'ai.history_limit'"]),
        ({}, {}, "[ai]\nhistory_limit = 9\n", ["in settings.toml", "from 500"]),
        ({}, {}, "[ai\n", ["cannot be read as TOML", "settings.toml"]),
        (
            {"ai.members": ["logistic", "oracle"]},
            {},
            "",
            ["'ai.members'", "oracle", "logistic, random_forest, hist_boosting, xgboost, lightgbm, catboost"],
        ),
        ({"run.source": "moon"}, {}, "", ["'run.source'", "one of synthetic, exchange, replay"]),
    ],
)
def test_what_does_not_fit_is_refused_by_one_sentence(
    tmp_path: Path, stored: dict[str, object], environment: dict[str, str], toml: str, parts: list[str]
) -> None:
    if toml:
        (tmp_path / "settings.toml").write_text(toml)
    with pytest.raises(UserError) as refused:
        load(tmp_path, stored, environment)
    for part in parts:
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_bare_unique_name_is_enough_and_an_ambiguous_one_is_not() -> None:
    assert find("model_retrain_every_n_steps").key == "ai.model_retrain_every_n_steps"
    bare = [k.bare for k in known()]
    twice = next(name for name in bare if bare.count(name) > 1)
    with pytest.raises(UserError, match=f"'{twice}' is in several groups"):
        find(twice)


def test_a_change_is_stored_audited_and_survives(command: Command) -> None:
    done = command("settings", "set", "model_retrain_every_n_steps", 500)
    assert (done.code, done.document["settings"][0]["value"]) == (0, 500)
    row = command("settings", "get", "model_retrain_every_n_steps").document["settings"][0]
    assert (row["value"], row["origin"], row["unit"]) == (500, "stored", "bars")
    assert command("audit", "verify").document["entries"] == 1
    row = command("settings", "reset", "model_retrain_every_n_steps").document["settings"][0]
    assert (row["value"], row["origin"]) == (2000, "default")


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("history_limit", "12", "from 500 to 5,000,000 bars"),
        ("history_limits", "1200", "did you mean 'ai.history_limit'?"),
        ("enable_training", "perhaps", "true or false"),
    ],
)
def test_a_wrong_change_is_refused_and_nothing_is_stored(command: Command, key: str, value: str, part: str) -> None:
    said = command("settings", "set", key, value)
    assert said.code == 1
    assert part in said.document["error"]
    assert all(row["origin"] == "default" for row in command("settings").document["settings"])


def test_a_wrong_stored_value_does_not_keep_itself_from_being_corrected(command: Command, home: Path) -> None:
    from database.home import Home

    assert command("settings", "get").code == 0
    with Home(home).open() as database:
        database.settings.set({"ai.history_limit": 1, "gone.key": 2})
    assert command("trades").code == 1
    assert command("settings", "reset", "gone.key").code == 0
    assert command("settings", "set", "history_limit", 900).code == 0
    assert command("trades").code == 0


def test_a_home_under_a_plain_file_is_refused_as_a_home_not_as_a_wrong_settings_file(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("text")
    said = command("--home", tmp_path / "README.md" / "x", "trades")
    assert said.code == 1
    assert "The home folder" in said.document["error"]
    assert "TOML" not in said.document["error"]


def test_settings_that_fit_only_together_are_set_and_reset_together(command: Command) -> None:
    at, share = "trading.management.target_at", "trading.management.target_share"
    assert "set both" in command("settings", "set", at, "1,2").document["error"]
    assert "has no value" in command("settings", "set", at, "1", share).document["error"]
    rows = command("settings", "set", at, "1,2", share, "0.5,0.25").document["settings"]
    assert [(row["key"], row["value"]) for row in rows] == [(at, "1.0, 2.0"), (share, "0.5, 0.25")]
    assert "set both" in command("settings", "reset", at).document["error"]
    assert command("settings", "get", at).document["settings"][0]["value"] == "1.0, 2.0"
    rows = command("settings", "reset", at, share).document["settings"]
    assert [(row["value"], row["origin"]) for row in rows] == [("", "default")] * 2

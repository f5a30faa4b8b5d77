"""Profiles: five designs by name, what they set, and how they stand to what a person says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from app.main import main
from app.options import RunOptions
from app.profiles import PROFILES, Profile, overlay, profile
from app.run_plan import RunPlan, plan_run
from app.settings import known, load
from app.wiring import Workplace, load_settings
from tests.app.said import Command

KEY = "trading.limits.black_swan_action"
NAMES = ("quantai", "weex", "sigma", "four-layer", "hierarchical")


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with synthetic bars of one symbol on 5m and 1h; copied, never written to."""
    home = tmp_path_factory.mktemp("profiles") / "home"
    for timeframe in ("5m", "1h"):
        words = ["synthetic", "--symbol", "BTCUSDT", "--timeframe", timeframe, "--bars", "4000", "--seed", "5"]
        assert main(["--home", str(home), "--json", *words]) == 0
    return home


def planned(place: Workplace, options: RunOptions) -> RunPlan:
    from dataclasses import replace

    settings = load_settings(place.home, place.database, options.profile)
    return plan_run(replace(place, settings=settings), options)


def test_the_five_designs_are_listed_and_shown_with_what_is_missing(command: Command) -> None:
    rows = command("profile", "list").document["profiles"]
    assert tuple(row["name"] for row in rows) == NAMES
    for name in NAMES:
        document = command("profile", "show", name).document
        assert document["profile"] == name
        assert document["not_expressed"]
        assert all(set(row) == {"key", "value", "unit", "default"} for row in document["settings"])
    assert "did you mean 'sigma'?" in command("profile", "show", "sigmas").document["error"]


@pytest.mark.parametrize("one", PROFILES, ids=lambda p: p.name)
def test_every_profile_fits_the_settings_and_says_its_values_whatever_is_stored(one: Profile) -> None:
    loaded = load(None, {KEY: "halt", "trading.limits.daily_trades": 99, "run.strategy": "ensemble"}, {}, one.settings)
    assert set(one.settings) <= {k.key for k in known()}
    for key, value in one.settings.items():
        assert loaded.value(key) == value
        assert loaded.describe(key)[0]["origin"] == "profile"
    assert set(loaded.values.data.symbols) <= set(loaded.values.trading.limits.allowed_symbols)


def test_the_designs_keep_their_numbers(command: Command) -> None:
    exits = {name: command("profile", "show", name).document["exits"] for name in NAMES}
    assert exits["four-layer"] == {
        "profile": "scalp", "stop": 0.005, "unit": "percent", "target_ratio": 3.0, "limit_bars": 60,
    }  # fmt: skip
    assert (exits["sigma"]["stop"], exits["sigma"]["unit"], exits["sigma"]["target_ratio"]) == (1.5, "atr", 2.5)
    for one in PROFILES:
        said = {key.rpartition(".")[2]: value for key, value in one.settings.items() if ".limits." in key}
        limits = ("margin_share", "max_leverage", "daily_loss", "daily_trades", "loss_streak", "drawdown", "sharpe")
        assert [said[name] for name in limits] == [0.08, 5.0, 0.02, 15, 8, 0.05, 0.5]
        portfolio = ("value_at_risk", "shortfall", "open_risk", "exposure", "concentration", "correlation")
        assert [said[name] for name in portfolio] == [0.02, 0.025, 0.02, 1.0, 0.5, 0.8]
        market = ("depth_share", "spread_share", "quote_age_s", "held")
        assert [said[name] for name in market] == [0.10, 0.10, 5.0, "reduce"]
        assert not any("portfolio" in words or "VaR" in words for words in one.not_yet)
    assert len(profile("hierarchical").settings["data.symbols"]) == 8  # type: ignore[arg-type]


def test_the_environment_goes_before_the_profile_and_the_profile_before_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[trading.limits]\nblack_swan_action = "block"\n')
    bundle = overlay("four-layer")
    assert load(tmp_path, {KEY: "halt"}, {}, bundle).value(KEY) == "flatten"
    environment = {"QUANTAI_TRADING__LIMITS__BLACK_SWAN_ACTION": "halt"}
    assert load(tmp_path, {}, environment, bundle).value(KEY) == "halt"
    assert load(tmp_path, {KEY: "halt"}, {}, overlay(None)).value(KEY) == "halt"


def test_what_was_said_explicitly_goes_before_the_profile(stocked: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(stocked, tmp_path / "home"))
    bare = RunOptions(home, source="replay", replay=(1_704_500_000_000, 1_704_800_000_000))
    with Workplace.opened(home) as place:
        plan = planned(place, profile("sigma").options(bare))
        assert (plan.timeframe, plan.config.strategy.name, plan.config.profile.name) == ("5m", "monte-carlo", "swing")
        from dataclasses import replace

        own = replace(bare, timeframe="1h", exit_profile="even", symbols=("BTC/USDT:USDT",))
        plan = planned(place, profile("sigma").options(own))
        assert (plan.timeframe, plan.config.profile.name) == ("1h", "even")


def test_a_profile_makes_another_run_with_an_account_of_its_own(stocked: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(stocked, tmp_path / "home"))
    bare = RunOptions(
        home, source="replay", symbols=("BTC/USDT:USDT",), timeframe="5m", strategy="rsi-oversold",
        exit_profile="scalp", replay=(1_704_500_000_000, 1_704_800_000_000),
    )  # fmt: skip
    with Workplace.opened(home) as place:
        runs = {
            name: planned(place, profile(name).options(bare) if name else bare).account_key({})
            for name in (None, "quantai", "sigma", "four-layer", "hierarchical")
        }
    assert runs[None] == runs["quantai"]  # the same strategy, exits and limits, however they were said
    assert len(set(runs.values())) == 4


def test_run_with_a_profile_trades_what_it_says(
    stocked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(shutil.copytree(stocked, tmp_path / "home"))

    def ask(*words: str) -> dict[str, object]:
        capfd.readouterr()
        assert main(["--home", str(home), "--json", *words]) == 0
        found: dict[str, object] = json.loads(capfd.readouterr().out)
        return found

    replay = ("run", "--source", "replay", "--replay", "2024-01-10..2024-01-14", "--speed", "max")
    with_it = ask(*replay, "--profile", "sigma")
    assert with_it["bars"] == 4 * 288
    for name, value in {
        "TARGET_AT": "[1.0]", "TARGET_SHARE": "[0.5]", "TRAILING": "1.0", "BREAK_EVEN_AFTER": "1.0",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"QUANTAI_TRADING__MANAGEMENT__{name}", value)
    by_hand = ask(*replay, "--timeframe", "5m", "--strategy", "monte-carlo", "--exit-profile", "swing")
    assert by_hand["account"] == with_it["account"]  # finished already: it is the same run
    assert main(["--home", str(home), "--json", *replay, "--profile", "moon"]) == 1
    assert "Unknown profile 'moon'" in capfd.readouterr().err

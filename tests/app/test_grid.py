"""What a grid may vary: every number of a strategy, every trading setting; and that what is set is what is tried."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ai.features.registry import BY_NAME
from app.grid_keys import TRADING, WITHOUT_EFFECT, constants, tree_of
from app.grids import applied, check_grid, grid_of
from app.settings import Known, known
from data.errors import UserError
from tests.trading.cases import config_of, instrument, random_market
from trading.backtest import run_fast
from trading.config import TradingConfig
from trading.strategy.library import LIBRARY
from trading.strategy.spec import StrategySpec, check_features, parse_strategy

RSI, TURTLE, SCREENS = LIBRARY["rsi-oversold"], LIBRARY["turtle"], LIBRARY["triple-screen"]


def traded(spec: StrategySpec, timeframe: str = "1h", **changes: Any) -> TradingConfig:
    return config_of(spec, spec.profile(timeframe), timeframe=timeframe, **changes)


def checked(values: Mapping[str, Any], config: TradingConfig, has_forecasts: bool = False) -> list[TradingConfig]:
    """The configurations that a grid tries."""
    grid = grid_of(values, "grid.toml")
    check_grid(grid, config, has_forecasts)
    return [applied(config, parameters, grid.origin) for parameters in grid.combinations()]


def value_at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


@pytest.mark.parametrize("name", LIBRARY)
def test_every_number_of_a_document_can_be_varied_by_its_path(name: str) -> None:
    spec = LIBRARY[name]
    config = traded(spec)
    paths = constants(spec, "1h")
    assert spec.kind != "rule" or {"exits.swing.stop", "exits.swing.target", "exits.swing.time_limit"} <= set(paths)
    for path in paths:
        before = value_at(tree_of(spec, "1h", path.startswith("exits.")), path)
        more = 1.01 if path.startswith("exits.") and before < 100.0 else 0.99
        other = before + 1 if isinstance(before, int) else before * more if before else 0.25
        if path.endswith("at_least"):
            other = before - 1
        (made,) = checked({path: [other]}, config, has_forecasts=True)
        assert value_at(tree_of(made.strategy, "1h"), path) == pytest.approx(other)
        assert made.digest() != config.digest()
        assert made.profile == made.strategy.profile("1h")


def another(setting: Known, value: Any) -> Any:
    """A value that a setting takes too."""
    if setting.kind == "choice":
        return next(word for word in setting.choices if word != value)
    if setting.kind == "switch":
        return not value
    low, high = setting.bound("ge", "gt"), setting.bound("le", "lt")
    assert low is not None and high is not None
    if isinstance(value, int):
        return value + 1 if value < high else value - 1
    return low if value != low else (low + high) / 2


LISTS: dict[str, Any] = {
    "trading.management.target_at": [1.0], "trading.management.target_share": [0.5],
    "trading.limits.allowed_symbols": ["BTC/USDT:USDT"], "trading.sizing.regime_factors": [0.5] * 7,
}  # fmt: skip


@pytest.mark.parametrize("setting", [k for k in known() if k.key.startswith(TRADING)], ids=lambda k: k.key)
def test_every_trading_setting_can_be_varied(setting: Known) -> None:
    config = traded(RSI)
    before = value_at(config.settings.model_dump(), setting.key.removeprefix(TRADING))
    if setting.key in WITHOUT_EFFECT:
        with pytest.raises(UserError, match="does not change a back-test"):
            checked({setting.key: [before]}, config)
        return
    other = LISTS.get(setting.key) or another(setting, before)
    beside = {key: [LISTS[key]] for key in LISTS if "management" in key and "management.target" in setting.key}
    (made,) = checked({**beside, setting.key: [other]}, config)
    after = value_at(made.settings.model_dump(), setting.key.removeprefix(TRADING))
    assert (list(after) if isinstance(after, tuple) else after) == other
    assert after != before and made.digest() != config.digest()


def test_partial_targets_are_tried_where_they_fit_together() -> None:
    grid: dict[str, Any] = {
        "trading.management.target_at": [[1.0], [2.0]], "trading.management.target_share": [[0.5], [0.25]]
    }  # fmt: skip
    made = [(c.in_force.management.target_at, c.in_force.management.target_share) for c in checked(grid, traded(RSI))]
    assert made == [((1.0,), (0.5,)), ((1.0,), (0.25,)), ((2.0,), (0.5,)), ((2.0,), (0.25,))]
    with pytest.raises(UserError, match=r"'trading.management': target_at and target_share need one number each"):
        checked({"trading.management.target_at": [[1.0]]}, traded(RSI))


def test_a_fee_of_the_grid_is_paid_also_where_the_symbol_has_its_own() -> None:
    market = random_market(5, 400, 2, enforce=False)
    own = tuple(replace(rules, taker_fee=0.0004, maker_fee=0.0001) for rules in market.config.instruments)
    config = replace(market.config, instruments=own)
    usual = run_fast(config, market.grid, market.X, None).fills
    takers = usual[usual["maker"] == 0]
    assert takers["fee"] == pytest.approx(0.0004 * takers["price"] * takers["quantity"])
    for maker, name in ((0, "taker_fee"), (1, "maker_fee")):
        (made,) = checked({f"trading.costs.{name}": [0.001]}, config)
        fills = run_fast(made, market.grid, market.X, None).fills
        plain = fills[fills["reason"] != 5]  # a liquidation has its fee beside
        for side, rate in ((maker, 0.001), (1 - maker, 0.0001 if maker == 0 else 0.0004)):
            paid = plain[plain["maker"] == side]
            assert len(paid) > 3 and paid["fee"] == pytest.approx(rate * paid["price"] * paid["quantity"])
    (other,) = checked({"trading.costs.spread": [0.001]}, config)
    assert other.instruments == own


def test_places_of_sentences_are_paths_of_grids() -> None:
    (made,) = checked({"long.all[0].right": [25]}, traded(RSI))
    assert value_at(tree_of(made.strategy, "1h"), "long.all.0.right") == 25


def test_the_stop_of_a_named_profile_can_be_varied_and_the_rest_of_it_stays() -> None:
    (made,) = checked({"exits.swing.stop": [2.0]}, traded(RSI))
    assert (made.profile.stop, made.profile.target_ratio, made.profile.limit_bars) == (2.0, 2.5, 24)
    (scalp,) = checked({"exits.scalp.time_limit": [30]}, traded(RSI, "5m"))
    assert (scalp.profile.stop, scalp.profile.limit_bars, scalp.profile.max_stop) == (0.005, 30, 0.005)


def test_strategies_are_tried_beside_one_another() -> None:
    made = checked({"strategy": ["rsi-oversold", "turtle"], "trading.costs.taker_fee": [0.0, 0.001]}, traded(RSI))
    assert [c.strategy.name for c in made] == ["rsi-oversold", "rsi-oversold", "turtle", "turtle"]
    assert [c.profile for c in made] == [c.strategy.profile("1h") for c in made]


OWN = parse_strategy({**RSI.model_dump(mode="json", exclude_none=True), "size": {"risk_share": 0.005}}, "own")
REFUSED: list[tuple[StrategySpec, dict[str, Any], str]] = [
    (RSI, {"long.all.0.rigth": [3]}, "has nothing there; its numbers are at long.all.0.right"),
    (RSI, {"long.all.0.rigth": [3]}, "did you mean 'long.all.0.right'?"),
    (RSI, {"trading.costs.taker_fees": [0.1]}, "did you mean 'trading.costs.taker_fee'?"),
    (RSI, {"taker_fee": [0.1]}, "did you mean 'trading.costs.taker_fee'?"),
    (RSI, {"exit_profil": ["swing"]}, "did you mean 'exit_profile'?"),
    (RSI, {"exits.scalp.stop": [0.004]}, "'exits.scalp.stop': on 1h bars the exits are those of 'swing'"),
    (RSI, {"exits.swing.stop": [1.0], "exit_profile": ["even"]}, "'exit_profile': it takes the place of the exits"),
    (RSI, {"exits.swing.target": [2.0]}, "swing.target: 2 stop distances, the position gate asks for 2.5"),
    (RSI, {"exits.swing.stop": ["wide"]}, "'exits.swing.stop': 'wide' does not fit: give a finite number"),
    (RSI, {"management.trailing": [1.0]}, "carries none of its own: use 'trading.management.trailing'"),
    (RSI, {"size.leverage": [2.0]}, "carries none of its own: use 'trading.sizing.leverage'"),
    (RSI, {"entry.distance": [0.2]}, "carries none of its own: use 'trading.matching.entry_distance'"),
    (TURTLE, {"trading.management.adds": [1]}, "carries a management of its own: use 'management.adds'"),
    (TURTLE, {"management.adds": [1.5]}, "management.adds: Input should be a valid integer"),
    (TURTLE, {"management.adds": [9]}, "management.adds: Input should be less than or equal to 5"),
    (SCREENS, {"trading.matching.entry_bars": [3]}, "carries an entry order of its own: use 'entry.bars'"),
    (SCREENS, {"entry.order": ["iceberg"]}, "entry.order: Input should be 'market', 'limit' or 'stop'"),
    (OWN, {"size.risk_share": [0.03]}, "0.03 does not fit: trading.sizing.risk_share holds it at 0.02"),
    (OWN, {"trading.sizing.risk_share": [0.01]}, "0.01 does not fit: size.risk_share holds it at 0.005"),
    (RSI, {"strategy": ["ensemble"]}, "'strategy': 'ensemble' reads forecasts"),
    (RSI, {"strategy": ["turtles"]}, "Unknown strategy 'turtles'"),
    (RSI, {"strategy": ["rsi-oversold", "turtle"], "long.all.0.right": [3]}, "'turtle' has nothing there"),
]


@pytest.mark.parametrize(("spec", "grid", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_varied_says_where_and_why(spec: StrategySpec, grid: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        checked(grid, traded(spec))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_size_and_the_setting_that_holds_it_may_be_varied_together() -> None:
    grid = {"size.risk_share": [0.01, 0.03], "trading.sizing.risk_share": [0.05]}
    assert [c.in_force.sizing.risk_share for c in checked(grid, traded(OWN))] == [0.01, 0.03]
    assert instrument().taker_fee is None


def test_the_examples_of_the_page_are_accepted() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "strategies.md").read_text()
    strategy, grid = (tomllib.loads(part.split("```")[0]) for part in page.split("```toml\n")[1:])
    spec = parse_strategy(strategy, "page")
    check_features(spec, "page", {feature.name: feature.unit for feature in BY_NAME.values()})
    made = checked(grid, traded(spec))
    assert len(made) == 3 * 2 * 2 * 2 and len({config.digest() for config in made}) == len(made)
    assert made[0].in_force.matching.entry == "limit" and made[0].profile.limit_bars == 36

"""What a strategy's document says of its positions: entry order, management, time stop. Both engines obey it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data.errors import UserError
from tests.trading.cases import GO, MemoryJournal, config_of, features_of, grid_of, profile, random_market
from trading.backtest import RunResult, run_fast, run_service
from trading.config import TradingConfig
from trading.records import ExitReason
from trading.settings import TradingSettings
from trading.strategy.spec import StrategySpec, parse_strategy

DOCUMENT = GO.model_dump(mode="json", exclude_none=True)
PARTS = {"target_at": [0.5, 1.0], "target_share": [0.4, 0.3]}
TRAILS = {"trailing": 1.5, "trailing_unit": "atr", "trailing_after": 0.0, "break_even_after": 0.5}
ADDS = {"adds": 2, "add_after": 0.3, "add_share": 0.5, "give_back": 0.4, "give_back_after": 0.5}


def spec(**own: Any) -> StrategySpec:
    return parse_strategy({**DOCUMENT, **own}, "test")


def run(config: TradingConfig, grid: Any, X: Any) -> RunResult:
    """The same from both engines."""
    fast = run_fast(config, grid, X, None)
    service = run_service(config, grid, X, None, MemoryJournal(), 1)
    for part in ("trades", "fills", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    return fast


@pytest.mark.parametrize(
    ("own", "settings"),
    [
        ({"management": {**PARTS, "break_even_after": 0.5}}, {"management": {**PARTS, "break_even_after": 0.5}}),
        ({"management": TRAILS}, {"management": TRAILS}),
        ({"management": ADDS, "size": {"margin_share": 0.02}},
         {"management": ADDS, "sizing": {"margin_share": 0.02, "volatility_target": 5.0}}),
        ({"entry": {"order": "limit", "distance": 0.1, "bars": 3}},
         {"matching": {"entry": "limit", "entry_distance": 0.1, "entry_bars": 3}}),
        ({"entry": {"order": "stop", "distance": 0.2}}, {"matching": {"entry": "stop", "entry_distance": 0.2}}),
    ],
    ids=["parts", "trailing", "additions", "limit entry", "stop entry"],
)  # fmt: skip
def test_what_a_document_carries_trades_as_the_same_numbers_in_the_settings(own: Any, settings: Any) -> None:
    """The settings' side is proved by the tests of matching and management. Other settings than the document's do not
    matter to it, and without either the run is another one."""
    market = random_market(11, 600, 2, settings=settings, enforce=False)
    by_settings = run(replace(market.config, strategy=GO), market.grid, market.X)
    plain = random_market(11, 600, 2, enforce=False).config
    other = plain.settings.model_dump() | {
        "management": {"trailing": 0.3, "target_at": (0.2,), "target_share": (0.9,)} if "management" in own else {},
        "matching": {"entry": "limit", "entry_bars": 9} if "entry" in own else {},
    }  # fmt: skip
    for mine in (plain.settings, TradingSettings.model_validate(other)):
        by_document = run(replace(plain, strategy=spec(**own), settings=mine), market.grid, market.X)
        assert by_document.fills.tobytes() == by_settings.fills.tobytes()
        assert by_document.trades.tobytes() == by_settings.trades.tobytes()
    neither = run_fast(replace(plain, strategy=GO), market.grid, market.X, None)
    assert neither.fills.tobytes() != by_settings.fills.tobytes() and len(by_settings.trades) > 20


def test_what_a_document_leaves_out_of_its_management_is_off() -> None:
    trailing = config_of(settings={"management": {"trailing": 1.0, "break_even_after": 2.0}})
    assert trailing.in_force.management.active
    still = replace(trailing, strategy=spec(management={}))
    assert not still.in_force.management.active and still.settings.management.trailing == 1.0
    assert replace(trailing, strategy=spec(management={"adds": 1})).in_force.management.adds == 1


def test_the_time_stop_takes_the_place_of_the_profile_s_limit() -> None:
    flat = [(100.0, 100.0, 100.0, 100.0)] * 8
    timed = spec(management={"time_stop": 3})
    assert (timed.profile("1h").limit_bars, timed.profile("1h").stop, GO.profile("1h").limit_bars) == (3, 1.5, 24)
    own = {"unit": "price", "stop": 0.004, "target": 4.0, "time_limit": 7}
    assert spec(management={"time_stop": 2}, exits={"scalp": own}).profile("1m").limit_bars == 2
    config = config_of(timed, exits=replace(profile(), limit_bars=timed.profile("1m").limit_bars))
    grid = grid_of(flat)
    (trade,) = run(config, grid, features_of(config, grid, go=[1.0] + [0.0] * 7)).trades
    assert trade["exit_reason"] == ExitReason.TIME
    assert trade["exit_time"] - trade["entry_time"] == 3 * 60_000


def test_another_management_or_entry_is_another_run() -> None:
    made = [
        GO, spec(management={}), spec(management={"trailing": 1.0}), spec(management={"trailing": 2.0}),
        spec(entry={"order": "stop", "distance": 0.1}), spec(entry={"order": "stop", "distance": 0.2}),
    ]  # fmt: skip
    configs = [config_of(one) for one in made]
    assert len({config.digest() for config in configs}) == len({config.identity() for config in configs}) == len(made)
    carried = config_of(spec(management={}), settings={"management": {"trailing": 1.0}})
    assert carried.digest() == configs[1].digest()  # what it does not trade under is no part of it


def test_a_document_says_in_words_what_it_does() -> None:
    whole = spec(
        entry={"order": "limit", "distance": 0.25, "bars": 2},
        management={**PARTS, **TRAILS, "give_back": 0.4, "give_back_after": 1.0, "adds": 2, "time_stop": 96},
    )
    assert whole.entry is not None and whole.management is not None
    assert whole.entry.sentences() == (
        "Enters by a limit order 0.25 stop distances nearer to the stop than the close; it works for 2 bars.",
    )
    assert whole.management.sentences() == (
        "Closes 40% at a profit of 0.5 stop distances.", "Closes 30% at a profit of 1 stop distance.",
        "The stop trails 1.5 ATR behind the best price, from the entry on.",
        "The stop stands at entry and costs, from a profit of 0.5 stop distances on.",
        "At most 40% of the best profit is given back, from a profit of 1 stop distance on.",
        "Adds 50% of the first quantity up to 2 times, after each profit of 1 stop distance.", "Closes after 96 bars.",
    )  # fmt: skip
    still = spec(management={}, entry={"order": "market"})
    assert still.management is not None and still.entry is not None
    assert "whatever the settings say" in still.management.sentences()[0] and "next open" in still.entry.sentences()[0]


REFUSED: dict[str, dict[str, Any]] = {
    "management.trailing: Input should be less than or equal to 100": {"management": {"trailing": 101}},
    "management.trail: Extra inputs are not permitted; did you mean 'trailing'?": {"management": {"trail": 1}},
    "management: target_at and target_share need one number each": {"management": {"target_at": [1.0]}},
    "management: target_at: distances must be positive and rise": {
        "management": {"target_at": [2.0, 1.0], "target_share": [0.5, 0.5]}
    },
    "management.target_at: 3 stop distances is not before the target, which lies at 3": {
        "management": {"target_at": [1.0, 3.0], "target_share": [0.5, 0.25]}
    },
    "management.time_stop: Input should be a valid integer": {"management": {"time_stop": 2.5}},
    "management.time_stop: forecasts are made for the profile's time limit": {
        "kind": "auto", "management": {"time_stop": 3}
    },
    "entry.order: Input should be 'market', 'limit' or 'stop'": {"entry": {"order": "iceberg"}},
    "entry: a limit entry needs its distance": {"entry": {"order": "limit"}},
    "entry: a market entry is at the next open": {"entry": {"order": "market", "bars": 3}},
    "entry.bars: Input should be greater than or equal to 1": {"entry": {"order": "stop", "distance": 1, "bars": 0}},
    "entry.distanse: Extra inputs are not permitted; did you mean 'distance'?": {
        "entry": {"order": "stop", "distanse": 1}
    },
    "manage: Extra inputs are not permitted; did you mean 'management'?": {"manage": {}},
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_obeyed_is_refused_with_place_and_reason(words: str) -> None:
    with pytest.raises(UserError) as error:
        spec(**REFUSED[words])
    assert str(error.value).startswith("test: ") and words in str(error.value) and "\n" not in str(error.value)

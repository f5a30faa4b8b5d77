"""What a strategy's document decides besides its conditions: rule and model together, own exits, own size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai.exits import DistanceUnit, exit_profile
from ai.features.registry import BY_NAME
from ai.forecast import WIDTH, Abstain, Col, Extra
from data.errors import UserError
from tests.trading.cases import (
    FREE,
    GO,
    GO_AND_MODEL,
    GO_LATER,
    LOOSE,
    START_MS,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    merged,
    profile,
    session_of,
)  # fmt: skip
from trading.backtest import run_fast, run_service
from trading.records import Action, Reason
from trading.settings import SizingSettings, TradingSettings
from trading.state import rules_record
from trading.strategy import classics
from trading.strategy.library import LIBRARY, load_strategy
from trading.strategy.spec import Decides, StrategySpec, check_features, parse_strategy

FLAT = (100.0, 100.0, 100.0, 100.0)
CALM = merged(FREE, LOOSE)
AGREE, PROBABILITY, FILTER = GO_AND_MODEL
BOTH = FILTER.model_copy(update={"short": FILTER.long})  # one signal for both sides


def forecast(**changes: float) -> Any:
    """Long has an edge (target 0.5, stop 0.3), short has none."""
    row = np.full(WIDTH, np.nan)
    values = {
        "P_LONG": 0.5, "P_SHORT": 0.2, "P_NEUTRAL": 0.3, "L_TARGET": 0.5, "L_STOP": 0.3, "L_TIME": 0.2,
        "L_TIME_RETURN": 0.0, "S_TARGET": 0.2, "S_STOP": 0.6, "S_TIME": 0.2, "S_TIME_RETURN": 0.0, "ABSTAIN": 0,
        "MODEL": 1, "LOWER_LONG": 0.45, "LOWER_SHORT": 0.15, "MEMBERS": 0, **changes,
    }  # fmt: skip
    for name, value in values.items():
        row[Extra[name] if name in Extra.__members__ else Col[name]] = value
    return row


def decided(spec: StrategySpec, go: float, row: Any, settings: Any = CALM) -> Any:
    """The decision on one bar, the same in both engines."""
    config = config_of(spec, settings=settings)
    grid = grid_of([FLAT])
    X = features_of(config, grid, go=go)
    rows = np.broadcast_to(row, (1, 1, WIDTH))
    made = feed(session_of(config), grid, X, forecasts=rows)[-1].decisions[0]
    fast = run_fast(config, grid, X, rows)
    assert fast.codes[0, 0] == made["action"] | made["reason"] << 2
    if made["action"] != Action.ABSTAIN:
        assert fast.decisions[0].tobytes() == made.tobytes()
    return made


NOTHING = int(Reason.NONE)


@pytest.mark.parametrize(
    ("spec", "go", "changes", "action", "reason"),
    [
        (AGREE, 1.0, {}, Action.LONG, NOTHING),
        (AGREE, -1.0, {}, Action.ABSTAIN, Reason.MODEL_DISAGREES),
        (AGREE, 0.0, {}, Action.ABSTAIN, Reason.NO_SIGNAL),
        (AGREE, 1.0, {"P_LONG": 0.15, "P_NEUTRAL": 0.65}, Action.ABSTAIN, Reason.NEGATIVE_EV),
        (AGREE, 1.0, {"THRESHOLD": 0.6}, Action.ABSTAIN, Reason.BELOW_THRESHOLD),
        (AGREE, 1.0, {"ABSTAIN": Abstain.NO_MODEL, "MODEL": -1}, Action.ABSTAIN, Reason.NO_MODEL),
        (AGREE, 1.0, {"ABSTAIN": Abstain.SKIPPED}, Action.ABSTAIN, Reason.MODELS_ADVISE_AGAINST),
        (PROBABILITY, 1.0, {}, Action.LONG, NOTHING),
        (PROBABILITY, -1.0, {}, Action.SHORT, NOTHING),  # P(short) is on the threshold; its edge is not asked for
        (PROBABILITY, -1.0, {"P_SHORT": 0.19, "P_NEUTRAL": 0.31}, Action.ABSTAIN, Reason.BELOW_THRESHOLD),
        (PROBABILITY, 1.0, {"THRESHOLD": 0.51}, Action.ABSTAIN, Reason.BELOW_THRESHOLD),
        (FILTER, 1.0, {}, Action.LONG, NOTHING),
        (FILTER, -1.0, {}, Action.ABSTAIN, Reason.RULE_FORBIDS),
        (FILTER, 0.0, {}, Action.ABSTAIN, Reason.NO_SIGNAL),
        (BOTH, 1.0, {}, Action.LONG, NOTHING),
    ],
)
def test_rule_and_model_together(spec: StrategySpec, go: float, changes: Any, action: Action, reason: Reason) -> None:
    made = decided(spec, go, forecast(**changes))
    assert (made["action"], made["reason"]) == (action, reason)


def test_a_confirming_probability_is_no_bet_of_kelly_s_but_obeys_the_size_of_the_models() -> None:
    """The rule's own size: 2 % of 10,000 at a stop of 1 %, held down to 8 % margin x 5 by the margin share."""
    rule = decided(GO, -1.0, forecast())["quantity"]
    assert decided(PROBABILITY, -1.0, forecast())["quantity"] == rule > 0
    assert decided(PROBABILITY, -1.0, forecast(SIZE=0.25))["quantity"] == pytest.approx(rule / 4)
    assert decided(AGREE, 1.0, forecast(LOWER_LONG=0.34))["quantity"] < rule
    made = decided(PROBABILITY, -1.0, forecast())
    assert made["confidence"] == 0.2 and made["threshold"] == 0.2 and made["expected_value"] < 0


def test_what_decides_is_named_in_the_rules_of_the_run() -> None:
    config = config_of(FILTER)
    from ai.schema import FeatureSchema

    assert rules_record(config, FeatureSchema(config.features()))["ensemble"][0] == Decides.FILTER
    names = {LIBRARY[n].decides for n in ("rsi-oversold", "ensemble", "auto", "rsi-confirmed", "ensemble-with-trend")}
    assert names == {Decides.RULE, Decides.ENSEMBLE, Decides.AUTO, Decides.AGREE, Decides.FILTER}


def test_a_restart_in_the_middle_of_a_confirmation_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    bars = [(c, c + 1, c - 1, c) for c in 100 + np.cumsum(rng.normal(0, 0.3, 60))]
    config = config_of(GO_LATER, settings=merged(CALM, {"paper": {"batch_bars": 1}}))
    grid = grid_of(bars)
    X = features_of(config, grid, go=rng.choice([-1.0, 0.0, 1.0], grid.bars))
    through = feed(session_of(config), grid, X)
    journal = MemoryJournal()
    first = session_of(config, journal)
    made = feed(first, grid, X, 0, 31)
    first.flush()
    made += feed(session_of(config, journal, checkpoint=journal.checkpoint(1)), grid, X, 31)
    assert [o.decisions.tobytes() for o in made] == [o.decisions.tobytes() for o in through]
    assert sum(int(o.decisions["signal"][0] != 0) for o in made) > 20


# ---- exits and size --------------------------------------------------------------------------------------------------

RULE: dict[str, Any] = {"name": "own", "meaning": "x", "long": {"left": "go", "op": ">", "right": 0.5}}


def own(**changes: Any) -> dict[str, Any]:
    return {**RULE, **changes}


def test_own_exits_stand_under_the_gates_of_the_timeframe_s_profile() -> None:
    exits = {"unit": "atr", "stop": 2.0, "target": 3.0, "time_limit": 12}
    found = parse_strategy(own(exits={"swing": exits}), "test").profile("1h")
    swing = exit_profile("swing", "1h")
    assert (found.unit, found.stop, found.target_ratio, found.limit_bars) == (DistanceUnit.ATR, 2.0, 3.0, 12)
    assert (found.max_stop, found.min_target, found.target_in_stops) == (swing.max_stop, swing.min_target, True)
    assert parse_strategy(own(exits={"swing": exits}), "test").profile("5m").name == "scalp"


def test_own_exits_are_the_ones_traded() -> None:
    exits = {"unit": "price", "stop": 0.004, "target": 4.0, "time_limit": 7}
    spec = parse_strategy(own(exits={"scalp": exits}), "test")
    config = config_of(spec, exits=spec.profile("1m"), settings=CALM)
    made = feed(session_of(config), grid_of([FLAT]), features_of(config, grid_of([FLAT]), go=1.0))[0].decisions[0]
    assert made["action"] == Action.LONG
    assert (made["stop"], made["target"]) == (pytest.approx(99.6), pytest.approx(101.6))
    assert made["time_limit"] == START_MS + 60_000 * 8


@pytest.mark.parametrize(
    ("name", "limit", "before", "after"),
    [("risk_share", 0.002, 4000.0, 2000.0), ("margin_share", 0.02, 4000.0, 1000.0), ("leverage", 2.0, 4000.0, 1600.0)],
)
def test_a_size_rule_lowers_what_the_settings_allow(name: str, limit: float, before: float, after: float) -> None:
    """10,000 at a stop of 1 %: the margin share (8 % x 5) allows 4,000, a risk of 0.2 % is 2,000."""

    def notional(**size: float) -> float:
        config = config_of(parse_strategy(own(size=size), "test"), exits=profile(0.01), settings=CALM)
        made = feed(session_of(config), grid_of([FLAT]), features_of(config, grid_of([FLAT]), go=1.0))[0].decisions[0]
        return float(made["quantity"] * made["entry"])

    assert notional() == pytest.approx(before, abs=1) and notional(**{name: limit}) == pytest.approx(after, abs=1)


def test_a_size_rule_never_raises_a_limit() -> None:
    settings = SizingSettings()
    wide = parse_strategy(own(size={"risk_share": 0.4, "volatility_target": 5.0, "leverage": 125.0}), "test")
    assert wide.size.under(settings) == settings
    tight = parse_strategy(own(size={"volatility_target": 0.1}), "test").size.under(settings)
    assert tight == settings.model_copy(update={"volatility_target": 0.1})


def test_words_do_not_make_another_run() -> None:
    """Meaning and source say what a strategy is for; the same conditions in other words go on as the same run."""
    worded = GO.model_copy(update={"meaning": "other words", "source": "somewhere"})
    assert config_of(worded).digest() == config_of(GO).digest()
    assert config_of(GO_LATER).digest() != config_of(GO).digest()


EXITS = {"unit": "price", "stop": 0.004, "target": 4.0, "time_limit": 7}
REFUSED: dict[str, dict[str, Any]] = {
    "exits: scalp.stop: 0.006 of the price, the position gate allows 0.005": own(
        exits={"scalp": {**EXITS, "stop": 0.006}}
    ),
    "exits: scalp.target: 0.012 of the price, the position gate asks for 0.015": own(
        exits={"scalp": {**EXITS, "target": 3.0}}
    ),
    "exits: swing.target: 2 stop distances, the position gate asks for 2.5": own(
        exits={"swing": {**EXITS, "unit": "atr", "target": 2.0}}
    ),
    "exits.scalp.unit: Input should be": own(exits={"scalp": {**EXITS, "unit": "pips"}}),
    "exits.swing.time_limit: Field required": own(exits={"swing": {"unit": "atr", "stop": 1.0, "target": 3.0}}),
    "exits.swing: 'wide' is neither a profile (scalp, swing, even)": own(exits={"swing": "wide"}),
    "size.risk_share: Input should be greater than 0": own(size={"risk_share": 0.0}),
    "size.lots: Extra inputs": own(size={"lots": 3}),
    "size.kelly_share needs a model": own(size={"kelly_share": 0.1}),
    "own exits are for rules": own(kind="auto", exits={"scalp": EXITS}),
    "says how: combine": own(kind="combined"),
    "'combine' is for kind = 'combined'": own(combine="agree"),
    "long.at_least: 3 of 2": own(long={"at_least": 3, "of": [RULE["long"], RULE["long"]]}),
    "long.at_least: '1.5' is not a whole number": own(long={"at_least": 1.5, "of": [RULE["long"], RULE["long"]]}),
    "long.within: 1 bars: give 2 to 32": own(long={"within": 1, "of": RULE["long"]}),
    "long.before: 33 bars": own(long={"before": 33, "of": RULE["long"]}),
    "long.of.right: 'x!' is neither": own(long={"before": 1, "of": {**RULE["long"], "right": "x!"}}),
    "long: it looks back 39 bars": own(long={"within": 20, "of": {"before": 20, "of": RULE["long"]}}),
    "long.of[1].op: unknown operator": own(long={"at_least": 1, "of": [RULE["long"], {**RULE["long"], "op": "is"}]}),
    "long: both sides are numbers": own(long={"left": 1, "op": "<", "right": 2}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_bad_rule_is_refused_with_place_and_reason(words: str) -> None:
    with pytest.raises(UserError) as error:
        parse_strategy(REFUSED[words], "my.toml")
    assert str(error.value).startswith("my.toml: ") and words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"left": "rsi_15", "op": "<", "right": 3}, "long.left: unknown feature 'rsi_15': did you mean 'rsi_14'?"),
        ({"all": [{"left": 3, "op": "<", "right": "zzzzzz"}]}, "long.all[0].right: unknown feature 'zzzzzz'"),
        ({"within": 3, "of": {"left": "rsi_14", "op": "<", "right": "close"}},
         "long.of: 'rsi_14' is in 0..100 and 'close' in price: compare features of one unit"),
    ],
)  # fmt: skip
def test_a_file_is_held_against_the_registry_by_place(tmp_path: Path, condition: Any, words: str) -> None:
    file = tmp_path / "own.json"
    file.write_text(json.dumps(own(long=condition)))
    with pytest.raises(UserError) as error:
        check_features(load_strategy(file), str(file), {name: spec.unit for name, spec in BY_NAME.items()})
    assert words in str(error.value) and str(file) in str(error.value)


def test_every_document_of_the_library_survives_a_file_and_is_told(tmp_path: Path) -> None:
    for name, spec in LIBRARY.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(spec.model_dump(mode="json", exclude_none=True)))
        assert load_strategy(file) == spec
        check_features(spec, name, {feature: known.unit for feature, known in BY_NAME.items()})
        assert len(spec.meaning) > 60 and spec.source


def test_thresholds_of_the_library_are_those_of_the_rooms_that_measure() -> None:
    from ai import monte_carlo, regime

    up = (classics.STRONG_UP, classics.MODERATE_UP, classics.AVOID_UP)
    assert up == (monte_carlo.STRONG_UP, monte_carlo.MODERATE_UP, monte_carlo.AVOID_UP) == (0.65, 0.55, 0.45)
    assert classics.TREND_T == regime.TREND_T and (classics.STRONG_Z, classics.STRONG_SLOPE) == (2.0, 0.5)


def test_both_engines_agree_on_the_whole_document() -> None:
    rng = np.random.default_rng(11)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, 900)))
    grid = grid_of([(c, c * 1.004, c * 0.996, c) for c in closes])
    spec = parse_strategy(
        {**GO_LATER.model_dump(mode="json", exclude_none=True), "exits": {"scalp": EXITS}}, "test"
    )  # fmt: skip
    config = config_of(spec, exits=spec.profile("1m"), settings=TradingSettings().model_dump(), enforce=False)
    X = features_of(config, grid, go=rng.choice([-1.0, 0.0, 1.0], grid.bars), volatility_96=0.004)
    fast, service = run_fast(config, grid, X, None), run_service(config, grid, X, None, MemoryJournal(), 1)
    for part in ("trades", "fills", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    assert len(fast.trades) > 20

"""The registry: what is declared, and what a wrong name is told."""

from __future__ import annotations

import pytest

from ai.exits import PROFILE_NAMES, exit_profile
from ai.features.engine import FeatureEngine
from ai.features.registry import FUNDING_FEATURES, MODEL_FEATURES, REGISTRY, schema_of, spec_of, warmup_bars
from ai.schema import FeatureSchema
from data.errors import UserError


def test_names_are_unique_and_every_declaration_is_complete() -> None:
    assert len({spec.name for spec in REGISTRY}) == len(REGISTRY) >= 140
    for spec in REGISTRY:
        assert spec.lookback >= 1
        assert all((spec.group, spec.unit, spec.meaning, spec.inputs, spec.source)), spec.name


def test_models_read_no_price_level_and_no_funding() -> None:
    assert len(MODEL_FEATURES) >= 40
    assert not {"close", "ema_20", "atr_14", "macd", "vwap_20", "volume"} & set(MODEL_FEATURES)
    assert not set(FUNDING_FEATURES) & set(MODEL_FEATURES)
    assert all(spec_of(name).unit not in ("price", "base units") for name in MODEL_FEATURES)


def test_what_exits_and_gates_read_is_there_in_their_units() -> None:
    for profile in PROFILE_NAMES:
        feature = exit_profile(profile, "1h").feature
        assert feature is None or spec_of(feature)
    assert spec_of("atr_14").unit == "price"
    assert spec_of("volatility_96").unit == "fraction"
    assert spec_of("black_swan_ratio").optional


def test_warm_up_is_the_longest_look_back_and_waits_for_nothing_optional() -> None:
    assert warmup_bars(["log_return_96", "rsi_14"], "1h") == spec_of("rsi_14").lookback
    assert warmup_bars(["black_swan_ratio", "log_return_1"], "1h") == 2
    assert warmup_bars(None, "1h") == spec_of("ema_200").lookback
    assert warmup_bars([], "1h") == 0


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: schema_of(["rsi_15"]), "Unknown feature 'rsi_15'"),
        (lambda: schema_of(["rsi_14", "rsi_14"]), "Feature 'rsi_14' is named twice"),
        (lambda: warmup_bars(["nothing"], "1h"), "Unknown feature 'nothing'"),
        (lambda: warmup_bars(["rsi_14"], "2h"), "Unknown timeframe '2h'"),
        (lambda: FeatureEngine(FeatureSchema(("rsi_15",)), "1h"), "Unknown feature 'rsi_15'"),
        (lambda: FeatureEngine(schema_of(["rsi_14"]), "2h"), "Unknown timeframe '2h'"),
    ],
)
def test_a_wrong_name_ends_in_one_sentence(ask: object, sentence: str) -> None:
    assert callable(ask)
    with pytest.raises(UserError, match=sentence):
        ask()


def test_a_schema_keeps_the_order_asked_for() -> None:
    assert schema_of(["rsi_14", "close"]).names == ("rsi_14", "close")
    assert schema_of().names == tuple(spec.name for spec in REGISTRY)

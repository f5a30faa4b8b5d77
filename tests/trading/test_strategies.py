"""Declared strategies: grammar, loading, the compiled program against plain numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import Float64Array
from trading.strategy.library import LIBRARY, RSI_OVERSOLD, load_strategy
from trading.strategy.program import EXIT_LONG, LONG, SHORT, UNKNOWN, compile_program, signals
from trading.strategy.reader import SignalReader
from trading.strategy.spec import OPERATORS, StrategySpec, parse_strategy, required_features

NAMES = ("a", "b", "c")
SCHEMA = FeatureSchema(NAMES)


def rule(**conditions: Any) -> StrategySpec:
    return parse_strategy({"name": "x", "meaning": "y", **conditions}, "test")


def run(spec: StrategySpec, X: Float64Array, schema: FeatureSchema = SCHEMA) -> np.ndarray[Any, Any]:
    program = compile_program(spec, schema)
    out = np.full(X.shape[1], 255, dtype=np.uint8)
    signals(program.code, program.constants, program.used, program.depth, program.back, X, out)
    return out


def truth(condition: Any, X: Float64Array) -> np.ndarray[Any, Any]:
    """The grammar's meaning in numpy."""
    for group, combine in (("all", np.logical_and), ("any", np.logical_or)):
        if group in condition:
            return combine.reduce([truth(part, X) for part in condition[group]])
    if "of" in condition:
        return counted(condition, X)
    sides = [
        X[NAMES.index(v)] if isinstance(v, str) else np.full(X.shape[1], float(v))
        for v in (condition["left"], condition["right"])
    ]
    (left, right), op = sides, condition["op"]
    plain = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
    if op in plain:
        return plain[op](left, right)
    before_left, before_right = (np.concatenate([[np.nan], v[:-1]]) for v in (left, right))
    if op == "crosses_above":
        return (before_left <= before_right) & (left > right)
    return (before_left >= before_right) & (left < right)


def counted(condition: Any, X: Float64Array) -> np.ndarray[Any, Any]:
    """n of m, within and before, by shifting whole columns."""
    if "at_least" in condition:
        return np.sum([truth(part, X) for part in condition["of"]], axis=0) >= condition["at_least"]
    inner = truth(condition["of"], X)
    if "before" in condition:
        return shifted(inner, condition["before"])
    return np.any([shifted(inner, k) for k in range(condition["within"])], axis=0)


def shifted(values: np.ndarray[Any, Any], bars: int) -> np.ndarray[Any, Any]:
    return np.concatenate([np.zeros(min(bars, len(values)), dtype=bool), values[: max(0, len(values) - bars)]])


numbers = st.integers(-2, 2)
names = st.sampled_from(NAMES)
comparisons = st.one_of(
    st.fixed_dictionaries({"left": names, "op": st.sampled_from(OPERATORS), "right": st.one_of(names, numbers)}),
    st.fixed_dictionaries({"left": numbers, "op": st.sampled_from(OPERATORS), "right": names}),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"at_least": st.integers(1, 2), "of": st.lists(inner, min_size=2, max_size=3)}),
        st.fixed_dictionaries({"within": st.integers(2, 4), "of": inner}),
        st.fixed_dictionaries({"before": st.integers(1, 3), "of": inner}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=8,
)


@given(conditions, conditions, st.integers(0, 2**31), st.integers(1, 40))
def test_the_program_means_what_the_conditions_say(long: Any, leave: Any, seed: int, bars: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (3, bars)).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    out = run(rule(long=long, exit_long=leave), X)
    assert ((out & LONG) > 0).tolist() == truth(long, X).tolist()
    assert ((out & EXIT_LONG) > 0).tolist() == truth(leave, X).tolist()
    assert not (out & SHORT).any()


@given(conditions, st.integers(0, 2**31), st.integers(1, 30))
def test_bar_by_bar_says_the_same_as_the_whole_also_over_a_restart(long: Any, seed: int, bars: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (3, bars)).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    spec = rule(long=long)
    whole, reader = run(spec, X), SignalReader(spec, SCHEMA, 2)
    before = np.full((3, 1), np.nan)
    for t in range(bars):
        if t == bars // 2:
            kept, reader = reader.document(), SignalReader(spec, SCHEMA, 2)
            reader.restore(kept)
        assert reader.bits(1, np.hstack([before, X[:, t : t + 1]])) == whole[t], t
        before = X[:, t : t + 1]


def test_what_was_seen_in_one_block_confirms_in_the_next() -> None:
    X = np.zeros((3, 2100))
    X[0, 2045] = 1.0  # the kernel works in blocks of 2048 bars
    fired = {"left": "a", "op": ">", "right": 0.5}
    spec = rule(long={"within": 6, "of": fired}, short={"before": 4, "of": fired})
    out = run(spec, X)
    assert np.flatnonzero(out & LONG).tolist() == list(range(2045, 2051))
    assert np.flatnonzero(out & SHORT).tolist() == [2049]


def test_the_last_two_columns_say_the_same_as_the_whole() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3, 5000))
    crossing = {"left": "a", "op": "crosses_above", "right": "b"}
    spec = rule(long={"all": [crossing, {"left": "c", "op": ">", "right": 0}]})
    whole = run(spec, X)
    assert 0 < (whole & LONG).sum() < 5000
    for t in (1, 2047, 2048, 2049, 4999):
        assert run(spec, np.ascontiguousarray(X[:, t - 1 : t + 1]))[1] == whole[t]


def test_a_feature_that_is_not_known_is_marked() -> None:
    X = np.zeros((3, 2))
    X[1, 0] = np.nan
    assert run(rule(long={"left": "b", "op": "<", "right": 1}), X).tolist() == [UNKNOWN, LONG]


@pytest.mark.parametrize(
    ("rsi", "close", "ema", "expected"),
    [(29.9, 101, 100, LONG), (30, 101, 100, 0), (29, 99, 100, 0), (70.1, 99, 100, SHORT), (71, 101, 100, 0)],
)
def test_rsi_oversold(rsi: float, close: float, ema: float, expected: int) -> None:
    schema = FeatureSchema(("rsi_14", "close", "ema_200"))
    X = np.repeat([[rsi], [close], [ema]], 2, axis=1).astype(float)
    assert run(RSI_OVERSOLD, X, schema)[1] == expected


def test_the_library_lists_what_the_desk_reads() -> None:
    profile = RSI_OVERSOLD.profile("1h")
    assert profile.name == "swing" and RSI_OVERSOLD.profile("1m").name == "scalp"
    assert required_features(RSI_OVERSOLD, profile) == (
        "rsi_14", "close", "ema_200", "atr_14", "volatility_96", "black_swan_ratio",
    )  # fmt: skip
    assert {"rsi-oversold", "ensemble", "auto"} <= set(LIBRARY) and load_strategy("ensemble").kind == "ensemble"


def test_the_library_reads_only_registered_features() -> None:
    registry = pytest.importorskip("ai.features.registry")
    known = {spec.name for spec in registry.REGISTRY}
    for spec in LIBRARY.values():
        for timeframe in ("1m", "1h"):
            assert set(required_features(spec, spec.profile(timeframe))) <= known


TOML = """
name = "dip"
meaning = "Buys a dip."
[long]
all = [{left = "rsi_14", op = "<", right = 25}, {left = "close", op = ">", right = "ema_200"}]
[exits]
scalp = "even"
"""


def test_a_strategy_is_read_from_toml_and_json(tmp_path: Path) -> None:
    (tmp_path / "dip.toml").write_text(TOML)
    spec = load_strategy(tmp_path / "dip.toml")
    assert spec.features() == ("rsi_14", "close", "ema_200") and spec.profile("5m").name == "even"
    (tmp_path / "dip.json").write_text(json.dumps(spec.model_dump(mode="json", exclude_none=True)))
    assert load_strategy(tmp_path / "dip.json") == spec


GOOD: dict[str, Any] = {"name": "x", "meaning": "y", "long": {"left": "a", "op": "<", "right": 1}}
deep: Any = GOOD["long"]
for _ in range(9):
    deep = {"all": [deep]}
BAD = {
    "long.op: unknown operator '=='": {**GOOD, "long": {"left": "a", "op": "==", "right": 1}},
    "long.all[1].left: 'os.system(1)'": {
        **GOOD, "long": {"all": [GOOD["long"], {"left": "os.system(1)", "op": "<", "right": 1}]},
    },
    "long.right: 'nan' is neither": {**GOOD, "long": {"left": "a", "op": "<", "right": float("nan")}},
    "long.right: 'True' is neither": {**GOOD, "long": {"left": "a", "op": "<", "right": True}},
    "long.any: give a list": {**GOOD, "long": {"any": []}},
    "long: a condition has left, op and right": {**GOOD, "long": {"left": "a", "op": "<"}},
    "nested deeper than 8": {**GOOD, "long": deep},
    "more than 64 comparisons": {**GOOD, "long": {"all": [GOOD["long"]] * 65}},
    "Extra inputs": {**GOOD, "code": "print(1)"},
    "needs a 'long' or a 'short'": {"name": "x", "meaning": "y"},
    "leave out 'long'": {**GOOD, "kind": "ensemble"},
    "name: String should match": {**GOOD, "name": "../x"},
    "not list": [],
    "threshold: Input should be less": {**GOOD, "threshold": 2},
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_document_is_refused_with_place_and_reason(reason: str) -> None:
    with pytest.raises(UserError) as error:
        parse_strategy(BAD[reason], "my.toml")
    assert str(error.value).startswith("my.toml: ") and reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.toml", b"= 1", "not valid TOML"), ("x.json", b"{", "not valid JSON"),
        ("x.json", b"\xff\xfe", "not valid JSON"),
        ("x.json", b"[" * 60_000, "not valid JSON"), ("x.toml", b"#" * 70_000, "at most"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_document_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_strategy(tmp_path / name)


@pytest.mark.parametrize("name", ["nothing", "missing.toml"])
def test_an_unknown_strategy_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        load_strategy(name)


def test_a_condition_on_a_feature_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="zz"):
        compile_program(rule(long={"left": "zz", "op": "<", "right": 1}), SCHEMA)

"""The grid of a sweep: a TOML table of lists, checked key by key against the strategy and the settings.

Keys are dotted, quoted or as nested tables; ``app.grid_keys`` says what they mean.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.grid_keys import (
    EXIT_PROFILE,
    STRATEGY,
    TRADING,
    Around,
    in_document,
    tree_of,
    wrong_key,
    wrong_value,
)
from app.settings import known
from app.wiring import strategy_for, with_exits
from data.errors import UserError
from trading.strategy.spec import parse_strategy

if TYPE_CHECKING:
    from trading.config import TradingConfig
    from trading.strategy.spec import StrategySpec

MAX_BYTES = 64_000
MAX_RUNS = 1_000  # every one is held against all others; a larger search finds luck first
FEES = ("taker_fee", "maker_fee")  # a symbol may have its own

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Grid:
    """A checked grid: every key with its values, in the order of the file."""

    origin: str
    values: Mapping[str, tuple[Any, ...]]

    def __len__(self) -> int:
        return math.prod(len(v) for v in self.values.values())

    def combinations(self) -> Iterator[Parameters]:
        """Every combination, the last key turning fastest."""
        for chosen in product(*self.values.values()):
            yield dict(zip(self.values, chosen, strict=True))


def read_grid(path: Path) -> Grid:
    """The grid of a file; its keys are checked by :func:`check_grid`.

    Raises:
        UserError: the file cannot be read, is no table of lists, or holds too many combinations.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the grid cannot be read ({error.strerror}).") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: a grid has at most {MAX_BYTES:,} bytes, this file has {len(raw):,}.")
    try:
        document = tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid TOML: {error}.") from None
    return grid_of(document, str(path))


def grid_of(document: Mapping[str, Any], origin: str) -> Grid:
    """The grid of a table of lists; ``origin`` names it in sentences.

    Raises:
        UserError: it is no table of lists, or holds too many combinations.
    """
    values: dict[str, tuple[Any, ...]] = {}
    for key, listed in _flat(document):
        key = re.sub(r"\[(\d+)\]", r".\1", key)  # as errors in documents write places: long.all[0].right
        if key in values:
            raise UserError(f"{origin}: '{key}': it stands there twice, quoted and as a table: keep one.")
        values[key] = _list(origin, key, listed)
    grid = Grid(origin, values)
    if not values:
        raise UserError(f'{origin}: the grid is empty: give at least one list, as "long.all.0.right" = [25, 30].')
    if len(grid) > MAX_RUNS:
        longest = max(values, key=lambda k: len(values[k]))
        raise UserError(
            f"{origin}: '{longest}': the lists make {len(grid):,} combinations, at most {MAX_RUNS:,} are tried: "
            "shorten this list or leave keys out."
        )
    return grid


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _list(origin: str, key: str, listed: object) -> tuple[Any, ...]:
    if not isinstance(listed, list):
        raise UserError(f"{origin}: '{key}': give a list of values, as [1, 2], not {_said(listed)}.")
    if not listed:
        raise UserError(f"{origin}: '{key}': the list is empty: give at least one value.")
    for at, value in enumerate(listed):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in listed[:at]):
            raise UserError(f"{origin}: '{key}': {_said(value)} is listed twice: keep one.")
    return tuple(listed)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float | str | list) else type(value).__name__


# ---- check -----------------------------------------------------------------------------------------------------------


def check_grid(grid: Grid, config: TradingConfig, has_forecasts: bool) -> None:
    """Refuse the first key or value that does not fit what is traded.

    Every value is tried beside the first ones of the other keys, since some of them only fit together.

    Raises:
        UserError: names the file, the key and the reason.
    """
    declared = {k.key: k for k in known()}
    first = next(grid.combinations())
    for spec in strategies(grid, config, has_forecasts):
        around = Around(replace(config, strategy=spec), declared, frozenset(grid.values), has_forecasts)
        for key, values in grid.values.items():
            why = wrong_key(key, around)
            if why:
                raise UserError(f"{grid.origin}: '{key}': {why}{'' if why.endswith('?') else '.'}")
            for value in values:
                wrong = wrong_value(key, value, around)
                if wrong:
                    raise UserError(f"{grid.origin}: '{key}': {_said(value)} does not fit: {wrong}.")
    for key, values in grid.values.items():
        for value in values:
            applied(config, {**first, key: value}, grid.origin)


def strategies(grid: Grid, config: TradingConfig, has_forecasts: bool = False) -> list[StrategySpec]:
    """The strategies that a grid tries, in its order; the run's own where it names none.

    Raises:
        UserError: one of them is not known, or reads forecasts where there are none.
    """
    names = grid.values.get(STRATEGY)
    if names is None:
        return [config.strategy]
    found = [_strategy(config, name) for name in names]
    for name, spec in zip(names, found, strict=True):
        if spec.kind != "rule" and not has_forecasts:
            raise UserError(
                f"{grid.origin}: '{STRATEGY}': '{name}' reads forecasts: give --strategy ensemble, which loads them."
            )
    return found


def _strategy(config: TradingConfig, name: object) -> StrategySpec:
    """A strategy by name; one that reads forecasts has the exits that these were made for."""
    spec = strategy_for(str(name))
    return spec if spec.kind == "rule" else with_exits(spec, config.profile.name)


# ---- application -----------------------------------------------------------------------------------------------------


def applied(config: TradingConfig, parameters: Mapping[str, Any], origin: str) -> TradingConfig:
    """The run with these parameters in place of its own. A fee that is set is paid on every symbol.

    Raises:
        UserError: the strategy or a setting does not take its value.
    """
    spec = _strategy(config, parameters[STRATEGY]) if STRATEGY in parameters else config.strategy
    settings = config.settings.model_dump()
    mine = [key for key in parameters if in_document(key)]
    tree = tree_of(spec, config.timeframe, any(key.startswith("exits.") for key in mine))
    for key, value in parameters.items():
        if key in mine:
            _put(tree, key, _like(value, _at(tree, key)))
        elif key.startswith(TRADING):
            _put(settings, key.removeprefix(TRADING), value)
    if mine:
        spec = parse_strategy(tree, origin)
    if EXIT_PROFILE in parameters:
        spec = with_exits(spec, parameters[EXIT_PROFILE])
    fees: dict[str, Any] = {name: None for name in FEES if f"{TRADING}costs.{name}" in parameters}
    return replace(
        config, strategy=spec, profile=spec.profile(config.timeframe), settings=_settings(config, settings, origin),
        instruments=tuple(replace(rules, **fees) for rules in config.instruments),
    )  # fmt: skip


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def _like(value: Any, before: object) -> Any:
    """A count of bars or conditions stays a whole number; every other number is a constant."""
    if not isinstance(value, int | float):
        return value
    return int(value) if isinstance(before, int) and value == int(value) else float(value)


def _put(tree: Any, key: str, value: object) -> None:
    *path, last = key.split(".")
    for part in path:
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    tree[int(last) if isinstance(tree, list) else last] = value


def _settings(config: TradingConfig, document: Mapping[str, Any], origin: str) -> Any:
    from pydantic import ValidationError

    try:
        return type(config.settings).model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = TRADING + ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        takes = next((k.takes for k in known() if k.key == key), None)
        if takes is None:  # several that do not fit together
            raise UserError(f"{origin}: '{key}': {first['msg'].removeprefix('Value error, ')}.") from None
        raise UserError(f"{origin}: '{key}': {_said(first['input'])} does not fit: it takes {takes}.") from None

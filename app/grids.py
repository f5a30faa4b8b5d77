"""The grid of a sweep: a TOML table of lists, checked key by key against the strategy and the settings.

Keys are dotted, quoted or as nested tables: a ``trading.`` setting, ``exit_profile``, ``threshold``, or the path of a
number in the strategy's conditions, as ``long.all.0.right``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai.exits import PROFILE_NAMES
from app.settings import Known, known
from app.wiring import with_exits
from data.errors import UserError
from trading.strategy.spec import parse_strategy

if TYPE_CHECKING:
    from trading.config import TradingConfig
    from trading.strategy.spec import StrategySpec

MAX_BYTES = 64_000
MAX_RUNS = 1_000  # every one is held against all others; a larger search finds luck first
SIDES = ("long", "short", "exit_long", "exit_short")
EXIT_PROFILE, THRESHOLD, TRADING = "exit_profile", "threshold", "trading."
WITHOUT_EFFECT = ("trading.paper.batch_bars",)  # how often results are committed

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
    values: dict[str, tuple[Any, ...]] = {}
    for key, listed in _flat(document):
        if key in values:
            raise UserError(f"{path}: '{key}': it stands there twice, quoted and as a table: keep one.")
        values[key] = _list(path, key, listed)
    grid = Grid(str(path), values)
    if not values:
        raise UserError(f'{path}: the grid is empty: give at least one list, as "long.all.0.right" = [25, 30].')
    if len(grid) > MAX_RUNS:
        longest = max(values, key=lambda k: len(values[k]))
        raise UserError(
            f"{path}: '{longest}': the lists make {len(grid):,} combinations, at most {MAX_RUNS:,} are tried: "
            "shorten this list or leave keys out."
        )
    return grid


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _list(path: Path, key: str, listed: object) -> tuple[Any, ...]:
    if not isinstance(listed, list):
        raise UserError(f"{path}: '{key}': give a list of values, as [1, 2], not {_said(listed)}.")
    if not listed:
        raise UserError(f"{path}: '{key}': the list is empty: give at least one value.")
    for at, value in enumerate(listed):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in listed[:at]):
            raise UserError(f"{path}: '{key}': {_said(value)} is listed twice: keep one.")
    return tuple(listed)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float | str) else type(value).__name__


# ---- keys ------------------------------------------------------------------------------------------------------------


def check_grid(grid: Grid, config: TradingConfig, has_forecasts: bool) -> None:
    """Refuse the first key or value that does not fit what is traded.

    Raises:
        UserError: names the file, the key and the reason.
    """
    declared = {k.key: k for k in known()}
    for key, values in grid.values.items():
        why = _wrong_key(key, config.strategy, declared, has_forecasts)
        if why:
            raise UserError(f"{grid.origin}: '{key}': {why}.")
        for value in values:
            wrong = _wrong_value(key, value, declared)
            if wrong:
                raise UserError(f"{grid.origin}: '{key}': {_said(value)} does not fit: {wrong}.")
            applied(config, {key: value}, grid.origin)


def _wrong_key(key: str, spec: StrategySpec, declared: Mapping[str, Known], has_forecasts: bool) -> str:
    if key == EXIT_PROFILE:
        return "the forecasts were made for one exit profile: leave this key out" if has_forecasts else ""
    if key == THRESHOLD:
        return f"'{spec.name}' is a rule and has no threshold" if spec.kind == "rule" else ""
    if key.split(".")[0] in SIDES:
        return _wrong_path(key, spec)
    if key in WITHOUT_EFFECT or (key in declared and not key.startswith(TRADING)):
        return "this setting does not change a back-test; of the settings those under 'trading.' may be swept"
    if key not in declared:
        return (
            "it is neither a 'trading.' setting ('settings get trading' lists them), nor exit_profile, threshold or "
            "the path of a number of the strategy, as long.all.0.right"
        )
    return ""


def _wrong_path(key: str, spec: StrategySpec) -> str:
    at: Any = spec.model_dump(mode="json", exclude_none=True)
    for part in key.split("."):
        inner = at.get(part) if isinstance(at, dict) else _item(at, part)
        if inner is None:
            return f"'{spec.name}' has nothing there; its numbers are at {', '.join(constants(spec)) or 'no place'}"
        at = inner
    if isinstance(at, int | float):
        return ""
    return f"there is no number there; the numbers of '{spec.name}' are at {', '.join(constants(spec)) or 'no place'}"


def _item(at: Any, part: str) -> Any:
    return at[int(part)] if isinstance(at, list) and part.isdecimal() and int(part) < len(at) else None


def constants(spec: StrategySpec) -> tuple[str, ...]:
    """Paths of every number in the strategy's conditions."""
    tree = spec.model_dump(mode="json", exclude_none=True)
    return tuple(p for side in SIDES if side in tree for p in _numbers(tree[side], side))


def _numbers(at: Any, path: str) -> Iterator[str]:
    if isinstance(at, dict | list):
        for name, inner in at.items() if isinstance(at, dict) else enumerate(at):
            yield from _numbers(inner, f"{path}.{name}")
    elif isinstance(at, int | float):
        yield path


def _wrong_value(key: str, value: object, declared: Mapping[str, Known]) -> str:
    """What pydantic would let pass or say in its own words."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if key == EXIT_PROFILE:
        return "" if value in PROFILE_NAMES else f"use one of {', '.join(PROFILE_NAMES)}"
    if key == THRESHOLD:
        return "" if number and 0.0 <= value <= 1.0 else "a threshold is a number from 0 to 1"  # type: ignore[operator]
    if key in declared:
        return f"it takes {declared[key].takes}" if declared[key].kind == "number" and not number else ""
    return "" if number else "a constant of a condition is a finite number"


# ---- application -----------------------------------------------------------------------------------------------------


def applied(config: TradingConfig, parameters: Mapping[str, Any], origin: str) -> TradingConfig:
    """The run with these parameters in place of its own.

    Raises:
        UserError: a setting does not take its value.
    """
    spec = config.strategy
    document = spec.model_dump(mode="json", exclude_none=True)
    settings = config.settings.model_dump()
    for key, value in parameters.items():
        if key == THRESHOLD:
            document[THRESHOLD] = float(value)
        elif key.split(".")[0] in SIDES:
            _put(document, key, _like(value, _at(document, key)))
        elif key != EXIT_PROFILE:
            _put(settings, key.removeprefix(TRADING), value)
    spec = parse_strategy(document, origin)
    if EXIT_PROFILE in parameters:
        spec = with_exits(spec, parameters[EXIT_PROFILE])
    return replace(
        config, strategy=spec, profile=spec.profile(config.timeframe), settings=_settings(config, settings, origin)
    )


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def _like(value: Any, before: object) -> float | int:
    """A count of bars or conditions stays a whole number; everything else is a constant."""
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
        takes = next((k.takes for k in known() if k.key == key), "another value")
        raise UserError(f"{origin}: '{key}': {_said(first['input'])} does not fit: it takes {takes}.") from None

"""The keys of a sweep's grid: which are numbers of a strategy, which are settings, and why others are refused.

A key may be the path of a number in the strategy's document (``long.all.0.right``, ``exits.swing.stop``,
``management.trailing``), any setting under ``trading.``, ``exit_profile``, ``threshold`` or ``strategy``. What a person
sets in the grid is what is tried: a key that another value of the run would override is refused, with the one to use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ai.exits import PROFILE_NAMES, default_profile, exit_profile

if TYPE_CHECKING:
    from app.settings import Known
    from trading.config import TradingConfig
    from trading.strategy.spec import StrategySpec

SIDES = ("long", "short", "exit_long", "exit_short")
PARTS = ("exits", "size", "entry", "management")  # of a document, besides its conditions
EXIT_PROFILE, THRESHOLD, STRATEGY, TRADING = "exit_profile", "threshold", "strategy", "trading."
WITHOUT_EFFECT = ("trading.paper.batch_bars",)  # how often results are committed
ENTRY = {"entry": "order", "entry_distance": "distance", "entry_bars": "bars"}  # of matching: in a document
_UNITS = {"PERCENT": "price", "ATR": "atr", "VOLATILITY": "volatility"}

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Around:
    """What a key is held against."""

    config: TradingConfig
    declared: Mapping[str, Known]
    keys: frozenset[str]  # all of the grid
    has_forecasts: bool

    @property
    def spec(self) -> StrategySpec:
        """The strategy that is varied."""
        return self.config.strategy


def in_document(key: str) -> bool:
    """Whether a key is the path of a value in the strategy's document."""
    return key == THRESHOLD or key.split(".")[0] in (*SIDES, *PARTS)


def tree_of(spec: StrategySpec, timeframe: str, own_exits: bool = False) -> Tree:
    """A strategy's document; with ``own_exits`` the exits of this timeframe are numbers, where it names a profile."""
    tree: Tree = spec.model_dump(mode="json", exclude_none=True)
    kind = default_profile(timeframe)
    named = tree["exits"][kind]
    if own_exits and isinstance(named, str):
        known = exit_profile(named, timeframe)
        tree["exits"][kind] = {
            "unit": _UNITS[known.unit.name], "stop": known.stop, "target": known.target_ratio,
            "time_limit": known.limit_bars,
        }  # fmt: skip
    return tree


def constants(spec: StrategySpec, timeframe: str) -> tuple[str, ...]:
    """Paths of every number of a strategy that decides something on this timeframe."""
    tree = tree_of(spec, timeframe, spec.kind == "rule")
    kind = default_profile(timeframe)
    tree["exits"] = {kind: tree["exits"][kind]}
    parts = (*SIDES, *PARTS, *(() if spec.kind == "rule" else (THRESHOLD,)))
    return tuple(p for part in parts if part in tree for p in _numbers(tree[part], part))


def _numbers(at: Any, path: str) -> Iterator[str]:
    if isinstance(at, dict | list):
        for name, inner in at.items() if isinstance(at, dict) else enumerate(at):
            yield from _numbers(inner, f"{path}.{name}")
    elif isinstance(at, int | float):
        yield path


# ---- keys ------------------------------------------------------------------------------------------------------------


def wrong_key(key: str, around: Around) -> str:
    """Why a key cannot be swept; empty where it can."""
    if key == STRATEGY:
        return ""
    if key == EXIT_PROFILE:
        if any(other.startswith("exits.") for other in around.keys):
            return "it takes the place of the exits that another key of the grid varies: keep one of them"
        return "the forecasts were made for one exit profile: leave this key out" if around.has_forecasts else ""
    if key == THRESHOLD and around.spec.kind == "rule":
        return f"'{around.spec.name}' is a rule and has no threshold"
    if in_document(key):
        return _wrong_path(key, around)
    if key in WITHOUT_EFFECT or (key in around.declared and not key.startswith(TRADING)):
        return "this setting does not change a back-test; of the settings those under 'trading.' may be swept"
    if key not in around.declared:
        return (
            "it is neither a 'trading.' setting ('settings get trading' lists them), nor exit_profile, threshold, "
            f"strategy or the path of a number of the strategy, as long.all.0.right{_nearest(key, around)}"
        )
    return _overridden(key, around.spec)


def _nearest(key: str, around: Around) -> str:
    every = (*constants(around.spec, around.config.timeframe), *around.declared, EXIT_PROFILE, THRESHOLD, STRATEGY)
    ends = {name.rpartition(".")[2]: name for name in every if name.startswith(TRADING) or in_document(name)}
    close = get_close_matches(key, every, 1) or [ends[n] for n in get_close_matches(key.rpartition(".")[2], ends, 1)]
    return f"; did you mean '{close[0]}'?" if close else ""


def _overridden(key: str, spec: StrategySpec) -> str:
    """Where the strategy carries what the setting would say."""
    group, _, name = key.removeprefix(TRADING).partition(".")
    if group == "management" and spec.management is not None:
        return f"'{spec.name}' carries a management of its own: use 'management.{name}'"
    if group == "matching" and name in ENTRY and spec.entry is not None:
        return f"'{spec.name}' carries an entry order of its own: use 'entry.{ENTRY[name]}'"
    return ""


def _wrong_path(key: str, around: Around) -> str:
    spec, timeframe = around.spec, around.config.timeframe
    part, _, rest = key.partition(".")
    if part == "exits":
        if rest.partition(".")[0] in ("scalp", "swing") and rest.partition(".")[0] != default_profile(timeframe):
            return f"on {timeframe} bars the exits are those of '{default_profile(timeframe)}'"
        if spec.kind != "rule":
            return "forecasts are made for a named exit profile: own exits are for rules"
    if part in ("size", "entry", "management") and rest in _names(part) and not _there(spec, part, rest):
        return f"'{spec.name}' carries none of its own: use '{TRADING}{_setting(part, rest)}'"
    at: Any = tree_of(spec, timeframe, own_exits=True)
    for step in key.split("."):
        inner = at.get(step) if isinstance(at, dict) else _item(at, step)
        if inner is None:
            return f"'{spec.name}' has nothing there; its numbers are at {_numbers_near(key, around)}"
        at = inner
    if isinstance(at, int | float) or (isinstance(at, str) and part in ("entry", "management")):
        return ""
    if isinstance(at, list) and part == "management":
        return ""
    return f"there is no number there; the numbers of '{spec.name}' are at {_numbers_near(key, around)}"


def _numbers_near(key: str, around: Around) -> str:
    every = constants(around.spec, around.config.timeframe)
    close = get_close_matches(key, every, 1)
    return (", ".join(every) or "no place") + (f"; did you mean '{close[0]}'?" if close else "")


def _names(part: str) -> set[str]:
    """The numbers that a part of a document may have and the settings have too."""
    from trading.strategy.handling import EntryOrder, Management, Size

    parts: dict[str, type[BaseModel]] = {"size": Size, "entry": EntryOrder, "management": Management}
    return set(parts[part].model_fields) - {"time_stop"}


def _there(spec: StrategySpec, part: str, name: str) -> bool:
    own = getattr(spec, part)
    return own is not None and getattr(own, name) is not None


def _setting(part: str, name: str) -> str:
    """The setting that says what a number of a document would."""
    if part == "entry":
        return "matching." + next(setting for setting, own in ENTRY.items() if own == name)
    return f"{'sizing' if part == 'size' else part}.{name}"


def _item(at: Any, part: str) -> Any:
    return at[int(part)] if isinstance(at, list) and part.isdecimal() and int(part) < len(at) else None


# ---- values ----------------------------------------------------------------------------------------------------------


def wrong_value(key: str, value: object, around: Around) -> str:
    """Why a value cannot be tried, where pydantic would let it pass or say it in its own words."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if key == EXIT_PROFILE:
        return "" if value in PROFILE_NAMES else f"use one of {', '.join(PROFILE_NAMES)}"
    if key == STRATEGY:
        return "" if isinstance(value, str) else "give the name of a strategy, or a file"
    if key == THRESHOLD:
        return "" if number and 0.0 <= value <= 1.0 else "a threshold is a number from 0 to 1"  # type: ignore[operator]
    if key in around.declared:
        if around.declared[key].kind == "number" and not number:
            return f"it takes {around.declared[key].takes}"
        return _without_effect(key, value, around)
    if key.split(".")[0] in SIDES:
        return "" if number else "a constant of a condition is a finite number"
    if number or key.startswith(("entry.", "management.")):
        return _without_effect(key, value, around)
    return "give a finite number"


def _without_effect(key: str, value: Any, around: Around) -> str:
    """A size beyond the one that holds it: the strategy's own is a limit under the setting, so the smaller one acts."""
    part, _, name = key.removeprefix(TRADING).partition(".")
    if part not in ("size", "sizing") or name not in _names("size"):
        return ""
    other = f"size.{name}" if part == "sizing" else f"{TRADING}sizing.{name}"
    holds = getattr(around.spec.size if part == "sizing" else around.config.settings.sizing, name)
    if other in around.keys or holds is None or value <= holds:
        return ""
    return f"{other} holds it at {holds:g}: vary that one"

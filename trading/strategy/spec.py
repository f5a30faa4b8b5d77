"""A strategy as a document: conditions on features in a closed grammar. Data only; nothing in it is ever executed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ai.exits import ExitProfile, default_profile, exit_profile
from data.errors import UserError

MAX_COMPARISONS = 64
MAX_DEPTH = 8
OPERATORS = ("<", "<=", ">", ">=", "crosses_above", "crosses_below")
_FEATURE = re.compile(r"[a-z][a-z0-9_]{0,63}")

Operand = str | float
Operator = Literal["<", "<=", ">", ">=", "crosses_above", "crosses_below"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Comparison(_Document):
    """``left op right``: each side is a feature's name or a number. Crosses look at the bar before as well."""

    left: Operand
    op: Operator
    right: Operand


class AllOf(_Document):
    """True where every part is true."""

    all: tuple[Condition, ...] = Field(min_length=1)


class AnyOf(_Document):
    """True where at least one part is true."""

    any: tuple[Condition, ...] = Field(min_length=1)


Condition = Comparison | AllOf | AnyOf
AllOf.model_rebuild()
AnyOf.model_rebuild()


class Exits(_Document):
    """The exit profile per class of timeframe: ``scalp`` up to 5m, ``swing`` from 15m on."""

    scalp: Literal["scalp", "swing", "even"] = "scalp"
    swing: Literal["scalp", "swing", "even"] = "swing"


class StrategySpec(_Document):
    """A declared strategy.

    ``kind = "rule"``: the conditions make the signal. ``kind = "ensemble"``: the forecast does: the side with the
    higher expected value after costs, if that is positive and its probability is at least ``threshold``.
    ``kind = "auto"``: the conditions until a model covers the bar, the forecast from then on.
    ``exit_long`` and ``exit_short`` close an open position at the next open (reason ``signal``).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    meaning: Annotated[str, Field(min_length=1, max_length=500)]
    kind: Literal["rule", "ensemble", "auto"] = "rule"
    long: Condition | None = None
    short: Condition | None = None
    exit_long: Condition | None = None
    exit_short: Condition | None = None
    exits: Exits = Exits()
    threshold: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _has_signal(self) -> StrategySpec:
        if self.kind != "ensemble" and self.long is None and self.short is None:
            raise ValueError("a rule strategy needs a 'long' or a 'short' condition")
        if self.kind == "ensemble" and (self.long is not None or self.short is not None):
            raise ValueError("an ensemble strategy takes its side from the forecast: leave out 'long' and 'short'")
        return self

    def conditions(self) -> tuple[Condition | None, ...]:
        """Long, short, exit long, exit short."""
        return (self.long, self.short, self.exit_long, self.exit_short)

    def features(self) -> tuple[str, ...]:
        """Every feature the conditions read, in order of appearance."""
        names: dict[str, None] = {}
        for condition in self.conditions():
            if condition is not None:
                names.update(dict.fromkeys(_names(condition)))
        return tuple(names)

    def profile(self, timeframe: str) -> ExitProfile:
        """The exit profile on a timeframe."""
        chosen = self.exits.scalp if default_profile(timeframe) == "scalp" else self.exits.swing
        return exit_profile(chosen, timeframe)


def _names(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Comparison):
        for side in (condition.left, condition.right):
            if isinstance(side, str):
                yield side
        return
    for part in condition.all if isinstance(condition, AllOf) else condition.any:
        yield from _names(part)


def required_features(spec: StrategySpec, profile: ExitProfile) -> tuple[str, ...]:
    """Every feature that the desk reads for ``spec``: its conditions', the exits', sizing's and the gates'."""
    own = spec.features()
    needed = (profile.feature, "close", "atr_14", "volatility_96", "black_swan_ratio")
    return tuple(dict.fromkeys([*own, *(name for name in needed if name is not None)]))


def parse_strategy(document: object, origin: str) -> StrategySpec:
    """A checked strategy from a parsed TOML or JSON document.

    Raises:
        UserError: the document breaks the grammar; the sentence names the place and the reason.
    """
    if not isinstance(document, Mapping):
        raise UserError(f"{origin}: a strategy is a table of keys, not {type(document).__name__}.")
    for key in ("long", "short", "exit_long", "exit_short"):
        if document.get(key) is not None:
            _check(document[key], key, origin, 1, [0])
    try:
        return StrategySpec.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        reason = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{origin}: {place}: {reason}.") from None


def _check(value: object, place: str, origin: str, depth: int, count: list[int]) -> None:
    """Walk a condition and refuse the first thing that is not in the grammar, by place."""
    if depth > MAX_DEPTH:
        raise UserError(f"{origin}: {place}: conditions are nested deeper than {MAX_DEPTH}.")
    if not isinstance(value, Mapping):
        raise UserError(f"{origin}: {place}: a condition is {{left, op, right}}, {{all}} or {{any}}.")
    keys = set(value)
    for group in ("all", "any"):
        if keys == {group}:
            parts = value[group]
            if not isinstance(parts, list | tuple) or not parts:
                raise UserError(f"{origin}: {place}.{group}: give a list of at least one condition.")
            for i, part in enumerate(parts):
                _check(part, f"{place}.{group}[{i}]", origin, depth + 1, count)
            return
    if keys != {"left", "op", "right"}:
        names = ", ".join(sorted(map(str, keys))) or "nothing"
        raise UserError(f"{origin}: {place}: a condition has left, op and right (or all, or any), not {names}.")
    count[0] += 1
    if count[0] > MAX_COMPARISONS:
        raise UserError(f"{origin}: {place}: more than {MAX_COMPARISONS} comparisons.")
    if value["op"] not in OPERATORS:
        raise UserError(f"{origin}: {place}.op: unknown operator '{value['op']}': use one of {', '.join(OPERATORS)}.")
    for side in ("left", "right"):
        _check_operand(value[side], f"{place}.{side}", origin)


def _check_operand(operand: object, place: str, origin: str) -> None:
    if isinstance(operand, str) and _FEATURE.fullmatch(operand):
        return
    if isinstance(operand, int | float) and not isinstance(operand, bool) and math.isfinite(operand):
        return
    raise UserError(f"{origin}: {place}: '{operand}' is neither a feature's name nor a finite number.")

"""Conditions of a strategy: a closed grammar over features. Data only; nothing in it is ever executed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.errors import UserError

MAX_COMPARISONS = 64
MAX_DEPTH = 8
MAX_BACK = 32  # bars that conditions may look back, all parts added up
OPERATORS = ("<", "<=", ">", ">=", "crosses_above", "crosses_below")
SHAPES = "{left, op, right}, {all}, {any}, {at_least, of}, {within, of} or {before, of}"
_FEATURE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LISTS = ("all", "any")
_COUNTS = ("at_least", "within", "before")

Operand = str | float
Operator = Literal["<", "<=", ">", ">=", "crosses_above", "crosses_below"]


class Document(BaseModel):
    """A frozen part of a declared document; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Comparison(Document):
    """``left op right``: each side is a feature's name or a number, one at least a name. Crosses look at the bar
    before as well."""

    left: Operand
    op: Operator
    right: Operand

    @model_validator(mode="after")
    def _reads_a_feature(self) -> Comparison:
        if not isinstance(self.left, str) and not isinstance(self.right, str):
            raise ValueError("both sides are numbers: name a feature on one of them")
        return self


class AllOf(Document):
    """True where every part is true."""

    all: tuple[Condition, ...] = Field(min_length=1)


class AnyOf(Document):
    """True where at least one part is true."""

    any: tuple[Condition, ...] = Field(min_length=1)


class AtLeast(Document):
    """Confirmation: true where ``at_least`` of the parts are true."""

    at_least: int = Field(ge=1, strict=True)
    of: tuple[Condition, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _can_be_reached(self) -> AtLeast:
        if self.at_least > len(self.of):
            raise ValueError(f"{self.at_least} of {len(self.of)} conditions can never be true")
        return self


class Within(Document):
    """True where the condition was true on one of the last ``within`` bars, this one included."""

    within: int = Field(ge=2, le=MAX_BACK, strict=True)
    of: Condition


class Before(Document):
    """True where the condition was true ``before`` bars ago."""

    before: int = Field(ge=1, le=MAX_BACK, strict=True)
    of: Condition


Condition = Comparison | AllOf | AnyOf | AtLeast | Within | Before
for _model in (AllOf, AnyOf, AtLeast, Within, Before):
    _model.model_rebuild()


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """The conditions right inside another one; none in a comparison."""
    if isinstance(condition, AllOf):
        return condition.all
    if isinstance(condition, AnyOf):
        return condition.any
    if isinstance(condition, AtLeast):
        return condition.of
    return () if isinstance(condition, Comparison) else (condition.of,)


def bars_back(condition: Condition) -> int:
    """Bars before the present one that a condition reads, apart from the one bar that a cross needs."""
    inner = max((bars_back(part) for part in parts_of(condition)), default=0)
    if isinstance(condition, Within):
        return inner + condition.within - 1
    return inner + condition.before if isinstance(condition, Before) else inner


def comparisons(condition: Condition, place: str) -> Iterator[tuple[str, Comparison]]:
    """Every comparison with its place, as ``long.all[0]``."""
    if isinstance(condition, Comparison):
        yield place, condition
        return
    name = next(iter(set(_LISTS) & set(type(condition).model_fields)), "of")
    for i, part in enumerate(parts_of(condition)):
        yield from comparisons(
            part, f"{place}.{name}" if isinstance(condition, Within | Before) else f"{place}.{name}[{i}]"
        )


# ---- the first thing that is not in the grammar ----------------------------------------------------------------------


def check_condition(value: object, place: str, origin: str) -> None:
    """Walk a parsed document's condition and refuse the first thing that is not in the grammar, by place.

    Raises:
        UserError: names the document, the place in it and the reason.
    """
    back = _check(value, place, origin, 1, [0])
    if back > MAX_BACK:
        raise UserError(f"{origin}: {place}: it looks back {back} bars, at most {MAX_BACK} are kept.")


def _check(value: object, place: str, origin: str, depth: int, count: list[int]) -> int:
    """Bars that it looks back."""
    if depth > MAX_DEPTH:
        raise UserError(f"{origin}: {place}: conditions are nested deeper than {MAX_DEPTH}.")
    if not isinstance(value, Mapping):
        raise UserError(f"{origin}: {place}: a condition is {SHAPES}.")
    keys = set(value)
    for group in _LISTS:
        if keys == {group}:
            return _check_list(value[group], f"{place}.{group}", origin, depth, count)
    for word in _COUNTS:
        if keys == {word, "of"}:
            return _check_counted(word, value, place, origin, depth, count)
    if keys != {"left", "op", "right"}:
        names = ", ".join(sorted(map(str, keys))) or "nothing"
        raise UserError(f"{origin}: {place}: a condition has left, op and right, or is {SHAPES}; this has {names}.")
    count[0] += 1
    if count[0] > MAX_COMPARISONS:
        raise UserError(f"{origin}: {place}: more than {MAX_COMPARISONS} comparisons.")
    if value["op"] not in OPERATORS:
        raise UserError(f"{origin}: {place}.op: unknown operator '{value['op']}': use one of {', '.join(OPERATORS)}.")
    for side in ("left", "right"):
        _check_operand(value[side], f"{place}.{side}", origin)
    if not isinstance(value["left"], str) and not isinstance(value["right"], str):
        raise UserError(f"{origin}: {place}: both sides are numbers: name a feature on one of them.")
    return 0


def _check_list(parts: object, place: str, origin: str, depth: int, count: list[int]) -> int:
    if not isinstance(parts, list | tuple) or not parts:
        raise UserError(f"{origin}: {place}: give a list of at least one condition.")
    return max(_check(part, f"{place}[{i}]", origin, depth + 1, count) for i, part in enumerate(parts))


def _check_counted(
    word: str, value: Mapping[str, object], place: str, origin: str, depth: int, count: list[int]
) -> int:
    number, inner = value[word], value["of"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise UserError(f"{origin}: {place}.{word}: '{number}' is not a whole number.")
    if word == "at_least":
        back = _check_list(inner, f"{place}.of", origin, depth, count)
        parts = len(inner) if isinstance(inner, list | tuple) else 0
        if not 1 <= number <= parts or parts < 2:
            raise UserError(f"{origin}: {place}.at_least: {number} of {parts}: give 1 to all of two or more.")
        return back
    least = 2 if word == "within" else 1
    if not least <= number <= MAX_BACK:
        raise UserError(f"{origin}: {place}.{word}: {number} bars: give {least} to {MAX_BACK}.")
    back = _check(inner, f"{place}.of", origin, depth + 1, count)
    return back + number - (1 if word == "within" else 0)


def _check_operand(operand: object, place: str, origin: str) -> None:
    if isinstance(operand, str) and _FEATURE.fullmatch(operand):
        return
    if isinstance(operand, int | float) and not isinstance(operand, bool) and math.isfinite(operand):
        return
    raise UserError(f"{origin}: {place}: '{operand}' is neither a feature's name nor a finite number.")

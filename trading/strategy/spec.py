"""A strategy as a document: conditions, how a model has its say, and how its positions are handled.

Data only; nothing in it is ever executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ai.exits import PROFILE_NAMES, DistanceUnit, ExitProfile, default_profile, exit_profile
from data.errors import UserError
from trading.settings import TradingSettings
from trading.strategy.conditions import (
    OPERATORS,
    AllOf,
    AnyOf,
    AtLeast,
    Before,
    Comparison,
    Condition,
    Document,
    Operand,
    Within,
    bars_back,
    check_condition,
    comparisons,
)
from trading.strategy.handling import EntryOrder, Exits, Management, OwnExit, Size

__all__ = [
    "OPERATORS", "AllOf", "AnyOf", "AtLeast", "Before", "Comparison", "Condition", "Decides", "EntryOrder", "Exits",
    "Management", "Operand", "OwnExit", "Size", "StrategySpec", "Within", "bars_back", "check_features",
    "parse_strategy", "required_features",
]  # fmt: skip

SIDES = ("long", "short", "exit_long", "exit_short")
_UNITS = {"price": DistanceUnit.PERCENT, "atr": DistanceUnit.ATR, "volatility": DistanceUnit.VOLATILITY}


class Decides(IntEnum):
    """Who gives the side of a position; the desk's kernel reads the number."""

    RULE = 0
    ENSEMBLE = 1
    AUTO = 2  # the rule until a model covers the bar, the ensemble from then on
    AGREE = 3  # the rule, where the ensemble takes the same side
    PROBABILITY = 4  # the rule, where the ensemble's probability of that side reaches the threshold
    FILTER = 5  # the ensemble, where the conditions of that side hold


class StrategySpec(Document):
    """A declared strategy.

    ``kind = "rule"``: the conditions make the signal. ``kind = "ensemble"``: the forecast does: the side with the
    higher expected value after costs, if that is positive and its probability is at least ``threshold``.
    ``kind = "auto"``: the conditions until a model covers the bar, the forecast from then on.
    ``kind = "combined"``: both, as ``combine`` says: ``agree`` (a rule's signal that the ensemble takes too),
    ``probability`` (a rule's signal whose side the ensemble gives at least ``threshold``) or ``filter`` (the
    ensemble's side where the conditions of that side hold).
    ``exit_long`` and ``exit_short`` close an open position at the next open (reason ``signal``).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    meaning: Annotated[str, Field(min_length=1, max_length=1000)]
    source: str = Field("", max_length=500, description="Where the idea was published.")
    kind: Literal["rule", "ensemble", "auto", "combined"] = "rule"
    combine: Literal["agree", "probability", "filter"] | None = None
    long: Condition | None = None
    short: Condition | None = None
    exit_long: Condition | None = None
    exit_short: Condition | None = None
    exits: Exits = Exits()
    size: Size = Size()
    entry: EntryOrder | None = Field(None, description="Order that opens a position; none: what the settings say.")
    management: Management | None = Field(
        None, description="What happens to an open position; none: what the settings say."
    )
    threshold: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _has_signal(self) -> StrategySpec:
        if self.kind != "ensemble" and self.long is None and self.short is None:
            raise ValueError("a rule strategy needs a 'long' or a 'short' condition")
        if self.kind == "ensemble" and (self.long is not None or self.short is not None):
            raise ValueError("an ensemble strategy takes its side from the forecast: leave out 'long' and 'short'")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> StrategySpec:
        if self.kind == "combined" and self.combine is None:
            raise ValueError("a combined strategy says how: combine = 'agree', 'probability' or 'filter'")
        if self.kind != "combined" and self.combine is not None:
            raise ValueError(f"'combine' is for kind = 'combined', this is kind = '{self.kind}'")
        if self.kind == "rule" and self.size.kelly_share is not None:
            raise ValueError("size.kelly_share needs a model's probability: leave it out of a rule")
        if self.kind != "rule" and not {self.exits.scalp, self.exits.swing} <= set(PROFILE_NAMES):
            raise ValueError("forecasts are made for a named exit profile: own exits are for rules")
        if self.kind != "rule" and self.management is not None and self.management.time_stop is not None:
            raise ValueError("management.time_stop: forecasts are made for the profile's time limit: leave it to rules")
        return self

    @model_validator(mode="after")
    def _partial_targets_can_be_reached(self) -> StrategySpec:
        farthest = max(self.profile(timeframe).target_ratio for timeframe in ("5m", "15m"))
        for at in () if self.management is None else self.management.target_at:
            if at >= farthest:
                raise ValueError(
                    f"management.target_at: {at:g} stop distances is not before the target, which lies at {farthest:g}"
                )
        return self

    def conditions(self) -> tuple[Condition | None, ...]:
        """Long, short, exit long, exit short."""
        return (self.long, self.short, self.exit_long, self.exit_short)

    @property
    def decides(self) -> Decides:
        """Who gives the side."""
        return Decides[(self.combine or self.kind).upper()]

    def comparisons(self) -> Iterator[tuple[str, Comparison]]:
        """Every comparison with its place in the document."""
        for place, condition in zip(SIDES, self.conditions(), strict=True):
            if condition is not None:
                yield from comparisons(condition, place)

    def features(self) -> tuple[str, ...]:
        """Every feature the conditions read, in order of appearance."""
        sides = ((c.left, c.right) for _, c in self.comparisons())
        return tuple(dict.fromkeys(value for pair in sides for value in pair if isinstance(value, str)))

    def profile(self, timeframe: str) -> ExitProfile:
        """The exit profile on a timeframe; own numbers come under the gates of the default one."""
        base = default_profile(timeframe)
        chosen = self.exits.scalp if base == "scalp" else self.exits.swing
        limit = None if self.management is None else self.management.time_stop
        if isinstance(chosen, str):
            named = exit_profile(chosen, timeframe)
            return named if limit is None else replace(named, name="own", limit_bars=limit)
        gate = exit_profile(base, timeframe)
        return ExitProfile(
            "own", _UNITS[chosen.unit], chosen.stop, chosen.target, limit or chosen.time_limit, gate.max_stop,
            gate.min_target, gate.target_in_stops,
        )  # fmt: skip

    def in_force(self, settings: TradingSettings) -> TradingSettings:
        """``settings`` as this strategy is traded under them: its own management and entry order in place of theirs,
        its sizes as limits below theirs."""
        own: dict[str, object] = {"sizing": self.size.under(settings.sizing)}
        if self.management is not None:
            own["management"] = self.management.settings()
        if self.entry is not None:
            own["matching"] = self.entry.under(settings.matching)
        return settings.model_copy(update=own)


def required_features(spec: StrategySpec, profile: ExitProfile) -> tuple[str, ...]:
    """Every feature that the desk reads for ``spec``: its conditions', the exits', sizing's and the gates'."""
    own = spec.features()
    needed = (profile.feature, "close", "atr_14", "volatility_96", "black_swan_ratio")
    return tuple(dict.fromkeys([*own, *(name for name in needed if name is not None)]))


# ---- from a parsed file ----------------------------------------------------------------------------------------------


def parse_strategy(document: object, origin: str) -> StrategySpec:
    """A checked strategy from a parsed TOML or JSON document.

    Raises:
        UserError: the document breaks the grammar; the sentence names the place and the reason.
    """
    if not isinstance(document, Mapping):
        raise UserError(f"{origin}: a strategy is a table of keys, not {type(document).__name__}.")
    for key in SIDES:
        if document.get(key) is not None:
            check_condition(document[key], key, origin)
    _check_own_exits(document.get("exits"), origin)
    try:
        return StrategySpec.model_validate(dict(document))
    except ValidationError as error:
        raise _refused(error, origin, "") from None


def _check_own_exits(exits: object, origin: str) -> None:
    """Own exits by themselves: among the names of profiles their errors would be lost."""
    for name in ("scalp", "swing"):
        own = exits.get(name) if isinstance(exits, Mapping) else None
        if isinstance(own, Mapping):
            try:
                OwnExit.model_validate(dict(own))
            except ValidationError as error:
                raise _refused(error, origin, f"exits.{name}.") from None
        elif own is not None and own not in PROFILE_NAMES:
            raise UserError(
                f"{origin}: exits.{name}: '{own}' is neither a profile ({', '.join(PROFILE_NAMES)}) nor "
                "{unit, stop, target, time_limit}."
            )


def _refused(error: ValidationError, origin: str, prefix: str) -> UserError:
    first = error.errors(include_url=False)[0]
    place = prefix + ".".join(str(part) for part in first["loc"]) or "document"
    return UserError(f"{origin}: {place}: {first['msg'].removeprefix('Value error, ')}{_nearest(first) or '.'}")


_PARTS: dict[str, type[Document] | type[Management]] = {
    "exits": Exits, "size": Size, "entry": EntryOrder, "management": Management,
}  # fmt: skip


def _nearest(error: ErrorDetails) -> str:
    """The name that an unknown one may have meant, where there is one."""
    if error["type"] != "extra_forbidden":
        return ""
    *inside, name = map(str, error["loc"])
    model = _PARTS.get(inside[0]) if inside else StrategySpec
    close = get_close_matches(name, model.model_fields if model else (), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


def check_features(spec: StrategySpec, origin: str, units: Mapping[str, str]) -> None:
    """Hold every comparison against the feature registry; ``units`` by feature.

    Raises:
        UserError: a feature is unknown, or two of different units are compared; names the place.
    """
    for place, comparison in spec.comparisons():
        found = []
        for side in ("left", "right"):
            name = getattr(comparison, side)
            if isinstance(name, str):
                if name not in units:
                    close = get_close_matches(name, units, 1)
                    hint = f"did you mean '{close[0]}'?" if close else "'features list' shows the registry."
                    raise UserError(f"{origin}: {place}.{side}: unknown feature '{name}': {hint}")
                found.append(units[name])
        if len(set(found)) > 1:
            raise UserError(
                f"{origin}: {place}: '{comparison.left}' is in {found[0]} and '{comparison.right}' in {found[1]}: "
                "compare features of one unit."
            )

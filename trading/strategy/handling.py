"""How a strategy's positions are entered, sized, left and managed, where its document says so itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ai.exits import ExitProfile, exit_profile
from trading.settings import ManagementSettings, MatchingSettings, SizingSettings
from trading.strategy.conditions import Document

MOST_BARS = 10_000  # that a position may be held
_TIMEFRAME = {"scalp": "5m", "swing": "15m"}  # one of each class, for its gates
_ROUNDING = 1e-12


class OwnExit(Document):
    """Exits in numbers of the strategy's own, held against the position gate of the timeframe's default profile."""

    unit: Literal["price", "atr", "volatility"] = Field(
        description="What the stop is a multiple of: the price, ATR(14), or price × volatility_96."
    )
    stop: float = Field(gt=0.0, le=100.0, description="Stop distance in that unit (0.004 of the price = 0.4 %).")
    target: float = Field(gt=0.0, le=100.0, description="Target distance as a multiple of the stop distance.")
    time_limit: int = Field(ge=1, le=MOST_BARS, strict=True, description="Bars after which the position is closed.")


Exit = Literal["scalp", "swing", "even"] | OwnExit


class Exits(Document):
    """Exit profile, or own numbers, per class of timeframe: ``scalp`` up to 5m, ``swing`` from 15m on."""

    scalp: Exit = "scalp"
    swing: Exit = "swing"

    @model_validator(mode="after")
    def _within_the_gate(self) -> Exits:
        for name, own in (("scalp", self.scalp), ("swing", self.swing)):
            if isinstance(own, OwnExit):
                _hold_against(exit_profile(name, _TIMEFRAME[name]), name, own)
        return self


def _hold_against(gate: ExitProfile, name: str, own: OwnExit) -> None:
    """Refuse what the position gate would block on every bar; ATR and volatility are judged plan by plan."""
    if own.unit == "price" and own.stop > gate.max_stop + _ROUNDING:
        raise ValueError(f"{name}.stop: {own.stop:g} of the price, the position gate allows {gate.max_stop:g}")
    reach = own.target if gate.target_in_stops else own.stop * own.target
    known = gate.target_in_stops or own.unit == "price"
    if known and reach < gate.min_target - _ROUNDING:
        of = "stop distances" if gate.target_in_stops else "of the price"
        raise ValueError(f"{name}.target: {reach:g} {of}, the position gate asks for {gate.min_target:g}")


class Size(Document):
    """Limits of the position's size that the strategy sets for itself; what the settings say is never exceeded."""

    risk_share: float | None = Field(default=None, gt=0.0, le=0.5, description="Most to lose at the stop, of equity.")
    kelly_share: float | None = Field(default=None, gt=0.0, le=1.0, description="Part of the Kelly bet (models).")
    volatility_target: float | None = Field(
        default=None, gt=0.0, le=5.0, description="Annual volatility brought at most."
    )
    margin_share: float | None = Field(
        default=None, gt=0.0, le=1.0, description="Initial margin bound at most, of equity."
    )
    leverage: float | None = Field(default=None, ge=1.0, le=125.0, description="Leverage a position is opened with.")

    def under(self, settings: SizingSettings) -> SizingSettings:
        """The smaller one of both, number by number."""
        own = self.model_dump(exclude_none=True)
        return settings.model_copy(update={name: min(value, getattr(settings, name)) for name, value in own.items()})


def _stops(distance: float) -> str:
    return f"{distance:g} stop distance{'' if distance == 1.0 else 's'}"


def _from(profit: float) -> str:
    return f"from a profit of {_stops(profit)} on" if profit > 0.0 else "from the entry on"


class Management(ManagementSettings):
    """What happens to an open position of the strategy, under the names and in the units of ``trading.management``.

    A document that carries it is managed by it alone: what it leaves out is off, whatever the settings say.
    """

    time_stop: int | None = Field(
        default=None, ge=1, le=MOST_BARS, strict=True, json_schema_extra={"unit": "bars"},
        description="Bars after which the position is closed, in place of the exit profile's time limit.",
    )  # fmt: skip

    def settings(self) -> ManagementSettings:
        """As settings; the time stop is part of the exit profile instead."""
        return ManagementSettings.model_validate(self.model_dump(exclude={"time_stop"}))

    def sentences(self) -> tuple[str, ...]:
        """What it does, in words."""
        said = [
            f"Closes {share:.0%} at a profit of {_stops(at)}."
            for at, share in zip(self.target_at, self.target_share, strict=True)
        ]
        if self.trailing > 0.0:
            away = f"{self.trailing:g} ATR" if self.trailing_unit == "atr" else _stops(self.trailing)
            said.append(f"The stop trails {away} behind the best price, {_from(self.trailing_after)}.")
        if self.break_even_after > 0.0:
            said.append(f"The stop stands at entry and costs, {_from(self.break_even_after)}.")
        if self.give_back > 0.0:
            said.append(
                f"At most {self.give_back:.0%} of the best profit is given back, {_from(self.give_back_after)}."
            )
        if self.adds > 0:
            said.append(
                f"Adds {self.add_share:.0%} of the first quantity up to {self.adds} times, after each profit of "
                f"{_stops(self.add_after)}."
            )
        if self.time_stop is not None:
            said.append(f"Closes after {self.time_stop:,} bars.")
        return tuple(said) or ("Levels stay where the plan puts them, whatever the settings say.",)


class EntryOrder(Document):
    """The order that opens a position, in place of ``entry``, ``entry_distance`` and ``entry_bars`` of the settings."""

    order: Literal["market", "limit", "stop"] = Field(
        description="At the next open; a resting limit nearer to the stop than the close; or a stop beyond the close."
    )
    distance: float | None = Field(
        default=None, ge=0.0, le=10.0, json_schema_extra={"unit": "stop distances"},
        description="From the close to the level of a limit or stop entry.",
    )  # fmt: skip
    bars: int | None = Field(
        default=None, ge=1, le=MOST_BARS, strict=True, json_schema_extra={"unit": "bars"},
        description="For which a limit or stop entry works before it expires (1 where left out).",
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits_its_order(self) -> EntryOrder:
        if self.order == "market" and (self.distance is not None or self.bars is not None):
            raise ValueError("a market entry is at the next open: leave out distance and bars")
        if self.order != "market" and self.distance is None:
            raise ValueError(f"a {self.order} entry needs its distance from the close, in stop distances")
        return self

    def sentences(self) -> tuple[str, ...]:
        """What it does, in words."""
        if self.order == "market":
            return ("Enters at the next open.",)
        bars = self.bars or 1
        away = _stops(self.distance or 0.0)
        where = f"{away} nearer to the stop than the close" if self.order == "limit" else f"{away} beyond the close"
        return (f"Enters by a {self.order} order {where}; it works for {bars:,} bar{'s' if bars > 1 else ''}.",)

    def under(self, settings: MatchingSettings) -> MatchingSettings:
        """The settings with this order in place of theirs."""
        own: dict[str, Any] = {"entry": self.order, "entry_bars": self.bars or 1}
        if self.distance is not None:
            own["entry_distance"] = self.distance
        return settings.model_copy(update=own)

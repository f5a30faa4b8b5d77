"""Trading rules that change while a run goes on: tick, lot, least value, and symbols that settle or are delisted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from data.errors import QuantError, Rejected, Retryable
from data.exchange.session import ExchangeSession
from data.instruments import Instrument
from data.market import short_symbol, unified_symbol

ROUNDING = frozenset({"tick", "lot", "min_notional", "min_quantity", "max_quantity", "market_max_quantity"})
Trouble = Callable[[QuantError], None]


@dataclass(frozen=True, slots=True)
class RulesChange:
    """The rules of one symbol, before and after."""

    symbol: str
    before: Instrument
    after: Instrument

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the fields of :class:`Instrument` that differ."""
        names = (field.name for field in fields(Instrument))
        return tuple(name for name in names if getattr(self.before, name) != getattr(self.after, name))

    @property
    def needs_rounding(self) -> bool:
        """Prices and quantities of orders that rest or are planned have to be rounded anew."""
        return not ROUNDING.isdisjoint(self.changed)

    @property
    def ends_trading(self) -> bool:
        """No entries any more, and what is held has to be closed in order."""
        return self.before.status == "trading" and self.after.status != "trading"

    @property
    def sentence(self) -> str:
        """What changed, for a person."""
        name = short_symbol(self.symbol)
        if self.ends_trading:
            word = "is being settled" if self.after.status == "settling" else "is delisted"
            return f"{name} {word}: no entries, and its position has to be closed."
        parts = (f"{field} {getattr(self.before, field)} → {getattr(self.after, field)}" for field in self.changed)
        return f"The trading rules of {name} changed: {', '.join(parts)}."


class RulesWatch:
    """Reads the rules of ``symbols`` again every ``rules_refresh_s`` and says what changed.

    ``rules`` holds what is valid now; the first look fills it and reports no change of its own.
    """

    def __init__(
        self, session: ExchangeSession, symbols: Sequence[str], rules: Mapping[str, Instrument] | None = None
    ) -> None:
        self.rules: dict[str, Instrument] = dict(rules or {})
        self._session = session
        self._symbols = tuple(unified_symbol(symbol) for symbol in symbols)

    async def look(self) -> list[RulesChange]:
        """One look; a symbol that is gone from the list is delisted only if a second look does not show it either."""
        listed = await self._session.instruments(self._symbols, reload=True)
        if any(name in self.rules and name not in listed and not self._ended(name) for name in self._symbols):
            await self._session.sleep(self._session.settings.confirm_delay_s)
            listed = await self._session.instruments(self._symbols, reload=True)
        changes = []
        for name in self._symbols:
            before = self.rules.get(name)
            after = listed.get(name) or (replace(before, status="delisted") if before is not None else None)
            if after is None:
                continue
            if before is not None and before.tiers and not after.tiers:
                after = replace(after, tiers=before.tiers)  # read apart, see ``ExchangeSession.instrument``
            self.rules[name] = after
            if before is not None and before != after:
                changes.append(RulesChange(name, before, after))
        return changes

    async def changes(self, on_trouble: Trouble | None = None) -> AsyncIterator[RulesChange]:
        """Changes as they come, without end; a look that fails is told to ``on_trouble`` and made again in time."""
        while True:
            try:
                found = await self.look()
            except (Retryable, Rejected) as error:
                found = []
                if on_trouble is not None:
                    on_trouble(error)
            for change in found:
                yield change
            await self._session.sleep(self._session.settings.rules_refresh_s)

    def _ended(self, name: str) -> bool:
        return self.rules[name].status == "delisted"

"""What the exchange on loopback knows: series of candles, mark and index prices, funding, and rules that change.

Everything is a function of the moment it is asked for: rules, funding intervals and bad candles are laid down with
the times between which they hold. A bar that still forms is made from the prints of its minutes (:mod:`tape`), so
REST and streams say the same at every moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from data.instruments import INSTRUMENTS, Instrument, instrument_for
from data.market import Frame, FundingFrame, Int64Array, SeriesKey, short_symbol
from data.timeframes import HOUR_MS, timeframe_ms
from tests.exchange.tape import Bar, Tape

Series = dict[tuple[str, str], Frame]
ALWAYS = 10**15
ORDER_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
USUAL_HOURS = 8
USUAL_RATE = 0.0001


@dataclass(frozen=True)
class SymbolRules:
    """Trading rules of a symbol at a moment; ``listed`` False: it is no longer in exchangeInfo."""

    tick: Decimal
    lot: Decimal
    min_notional: float
    status: str = "TRADING"
    order_types: tuple[str, ...] = ORDER_TYPES
    listed: bool = True


@dataclass(frozen=True)
class BarChange:
    """A bar that is shown otherwise than it was, from ``from_ms`` until ``until_ms``; ``values`` None: not at all.

    ``values`` maps the columns of a bar to numbers (NaN is sent as text). ``timeframe`` empty: every bar that holds
    the moment ``open_ms``. ``where`` is ``rest``, ``stream`` or ``both``.
    """

    name: str
    timeframe: str
    open_ms: int
    values: dict[str, float] | None
    from_ms: int = 0
    until_ms: int = ALWAYS
    where: str = "both"

    def holds(self, name: str, timeframe: str, open_ms: int, now_ms: int, where: str) -> bool:
        """Whether it changes this bar as seen now."""
        if name != self.name or not self.from_ms <= now_ms < self.until_ms or self.where not in ("both", where):
            return False
        if self.timeframe:
            return timeframe == self.timeframe and open_ms == self.open_ms
        return open_ms <= self.open_ms < open_ms + timeframe_ms(timeframe)


@dataclass
class Market:
    """Series by (id, timeframe), and funding by id. ``add`` is enough; the rest changes what was added."""

    candles: Series = field(default_factory=dict)
    mark: Series = field(default_factory=dict)
    index: Series = field(default_factory=dict)
    funding: dict[str, FundingFrame] = field(default_factory=dict)
    tape: Tape = field(default_factory=Tape)
    changes: list[BarChange] = field(default_factory=list)
    spikes: dict[str, list[tuple[int, float]]] = field(default_factory=dict)  # by id: moment, price
    _rules: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    _hours: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _rates: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    _resampled: dict[tuple[int, str], tuple[Frame, Frame]] = field(default_factory=dict)

    def add(
        self,
        frame: Frame,
        funding: FundingFrame | None = None,
        mark: Frame | None = None,
        index: Frame | None = None,
    ) -> None:
        """Serve a series; without others of their own its mark and index prices are the same prices.

        The finest timeframe of a symbol is what its trades and book are made from; timeframes that were not added are
        made from it.
        """
        name, timeframe = short_symbol(frame.key.symbol), frame.key.timeframe
        self.candles[name, timeframe] = frame
        self.mark[name, timeframe] = frame if mark is None else mark
        self.index[name, timeframe] = self.mark[name, timeframe] if index is None else index
        if funding is not None:
            self.funding[name] = funding

    @property
    def symbols(self) -> list[str]:
        """The ids that were ever traded here."""
        return sorted({name for name, _ in self.candles})

    def traded(self, now_ms: int) -> list[str]:
        """The ids that are listed now."""
        return [name for name in self.symbols if self.rules(name, now_ms).listed]

    def rules(self, name: str, now_ms: int) -> SymbolRules:
        """The rules as they are at a moment."""
        base = self._instrument(name)
        rules = SymbolRules(base.tick, base.lot, base.min_notional)
        for at_ms, changed in self._rules.get(name, ()):
            if at_ms <= now_ms:
                rules = replace(rules, **changed)
        return rules

    def _instrument(self, name: str) -> Instrument:
        for rules in INSTRUMENTS.values():
            if short_symbol(rules.symbol) == name:
                return rules
        return instrument_for(name)

    def change_rules(self, name: str, at_ms: int = 0, **changes: Any) -> None:
        """From ``at_ms`` on ``tick``, ``lot``, ``min_notional``, ``status``, ``order_types``, ``listed`` differ."""
        for step in ("tick", "lot"):
            if step in changes:
                changes[step] = Decimal(str(changes[step]))
        self._rules.setdefault(name, []).append((at_ms, changes))
        self._rules[name].sort(key=lambda change: change[0])

    def halted_ms(self, name: str) -> int:
        """The moment from which a symbol no longer trades."""
        return min(
            (at for at, c in self._rules.get(name, ()) if c.get("status", "TRADING") != "TRADING"), default=ALWAYS
        )

    def delist(self, name: str, at_ms: int, gone_ms: int | None = None) -> None:
        """Trading ends (``SETTLING``) at ``at_ms``; at ``gone_ms`` the symbol leaves exchangeInfo."""
        self.change_rules(name, at_ms, status="SETTLING")
        if gone_ms is not None:
            self.change_rules(name, gone_ms, listed=False)

    def change_funding_interval(self, name: str, hours: int, at_ms: int = 0) -> None:
        """From ``at_ms`` on funding is settled every ``hours`` (on the grid of the day)."""
        self._hours.setdefault(name, []).append((at_ms, hours))
        self._hours[name].sort()

    def funding_hours(self, name: str, now_ms: int) -> int:
        """Hours between settlements at a moment."""
        return next((h for at, h in reversed(self._hours.get(name, [])) if at <= now_ms), USUAL_HOURS)

    def spike_funding(self, name: str, rate: float, at_ms: int) -> None:
        """The first settlement at or after ``at_ms`` has this rate."""
        self._rates.setdefault(name, []).append((at_ms, rate))

    def next_settlement(self, name: str, now_ms: int) -> int:
        """The first settlement after a moment."""
        step = self.funding_hours(name, now_ms) * HOUR_MS
        return (now_ms // step + 1) * step

    def settlements(self, name: str, end_ms: int) -> FundingFrame | None:
        """All settlements up to ``end_ms``: as recorded, or made on the declared intervals with recorded rates."""
        held = self.funding.get(name)
        if held is None:
            return None
        time, rate, mark = held.time, held.rate.copy(), held.mark_price
        if name in self._hours and len(held):
            time = self._grid(name, int(held.time[0]), end_ms)
            at = np.clip(np.searchsorted(held.time, time, side="right") - 1, 0, None)
            rate, mark = held.rate[at].copy(), held.mark_price[at].copy()
        for at_ms, spiked in self._rates.get(name, ()):
            first = int(np.searchsorted(time, at_ms))
            if first < len(time):
                rate[first] = spiked
        count = int(np.searchsorted(time, end_ms, side="right"))
        return FundingFrame(held.exchange, held.symbol, held.source, time[:count], rate[:count], mark[:count])

    def _grid(self, name: str, start_ms: int, end_ms: int) -> Int64Array:
        times, at = [start_ms], start_ms
        while (at := self.next_settlement(name, at)) <= end_ms:
            times.append(at)
        return np.array(times, dtype=np.int64)

    def coming_rate(self, name: str, now_ms: int) -> float:
        """The rate of the settlement that is being built up."""
        due = self.next_settlement(name, now_ms)
        held = self.settlements(name, due)
        return float(held.rate[-1]) if held is not None and len(held) and held.time[-1] == due else USUAL_RATE

    def base(self, name: str) -> Frame:
        """The finest series of a symbol."""
        steps = [timeframe for held, timeframe in self.candles if held == name]
        return self.candles[name, min(steps, key=timeframe_ms)]

    def series(self, name: str, timeframe: str, held: Series) -> Frame | None:
        """A series as it was added, or made from the symbol's finest one; ``None`` where it cannot be."""
        if (name, timeframe) in held:
            return held[name, timeframe]
        steps = [t for n, t in held if n == name and timeframe_ms(timeframe) % timeframe_ms(t) == 0]
        if not steps:
            return None
        finest = held[name, min(steps, key=timeframe_ms)]
        kept = self._resampled.get((id(held), f"{name} {timeframe}"))
        if kept is None or kept[0] is not finest:
            kept = (finest, resampled(finest, timeframe))
            self._resampled[id(held), f"{name} {timeframe}"] = kept
        return kept[1]

    def bar(
        self, name: str, timeframe: str, open_ms: int, now_ms: int, where: str, held: Series | None = None
    ) -> Bar | None:
        """One bar as it stands now: closed as it was added, forming from the prints so far; ``None``: there is none."""
        kind = self.candles if held is None else held
        frame = self.series(name, timeframe, kind)
        if frame is None or open_ms >= self.halted_ms(name):
            return None
        at = int(np.searchsorted(frame.open_time, open_ms))
        step = timeframe_ms(timeframe)
        if open_ms + step <= now_ms:
            found = Bar.of(frame, at) if at < len(frame) and frame.open_time[at] == open_ms else None
        else:
            found = self._forming(name, timeframe, open_ms, now_ms, kind)
        return self._changed(found, name, timeframe, open_ms, now_ms, where) if kind is self.candles else found

    def _forming(self, name: str, timeframe: str, open_ms: int, now_ms: int, held: Series) -> Bar | None:
        steps = [t for n, t in held if n == name and timeframe_ms(timeframe) % timeframe_ms(t) == 0]
        finest = held[name, min(steps, key=timeframe_ms)]
        step = timeframe_ms(finest.key.timeframe)
        last = now_ms // step * step
        first, stop = np.searchsorted(finest.open_time, [open_ms, last])
        bars = [Bar.of(finest, i) for i in range(first, stop)]
        if stop < len(finest) and finest.open_time[stop] == last:
            bars.append(self.tape.so_far(name, Bar.of(finest, int(stop)), step, self._steps(name), now_ms))
        return Bar.joined(bars, open_ms) if bars else None

    def _steps(self, name: str) -> tuple[float, float]:
        rules = self._instrument(name)
        return float(rules.tick), float(rules.lot)

    def _changed(self, bar: Bar | None, name: str, timeframe: str, open_ms: int, now_ms: int, where: str) -> Bar | None:
        for moment, price in self.spikes.get(name, ()):
            if bar is not None and moment <= now_ms and open_ms <= moment < open_ms + timeframe_ms(timeframe):
                bar = replace(bar, high=max(bar.high, price), low=min(bar.low, price))
        for change in self.changes:
            if bar is not None and change.holds(name, timeframe, open_ms, now_ms, where):
                bar = None if change.values is None else replace(bar, **change.values)
        return bar

    def shown(
        self, name: str, timeframe: str, start_ms: int | None, end_ms: int, limit: int, now_ms: int, held: Series
    ) -> list[Bar] | None:
        """Bars as klines shows them: from ``start_ms`` on, else the newest; the forming one included."""
        frame = self.series(name, timeframe, held)
        if frame is None:
            return None
        stop = min(end_ms, now_ms, self.halted_ms(name) - 1)
        stop_row = int(np.searchsorted(frame.open_time, stop, side="right"))
        first = 0 if start_ms is None else int(np.searchsorted(frame.open_time, start_ms))
        rows = range(first, stop_row)
        rows = rows[:limit] if start_ms is not None else rows[max(0, len(rows) - limit) :]
        step, touched = timeframe_ms(timeframe), self._touched(name, held)
        found: list[Bar] = []
        for row in rows:
            open_ms = int(frame.open_time[row])
            plain = open_ms + step <= now_ms and not touched
            bar = Bar.of(frame, row) if plain else self.bar(name, timeframe, open_ms, now_ms, "rest", held)
            if bar is not None:
                found.append(bar)
        return found

    def _touched(self, name: str, held: Series) -> bool:
        return held is self.candles and (name in self.spikes or any(c.name == name for c in self.changes))

    def prints(self, name: str, open_ms: int) -> Any:
        """The trades of the finest bar that opens at ``open_ms`` (``None`` where there is none), spikes included."""
        frame = self.base(name)
        at = int(np.searchsorted(frame.open_time, open_ms))
        if at >= len(frame) or frame.open_time[at] != open_ms or open_ms >= self.halted_ms(name):
            return None
        prints = self.tape.prints(name, Bar.of(frame, at), timeframe_ms(frame.key.timeframe), *self._steps(name))
        for moment, price in self.spikes.get(name, ()):
            prints = prints.spiked(moment, price)
        return prints

    def last_price(self, name: str, now_ms: int) -> tuple[float, bool] | None:
        """Price of the last trade and whether its taker bought; ``None`` before the first."""
        frame = self.base(name)
        row = int(np.searchsorted(frame.open_time, min(now_ms, self.halted_ms(name) - 1), side="right")) - 1
        if row < 0:
            return None
        prints = self.tape.prints(name, Bar.of(frame, row), timeframe_ms(frame.key.timeframe), *self._steps(name))
        return prints.last(now_ms)


def resampled(frame: Frame, timeframe: str) -> Frame:
    """Bars of a longer timeframe; the last one may lack parts (the market ends in it)."""
    step = timeframe_ms(timeframe)
    group = frame.open_time // step
    key = SeriesKey(frame.key.exchange, frame.key.symbol, timeframe, frame.key.kind, frame.key.source)
    if not len(frame):
        return Frame.empty(key)
    first = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    last = np.append(first[1:], len(group)) - 1
    return Frame.of(
        key, group[first] * step, frame.open[first], np.maximum.reduceat(frame.high, first),
        np.minimum.reduceat(frame.low, first), frame.close[last], np.add.reduceat(frame.volume, first),
    )  # fmt: skip

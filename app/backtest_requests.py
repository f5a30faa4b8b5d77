"""What a person types into the window's form, as a request of ``backtest`` and ``sweep``; wrong words are refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ai.exits import PROFILE_NAMES
from app.backtests import Request, chosen, series_of
from app.wiring import Workplace
from data.clock import iso
from data.errors import UserError
from data.market import SeriesInfo, short_symbol, unified_symbol
from data.timeframes import parse_time

if TYPE_CHECKING:
    from app.contract.forms import BacktestForm

GATES, ON_HALT = ("enforce", "observe"), ("stop", "next-day", "next-month")
AXES = 2  # of a sweep that is shown as a map
FORM = "The form"
Typed = Iterable[tuple[str, str]]


def request_of(form: BacktestForm) -> Request:
    """The request of ``backtest``.

    Raises:
        UserError: a date, the seed or a choice is wrong.
    """
    if not form.symbols:
        raise UserError("Choose at least one symbol to trade.")
    if not form.strategy:
        raise UserError("Choose a strategy to trade.")
    start = parse_time(form.since) if form.since else None
    end = parse_time(form.until) if form.until else None
    if start is not None and end is not None and end <= start:
        raise UserError(f"The period ends ({form.until}) before it begins ({form.since}): give an earlier first day.")
    for word, choices in ((form.gates, GATES), (form.on_halt, ON_HALT), (form.exits or "swing", PROFILE_NAMES)):
        if word not in choices:
            raise UserError(f"'{word}' is not known: use {', '.join(choices)}.")
    if form.seed and not form.seed.isdecimal():
        raise UserError(f"The seed '{form.seed}' is no whole number from 0 on.")
    return Request(
        symbols=tuple(unified_symbol(symbol) for symbol in form.symbols), timeframe=form.timeframe,
        strategy=form.strategy, schedule=form.schedule or None, start_ms=start, end_ms=end,
        enforce=form.gates == "enforce", on_halt=form.on_halt, exchange=form.exchange or None,
        source=form.source or None, exit_profile=form.exits or None, seed=int(form.seed) if form.seed else None,
    )  # fmt: skip


def values_of(typed: Typed) -> dict[str, Any]:
    """Single values by key: numbers and switches where the text is one, else the text."""
    return {key: value_of(text) for key, text in typed if text.strip()}


def value_of(text: str) -> Any:
    """``25``, ``0.5``, ``true`` or a word."""
    plain = text.strip()
    if plain in ("true", "false"):
        return plain == "true"
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return plain


def grid_text(grid: Typed, overrides: Typed) -> str:
    """A grid as TOML: the lists that are varied, and each override as a list of one.

    Raises:
        UserError: nothing is varied, a list is empty, or there are more than the axes of a map.
    """
    rows = [(key.strip(), [value_of(part) for part in text.split(",") if part.strip()]) for key, text in grid if key]
    if not rows:
        raise UserError("Say what the sweep varies: a number of the strategy or a setting, and its values.")
    for key, values in rows:
        if not values:
            raise UserError(f"'{key}': give its values, separated by commas, as 25, 30, 35.")
    if len(rows) > AXES or len({key for key, _ in rows}) < len(rows):
        raise UserError("A sweep here varies one or two different numbers; 'sweep' on the command line takes more.")
    varied = {key for key, _ in rows}
    rows += [(key, [value]) for key, value in values_of(overrides).items() if key not in varied]
    return "".join(f"{json.dumps(key)} = {json.dumps(values)}\n" for key, values in rows)


def check(place: Workplace, form: BacktestForm) -> Request:
    """The request, refused at once where series, strategy, forecasts or period are not there.

    Raises:
        UserError: says which, in one sentence.
    """
    request = request_of(form)
    keys = series_of(place, request)
    chosen(place, request, keys)
    stored = {info.key: info for info in place.database.candles.series()}
    for key in keys:
        _check_period(request, stored[key])
    return request


def _check_period(request: Request, info: SeriesInfo) -> None:
    end = info.last_ms + info.key.step_ms
    before = request.end_ms is not None and request.end_ms <= info.first_ms
    after = request.start_ms is not None and request.start_ms >= end
    if before or after:
        raise UserError(
            f"No bar of {short_symbol(info.key.symbol)} {info.key.timeframe} lies {_period(request)}: stored are "
            f"{_day(info.first_ms)} to {_day(end)}."
        )


def _period(request: Request) -> str:
    start, end = request.start_ms, request.end_ms
    if start is not None and end is not None:
        return f"from {_day(start)} to {_day(end)}"
    return f"from {_day(start)} on" if start is not None else f"before {_day(end)}"


def _day(ms: int | None) -> str:
    return str(iso(ms))[:10]

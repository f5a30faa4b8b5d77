"""Options that several commands share, with their explanations, and what every command is given."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from app.output import Output
from data.errors import UserError
from data.timeframes import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.options import RunOptions
    from app.wiring import Workplace


@dataclass(frozen=True, slots=True)
class Invocation:
    """The home folder as the person wrote it, and where to write."""

    home_text: str | None
    out: Output
    run: Callable[[RunOptions], None] | None = None  # takes the options of ``run`` instead of the terminal

    @property
    def home(self) -> Path:
        """``--home``, else ``QUANTAI_HOME``, else the platform's user-data folder."""
        from app.wiring import home_path

        return home_path(self.home_text)

    def workplace(self) -> AbstractContextManager[Workplace]:
        """The opened home: database, settings, clock. Use as a context manager."""
        from app.wiring import Workplace

        return Workplace.opened(self.home)


def invocation(context: typer.Context) -> Invocation:
    """What this command was given."""
    return cast(Invocation, context.obj)


def moment(text: str | None) -> int | None:
    """A date option in milliseconds UTC, ``None`` where it was not given."""
    return None if text is None else parse_time(text)


def span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """``--from`` and ``--to`` in milliseconds UTC.

    Raises:
        UserError: no date, or the end is not after the start.
    """
    first, last = moment(start), moment(end)
    if first is not None and last is not None and last <= first:
        raise UserError(f"--to {end} is not after --from {start}: give a later end.")
    return first, last


def names(text: str | None) -> tuple[str, ...] | None:
    """``a,b`` as a tuple without blanks, ``None`` where nothing was given."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip()) or None


def symbols(text: str) -> tuple[str, ...]:
    """``BTCUSDT,ETHUSDT`` as unified symbols, in order, each once.

    Raises:
        UserError: a part names no linear perpetual, or there is none.
    """
    from data.market import unified_symbol

    found = dict.fromkeys(unified_symbol(part) for part in names(text) or ())
    if not found:
        raise UserError("No symbol given: write for example BTCUSDT or BTCUSDT,ETHUSDT.")
    return tuple(found)


def account_number(text: str | None) -> int | str | None:
    """``--account``: ``None`` (the newest), ``"all"`` or a number.

    Raises:
        UserError: anything else.
    """
    if text is None or text == "all":
        return text
    if not text.isdigit():
        raise UserError(f"'{text}' is no account: give its number, or 'all'.")
    return int(text)


SymbolOption = Annotated[str, typer.Option("--symbol", help="Symbol, BTCUSDT or BTC/USDT:USDT.", metavar="S")]
MaybeSymbolOption = Annotated[
    str | None, typer.Option("--symbol", help="Only this symbol, BTCUSDT or BTC/USDT:USDT (default: all).", metavar="S")
]
SymbolsOption = Annotated[
    str, typer.Option("--symbols", "--symbol", help="Symbols, separated by commas.", metavar="S[,T]")
]
TimeframeOption = Annotated[
    str, typer.Option("--timeframe", help="Length of a bar: 1m 5m 15m 1h 4h 8h 1d.", metavar="TF")
]
MaybeTimeframeOption = Annotated[
    str | None,
    typer.Option("--timeframe", help="Length of a bar: 1m 5m 15m 1h 4h 8h 1d (default: all).", metavar="TF"),
]
ExchangeOption = Annotated[
    str | None, typer.Option("--exchange", help="Exchange of the series (default: binanceusdm).", metavar="E")
]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source", help="'exchange' or 'synthetic', where a series is stored from both (default: the only one)."
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="First open time, UTC, as 2024-05-01 (default: the first stored).", metavar="D"),
]
ToOption = Annotated[
    str | None,
    typer.Option("--to", help="End, UTC, not included, as 2024-06-01 (default: after the last stored).", metavar="D"),
]
ModelsOption = Annotated[
    str | None,
    typer.Option(
        "--models",
        help="Members of the ensemble, by commas: logistic, random_forest, hist_boosting, xgboost, lightgbm, catboost "
        "(default: the setting).",
        metavar="a,b",
    ),
]  # fmt: skip
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Seed of every random number, an integer (default: the setting, 7).", min=0)
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="Processes (default: the setting, else every core if worth it)."
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDR", help="Dask scheduler that does the work, as tcp://host:8786."),
]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="Number of the account, or 'all' (default: the newest).", metavar="ID")
]
LimitOption = Annotated[int, typer.Option("--limit", help="At most this many rows, the newest ones.", min=1)]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit with 1 where something is found.")]

"""``profile``: the named bundles of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.parameters import invocation
from app.output import Column, plain, show_table

if TYPE_CHECKING:
    from rich.console import Console

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As sigma; 'profile list' shows them all.")]

STOPS = {"percent": "{:.1%} of the price", "atr": "{:g} ATR", "volatility": "{:g} standard deviations of 96 returns"}


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    profile = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    profile.command("list", help="The profiles, each with what it does.")(names)
    profile.command("show", help="One profile: its settings, its exits, and what of its design is not built yet.")(show)
    app.add_typer(profile, name="profile", help="Named bundles of settings; 'run --profile NAME' trades one.")


def names(context: typer.Context) -> None:
    """The profiles."""
    from app.profiles import listed

    given = invocation(context)
    document = listed()
    columns = [Column("name"), Column("timeframe"), Column("strategy"), Column("exit_profile", "exits"),
               Column("sentence", "what it does")]  # fmt: skip
    given.out.document(document, lambda console: show_table(console, document["profiles"], columns))


def show(context: typer.Context, name: NameArgument) -> None:
    """One profile."""
    from app.profiles import shown

    given = invocation(context)
    document = shown(name)

    def human(console: Console) -> None:
        console.print(document["sentence"], markup=False)
        rows = [{**row, "value": plain(row["value"]), "default": plain(row["default"])} for row in document["settings"]]
        show_table(console, rows, [Column("key"), Column("value"), Column("unit"), Column("default")])
        exits = document["exits"]
        stop = STOPS[exits["unit"]].format(exits["stop"])
        console.print(
            f"Exits '{exits['profile']}': stop {stop}, target {exits['target_ratio']:g} times the stop, out after "
            f"{exits['limit_bars']} bars.",
            markup=False,
        )
        for sentence in document["not_expressed"]:
            console.print(f"Not built yet: {sentence}", markup=False)

    given.out.document(document, human)

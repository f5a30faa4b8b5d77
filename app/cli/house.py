"""The program itself: ``settings`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.parameters import CheckOption, invocation
from app.output import Column, plain, show_table
from data.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from database.repositories import Repositories

KeyArgument = Annotated[
    str | None,
    typer.Argument(metavar="[KEY]", help="A key, as risk.max_daily_loss or a bare unique name (default: all)."),
]
SetKeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="A key, dotted or a bare unique name, as model_retrain_every_n_steps.")
]
ValueArgument = Annotated[str, typer.Argument(metavar="VALUE", help="The new value, in the unit that 'get' shows.")]
MoreArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY VALUE]...", help="More of them, checked and stored together.")
]
ResetArgument = Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, dotted or bare unique names.")]

COLUMNS = [
    Column("key"), Column("value"), Column("unit"), Column("default"), Column("min"), Column("max"), Column("origin"),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    settings = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    settings.callback()(all_settings)
    settings.command("get", help="Show settings with unit, range and where each value comes from.")(get)
    settings.command("set", help="Change a setting; it is stored and written to the audit.")(change)
    settings.command("reset", help="Forget a change: settings.toml or the default holds again.")(reset)
    app.add_typer(settings, name="settings", help="Settings: get, set (alone: get).")
    app.command("doctor", help="Check installation, keychain, clock, disk, database and caches.")(doctor)


def all_settings(context: typer.Context) -> None:
    """Without ``get`` or ``set``: every setting."""
    if context.invoked_subcommand is None:
        get(context)


def get(context: typer.Context, key: KeyArgument = None) -> None:
    """Settings with unit, range and origin."""
    given = invocation(context)
    with given.workplace() as place:
        rows = place.settings.describe(key)

    def human(console: Console) -> None:
        show_table(console, [{**row, "value": plain(row["value"])} for row in rows], COLUMNS)
        if key is not None:
            console.print(str(rows[0]["sentence"]), markup=False)

    given.out.document({"settings": rows}, human)


def change(context: typer.Context, key: SetKeyArgument, value: ValueArgument, more: MoreArgument = None) -> None:
    """Store a change, or several that fit only together."""
    from app.settings import change_all

    pairs = [key, value, *(more or [])]
    if len(pairs) % 2:
        raise UserError(f"'{pairs[-1]}' has no value: give every key one, as in 'settings set KEY VALUE KEY VALUE'.")
    texts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    _store(context, lambda database, folder: change_all(database, folder, texts))


def reset(context: typer.Context, keys: ResetArgument) -> None:
    """Forget a change, or several that fit only together."""
    from app.settings import reset_all

    _store(context, lambda database, folder: reset_all(database, folder, keys))


def _store(context: typer.Context, work: Callable[[Repositories, Path], list[dict[str, object]]]) -> None:
    """Without reading the settings first: a wrong one must not keep itself from being corrected."""
    from database.home import Home

    given = invocation(context)
    with Home(given.home).open() as database:
        rows = work(database, given.home)

    def human(console: Console) -> None:
        for row in rows:
            unit = f" {row['unit']}" if row["unit"] and row["kind"] == "number" else ""
            shadow = " (the environment says so)" if row["origin"] == "environment" else ""
            console.print(f"{row['key']} is now {plain(row['value'])}{unit}{shadow}.", markup=False)

    given.out.document({"settings": rows}, human)


def doctor(context: typer.Context, check: CheckOption = False) -> None:
    """Checks of the installation."""
    from app.doctor import examine

    given = invocation(context)
    checks = examine(given.home)

    def human(console: Console) -> None:
        show_table(console, checks, [Column("name"), Column("ok"), Column("detail")])

    given.out.document({"checks": checks}, human)
    if check and not all(row["ok"] for row in checks):
        raise typer.Exit(1)

"""Declared strategies: ``strategy list``, ``show``, ``apply``, ``check``, ``schema``, ``copy``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from app.cli.parameters import invocation
from app.cli.reports import show_strategy
from app.output import Column, show_table

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A strategy of the library.")]
ApplyArgument = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A strategy of the library, or a strategy file.")
]
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A strategy file (TOML or JSON).")]
CopyArgument = Annotated[str, typer.Argument(metavar="FILE", help="The JSON file to write; it must not exist yet.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    strategy = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    strategy.command("list", help="The strategies of the library.")(strategy_list)
    strategy.command("show", help="One strategy, whole.")(strategy_show)
    strategy.command("apply", help="Let 'run' trade a strategy from its next start on.")(strategy_apply)
    strategy.command("check", help="Check a strategy file.")(strategy_check)
    strategy.command("schema", help="The JSON schema that strategy files follow.")(strategy_schema)
    strategy.command("copy", help="Write a strategy of the library to a file, to be changed.")(strategy_copy)
    app.add_typer(strategy, name="strategy", help="Declared strategies.")


def strategy_list(context: typer.Context) -> None:
    """The library."""
    from app.strategies import library

    given = invocation(context)
    document = library()
    columns = [Column("name"), Column("kind"), Column("sentence", "what it does")]
    given.out.document(document, lambda console: show_table(console, document["strategies"], columns))


def strategy_show(context: typer.Context, name: NameArgument) -> None:
    """One strategy."""
    from app.strategies import shown

    given = invocation(context)
    document = shown(name)
    given.out.document(document, lambda console: show_strategy(console, document))


def strategy_apply(context: typer.Context, name: ApplyArgument) -> None:
    """Choose what is traded."""
    from app.strategies import applied
    from database.home import Home

    given = invocation(context)
    with Home(given.home).open() as database:
        document = applied(database, given.home, name)
    setting = document["setting"]
    words = f"'{document['strategy']}' is what 'run' trades from its next start on."
    if setting["origin"] == "environment":
        words = f"'{document['strategy']}' is stored, but the environment says run.strategy = {setting['value']}."
    given.out.document(document, lambda console: console.print(words, markup=False, soft_wrap=True))


def strategy_check(context: typer.Context, file: FileArgument) -> None:
    """A strategy file."""
    from app.strategies import checked

    given = invocation(context)
    document = checked(file)
    given.out.document(document, lambda console: show_strategy(console, document))


def strategy_schema(context: typer.Context) -> None:
    """The grammar for editors and other programs."""
    from app.strategies import schema

    given = invocation(context)
    document = schema()
    text = json.dumps(document, indent=2)
    given.out.document(document, lambda console: console.print(text, markup=False, highlight=False, soft_wrap=True))


def strategy_copy(context: typer.Context, name: NameArgument, file: CopyArgument) -> None:
    """A library strategy as a file of one's own."""
    from app.strategies import copied

    given = invocation(context)
    document = copied(name, file)
    words = f"{document['strategy']} is now in {document['file']}: change it, then 'strategy check {document['file']}'."
    given.out.document(document, lambda console: console.print(words, markup=False, soft_wrap=True))

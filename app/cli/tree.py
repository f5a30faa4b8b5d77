"""The tree of commands. Importing it loads no market, model or window code: each command imports what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, cast

import typer

from app.cli import (
    bundles,
    house,
    keychain,
    ledger,
    market,
    models,
    parity,
    research,
    running,
    searching,
    strategies,
    tuning,
    walking,
    what_if,
)
from app.cli.parameters import Invocation
from app.options import RunOptions
from app.output import Output

UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])  # typer's own, whatever click it carries

INTERRUPTED = 130  # what typer makes of Ctrl+C; the entry says its own sentence

ROOT_HELP = (
    "QuantAI-Trad: research, paper trading and back-tests of perpetual futures. With no command, 'run'. "
    "Exit codes: 0 done, 1 failed (one sentence says why), 2 wrong usage."
)


def build() -> typer.Typer:
    """All commands, in the order in which a newcomer meets them."""
    app = typer.Typer(
        name="quantai",
        help=ROOT_HELP,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_globals)
    for room in (
        running,
        market,
        research,
        walking,
        models,
        strategies,
        searching,
        tuning,
        bundles,
        what_if,
        ledger,
        parity,
        keychain,
        house,
    ):
        room.register(app)
    return app


def _globals(
    home: Annotated[
        str | None, typer.Option(help="The home folder (default: QUANTAI_HOME, else the user-data folder).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Exactly one JSON document on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an unexpected error.")] = False,
) -> None:
    """Documented here; :func:`app.main.read_call` has already taken them out of the line."""
    del home, json, debug


def invoke(
    arguments: Sequence[str], home: str | None, out: Output, run: Callable[[RunOptions], None] | None = None
) -> int:
    """Run one command; ``run`` takes the options of a ``run`` instead of the terminal.

    Raises:
        UsageError: the line cannot be understood.
        QuantError: the command could not be done.
        KeyboardInterrupt: a person or the system ended it.
    """
    given = Invocation(home, out, run)
    command = typer.main.get_command(build())
    code = command.main(args=list(arguments), prog_name="python -m app.main", standalone_mode=False, obj=given)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0

"""``secrets``: keys in the system's keychain."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app.cli.parameters import invocation
from app.output import Column, show_table
from data.errors import UserError

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As binanceusdm.key or binanceusdm.secret.")]
SET_HELP = (
    "Store a secret: its value is asked for without showing it, or read from stdin where that is no terminal. "
    "It is never an argument."
)
READ_BYTES = 80_000


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    secrets = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    anything = {"allow_extra_args": True, "ignore_unknown_options": True}  # refused by a sentence that repeats nothing
    secrets.command(
        "set", help=SET_HELP, short_help="Store a secret, from a hidden prompt or stdin.", context_settings=anything
    )(store)
    secrets.command("list", help="The names of the stored secrets; values are never shown.")(names)
    secrets.command("delete", help="Remove a secret from the keychain.")(delete)
    app.add_typer(secrets, name="secrets", help="Keys of exchanges, in the system's keychain and nowhere else.")


def store(context: typer.Context, name: NameArgument) -> None:
    """Store one."""
    if context.args:
        raise typer.BadParameter(
            "The value of a secret is never an argument, where the shell's history and other programs see it: "
            "leave it out, it is asked for; and since it was on the command line now, have it replaced",
            context,
        )
    from app.secrets import SET, Keychain, audited, check_name

    given = invocation(context)
    check_name(name)
    keychain = Keychain()  # before a person types in vain
    value = _value(name)
    with given.workplace() as place:
        replaced = keychain.set(name, value)
        audited(place.database.audit, SET, name)
    words = f"{name} is stored in the keychain{', in place of the one before' if replaced else ''}."
    given.out.document({"name": name, "replaced": replaced}, lambda console: console.print(words, markup=False))


def names(context: typer.Context) -> None:
    """The names."""
    from app.secrets import Keychain

    given = invocation(context)
    found = Keychain().names()
    rows = [{"name": name} for name in found]
    none = "The keychain holds no secret of this program: 'secrets set binanceusdm.key' stores one."
    given.out.document({"names": found}, lambda console: show_table(console, rows, [Column("name")], none=none))


def delete(context: typer.Context, name: NameArgument) -> None:
    """Remove one."""
    from app.secrets import DELETED, Keychain, audited

    given = invocation(context)
    keychain = Keychain()
    with given.workplace() as place:
        keychain.delete(name)
        audited(place.database.audit, DELETED, name)
    words = f"{name} is no longer in the keychain; keys that the exchange gave out stay valid until revoked there."
    given.out.document({"name": name}, lambda console: console.print(words, markup=False))


def _value(name: str) -> str:
    """From the hidden prompt of a terminal, else from stdin; white space around it is cut off.

    Raises:
        UserError: the terminal cannot hide what is typed, or stdin holds no text.
    """
    if sys.stdin.isatty():
        return _typed(name)
    raw = sys.stdin.buffer.read(READ_BYTES + 1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("The value on stdin is no UTF-8 text: nothing was stored.") from None
    return text.strip()


def _typed(name: str) -> str:
    import getpass
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"Value of {name} (hidden): ").strip()
        except getpass.GetPassWarning:
            raise UserError("This terminal cannot hide what is typed: give the value on stdin.") from None
        except EOFError:
            raise UserError("The value is empty: nothing was stored.") from None

"""The command line's entry: ``python -m app.main [--home DIR] [--json] [--debug] COMMAND …``; no command means ``run``.

Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage. A traceback is shown with ``--debug`` only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from app.output import Output, quiet_pipe
from data.errors import QuantError

DONE, FAILED, USAGE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Call:
    """The options that stand for every command, and the rest of the line."""

    home: str | None
    json: bool
    debug: bool
    rest: tuple[str, ...]


class WrongUsage(Exception):
    """The line cannot be understood; the text is the sentence for the person."""


def read_call(arguments: Sequence[str]) -> Call:
    """Take ``--home``, ``--json`` and ``--debug`` out of the line, wherever they stand before ``--``.

    Raises:
        WrongUsage: ``--home`` without a folder.
    """
    home, json, debug = None, False, False
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--":
            rest += [item, *items]
        elif item == "--json":
            json = True
        elif item == "--debug":
            debug = True
        elif item == "--home" or item.startswith("--home="):
            value = item.partition("=")[2] if "=" in item else next(items, "")
            if not value:
                raise WrongUsage("Option '--home' needs a folder.")
            home = value
        else:
            rest.append(item)
    if not rest or (rest[0].startswith("-") and rest[0] not in ("-h", "--help")):
        rest.insert(0, "run")
    return Call(home, json, debug, tuple(rest))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command in this process and return its exit code; nothing is raised."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wants_json = "--json" in arguments
    with Output.opened(wants_json, "--debug" in arguments) as out, _terminable():
        try:
            call = read_call(arguments)
        except WrongUsage as error:
            out.error(str(error))
            return USAGE
        return _guarded(out, lambda: _dispatch(call, out))


def _dispatch(call: Call, out: Output) -> int:
    from app.cli.tree import UsageError, invoke

    try:
        return invoke(call.rest, call.home, out)
    except UsageError as error:
        out.error(_usage_sentence(error))
        return USAGE


def _usage_sentence(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "").strip()
    words = str(getattr(error, "format_message", lambda: str(error))()).strip().rstrip(".")
    if words.startswith("Usage:"):  # a group without a command says what it has
        return f"A command is missing.\n{words}."
    return f"{words}. Try '{f'{path} ' if path else ''}--help'."


def _guarded(out: Output, work: Callable[[], int]) -> int:
    try:
        return work()
    except BrokenPipeError:
        quiet_pipe()
        return FAILED
    except KeyboardInterrupt:
        sentence = "Stopped before the end; what was finished is stored."
    except Exception as error:
        if out.debug:
            traceback.print_exc()
        sentence = explain(error)
    try:
        out.error(sentence)
    except BrokenPipeError:
        quiet_pipe()
    return FAILED


def explain(error: BaseException) -> str:
    """One sentence for a person about any error."""
    if isinstance(error, QuantError):
        return " ".join(str(error).split())
    import sqlite3

    if isinstance(error, sqlite3.Error):
        return _explain_database(error)
    if isinstance(error, OSError):
        where = f" '{error.filename}'" if error.filename else ""
        return f"{error.strerror or error}{where}: check the path, its permissions and the free space."
    words = str(error).strip().splitlines()
    detail = f": {words[0]}" if words else ""
    return f"Unexpected {type(error).__name__}{detail}; run again with --debug to see where."


def _explain_database(error: Exception) -> str:
    words = str(error)
    if "full" in words:
        return "The disk or the database is full: free some space in the home folder, then run the command again."
    if "locked" in words:
        return "The database is busy with another program: wait until it is finished, then run the command again."
    if "unable to open" in words or "readonly" in words:
        return "The database in the home folder cannot be opened for writing: check the folder's permissions."
    if "malformed" in words or "not a database" in words:
        return "The database in the home folder is damaged: put a backup in its place or choose another --home."
    return f"The database refused the command ({words}); run again with --debug to see where."


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl+C does, so that temporary files go and the error is one sentence."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start() -> int:
    import warnings

    if "--debug" not in sys.argv:
        warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a console that cannot show a character shows a question mark, not a traceback
            reconfigure(errors="replace")
    code = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        quiet_pipe()
    return code


if __name__ == "__main__":
    sys.exit(_start())

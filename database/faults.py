"""SQLite's errors as the project's: classed by what the caller does next, in one sentence."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import Halt, QuantError, Rejected, Retryable, UserError

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def translate(error: sqlite3.Error, path: Path) -> QuantError:
    """The sentence and the class for an error that SQLite raised on ``path``.

    Busy is ``Retryable``; a full disk, a damaged file and a failing device are ``Halt`` (nothing more can be
    journalled until a person has looked); a file that is no database or cannot be opened is ``UserError``.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name.startswith("SQLITE_FULL") or "disk is full" in text:
        return Halt(f"The disk is full: {path} could not be written; free some space, nothing was changed.")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in text:
        return Retryable(f"The database {path} is busy: another program is writing to it; try again.")
    if name == "SQLITE_NOTADB" or "not a database" in text:
        return UserError(f"{path} is not a QuantAI database: move it away or name another home folder with --home.")
    if name.startswith("SQLITE_CORRUPT") or "malformed" in text:
        return Halt(f"The database {path} is damaged: stop the program and restore the newest backup beside it.")
    if name.startswith("SQLITE_READONLY") or "readonly" in text:
        return UserError(
            f"The database {path} is open for reading only: another instance holds it, or it is protected."
        )
    if name.startswith("SQLITE_CANTOPEN") or "unable to open" in text:
        return UserError(f"The database {path} cannot be opened: check that the folder exists and may be written to.")
    if name.startswith("SQLITE_IOERR") or "disk I/O" in text:
        return Halt(f"The disk failed while reading or writing {path}: check the drive, nothing was changed.")
    if name.startswith("SQLITE_CONSTRAINT") or isinstance(error, sqlite3.IntegrityError):
        return Rejected(f"The database {path} already holds another row in that place ({text}): nothing was written.")
    return QuantError(f"The database {path} refused the request: {text}.")


def stops_the_writer(error: QuantError) -> bool:
    """Whether this error means that the journal can no longer be written (and entries must stop)."""
    return isinstance(error, Halt | Retryable) or type(error) is QuantError


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Run a block; SQLite's errors leave it as the project's."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


@contextmanager
def file_faults(path: Path) -> Iterator[None]:
    """Run a block that writes the file ``path``; operating-system errors leave it as one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise UserError(f"The disk is full: {path} could not be written; free some space and try again.") from error
        raise UserError(f"{path} cannot be written ({error.strerror or error}): name another file.") from error


@contextmanager
def folder_faults(path: Path) -> Iterator[None]:
    """Run a block that makes or writes files under ``path``; operating-system errors leave it as one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise UserError(f"The disk is full: {path} could not be written; free some space and try again.") from error
        why = error.strerror or str(error)
        raise UserError(f"The home folder {path} cannot be used ({why}): name another with --home DIR.") from error

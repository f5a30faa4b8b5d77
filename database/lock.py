"""An exclusive lock on a file, held until it is released or the process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Self

from data.errors import UserError
from database.faults import folder_faults

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[str], wait: bool) -> None:
        file.seek(4096)  # beyond the text, so that others may read who holds it
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _drop(file: IO[str]) -> None:
        file.seek(4096)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file: IO[str], wait: bool) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _drop(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


class FileLock:
    """A lock taken at construction; release it with ``release()`` or ``with``.

    Raises:
        UserError: another instance holds it (only without ``wait``), or the file cannot be made.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        self.path = path
        with folder_faults(path.parent):
            file = path.open("a+", encoding="utf-8")
        try:
            _take(file, wait)
        except OSError:
            holder = _holder(file)
            file.close()
            who = f" (process {holder})" if holder else ""
            raise UserError(
                f"Another instance runs on {path.parent}{who}: stop it, or name another home folder with --home."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file: IO[str] | None = file

    @property
    def held(self) -> bool:
        """Whether this object still holds the lock."""
        return self._file is not None

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._file is not None:
            _drop(self._file)
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    text = file.read(16).strip()
    return text if text.isdigit() else ""

"""What a command says: one JSON document, or tables for a person; notes and progress go to stderr.

With ``--json`` file descriptor 1 is pointed at stderr for the length of the command (libraries print) and exactly one
document is written to the saved descriptor. NaN and infinity are ``null``.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Self, TextIO

from data.clock import Clock, SystemClock

if TYPE_CHECKING:
    from rich.console import Console

STDOUT, STDERR = 1, 2
QUIET_PROGRESS_S = 5.0  # a line at most this often where stderr is no terminal

Document = Mapping[str, object]


def jsonable(value: object) -> object:
    """``value`` as plain JSON values: numbers without NaN or infinity, lists, dictionaries with text keys."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return jsonable(asdict(value))
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return jsonable(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(v) for v in value]
    return str(value)


def dump(document: Document) -> str:
    """The document as one line of JSON."""
    return json.dumps(jsonable(document), ensure_ascii=False, allow_nan=False)


@dataclass(slots=True)
class Progress:
    """Progress of one job: percent and remaining time on stderr, at most one quiet line every few seconds elsewhere."""

    title: str
    clock: Clock
    stream: TextIO
    live: Any = None  # rich.progress.Progress on a terminal
    task: Any = None
    started: float = 0.0
    said: float = 0.0
    ended: bool = False  # the last line is said

    def __call__(self, done: int, total: int, words: str = "") -> None:
        """``done`` of ``total`` steps are finished; ``words`` say what goes on now."""
        if self.live is not None:
            self.live.update(self.task, completed=done, total=total, description=words or self.title)
            return
        now = self.clock.monotonic()
        share = done / total if total else 1.0
        told, self.ended = self.ended, share >= 1
        if (told and self.ended) or (share < 1 and now - self.said < QUIET_PROGRESS_S):
            return
        self.said = now
        left = f", about {self.remaining(share):.0f} s left" if 0 < share < 1 else ""
        print(f"{self.title}: {share:4.0%} {words}{left}", file=self.stream, flush=True)

    def remaining(self, share: float) -> float:
        """Seconds left if the rest goes as fast as the done ``share``."""
        return (self.clock.monotonic() - self.started) * (1 - share) / share


@dataclass(slots=True)
class Output:
    """Where a command writes. Use :meth:`opened` so that descriptor 1 is put back."""

    json: bool = False
    debug: bool = False
    clock: Clock = field(default_factory=SystemClock)
    document_fd: int = STDOUT
    written: bool = False

    @classmethod
    @contextlib.contextmanager
    def opened(cls, json: bool, debug: bool = False) -> Iterator[Self]:
        """An output for one command; with ``json`` whatever else is printed meanwhile goes to stderr."""
        if not json:
            yield cls(json=False, debug=debug)
            return
        sys.stdout.flush()
        saved = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
        stdout = sys.stdout
        sys.stdout = sys.stderr
        try:
            yield cls(json=True, debug=debug, document_fd=saved)
        finally:
            sys.stderr.flush()
            sys.stdout = stdout
            os.dup2(saved, STDOUT)
            os.close(saved)

    def document(self, document: Document, human: Callable[[Console], None] | None = None) -> None:
        """Give the result: the JSON document, or what ``human`` prints on a console (default: the document's keys)."""
        if self.json:
            if self.written:
                raise RuntimeError("a command gives one document")
            self.written = True
            data = (dump(document) + "\n").encode()
            while data:
                data = data[os.write(self.document_fd, data) :]
            return
        console = self.console()
        if human is not None:
            human(console)
        else:
            for key, value in document.items():
                console.print(f"{key}: {plain(value)}", highlight=False, markup=False)
        console.file.flush()

    def console(self) -> Console:
        """A rich console on stdout."""
        from rich.console import Console

        width = None if sys.stdout.isatty() else 160
        return Console(file=sys.stdout, width=width, highlight=False, emoji=False, soft_wrap=False)

    def note(self, sentence: str) -> None:
        """A sentence beside the result, on stderr."""
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()

    def error(self, sentence: str) -> None:
        """The sentence on stderr, and ``{"error": …}`` where a document is asked for."""
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write(f"Error: {sentence}\n")
            sys.stderr.flush()
        if self.json and not self.written:
            self.document({"error": sentence})

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Progress on stderr with percent and remaining time."""
        started = self.clock.monotonic()
        if not sys.stderr.isatty():
            yield Progress(title, self.clock, sys.stderr, started=started, said=started)
            return
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Live(*columns, console=Console(stderr=True), transient=True) as live:
            yield Progress(title, self.clock, sys.stderr, live, live.add_task(title, total=None), started)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table for a person."""

    key: str
    title: str = ""
    form: str | None = None  # format spec for numbers: ",.2f"
    suffix: str = ""


def plain(value: object, form: str | None = None, suffix: str = "") -> str:
    """A cell: numbers by ``form``, nothing as a dash, times without the date's ``T``."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and form == "figure":  # counts without decimals, measures with four
        return format(value, ",.0f" if float(value).is_integer() else ",.4f") + suffix
    if isinstance(value, int | float) and form:
        return format(value, form) + suffix
    if isinstance(value, float):
        return f"{value:.6g}{suffix}"
    if isinstance(value, Enum):
        return value.name.lower()
    text = str(value)
    if len(text) == 24 and text.endswith("Z") and text[10] == "T":
        return text[:19].replace("T", " ")
    return text + suffix


def show_table(
    console: Console, rows: Sequence[Mapping[str, object]], columns: Sequence[Column], title: str = "", none: str = ""
) -> None:
    """Print rows as a table, or the sentence ``none`` where there are none."""
    if not rows:
        console.print(none or "Nothing yet.", markup=False)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if title:
        console.print(f"\n{title}", style="bold", markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = any(isinstance(row.get(column.key), int | float) for row in rows)
        table.add_column(column.title or column.key.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(plain(row.get(c.key), c.form, c.suffix)) for c in columns))
    console.print(table)


def quiet_pipe() -> None:
    """After a broken pipe: let nothing more be written to it, not even at exit."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

"""The database: one thread that owns the only write connection, and a read-only connection for each reading thread."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from data.errors import QuantError, UserError
from database.faults import stops_the_writer, translate, translated
from database.settings import StorageSettings

_log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
FailureCallback = Callable[[QuantError], None]


@dataclass(frozen=True, slots=True)
class _Request:
    work: Work
    durable: bool
    done: Future[Any]


class Database:
    """An open database file, migrated already (see ``database.home``).

    Writes run one after another on the writer's thread, each in its own transaction. Reads run in the calling
    thread on a connection of its own and see the last committed state.
    """

    def __init__(self, path: Path, settings: StorageSettings | None = None, *, read_only: bool = False) -> None:
        self.path = path
        self.storage = settings or StorageSettings()
        self.read_only = read_only
        self.failure: QuantError | None = None
        self._callbacks: list[FailureCallback] = []
        self._local = threading.local()
        self._readers: dict[threading.Thread, sqlite3.Connection] = {}
        self._readers_lock = threading.Lock()
        self._closed = False
        self._closing = threading.Lock()
        self._queue: queue.Queue[_Request | None] = queue.Queue(self.storage.queue_size)
        self._thread: threading.Thread | None = None
        self._writer: sqlite3.Connection | None = None
        if not read_only:
            with translated(path):
                self._writer = self._open_writer()
            self._thread = threading.Thread(target=self._write_loop, name="database-writer", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> str:
        """``running``, ``failed`` (the last write failed and nothing could be journalled since) or ``closed``."""
        if self._closed:
            return "closed"
        return "failed" if self.failure is not None else "running"

    def on_failure(self, callback: FailureCallback) -> None:
        """Call ``callback(error)`` on the writer's thread when the state turns to ``failed``."""
        self._callbacks.append(callback)

    # ---- writing -------------------------------------------------------------------------------------------------

    def submit(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> Future[T]:
        """Run ``work(connection)`` in a transaction on the writer's thread.

        Waits while the queue is full. With ``durable`` the commit is on the disk when the future is done
        (``synchronous=FULL``); without, a power loss may take the newest commits, never the file's soundness.

        Raises:
            UserError: this handle only reads, or it is closed.
        """
        if self.read_only:
            raise UserError(f"Another instance holds {self.path.parent}: this one only reads; stop the other first.")
        done: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise UserError(f"The database {self.path} is closed: nothing more can be written.")
            self._queue.put(_Request(work, durable, done))
        return done

    def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """``submit`` and wait: the transaction is committed when this returns."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("write() from the writer's own thread would wait for itself; use its connection")
        return self.submit(work, durable=durable).result()

    def _open_writer(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self.storage.busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA cache_size=-{self.storage.cache_mib * 1024}")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _write_loop(self) -> None:
        connection = cast(sqlite3.Connection, self._writer)
        durable = False
        while (request := self._queue.get()) is not None:
            if not request.done.set_running_or_notify_cancel():
                continue
            try:
                if request.durable != durable:
                    connection.execute(f"PRAGMA synchronous={'FULL' if request.durable else 'NORMAL'}")
                    durable = request.durable
                result = _transaction(connection, request.work)
            except sqlite3.Error as error:
                self._answer_failure(request, translate(error, self.path), error)
            except BaseException as error:
                request.done.set_exception(error)
            else:
                self.failure = None
                request.done.set_result(result)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the log is folded in and removed
        except sqlite3.Error:
            _log.exception("The log of %s was not folded in; the next start does it", self.path)
        connection.close()

    def _answer_failure(self, request: _Request, failure: QuantError, cause: sqlite3.Error) -> None:
        failure.__cause__ = cause
        turned = self.failure is None and stops_the_writer(failure)
        if stops_the_writer(failure):
            self.failure = failure
        request.done.set_exception(failure)
        if turned:
            for callback in self._callbacks:
                try:
                    callback(failure)
                except Exception:
                    _log.exception("A handler of database failures raised")

    # ---- reading -------------------------------------------------------------------------------------------------

    def reader(self) -> sqlite3.Connection:
        """This thread's read-only connection (opened on first use, closed with the database)."""
        held = getattr(self._local, "connection", None)
        if held is not None:
            return cast(sqlite3.Connection, held)
        with translated(self.path), self._readers_lock:
            if self._closed:
                raise UserError(f"The database {self.path} is closed: nothing more can be read.")
            for thread in [t for t in self._readers if not t.is_alive()]:
                self._readers.pop(thread).close()
            connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False,
                timeout=self.storage.busy_timeout_ms / 1000,
            )  # fmt: skip
            self._readers[threading.current_thread()] = connection
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA mmap_size=268435456")
        self._local.connection = connection
        return connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: every query in the block sees the same committed state. Snapshots nest."""
        connection = self.reader()
        with translated(self.path):
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()  # nothing was written: this only ends the transaction

    def rows(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, in a thread's own read connection."""
        with translated(self.path):
            return self.reader().execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or ``None``."""
        with translated(self.path):
            row: tuple[Any, ...] | None = self.reader().execute(sql, parameters).fetchone()
            return row

    # ---- health and end ------------------------------------------------------------------------------------------

    def integrity(self) -> str:
        """SQLite's own check of the file: ``ok``, or the first thing found wrong."""
        try:
            row = self.one("PRAGMA quick_check(1)")
        except QuantError as error:
            return str(error)
        return str(row[0]) if row else "no answer"

    def close(self) -> None:
        """Write what waits in the queue, then close every connection and end the writer's thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with self._readers_lock:
            for connection in self._readers.values():
                connection.close()
            self._readers.clear()
        self._local = threading.local()
        if self._thread is not None:
            self._queue.put(None)  # after the readers: the last connection to close folds the log in and removes it
            self._thread.join()


def _transaction(connection: sqlite3.Connection, work: Work) -> Any:
    """``work`` between BEGIN IMMEDIATE and COMMIT; any error rolls back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result

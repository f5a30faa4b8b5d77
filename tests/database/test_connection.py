"""One writer, many readers: durability, bounded waiting, failures said once, and a clean end."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from data.clock import ManualClock
from data.errors import Halt, QuantError, Rejected, Retryable, UserError
from database.connection import Database
from database.faults import translate
from database.home import Home
from database.repositories import Repositories
from database.settings import StorageSettings


def put(value: str, key: str = "k") -> object:
    return lambda c: c.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, 0)", (key, f'"{value}"'))


def test_a_write_is_committed_when_its_future_is_done(db: Repositories) -> None:
    db.submit(put("one")).result(10)
    assert db.settings.get("k") == "one"


def test_durable_requests_are_synced_and_others_are_not(db: Repositories) -> None:
    level = lambda c: c.execute("PRAGMA synchronous").fetchone()[0]
    assert [db.write(level, durable=d) for d in (False, True, True, False)] == [1, 2, 2, 1]
    assert db.write(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"


def test_writes_run_in_the_order_they_were_asked_for(db: Repositories) -> None:
    seen: list[int] = []
    done = [db.submit(lambda _c, k=k: seen.append(k)) for k in range(50)]
    for future in done:
        future.result(10)
    assert seen == list(range(50))


def test_an_error_in_the_work_undoes_it_and_harms_nothing_else(db: Repositories) -> None:
    db.write(put("before"))

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM settings")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        db.write(broken)
    assert db.settings.get("k") == "before" and db.state == "running"


def test_the_queue_is_bounded_and_a_cancelled_request_is_not_run(home: Home) -> None:
    home.settings = StorageSettings(queue_size=1)
    with home.open() as db:
        running, go = threading.Event(), threading.Event()
        ran: list[str] = []

        def hold(_: sqlite3.Connection) -> None:
            running.set()
            assert go.wait(10)

        first = db.submit(hold)
        assert running.wait(10)
        second = db.submit(lambda _c: ran.append("second"))
        assert second.cancel()
        entered = threading.Event()

        def third() -> None:
            entered.set()
            db.submit(lambda _c: ran.append("third")).result(10)

        waiting = threading.Thread(target=third)
        waiting.start()
        assert entered.wait(10) and ran == []
        go.set()
        waiting.join(10)
        first.result(10)
        with pytest.raises(CancelledError):
            second.result()
        assert ran == ["third"]


def test_the_writer_waiting_for_itself_is_refused(db: Repositories) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        db.write(lambda _c: db.write(put("never")))


def test_readers_cannot_write_and_each_thread_has_its_own(db: Repositories) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.reader().execute("DELETE FROM settings")
    with pytest.raises(UserError, match="reading only"):
        db.rows("DELETE FROM settings RETURNING key")
    mine, others = db.reader(), []
    for _ in range(3):
        thread = threading.Thread(target=lambda: others.append(db.reader()))
        thread.start()
        thread.join()
    assert mine is db.reader() and mine not in others
    assert len(db._readers) <= 2  # connections of threads that ended are closed


def test_a_snapshot_sees_one_state_while_the_writer_goes_on(db: Repositories) -> None:
    db.write(put("old"))
    with db.snapshot():
        assert db.settings.get("k") == "old"
        db.write(put("new"))
        with db.snapshot():
            assert db.settings.get("k") == "old"
        assert db.settings.get("k") == "old"
    assert db.settings.get("k") == "new"


def test_f35_a_database_locked_by_another_program_is_retryable_and_then_works_again(home: Home) -> None:
    home.settings = StorageSettings(busy_timeout_ms=0)
    with home.open() as db:
        told: list[QuantError] = []
        db.on_failure(told.append)
        other = sqlite3.connect(db.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Retryable, match="busy"):
            db.write(put("no"), durable=True)
        assert db.state == "failed" and isinstance(told[0], Retryable)
        other.execute("ROLLBACK")
        other.close()
        db.write(put("yes"))
        assert db.state == "running" and db.settings.get("k") == "yes"


def test_a_failure_handler_that_raises_does_not_end_the_writer(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    with home.open() as db:
        told: list[QuantError] = []
        db.on_failure(lambda _e: 1 / 0)  # type: ignore[arg-type, return-value]
        db.on_failure(told.append)
        pages = db.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        db.write(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchone())
        with pytest.raises(Halt, match="disk is full"):
            db.write(lambda c: c.execute("INSERT INTO settings VALUES ('big', zeroblob(0) || ?, 0)", ("x" * 10**6,)))
        db.write(lambda c: c.execute("PRAGMA max_page_count=100000").fetchone())
        assert len(told) == 1 and "ZeroDivisionError" in caplog.text
        db.write(put("alive"))


def test_closing_writes_what_waits_and_leaves_no_thread_or_log(home: Home) -> None:
    before = set(threading.enumerate())
    db = home.open()
    db.reader()
    waiting = [db.submit(put(str(k), str(k))) for k in range(20)]
    db.close()
    db.close()
    assert set(threading.enumerate()) == before and all(f.done() for f in waiting)
    assert db.state == "closed"
    assert not db.path.with_name(db.path.name + "-wal").exists()
    with pytest.raises(UserError, match="closed"):
        db.submit(put("late"))
    with pytest.raises(UserError, match="closed"):
        db.reader()
    with home.open() as again:
        assert len(again.settings.all()) == 20


def test_f45_a_second_instance_only_reads_and_says_so(home: Home, tmp_path: Path) -> None:
    lock = home.lock()
    second = Home(home.path, ManualClock())
    with pytest.raises(UserError, match=r"Another instance runs on .*process \d+"):
        second.lock()
    with home.open() as db, second.open_reader() as reader:
        db.write(put("seen"))
        assert reader.settings.get("k") == "seen"
        with pytest.raises(UserError, match="Another instance holds"):
            reader.write(put("never"))
    lock.release()
    with second.lock():
        pass


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        ("SQLITE_FULL", "database or disk is full", Halt, "disk is full"),
        ("SQLITE_BUSY", "database is locked", Retryable, "busy"),
        ("SQLITE_NOTADB", "file is not a database", UserError, "not a QuantAI database"),
        ("SQLITE_CORRUPT", "database disk image is malformed", Halt, "damaged"),
        ("SQLITE_CANTOPEN", "unable to open database file", UserError, "cannot be opened"),
        ("SQLITE_READONLY", "attempt to write a readonly database", UserError, "reading only"),
        ("SQLITE_IOERR_WRITE", "disk I/O error", Halt, "disk failed"),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", "UNIQUE constraint failed: a.b", Rejected, "already holds"),
        ("SQLITE_ERROR", "no such table: x", QuantError, "refused the request"),
    ],
)
def test_sqlite_errors_become_one_sentence_of_the_right_class(
    code: str, text: str, kind: type[QuantError], words: str
) -> None:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorname = code
    found = translate(error, Path("home/quantai.sqlite"))
    assert type(found) is kind and words in str(found)
    assert str(found).endswith(".") and "\n" not in str(found)


def test_integrity_is_ok_or_says_what_is_wrong(db: Repositories) -> None:
    assert db.integrity() == "ok"


def test_a_database_that_was_never_made_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        Database(tmp_path / "nowhere" / "quantai.sqlite")

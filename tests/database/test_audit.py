"""The audit chain: whatever is edited, deleted or cut off is found (fault 57, I8)."""

from __future__ import annotations

import sqlite3

import pytest

from database.audit import Audit, AuditHead
from database.home import Home
from database.repositories import Repositories
from tests.database import ledger_story as story


@pytest.fixture
def chained(db: Repositories, account: int) -> Repositories:
    for k in range(3):
        db.journal.commit(story.batch(k, account))
    db.audit.append(5, "resume", {"who": "operator"})
    assert db.audit.verify().ok
    return db


def tamper(db: Repositories, sql: str) -> None:
    """Another program edits the file behind the journal's back."""
    with sqlite3.connect(db.path) as connection:
        assert connection.execute(sql).rowcount > 0
    connection.close()


def test_a_sound_chain_verifies_and_names_its_head(chained: Repositories) -> None:
    report = chained.audit.verify()
    assert (report.entries, report.ok, report.first_bad) == (8, True, None)  # opened, 3 × (batch, halt), resume
    assert report.head == chained.audit.head().hash
    kinds = [e.kind for e in chained.audit.entries()]
    assert kinds == ["resume", "halt", "batch", "halt", "batch", "halt", "batch", "account_opened"]


@pytest.mark.parametrize(
    ("sql", "first_bad"),
    [
        ("UPDATE audit SET body = replace(body, 'story 0', 'story x') WHERE seq = 3", 3),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 4", 4),
        ("UPDATE audit SET kind = 'resume' WHERE seq = 5", 5),
        ("UPDATE audit SET account = NULL WHERE seq = 2", 2),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 6", 6),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq >= 7", 7),
        ("DELETE FROM audit", 1),
        ("UPDATE trades SET pnl = pnl + 1 WHERE trade_id = 2", 4),
        ("UPDATE fills SET fee = 0 WHERE fill_id = 5", 6),
        ("DELETE FROM equity_curve WHERE open_time = (SELECT max(open_time) FROM equity_curve)", 6),
        ("UPDATE decisions SET row = zeroblob(length(row)) WHERE id = 1", 2),
        ("UPDATE decisions SET row = zeroblob(3) WHERE id = 1", 2),
        ("INSERT INTO trades SELECT account, 99, plan_id, symbol, side, exit_reason, entry_time, exit_time,"
         " entry_price, exit_price, quantity, fees, funding, pnl, stop, target, risk_amount, mfe, mae, slippage, batch"
         " FROM trades WHERE trade_id = 2", 4),
    ],
)  # fmt: skip
def test_f57_tampering_is_found_and_the_first_bad_entry_named(chained: Repositories, sql: str, first_bad: int) -> None:
    tamper(chained, sql)
    report = chained.audit.verify()
    assert not report.ok and report.first_bad == first_bad and report.problem


def test_f57_a_chain_written_anew_is_found_by_the_noted_head(chained: Repositories) -> None:
    """Cutting the end off and adding fresh entries gives a sound chain, but not the one that was noted."""
    noted = chained.audit.head()
    tamper(chained, "DELETE FROM audit WHERE seq >= 8")
    head_file = chained.path.parent / "audit" / "head"
    kept = head_file.read_text()
    chained.audit.append(6, "resume", {"who": "nobody"})
    assert chained.audit.verify().ok  # the file moved along with the forgery …
    assert not chained.audit.verify(head=noted.hash).ok  # … a head noted elsewhere did not
    head_file.write_text(kept)
    report = chained.audit.verify()
    assert (report.ok, report.first_bad) == (False, 8)


def test_a_head_that_lags_behind_is_sound_and_a_missing_one_is_a_finding(chained: Repositories) -> None:
    old = chained.audit.entries()[3]
    chained.audit.note_head(AuditHead(old.seq, old.hash))
    assert chained.audit.verify().ok
    assert chained.audit.verify(head=old.hash).ok
    head_file = chained.path.parent / "audit" / "head"
    for text in ("", "gibberish"):
        head_file.write_text(text)
        report = chained.audit.verify()
        assert not report.ok and report.first_bad is None and "audit/head" in report.problem
    head_file.unlink()
    assert not chained.audit.verify().ok


def test_deleting_everything_and_opening_again_does_not_hide_it(chained: Repositories, home: Home) -> None:
    tamper(chained, "DELETE FROM audit")
    with home.open() as again:
        report = again.audit.verify()
    assert not report.ok and report.first_bad == 1
    (home.audit / "head").unlink()
    with home.open() as again:
        report = again.audit.verify()  # the ledger's rows still name entries that are gone
    assert not report.ok and report.first_bad == 2


def test_a_head_file_that_cannot_be_written_does_not_undo_a_committed_batch(
    chained: Repositories, account: int, caplog: pytest.LogCaptureFixture
) -> None:
    chained.journal._audit = Audit(chained, chained.path / "under a file" / "head", chained.audit._clock)
    chained.journal.commit(story.batch(3, account))
    assert chained.trading.counts(account).trades == 4
    assert "audit head" in caplog.text
    assert chained.audit.verify().ok


def test_an_empty_chain_is_sound(db: Repositories) -> None:
    report = db.audit.verify()
    assert (report.entries, report.ok) == (0, True)

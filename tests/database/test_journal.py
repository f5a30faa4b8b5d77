"""The journal: whole batches, once each, over kills, repeats and failures."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data.errors import Halt, QuantError, UserError
from database.home import Home
from database.repositories import Repositories
from database.trading import Filter
from tests.database import ledger_story as story
from trading.journal import JOURNAL_STEPS, AccountKey, AuditEvent, Batch, Journal
from trading.records import DECISION, EQUITY, FILL, TRADE

REPOSITORY = Path(__file__).resolve().parents[2]
TABLES = ("orders", "fills", "trades", "equity_curve", "decisions", "plans", "checkpoints", "audit", "batches", "said")


def contents(db: Repositories) -> dict[str, list[tuple[object, ...]]]:
    return {t: db.rows(f"SELECT * FROM {t} ORDER BY 1, 2, 3") for t in TABLES}


def empty_batch(account: int, at_ms: int, **changes: object) -> Batch:
    none = Batch(account, at_ms, np.zeros(0, DECISION), np.zeros(0, FILL), np.zeros(0, TRADE), np.zeros(0, EQUITY))
    return dataclasses.replace(none, **changes)


def victim(home: Path, step: str, fatal: int, last: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "tests.database.journal_victim", str(home), step, str(fatal), str(last)],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_what_was_committed_is_read_back_bit_for_bit(db: Repositories, account: int) -> None:
    batches = [story.batch(k, account) for k in range(3)]
    for batch in batches:
        db.journal.commit(batch)
    for name, found in (
        ("decisions", db.trading.decisions(account).rows), ("fills", db.trading.fills(account)),
        ("trades", db.trading.trades(account)), ("equity", db.trading.equity(account)),
    ):  # fmt: skip
        assert found.tobytes() == np.concatenate([getattr(b, name) for b in batches]).tobytes(), name
    assert sorted(db.trading.orders(account), key=lambda o: o.client_id) == sorted(
        [o for b in batches for o in b.orders], key=lambda o: o.client_id
    )
    for batch in batches:
        for said in batch.said:
            found = db.trading.said(account, int(said["open_time"]), int(said["symbol"]))
            assert found is not None and found.tobytes() == said["row"].tobytes()
    assert db.trading.said(account, int(batches[0].said["open_time"][0]), 1) is None
    checkpoint = db.journal.checkpoint(account)
    assert checkpoint is not None
    assert (checkpoint.last_bar_ms, checkpoint.state) == (batches[-1].last_bar_ms, b"state after batch 2")
    assert db.trading.account(account).last_bar_ms == batches[-1].last_bar_ms


def test_sqlite_journal_is_the_journal_that_trading_asks_for(db: Repositories) -> None:
    journal: Journal = db.journal
    assert journal.checkpoint(7) is None


def test_every_step_is_reached_in_order(db: Repositories, account: int) -> None:
    reached: list[str] = []
    db.journal._hook = reached.append
    db.journal.commit(story.batch(0, account))
    assert tuple(reached) == JOURNAL_STEPS


@given(order=st.lists(st.integers(0, 4), min_size=1, max_size=12))
@hypothesis_settings(max_examples=25)
def test_repeated_batches_in_any_order_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    home = Home(tmp_path_factory.mktemp("once"))
    with home.open() as db:
        account = db.journal.open_account(story.KEY, story.EQUITY_START, 1_000, story.ABOUT)
        seen: set[int] = set()
        for k in order:
            before = contents(db) if k in seen else None
            db.journal.commit(story.batch(k, account))
            assert before is None or contents(db) == before
            seen.add(k)
        assert db.trading.trades(account)["trade_id"].tolist() == [k + 1 for k in sorted(seen)]
        assert db.trading.counts(account).fills == 2 * len(seen)
        checkpoint = db.journal.checkpoint(account)
        assert checkpoint is not None and checkpoint.state == f"state after batch {max(seen)}".encode()
        assert db.audit.verify().ok


def test_a_batch_that_overlaps_stored_bars_adds_only_what_is_new(db: Repositories, account: int) -> None:
    first, second = story.batch(0, account), story.batch(1, account)
    db.journal.commit(first)
    both = dataclasses.replace(
        second,
        **{
            n: np.concatenate([getattr(first, n), getattr(second, n)])
            for n in ("decisions", "fills", "trades", "equity")
        },
    )
    db.journal.commit(both)
    counts = db.trading.counts(account)
    assert (counts.bars, counts.decisions, counts.fills, counts.trades, counts.plans) == (20, 20, 4, 2, 4)
    assert db.audit.verify().ok


@pytest.mark.parametrize("part", ["fills", "trades", "equity", "decisions"])
def test_a_stored_row_said_again_with_other_content_is_refused_whole(db: Repositories, account: int, part: str) -> None:
    db.journal.commit(story.batch(0, account))
    before = contents(db)
    other = story.batch(0, account)
    field = {"fills": "fee", "trades": "pnl", "equity": "cash", "decisions": "confidence"}[part]
    getattr(other, part)[field] += 1.0
    with pytest.raises(Halt, match=r"other content|another decision"):
        db.journal.commit(other)
    assert contents(db) == before
    assert db.state == "running"


def test_an_order_that_comes_late_does_not_move_a_newer_one_back(db: Repositories, account: int) -> None:
    filled = story.orders(0, story.START + story.STEP * np.arange(10))[0]
    planned = dataclasses.replace(filled, status="planned", updated_ms=filled.created_ms, history=filled.history[:1])
    db.journal.commit(empty_batch(account, 1, orders=[filled]))
    db.journal.commit(empty_batch(account, 2, orders=[planned]))
    same_moment = dataclasses.replace(planned, updated_ms=filled.updated_ms)
    db.journal.commit(empty_batch(account, 3, orders=[same_moment]))
    assert db.trading.orders(account) == [filled]


def test_gates_of_every_shape_survive_packing(db: Repositories, account: int) -> None:
    rows = np.zeros(4, DECISION)
    rows["open_time"] = np.arange(4)
    rows["gate_values"][0], rows["gate_limits"][0] = np.nan, np.nan
    rows["gate_values"][2, 3], rows["gate_values"][3] = 1.5, np.nan
    db.journal.commit(empty_batch(account, 3, decisions=rows))
    assert db.trading.decisions(account).rows.tobytes() == rows.tobytes()
    sizes = [r[0] for r in db.rows("SELECT length(row) FROM decisions ORDER BY open_time")]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3] == DECISION.itemsize


def test_equal_keys_are_one_account_and_others_are_not(db: Repositories, account: int) -> None:
    assert db.journal.open_account(story.KEY, 5.0, 9_999, {}) == account
    other = AccountKey("replay", "binanceusdm", "simulated", "exchange", "story")
    second = db.journal.open_account(other, 500.0, 2_000, {"symbols": ["BTC/USDT:USDT"]})
    assert second != account
    db.journal.commit(story.batch(0, account))
    assert db.trading.counts(second).trades == 0
    newest = db.trading.newest()
    assert newest is not None and newest.id == second
    assert db.trading.account(account).start_equity == story.EQUITY_START


def test_forget_starts_the_account_anew_and_the_audit_says_so(db: Repositories, account: int) -> None:
    db.journal.commit(story.batch(0, account))
    db.accounts.set_finished(account)
    db.journal.forget(account)
    counts = db.trading.counts(account)
    assert (counts.bars, counts.trades, counts.orders) == (0, 0, 0)
    assert db.journal.checkpoint(account) is None
    again = db.trading.account(account)
    assert again.last_bar_ms is None and not again.finished
    assert db.audit.entries(kind="account_forgotten")[0].account == account
    db.journal.commit(story.batch(0, account))
    assert db.trading.counts(account).trades == 1
    assert db.audit.verify().ok


def test_an_unknown_account_is_refused(db: Repositories) -> None:
    with pytest.raises(UserError, match="no account 9"):
        db.journal.commit(story.batch(0, 9))
    with pytest.raises(UserError, match="no account 9"):
        db.journal.forget(9)


def test_model_switches_are_journalled_as_the_schedule(db: Repositories, account: int) -> None:
    switch = AuditEvent(5, "model_switch", {"from_ms": 60_000, "model_id": "m2"})
    db.journal.commit(empty_batch(account, 1, events=[switch]))
    assert [(s.from_ms, s.model_id) for s in db.trading.switches(account)] == [(60_000, "m2")]


def test_a_failing_step_leaves_nothing_of_the_batch(db: Repositories, account: int) -> None:
    db.journal.commit(story.batch(0, account))
    before = contents(db)
    for step in JOURNAL_STEPS[:-1]:

        def fail(reached: str, step: str = step) -> None:
            if reached == step:
                raise RuntimeError(step)

        db.journal._hook = fail
        with pytest.raises(RuntimeError, match=step):
            db.journal.commit(story.batch(1, account))
        assert contents(db) == before, step


@pytest.mark.parametrize("step", JOURNAL_STEPS)
def test_f37_killed_at_a_step_nothing_is_lost_or_doubled(tmp_path: Path, step: str) -> None:
    killed = victim(tmp_path, step, fatal=2, last=4)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split() == ["reached", step]
    with Home(tmp_path).open() as db:
        account = db.trading.accounts()[0].id
        assert db.audit.verify().ok
        assert db.trading.reconcile(account).differences == ()
        assert db.trading.counts(account).trades == (3 if step == "committed" else 2)
    finished = victim(tmp_path, "none", fatal=-1, last=4)
    assert finished.stdout.split() == ["finished"], finished.stderr
    with Home(tmp_path).open() as db:
        report = db.audit.verify()
        assert report.ok, report
        found = db.trading.trades(account)
        wanted = np.concatenate([story.batch(k, account).trades for k in range(5)])
        assert found.tobytes() == wanted.tobytes()
        assert db.trading.counts(account).decisions == 50
        ledger = db.trading.reconcile(account)
        assert ledger.differences == ()
        assert ledger.cash == pytest.approx(story.cash_before(5), abs=0.005)


def test_f37_killed_at_random_again_and_again_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """The parent kills when it reads that a batch has begun: where in it the child is by then is chance."""
    rng, last, kills = np.random.default_rng(5), 60, 0
    command = [sys.executable, "-m", "tests.database.journal_victim", str(tmp_path), "random", "-1", str(last)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    while True:
        batches = int(rng.integers(1, 25))
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment, **pipes) as child:
            child.stdin.write("\n" * batches)
            child.stdin.flush()
            read = [line.strip() for _, line in zip(range(batches), child.stdout, strict=False)]
            if "finished" not in read:
                child.kill()
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL
        kills += 1
        with Home(tmp_path).open() as db:
            assert db.audit.verify().ok
            assert db.trading.reconcile(db.trading.accounts()[0].id).differences == ()
    assert kills >= 3
    with Home(tmp_path).open() as db:
        account = db.trading.accounts()[0].id
        wanted = np.concatenate([story.batch(k, account).trades for k in range(last + 1)])
        assert db.trading.trades(account).tobytes() == wanted.tobytes()


def test_f34_a_full_disk_stops_the_journal_in_one_sentence_and_goes_on_with_room(
    db: Repositories, account: int
) -> None:
    told: list[QuantError] = []
    db.on_failure(told.append)
    db.journal.commit(story.batch(0, account))
    before = contents(db)
    pages = db.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    db.write(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchone())
    large = empty_batch(account, 10**13, checkpoint=bytes(5_000_000))
    with pytest.raises(Halt, match="disk is full"):
        db.journal.commit(large)
    assert db.state == "failed" and len(told) == 1
    with pytest.raises(Halt):
        db.journal.commit(large)
    assert len(told) == 1
    assert contents(db) == before
    db.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
    db.journal.commit(large)
    assert db.state == "running"
    assert db.audit.verify().ok


def test_filters_are_half_open_and_keep_the_newest(db: Repositories, account: int) -> None:
    for k in range(4):
        db.journal.commit(story.batch(k, account))
    trading = db.trading
    start, step = story.START, story.STEP
    times = trading.equity(account, Filter(start_ms=start + step, end_ms=start + 3 * step))["open_time"]
    assert times.tolist() == [start + step, start + 2 * step]
    assert trading.trades(account, Filter(limit=2))["trade_id"].tolist() == [3, 4]
    assert trading.trades(account, Filter(id=2))["trade_id"].tolist() == [2]
    assert len(trading.trades(account, Filter(symbol="ETH/USDT:USDT"))) == 0
    assert len(trading.trades(account, Filter(symbol="BTC/USDT:USDT"))) == 4
    assert [o.client_id for o in trading.orders(account, Filter(limit=1))] == ["stop3"]
    assert trading.orders(account, working=True) == []
    assert [p.plan_id for p in trading.plans(account, blocked=True)] == [2, 4, 6, 8]
    assert len(trading.blocked(account)) == 4
    one = trading.decisions(account, Filter(id=int(trading.decisions(account).ids[3])))
    assert one.rows["open_time"].tolist() == [start + 3 * step]
    last = trading.last_equity(account)
    assert last is not None and last["open_time"] == start + 39 * step
    assert trading.equity_series(account)[0].shape == (40,)


def test_f38_every_commit_is_synced_to_the_disk(
    db: Repositories, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[int] = []
    hook_connection = db._writer
    assert hook_connection is not None
    db.journal._hook = lambda step: (
        levels.append(hook_connection.execute("PRAGMA synchronous").fetchone()[0]) if step == "before_commit" else None
    )
    db.write(lambda _c: None)  # leaves the writer at NORMAL
    db.journal.commit(story.batch(0, account))
    assert levels == [2]

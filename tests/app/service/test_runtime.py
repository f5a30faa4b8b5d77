"""The service behind the window, from another thread as the window calls it: views, queries, commands, a clean end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from app.contract import commands as c
from app.contract import queries as q
from app.contract.events import JobEvent, NoticeEvent, StateEvent
from app.contract.facade import TOPICS
from app.runtime import Runtime, open_service
from data.errors import UserError

pytestmark = pytest.mark.workers
WAIT_S = 60.0
DEMO = ("run", "--source", "synthetic", "--speed", "400", "--strategy", "rsi-oversold")


class Seat:
    """Calls the runtime from this thread and keeps what comes up."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.latest: dict[str, Any] = {}
        self.events: list[Any] = []
        self._moved = threading.Condition()
        self.leave = runtime.subscribe(self._on_latest, self._on_event)

    def _on_latest(self, topic: str, view: object) -> None:
        with self._moved:
            self.latest[topic] = view
            self._moved.notify_all()

    def _on_event(self, event: object) -> None:
        with self._moved:
            self.events.append(event)
            self._moved.notify_all()

    def until(self, test: Callable[[], object]) -> None:
        with self._moved:
            assert self._moved.wait_for(test, WAIT_S), (self.latest.get("strip"), self.events)

    def state(self) -> str:
        return self.latest["strip"].state if "strip" in self.latest else ""

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.runtime.loop).result(WAIT_S)

    def send(self, command: c.Command) -> c.Outcome:
        return self.call(self.runtime.send(command))

    def ask(self, query: q.Query) -> Any:
        return self.call(self.runtime.query(query))


Sit = Callable[..., Seat]


@pytest.fixture
def sit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sit]:
    """``sit("run", …)``: a runtime on a home of its own, not started; closed at the end."""
    monkeypatch.setenv("QUANTAI_AI__HISTORY_LIMIT", "600")
    seats: list[Seat] = []

    def begin(*words: str, home: str = "home") -> Seat:
        seats.append(Seat(open_service(["--home", str(tmp_path / home), *(words or DEMO)])))
        return seats[-1]

    yield begin
    for seat in seats:
        if not seat.runtime.loop.is_closed():
            seat.call(seat.runtime.close())
            seat.runtime._thread.join(WAIT_S)


@pytest.fixture
def seat(sit: Sit) -> Seat:
    """One that runs on an empty home and has seen bars."""
    made = sit()
    made.call(made.runtime.start())
    made.until(lambda: made.state() == "RUNNING" and made.latest["strip"].bar_ms is not None)
    return made


def test_an_empty_home_comes_to_life_and_every_topic_is_sent(seat):
    seat.until(lambda: set(seat.latest) == set(TOPICS))
    strip = seat.latest["strip"]
    assert (strip.mode, strip.feed_state) == ("paper", "synthetic")
    assert strip.banner.startswith("Synthetic data")
    states = [e.after for e in seat.events if isinstance(e, StateEvent)]
    assert states[:2] == ["WARMING_UP", "RUNNING"]


VIEWS = {
    q.StripQuery: "StripView", q.OverviewQuery: "OverviewView", q.ChartQuery: "ChartView",
    q.SignalsQuery: "SignalsView", q.DecisionQuery: "DecisionDetail", q.PositionsQuery: "PositionsView",
    q.OrdersQuery: "OrdersView", q.TradesQuery: "TradesView", q.ModelsQuery: "ModelsView",
    q.PerformanceQuery: "PerformanceView", q.RiskQuery: "RiskView", q.SettingsQuery: "SettingsView",
    q.WhatIfQuery: "WhatIfView", q.BacktestsQuery: "BacktestsView",
    q.LogsQuery: "LogsView", q.AuditQuery: "AuditView", q.JobsQuery: "JobsView", q.DataQuery: "DataView",
    q.FindingsQuery: "FindingsView",
}  # fmt: skip


def test_every_query_is_answered_by_its_view(seat):
    # a stored back-test is asked for where one is made: tests/app/test_backtest_jobs.py
    assert set(VIEWS) | {q.BacktestQuery} == set(get_args(q.Query)), "a query has no test"
    for query, view in VIEWS.items():
        if query is q.DecisionQuery:
            seat.until(lambda: seat.runtime.service.progress.bars > 3)
            row = seat.ask(q.SignalsQuery()).rows[0]
            made = q.DecisionQuery(row.decision_id)
        elif query is q.FindingsQuery:
            made = q.FindingsQuery(seat.ask(q.DataQuery()).series[0].key)
        else:
            made = query()
        assert type(seat.ask(made)).__name__ == view


def test_every_query_is_answered_before_the_first_bar(sit):
    seat = sit("run", "--source", "synthetic", "--speed", "0.0001")
    seat.call(seat.runtime.start())
    for query, view in VIEWS.items():
        if query not in (q.DecisionQuery, q.FindingsQuery):
            assert type(seat.ask(query())).__name__ == view


def test_pause_resume_emergency_stop_and_start(seat):
    assert seat.send(c.Pause()).ok
    seat.until(lambda: seat.state() == "PAUSED")
    assert seat.send(c.Resume()).ok
    seat.until(lambda: seat.state() == "RUNNING")
    stopped = seat.send(c.EmergencyStop())
    assert stopped.ok and "Halted by the emergency stop" in stopped.sentence
    seat.until(lambda: seat.state() == "HALTED")
    assert "operator" in seat.latest["strip"].state_why
    assert seat.send(c.Start()).ok
    seat.until(lambda: seat.state() == "RUNNING")


def test_stop_and_start_go_on_with_the_same_account(seat):
    account = seat.runtime.service.account.id
    assert seat.send(c.Stop()).ok
    seat.until(lambda: seat.state() == "STOPPED")
    bars = seat.runtime.service.progress.account_bars
    refused = seat.send(c.Pause())
    assert not refused.ok and "stopped" in refused.sentence
    assert seat.send(c.Start()).ok
    seat.until(lambda: seat.state() == "RUNNING")
    assert not seat.send(c.Start()).ok
    assert seat.runtime.service.account.id == account
    seat.until(lambda: seat.runtime.service.progress.account_bars > bars > 0)


def test_fresh_holds_for_the_first_run_only(sit):
    seat = sit(*DEMO, "--fresh")
    seat.call(seat.runtime.start())
    seat.until(lambda: seat.state() == "RUNNING" and seat.runtime.service.progress.bars > 5)
    seat.send(c.Stop())
    seat.until(lambda: seat.state() == "STOPPED")
    before = seat.runtime.service.progress.account_bars
    seat.send(c.Start())
    seat.until(lambda: seat.state() == "RUNNING")
    assert seat.runtime.service.progress.account_bars >= before


def test_settings_are_changed_refused_and_reset(seat):
    assert seat.send(c.SetSetting("trading.limits.drawdown", "0.1")).ok
    wrong = seat.send(c.SetSetting("trading.limits.drawdown", "7"))
    assert not wrong.ok and "drawdown" in wrong.sentence
    assert not seat.send(c.SetSetting("no.such", "1")).ok
    assert shown(seat) == 0.1
    assert seat.send(c.ResetSetting("trading.limits.drawdown")).ok
    assert shown(seat) == 0.05


def shown(seat: Seat) -> object:
    return next(float(r.value) for r in seat.ask(q.SettingsQuery()).rows if r.key == "trading.limits.drawdown")


def test_the_audit_is_verified_and_a_table_exported(seat, tmp_path):
    verified = seat.send(c.VerifyAudit())
    assert verified.ok and "whole" in verified.sentence
    assert seat.ask(q.AuditQuery()).ok is True
    target = tmp_path / "decisions.csv"
    seat.until(lambda: seat.runtime.service.progress.bars > 10)
    assert seat.send(c.ExportTable("decisions", str(target))).ok
    assert len(target.read_text().splitlines()) > 10
    assert not seat.send(c.ExportTable("decisions", str(tmp_path / "none" / "x.csv"))).ok


@pytest.mark.parametrize(
    ("command", "name"), [(c.RunWalkForward(), "Walk-forward"), (c.TuneModels(), "Hyper-parameters")]
)
def test_a_walk_forward_or_a_search_is_started_followed_and_cancelled(seat, command, name):
    assert seat.send(command).ok
    seat.until(lambda: jobs(seat))
    job = jobs(seat)[0]
    assert job.name == name and job.cancellable
    assert seat.send(c.CancelJob(job.job_id)).ok
    seat.until(lambda: [e for e in seat.events if isinstance(e, JobEvent)])
    seat.until(lambda: jobs(seat)[0].state == "cancelled")
    assert not seat.send(c.CancelJob(job.job_id)).ok
    assert not seat.send(c.CancelJob("nonsense")).ok
    assert seat.send(c.DismissJob(job.job_id)).ok
    seat.until(lambda: not jobs(seat))


def jobs(seat: Seat) -> tuple[Any, ...]:
    return seat.latest["jobs"].jobs if "jobs" in seat.latest else ()


def test_models_that_do_not_exist_are_refused(seat):
    assert not seat.send(c.PromoteModel("none")).ok
    assert not seat.send(c.RollbackModel()).ok
    assert not seat.send(c.ClosePosition("BTCUSDT")).ok or seat.latest["positions"].rows


def test_a_home_in_use_is_said_and_close_still_works(seat, sit):
    second = sit()
    with pytest.raises(UserError, match="Another instance runs"):
        second.call(second.runtime.start())
    assert not second.send(c.Pause()).ok
    with pytest.raises(UserError, match="not open"):
        second.ask(q.OverviewQuery())
    second.call(second.runtime.close())
    second.runtime._thread.join(WAIT_S)
    assert second.runtime.loop.is_closed()


def test_a_run_that_cannot_begin_is_told_and_the_window_goes_on(sit):
    seat = sit("run", "--source", "replay", "--symbols", "BTCUSDT")
    seat.call(seat.runtime.start())
    seat.until(lambda: [e for e in seat.events if isinstance(e, NoticeEvent) and e.level == "bad"])
    seat.until(lambda: seat.state() == "STOPPED")
    assert "No bars of BTCUSDT" in seat.latest["strip"].state_why
    assert seat.ask(q.SettingsQuery()).rows


def test_close_leaves_no_thread_and_no_process(sit):
    before = set(threading.enumerate())
    seat = sit()
    seat.call(seat.runtime.start())
    seat.until(lambda: seat.state() == "RUNNING")
    seat.send(c.RunWalkForward())
    seat.call(seat.runtime.close())
    seat.runtime._thread.join(WAIT_S)
    assert seat.runtime.loop.is_closed()
    assert set(threading.enumerate()) <= before
    import multiprocessing

    assert multiprocessing.active_children() == []
    assert not (seat.runtime.home / "control.json").exists()


def test_wrong_arguments_are_one_sentence():
    with pytest.raises(UserError, match="--speed fast"):
        open_service(["run", "--speed", "fast"])
    with pytest.raises(UserError, match="options of 'run' only"):
        open_service(["trades"])

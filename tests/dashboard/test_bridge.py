"""The crossing between the two threads: latest wins, events are never lost, late answers are dropped."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sample_views as sample
from fake_service import FakeService

from app.contract import queries as q
from app.contract.events import NoticeEvent
from dashboard.bridge import Bridge

pytestmark = pytest.mark.qt


def test_only_the_newest_value_of_a_topic_arrives(service: FakeService, dressed: object, qtbot: Any) -> None:
    bridge = Bridge(service)
    came: list[int] = []
    qtbot.wait(20)
    bridge.latest.connect(lambda topic, view: topic == "strip" and came.append(view.revision))
    done = threading.Event()
    for number in range(500):
        service.publish("strip", sample.strip(revision=number))
    service.loop.call_soon_threadsafe(done.set)
    assert done.wait(5)  # this thread's event loop stood still meanwhile
    qtbot.waitUntil(lambda: bool(came) and came[-1] == 499)
    assert len(came) < 20


def test_every_event_arrives_in_order(service: FakeService, dressed: object, qtbot: Any) -> None:
    bridge = Bridge(service)
    came: list[int] = []
    bridge.happened.connect(lambda event: came.append(event.time_ms))
    for number in range(500):
        service.happen(NoticeEvent(number, "info", "t", "s"))
    qtbot.waitUntil(lambda: len(came) == 500)
    assert came == list(range(500))


def test_an_overtaken_answer_is_dropped(service: FakeService, dressed: object, qtbot: Any) -> None:
    bridge = Bridge(service)
    came: list[str] = []
    bridge.ask(q.RiskQuery(), lambda _: came.append("old"), "lane")
    bridge.ask(q.RiskQuery(), lambda _: came.append("new"), "lane")
    qtbot.waitUntil(lambda: "new" in came)
    assert came == ["new"]


def test_answers_arrive_on_the_windows_thread(service: FakeService, dressed: object, qtbot: Any) -> None:
    bridge = Bridge(service)
    threads: list[int] = []
    bridge.ask(q.RiskQuery(), lambda _: threads.append(threading.get_ident()))
    qtbot.waitUntil(lambda: bool(threads))
    assert threads == [threading.get_ident()]

"""The strip from a service's state in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app import live_views
from data.clock import ManualClock
from trading.settings import LimitSettings


@pytest.mark.parametrize("symbols", [1, 3])
def test_open_risk_is_summed_over_all_positions_and_held_against_one_limit(
    symbols: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = np.array([(9_000.0, 10_000.0, 0.1)], dtype=[("equity", "f8"), ("day_start", "f8"), ("drawdown", "f8")])
    config = SimpleNamespace(symbols=("A", "B", "C")[:symbols], settings=SimpleNamespace(limits=LimitSettings()))
    plan = SimpleNamespace(config=config, mode="replay", source="exchange", step_ms=60_000)
    session = SimpleNamespace(state=SimpleNamespace(account=account), open_orders=list, tightness=0.5)
    held = [SimpleNamespace(loss_at_stop=45.0, notional=1_000.0, protected=True)] * symbols
    monkeypatch.setattr(live_views, "live_positions", lambda _service: held)
    service: Any = SimpleNamespace(
        plan=plan, progress=SimpleNamespace(state="RUNNING", why="", revision=1, last_bar_ms=0), started_ms=0,
        place=SimpleNamespace(clock=ManualClock(0)), trader=SimpleNamespace(session=session), fallback="",
        health=lambda: SimpleNamespace(name="binanceusdm", state="replaying", last_bar_ms=0),
    )  # fmt: skip
    view = live_views.strip(service)
    assert view.open_risk == pytest.approx(symbols * 45.0 / 9_000.0)
    assert view.open_risk_limit == 0.01, "half of it, once it has tightened"

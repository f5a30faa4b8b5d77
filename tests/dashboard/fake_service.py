"""A service on its own loop and thread that answers from a table: the bridge is crossed for real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sample_backtests
import sample_market
import sample_views as sample

from app.contract import queries as q
from app.contract import results as r
from app.contract import views as v
from app.contract.commands import Command, Outcome


@lru_cache(maxsize=1)
def _full_answers() -> dict[type, Any]:
    return {
        q.OverviewQuery: sample.overview(),
        q.ChartQuery: sample.chart(),
        q.SignalsQuery: sample.signals(),
        q.DecisionQuery: sample.detail(),
        q.PositionsQuery: sample.positions_view(),
        q.OrdersQuery: sample.orders(),
        q.TradesQuery: sample.trades(),
        q.ModelsQuery: sample.models(),
        q.PerformanceQuery: sample.performance(),
        q.BacktestsQuery: sample_backtests.listed(sample_backtests.row(118)),
        q.BacktestQuery: sample_backtests.backtest(),
        q.RiskQuery: sample.risk(),
        q.SettingsQuery: sample.settings(),
        q.LogsQuery: sample.logs(),
        q.AuditQuery: sample.audit(),
        q.JobsQuery: sample.jobs(),
        q.DataQuery: sample_market.data_view(),
        q.FindingsQuery: sample_market.findings_view(),
        q.StripQuery: sample.strip(),
    }


def full_answers() -> dict[type, Any]:
    return dict(_full_answers())


def empty_answers() -> dict[type, Any]:
    f, t = np.empty(0), np.empty(0, dtype=np.int64)
    return {
        q.OverviewQuery: v.OverviewView((), t, f, f, f, None, None, "synthetic replay", "USDT"),
        q.ChartQuery: v.ChartView("BTCUSDT", "1m", "synthetic", (), (), t, f, f, f, f, f, "BTC", 1),
        q.SignalsQuery: v.SignalsView((), 0, ()),
        q.DecisionQuery: sample.detail(rule=True),
        q.PositionsQuery: v.PositionsView((), None, None, None, None, None),
        q.OrdersQuery: v.OrdersView((), 0, 0),
        q.TradesQuery: r.TradesView((), 0, 0.0, 0.0, 0.0, 0),
        q.ModelsQuery: r.ModelsView("", "idle", "", ""),
        q.PerformanceQuery: r.PerformanceView("", "idle", "", (), t, f, f, None, None),
        q.BacktestsQuery: sample_backtests.listed(),
        q.RiskQuery: r.RiskView("not started", "idle", ()),
        q.SettingsQuery: r.SettingsView((), "home"),
        q.LogsQuery: r.LogsView((), 0),
        q.AuditQuery: r.AuditView((), 0, ""),
        q.JobsQuery: r.JobsView(()),
        q.DataQuery: sample_market.no_data(),
        q.FindingsQuery: sample_market.findings_view(),
        q.StripQuery: sample.strip(),
    }


class FakeService:
    """Records what it was sent; answers at once."""

    def __init__(self, home: Path, answers: dict[type, Any] | None = None) -> None:
        self.home = home
        self.answers = full_answers() if answers is None else answers
        self.sent: list[Command] = []
        self.asked: list[Any] = []
        self.outcome = Outcome(True, "")
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._latest: Callable[[str, object], None] | None = None
        self._event: Callable[[object], None] | None = None

    def subscribe(
        self, on_latest: Callable[[str, object], None], on_event: Callable[[object], None]
    ) -> Callable[[], None]:
        self._latest, self._event = on_latest, on_event
        self.publish("strip", sample.strip())
        self.publish("jobs", sample.jobs())
        return lambda: None

    def publish(self, topic: str, view: object) -> None:
        if self._latest is not None:
            self.loop.call_soon_threadsafe(self._latest, topic, view)

    def happen(self, event: object) -> None:
        if self._event is not None:
            self.loop.call_soon_threadsafe(self._event, event)

    async def start(self) -> None:
        return None

    async def send(self, command: Command) -> Outcome:
        self.sent.append(command)
        return self.outcome

    async def query(self, query: Any) -> Any:
        self.asked.append(query)
        answer = self.answers[type(query)]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        return None

    async def _answered(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._answered(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()

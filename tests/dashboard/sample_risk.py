"""Hand-made risk, positions and what-if of a portfolio whose limits have tightened. Used in tests only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sample_views as sample

from app.contract import results as r
from app.contract import views as v
from app.contract.position_views import EntryRow, StopMove, TargetRow
from app.contract.risk_views import CorrelationView, LimitChange, ReductionRow, TighteningView

BTC, ETH, PEPE = "BTC/USDT:USDT", "ETH/USDT:USDT", "1000PEPE/USDT:USDT"
NOW, DAY = sample.NOW, sample.DAY


def held() -> tuple[v.GateRow, ...]:
    rows = (("var", "VaR", 0.0093, 0.01), ("expected_shortfall", "Expected shortfall", None, 0.0125),
            ("open_risk", "Open risk", 0.0121, 0.01), ("exposure", "Exposure", 0.41, 0.5))  # fmt: skip
    return tuple(
        v.GateRow(key, label, "Portfolio", value, limit, "fraction", value is None or value <= limit,
                  value is not None, label, set_limit=2 * limit)
        for key, label, value, limit in rows
    )  # fmt: skip


def risk() -> r.RiskView:
    tight = {"Margin per symbol": 0.04, "Loss": 0.01}
    gates = tuple(
        replace(g, set_limit=g.limit, limit=tight[g.label], passed=(g.value or 0.0) <= tight[g.label])
        if g.label in tight
        else g
        for g in sample.gates()
    )
    return replace(
        sample.risk(), gates=gates, plan=f"{PEPE} short", plan_ms=NOW, held=held(),
        held_days=np.random.default_rng(2).normal(0, 0.004, 250),
        tightening=TighteningView(0.5, NOW - DAY, "drawdown 2.61 %", "Only a person may set them back."),
        correlation=CorrelationView(
            (BTC, ETH, PEPE), ((1.0, 0.9, None), (0.9, 1.0, -0.85), (None, -0.85, 1.0)), 0.8, 90, 30, ((ETH, BTC),)
        ),
        reductions=(ReductionRow(7, NOW, ETH, "VaR, Exposure", 0.345, 1.2, 3858.14, -12.5, 2, 3),),
        changes=(LimitChange(6, NOW - DAY, "tighten", 0.5, "drawdown 2.61 %"),),
    )  # fmt: skip


def managed() -> v.PositionRow:
    return sample.position(
        stops=(StopMove(NOW, 118_041.0, "trailed"), StopMove(NOW - DAY, 117_000.0, "as planned")),
        targets=(TargetRow(118_900.0, 0.03, "taken", 0.03), TargetRow(119_100.0, 0.03, "next", 0.012),
                 TargetRow(119_272.2, 0.034, "waits")),
        protecting=0.094, margin_mode="isolated", liquidation=95_600.0, adds=1, adds_most=2,
    )  # fmt: skip


def waiting() -> EntryRow:
    return EntryRow(
        "Q1", PEPE, "short", "limit", 123_456.7, "1000PEPE", 0.0123, 0.0121, 0.0165, NOW, NOW + DAY, 86_400.0, True,
        7, 1,
    )  # fmt: skip


def what_if(**changes: object) -> r.WhatIfView:
    plan = r.WhatIfPlan(
        time_ms=NOW, entry=118_653.4, stop=117_000.0, target=122_000.0, quantity=0.2, base="BTC", notional=23_730.7,
        leverage=5.0, margin=4_746.14, liquidation=96_000.0, loss_at_stop=345.6, fees_at_stop=12.3, fees_at_target=9.8,
        expected_funding=-1.23, time_limit_ms=NOW + DAY, before=r.RiskFigures(0.0112, None, 0.0034, 0.597),
        after=r.RiskFigures(0.0212, None, 0.0104, 0.83), correlated=((ETH, 0.9),), gates=(*sample.gates(), *held()),
        fails=("Volatility, 1 h", "Open risk"), price_digits=1, quantity_digits=3,
    )  # fmt: skip
    return r.WhatIfView(BTC, "long", replace(plan, **changes), symbols=(BTC, ETH, PEPE))

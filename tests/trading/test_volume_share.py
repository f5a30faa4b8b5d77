"""A bar gives its share of volume once; what it leaves is still liquidated, and a reduction shields nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trading.cases import (
    FREE,
    LOOSE,
    START_MS,
    MemoryJournal,
    config_of,
    features_of,
    grid_of,
    merged,
    profile,
)
from trading.backtest import RunResult, run_fast, run_service
from trading.records import ExitReason

FLAT = (100.0, 100.0, 100.0, 100.0)
VOLUME: dict[str, Any] = {"matching": {"exit_fill": "volume"}}


def run(bars: Any, go: Any, volume: Any, settings: Any, exits: Any = None) -> RunResult:
    """Both engines, which must agree; no fees, spread or impact."""
    config = config_of(settings=merged(FREE, LOOSE, settings), exits=exits or profile(0.01, 9.0, 50))
    grid = grid_of(bars, volume=volume)
    X = features_of(config, grid, go=go)
    fast, service = run_fast(config, grid, X, None), run_service(config, grid, X, None, MemoryJournal(), 1)
    assert fast.fills.tobytes() == service.fills.tobytes() and fast.equity.tobytes() == service.equity.tobytes()
    return fast


def fills_of(result: RunResult) -> list[tuple[str, float, float, Any]]:
    """(what, minute, quantity, price) of each fill."""
    return [
        (
            "entry" if f["purpose"] == 0 else ExitReason(int(f["reason"])).name, (int(f["time"]) - START_MS) / 60_000,
            float(f["quantity"]), pytest.approx(float(f["price"])),
        )
        for f in result.fills
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["limit", "stop"])
def test_an_entry_takes_a_bars_share_once_at_the_open_or_within(kind: str) -> None:
    """Gapped through at the open and reached within the bar: 10 of 100, not 20; the next bar gives the next share."""
    settings = {"matching": {"entry": kind, "entry_distance": 0.25, "entry_bars": 3, "entry_rest": "work"}}
    over = (99.0, 101.0, 99.0, 100.0) if kind == "limit" else (101.0, 101.0, 100.0, 101.0)
    result = run([FLAT, over, FLAT, FLAT], [1, 0, 0, 0], [1000, 100.0, 0.0, 1000], settings)
    entered = [f for f in result.fills if f["purpose"] == 0]
    assert [float(f["quantity"]) for f in entered] == [10.0]


def reduced(rows: Any, volume: Any, settings: Any = None) -> RunResult:
    """22.222 bought at 100, stop at 91; the price doubles: 36 % of equity where 30 % may be held. A thin market."""
    bars = [FLAT, FLAT, (100, 200, 100, 200), *rows]
    limits = {"limits": {"exposure": 0.3, "concentration": 2.0, "daily_loss": 1.0}}
    management = {"management": {"trailing": 2.0, "trailing_after": 1.0}}
    return run(
        bars, [1] + [0] * (len(bars) - 1), volume, merged(VOLUME, limits, management, settings or {}),
        profile(0.09, 90.0, 50),
    )  # fmt: skip


def test_a_stop_gapped_through_goes_before_a_reduction_that_waits() -> None:
    result = reduced([(150.0, 150, 150, 150)], [1000, 1000, 1000, 1000])
    assert fills_of(result)[1:] == [("TRAILING", 3.0, 22.222, 150.0)]


def test_a_stop_touched_while_a_reduction_goes_on_takes_the_rest() -> None:
    """1 of the cut fills at the open, the stop at 182 is touched within: all the rest goes from the next open on."""
    result = reduced([(200, 200, 170, 190), (185, 185, 185, 185)], [1000, 1000, 1000, 10.0, 1000])
    made = fills_of(result)[1:]
    assert [f[0] for f in made] == ["LIMIT", "TRAILING"]
    assert made[0][1:] == (3.0, 1.0, 200.0) and made[1][1:] == (4.0, 21.222, 185.0)


def test_a_leaving_signal_is_heard_while_a_reduction_goes_on() -> None:
    bars = [FLAT, FLAT, (100, 200, 100, 200), (200, 200, 200, 200), (200, 200, 200, 200), (200, 200, 200, 200)]
    limits = {"limits": {"exposure": 0.3, "concentration": 2.0}}
    result = run(
        bars, [1, 0, 0, 2, 0, 0], [1000, 1000, 1000, 10.0, 1000, 1000], merged(VOLUME, limits), profile(0.09, 90.0, 50)
    )
    assert [f[0] for f in fills_of(result)] == ["entry", "LIMIT", "SIGNAL"]


def test_what_the_volume_leaves_of_a_stop_is_liquidated_at_its_level() -> None:
    """20×: a stop 3 % away in a bar that trades 100, liquidation at 4.x %: 10 at the stop, the rest at the level."""
    settings = merged(VOLUME, {
        "sizing": {"leverage": 20.0, "margin_share": 0.05}, "costs": {"taker_fee": 0.0},
        "limits": {"max_leverage": 20.0, "loss_at_stop": 0.5, "drawdown": 1.0, "exposure": 2.0, "concentration": 2.0,
                   "open_risk": 0.5},
    })  # fmt: skip
    bars = [FLAT, FLAT, (100, 100, 90, 100), FLAT]
    result = run(bars, [1, 0, 0, 0], [1e5, 1e5, 100.0, 1e5], settings, profile(0.03, 3.0, 50))
    made = fills_of(result)
    held = made[0][2]
    assert made[1][:3] == ("STOP", 3.0, 10.0) and made[1][3] == 97.0
    assert made[2][0] == "LIQUIDATION" and made[2][1] == 3.0 and made[2][2] == pytest.approx(held - 10.0)
    nothing = run(bars, [1, 0, 0, 0], [1e5, 1e5, 0.0, 1e5], settings, profile(0.03, 3.0, 50))
    assert [f[0] for f in fills_of(nothing)] == ["entry", "LIQUIDATION"]
    assert np.isclose(nothing.fills["price"][1], result.fills["price"][2])

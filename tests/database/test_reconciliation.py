"""The ledger identity, and that each way of breaking it is named."""

from __future__ import annotations

import numpy as np
import pytest

from database.reconciliation import open_positions, reconcile
from tests.database import ledger_story as story


def ledger(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batches = [story.batch(k, 1) for k in range(n)]
    fills, trades, equity = ([getattr(b, name) for b in batches] for name in ("fills", "trades", "equity"))
    return np.concatenate(fills), np.concatenate(trades), np.concatenate(equity)


def test_a_sound_ledger_has_no_differences() -> None:
    found = reconcile(story.EQUITY_START, *ledger(6))
    assert found.differences == () and found.open_funding == 0.0
    assert found.cash == pytest.approx(story.EQUITY_START + found.realised - found.fees + found.funding, abs=0.005)


def test_an_open_position_is_seen_and_its_funding_set_apart() -> None:
    fills, trades, equity = ledger(3)
    cut = equity[: 2 * story.BARS + 4].copy()
    cut["cash"][-1] -= 0.3  # funding paid by the open position
    found = reconcile(story.EQUITY_START, fills[:-1], trades[:-1], cut)
    assert found.differences == ()
    assert found.open_funding == pytest.approx(-0.3)
    (position,) = open_positions(fills[:-1])
    assert (position.side, position.quantity, position.entry_price) == (1, 0.1, 100.0)


@pytest.mark.parametrize(
    ("part", "field", "change", "what"),
    [
        ("trades", "pnl", 0.01, "net profit"), ("trades", "fees", 0.01, "fees"),
        ("trades", "quantity", 0.1, "quantity"),
        ("trades", "exit_time", 1, "exit time"), ("trades", "side", -2, "side"), ("equity", "cash", 0.01, "cash"),
        ("fills", "fee", 0.01, "fees"), ("fills", "realised", 0.01, "net profit"),
    ],
)  # fmt: skip
def test_one_changed_figure_is_named(part: str, field: str, change: float, what: str) -> None:
    fills, trades, equity = ledger(3)
    {"fills": fills, "trades": trades, "equity": equity}[part][field][-1] += change
    differences = reconcile(story.EQUITY_START, fills, trades, equity).differences
    assert any(what in d.what for d in differences), differences


def test_a_cent_missing_before_an_open_position_is_found() -> None:
    fills, trades, equity = ledger(3)
    equity["cash"] -= 0.01
    differences = reconcile(story.EQUITY_START, fills[:-1], trades[:-1], equity[: 2 * story.BARS + 4]).differences
    assert [d.what for d in differences] == ["cash at the last flat bar"]


def test_lost_and_doubled_rows_are_found() -> None:
    fills, trades, equity = ledger(3)
    lost = {d.what for d in reconcile(story.EQUITY_START, fills, trades[:-1], equity).differences}
    assert "fills without a trade" in lost
    doubled = reconcile(story.EQUITY_START, fills, np.concatenate([trades, trades[-1:]]), equity).differences
    assert "trade without fills" in {d.what for d in doubled}
    orphan = reconcile(story.EQUITY_START, fills[1:], trades, equity).differences
    assert "exit without a position" in {d.what for d in orphan}

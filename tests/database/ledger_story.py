"""A small, consistent ledger told batch by batch: one trade for each ten bars, blocked plans between."""

from __future__ import annotations

import numpy as np

from ai.forecast import WIDTH
from trading.journal import AccountKey, AuditEvent, Batch, OrderRow
from trading.records import DECISION, EQUITY, FILL, SAID, TRADE, Action, ExitReason, Purpose, Reason

START = 1_700_000_040_000
STEP = 60_000
BARS = 10
EQUITY_START = 10_000.0
KEY = AccountKey("paper", "binanceusdm", "simulated", "synthetic", "story")
ABOUT = {"symbols": ["BTC/USDT:USDT", "ETH/USDT:USDT"], "timeframe": "1m"}


def profit(k: int) -> float:
    """Gross profit of trade k (0.1 × price change)."""
    return 0.1 * (3 + (k % 5) - 4 * (k % 2))


def fee(k: int) -> float:
    """Fee of each of trade k's two fills."""
    return 0.01 + 0.001 * (k % 3)


def funding(k: int) -> float:
    """Funding received in trade k."""
    return 0.0 - 0.002 * (k % 4)


def batch(k: int, account: int) -> Batch:
    """Batch ``k`` (0, 1, …): ten bars, in them one whole trade and one blocked plan."""
    times = START + STEP * (BARS * k + np.arange(BARS, dtype=np.int64))
    return Batch(
        account, int(times[-1]), decisions(k, times), fills(k, times), trades(k, times), equity(k, times),
        orders=orders(k, times), events=[AuditEvent(int(times[4]), "halt", {"why": f"story {k}"})],
        checkpoint=f"state after batch {k}".encode(), said=said(times),
    )  # fmt: skip


def decisions(k: int, times: np.ndarray) -> np.ndarray:
    rows = np.zeros(BARS, DECISION)
    rows["open_time"] = times
    rows["model"] = -1
    rows["reason"] = Reason.NO_SIGNAL
    for name in ("expected_value", "gate_values", "gate_limits", "entry", "stop", "target"):
        rows[name] = np.nan
    for at, action, plan in ((1, Action.LONG, 2 * k + 1), (8, Action.BLOCKED, 2 * k + 2)):
        row = rows[at]
        row["action"], row["reason"], row["signal"], row["plan_id"] = action, 0, 1, plan
        row["entry"], row["stop"], row["target"], row["quantity"] = 100.0, 99.5, 101.5, 0.1
        row["gate_values"], row["gate_limits"] = 0.25 + k, 0.5
        row["failed"] = 0b100 if action == Action.BLOCKED else 0
    return rows


def said(times: np.ndarray) -> np.ndarray:
    """A forecast on each bar of the first symbol."""
    rows = np.zeros(BARS, SAID)
    rows["open_time"] = times
    rows["row"] = np.random.default_rng(int(times[0] % 2**31)).uniform(size=(BARS, WIDTH))
    return rows


def fills(k: int, times: np.ndarray) -> np.ndarray:
    rows = np.zeros(2, FILL)
    rows["fill_id"] = [2 * k + 1, 2 * k + 2]
    rows["plan_id"] = 2 * k + 1
    rows["purpose"] = [Purpose.ENTRY, Purpose.EXIT]
    rows["reason"] = [0, ExitReason.TARGET]
    rows["side"] = [1, -1]
    rows["time"] = [times[2], times[6]]
    rows["price"] = [100.0, 100.0 + 10 * profit(k)]
    rows["quantity"] = 0.1
    rows["fee"] = fee(k)
    rows["realised"] = [0.0, profit(k)]
    return rows


def trades(k: int, times: np.ndarray) -> np.ndarray:
    rows = np.zeros(1, TRADE)
    rows["trade_id"], rows["plan_id"], rows["side"] = k + 1, 2 * k + 1, 1
    rows["exit_reason"] = ExitReason.TARGET
    rows["entry_time"], rows["exit_time"] = times[2], times[6]
    rows["entry_price"], rows["exit_price"] = 100.0, 100.0 + 10 * profit(k)
    rows["quantity"], rows["fees"], rows["funding"] = 0.1, 2 * fee(k), funding(k)
    rows["pnl"] = profit(k) - 2 * fee(k) + funding(k)
    rows["stop"], rows["target"] = 99.5, np.nan
    return rows


def cash_before(k: int) -> float:
    """The wallet before batch k."""
    return EQUITY_START + sum(profit(j) - 2 * fee(j) + funding(j) for j in range(k))


def equity(k: int, times: np.ndarray) -> np.ndarray:
    rows = np.zeros(BARS, EQUITY)
    rows["open_time"] = times
    rows["cash"] = cash_before(k)
    rows["cash"][2:] -= fee(k)
    rows["cash"][5:] += funding(k)
    rows["cash"][6:] += profit(k) - fee(k)
    rows["exposure"][2:6] = 10.0
    rows["equity"] = rows["cash"]
    return rows


def orders(k: int, times: np.ndarray) -> list[OrderRow]:
    at, done = int(times[1]), int(times[2])
    return [
        OrderRow(f"entry{k}", 2 * k + 1, "BTC/USDT:USDT", "entry", "buy", "market", "0.1", None, False, "filled", at,
                 done, ((at, "planned", ""), (done, "filled", "at the open"))),
        OrderRow(f"stop{k}", 2 * k + 1, "BTC/USDT:USDT", "stop", "sell", "stop_market", "0.1", "99.5", True,
                 "cancelled", done, done, ((done, "resting", ""), (done, "cancelled", "target filled"))),
    ]  # fmt: skip

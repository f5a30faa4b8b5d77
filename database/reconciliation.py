"""The ledger's identity: what the fills say, held against the stored trades and the equity curve."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.market import Record
from trading.records import Purpose

CENT = 0.005
TINY = 1e-9  # of a quantity: less than any lot


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that should be one."""

    what: str
    id: int | None
    expected: float
    found: float


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """``differences`` is empty in a sound ledger. Amounts are quote units."""

    differences: tuple[Difference, ...]
    realised: float
    fees: float
    funding: float  # of closed trades
    open_funding: float  # what the wallet holds beyond fills and closed trades: funding of what is still open
    cash: float | None  # of the last equity row


@dataclass(slots=True)
class Walk:
    """One position from flat to flat (or to now)."""

    symbol: int
    plan_id: int
    side: int
    entry_time: int
    quantity: float = 0.0  # open now
    bought: float = 0.0  # opened in all
    cost: float = 0.0  # Σ price × quantity opened
    fees: float = 0.0
    realised: float = 0.0
    exit_time: int = 0
    fill_ids: list[int] = field(default_factory=list)

    @property
    def entry_price(self) -> float:
        """Average price of what was opened."""
        return self.cost / self.bought if self.bought else float("nan")


def walk_fills(fills: Record) -> tuple[list[Walk], list[Walk], list[Difference]]:
    """Positions closed (by closing), positions open (by symbol), and fills that cannot be."""
    live: dict[int, Walk] = {}
    closed: list[Walk] = []
    wrong: list[Difference] = []
    for fill in fills:
        symbol, side = int(fill["symbol"]), int(fill["side"])
        quantity, number = float(fill["quantity"]), int(fill["fill_id"])
        at = live.get(symbol)
        entry = fill["purpose"] == Purpose.ENTRY
        if at is None and not entry:
            wrong.append(Difference("exit without a position", number, 0.0, quantity))
            continue
        if at is None:
            at = live[symbol] = Walk(symbol, int(fill["plan_id"]), side, int(fill["time"]))
        at.fill_ids.append(number)
        at.fees += float(fill["fee"])
        at.realised += float(fill["realised"])
        if entry:
            at.quantity += quantity
            at.bought += quantity
            at.cost += quantity * float(fill["price"])
            continue
        at.quantity -= quantity
        at.exit_time = int(fill["time"])
        if at.quantity < -TINY * at.bought:
            wrong.append(Difference("exit larger than the position", number, at.quantity + quantity, quantity))
        if at.quantity <= TINY * at.bought:
            closed.append(live.pop(symbol))
    return closed, [live[s] for s in sorted(live)], wrong


def open_positions(fills: Record) -> list[Walk]:
    """What the fills leave open, by symbol."""
    return walk_fills(fills)[1]


def reconcile(start_equity: float, fills: Record, trades: Record, equity: Record) -> Reconciliation:
    """Hold trades against fills, and cash against start + realised − fees + funding, to the cent."""
    closed, still_open, wrong = walk_fills(fills)
    wrong += _compare_trades(closed, trades)
    realised, fees = float(fills["realised"].sum()), float(fills["fee"].sum())
    funding = float(trades["funding"].sum())
    if not len(equity):
        return Reconciliation(tuple(wrong), realised, fees, funding, 0.0, None)
    cash = float(equity["cash"][-1])
    rest = cash - (start_equity + realised - fees + funding)
    if not still_open:
        if abs(rest) >= CENT:
            wrong.append(Difference("cash", None, start_equity + realised - fees + funding, cash))
        return Reconciliation(tuple(wrong), realised, fees, funding, 0.0, cash)
    wrong += _compare_last_flat(start_equity, trades, equity, min(w.entry_time for w in still_open))
    return Reconciliation(tuple(wrong), realised, fees, funding, rest, cash)


def _compare_trades(closed: list[Walk], trades: Record) -> list[Difference]:
    """Every closed walk has its trade, in the order of each symbol's closings."""
    wrong: list[Difference] = []
    waiting: dict[int, list[Walk]] = {}
    for walk in closed:
        waiting.setdefault(walk.symbol, []).append(walk)
    for trade in trades:
        number, queue = int(trade["trade_id"]), waiting.get(int(trade["symbol"]), [])
        if not queue:
            wrong.append(Difference("trade without fills", number, 0.0, float(trade["quantity"])))
            continue
        walk = queue.pop(0)
        net = walk.realised - walk.fees + float(trade["funding"])
        pairs = (
            ("plan", float(walk.plan_id), float(trade["plan_id"]), 0.5),
            ("side", float(walk.side), float(trade["side"]), 0.5),
            ("entry time", float(walk.entry_time), float(trade["entry_time"]), 0.5),
            ("exit time", float(walk.exit_time), float(trade["exit_time"]), 0.5),
            ("quantity", walk.bought, float(trade["quantity"]), TINY * walk.bought),
            ("fees", walk.fees, float(trade["fees"]), CENT),
            ("net profit", net, float(trade["pnl"]), CENT),
        )
        wrong += [
            Difference(f"{what} of a trade", number, a, b) for what, a, b, room in pairs if not abs(a - b) <= room
        ]
    for queue in waiting.values():
        wrong += [Difference("fills without a trade", walk.fill_ids[-1], walk.bought, 0.0) for walk in queue]
    return wrong


def _compare_last_flat(start_equity: float, trades: Record, equity: Record, since_ms: int) -> list[Difference]:
    """While something is open its funding is in the wallet only: the identity is held at the last flat bar before."""
    flat = equity[(equity["exposure"] == 0) & (equity["open_time"] < since_ms)]
    if not len(flat) or len(equity) < 2:
        return []
    last = flat[-1]
    close = int(last["open_time"]) + int(np.diff(equity["open_time"]).min())
    booked = (trades["exit_time"] <= close) & (trades["entry_time"] < close)
    expected = start_equity + float(trades["pnl"][booked].sum())
    if abs(expected - float(last["cash"])) < CENT:
        return []
    return [Difference("cash at the last flat bar", int(last["open_time"]), expected, float(last["cash"]))]

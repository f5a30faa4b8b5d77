"""What the trading floor asks of storage; ``database.journal`` implements it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from data.market import Record
from trading.records import SAID


@dataclass(frozen=True, slots=True)
class AccountKey:
    """Whose ledger a row belongs to. Two runs with equal keys are one run."""

    mode: str  # paper | replay | backtest | live
    venue: str  # binanceusdm, …
    environment: str  # simulated | demo | real
    source: str  # exchange | synthetic
    run: str  # digest of what the run is (symbols, timeframe, strategy or model, span, settings, seed)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as journalled; upserted by ``client_id``."""

    client_id: str  # 1-32 letters and digits
    plan_id: int
    symbol: str
    purpose: str  # entry | stop | target | exit
    side: str  # buy | sell
    kind: str  # market | limit | stop_market | take_profit_market
    quantity: str  # Decimal text, base units
    price: str | None  # trigger or limit price, Decimal text
    reduce_only: bool
    status: str  # planned | resting | filled | cancelled | rejected | expired | unknown
    created_ms: int
    updated_ms: int
    history: tuple[tuple[int, str, str], ...] = ()  # (ms, status, words)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something a person may ask about later: a state change, a halt, a model switch, a setting."""

    at_ms: int
    kind: str
    body: Mapping[str, object]


@dataclass(slots=True)
class Batch:
    """What happened over some bars; committed whole or not at all. Record arrays have the dtypes of trading.records."""

    account_id: int
    last_bar_ms: int  # open time of the newest bar in the batch
    decisions: Record
    fills: Record
    trades: Record
    equity: Record
    orders: list[OrderRow] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    checkpoint: bytes = b""  # the session's whole state after last_bar_ms
    said: Record = field(default_factory=lambda: np.zeros(0, dtype=SAID))  # forecasts that were decided on


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last committed state of an account."""

    account_id: int
    last_bar_ms: int
    state: bytes


JOURNAL_STEPS = (
    "begin", "orders", "fills", "trades", "equity", "decisions", "said", "audit", "checkpoint",
    "before_commit", "committed",
)  # fmt: skip


class Journal(Protocol):
    """Crash-safe storage of one or more accounts' ledgers."""

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        """The id of the account with this key, made if it does not exist. ``about`` (JSON) describes the run."""
        ...

    def commit(self, batch: Batch) -> None:
        """Write one batch in one transaction, with a decision-content hash and an audit-chain entry."""
        ...

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        """The newest committed checkpoint, if any."""
        ...

    def forget(self, account_id: int) -> None:
        """Start this account anew (``--fresh``): its rows go, and the audit says so."""
        ...

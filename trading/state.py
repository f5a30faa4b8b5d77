"""The whole state of an account as numpy records: what kernels change and a checkpoint holds.

Prices and quantities are ``int64`` ticks and lots; money is ``float64`` quote currency; times are ms UTC.
A price is ``ticks * tick_num / tick_den`` (one correctly rounded division), likewise lots.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import numpy as np

from ai.forecast import REGIMES
from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import Float64Array, Record
from data.timeframes import DAY_MS
from trading.config import ON_HALT, TradingConfig
from trading.costs import ticks_of
from trading.instrument_rules import instrument_records
from trading.records import GATE_SLOTS, Entry
from trading.risk.history import RING, remember
from trading.risk.limits import gate_limits
from trading.risk.rules import risk_rules

YEAR_MS = 365 * DAY_MS
RING_DAYS = 90  # daily returns that the Sharpe gate looks back on
STATE_VERSION = 5
PARTS = 3  # partial targets
_MAGIC = b"QTS1"


class Trading(IntEnum):
    """Whether new positions may be opened."""

    RUNNING = 0
    PAUSED = 1
    HALTED = 2


MANUAL_HALT = 100  # halt_reason of a halt by a person; below: 1 + the gate's index

ACCOUNT = np.dtype(
    [
        ("start", "<f8"),
        ("realised", "<f8"), ("fees", "<f8"), ("funding", "<f8"),  # sums; fees >= 0, funding + received
        ("cash", "<f8"),  # start + realised - fees + funding
        ("equity", "<f8"), ("unrealised", "<f8"), ("exposure", "<f8"),
        ("high_water", "<f8"), ("drawdown", "<f8"),
        ("maintenance", "<f8"),  # margin that all positions must keep, at the last close; cross margin only
        ("day_start", "<f8"),  # equity at 00:00 UTC
        ("next_midnight", "<i8"),
        ("trades_today", "<i8"),  # filled entries
        ("loss_streak", "<i8"),  # closed losing trades in a row, within the day
        ("closed_today", "<i8"),
        ("days", "<i8"),  # daily returns in the ring, ever
        ("ring_trades", "<i8"),  # closed trades within the ring's days
        ("sharpe", "<f8"), ("sharpe_upper", "<f8"),  # a year; NaN until measurable
        ("state", "<i8"),  # Trading
        ("halted_at", "<i8"), ("halt_reason", "<i8"),  # of the present halt, 0 = none
        ("first_halt", "<i8"),  # ms of the first halt of the run, 0 = none
        ("halts", "<i8"),
        ("plans", "<i8"), ("fills", "<i8"), ("trades", "<i8"),  # running numbers
        ("last_bar", "<i8"),  # open time of the newest bar, -1 = none
        ("events", "<i8"),  # running number of audit events
        ("risk_days", "<i8"),  # UTC days in the ring of daily returns, ever
        ("tightness", "<f8"),  # what is left of the limits on money at risk, 1 = all
        # when what is held was held against the limits last
        ("looked_gross", "<f8"), ("looked_fills", "<i8"), ("looked_day", "<i8"), ("looked_tightness", "<f8"),
        ("loosened_high", "<f8"), ("loosened_drawdown", "<f8"),  # high-water mark and drawdown at the last loosening
    ]
)  # fmt: skip

POSITION = np.dtype(
    [
        ("side", "<i8"),  # -1, 0 flat, 1
        ("lots", "<i8"),
        ("entry", "<i8"),  # ticks; of several fills the average, rounded
        ("cost", "<i8"),  # ticks × lots paid for what is held: money is reckoned from this, exactly
        ("opened", "<i8"), ("spent", "<i8"),  # lots of all entry fills, their ticks × lots
        ("sold", "<i8"), ("realised", "<f8"),  # ticks × lots of the parts closed, their gross profit
        ("origin", "<i8"), ("distance", "<i8"),  # ticks: price of the first fill, stop distance of the plan
        ("first_lots", "<i8"), ("first_stop", "<i8"),  # of the first fill
        ("entry_time", "<i8"),
        ("filled_at", "<i8"), ("filled_plan", "<i8"),  # of the newest entry fill
        ("stop", "<i8"), ("target", "<i8"), ("liquidation", "<i8"),  # ticks
        ("stop_reason", "<i8"),  # ExitReason when the stop is reached
        ("next_target", "<i8"),  # ticks: the partial target that comes next, or the target
        ("parts", "<i8"), ("next_part", "<i8"),  # partial targets before the target, and which is next
        ("part_ticks", "<i8", (PARTS,)), ("part_lots", "<i8", (PARTS,)),
        ("adds", "<i8"),  # additions planned so far
        ("exit_bar", "<i8"),  # open time of the bar that filled part of a market exit
        ("wallet", "<f8"),  # money behind the position: its margin, or with cross margin the account's
        ("deadline", "<i8"),  # ms: out at the close of the first bar that ends then or later
        ("plan_id", "<i8"),
        ("exit_at_open", "<i8"),  # ExitReason of a market exit waiting for the next open, 0 = none
        ("best", "<i8"), ("worst", "<i8"),  # ticks, extremes of last prices while held
        ("peak", "<i8"),  # ticks, best mark price while held, where levels follow that
        ("margin", "<f8"), ("fees", "<f8"), ("funding", "<f8"), ("slippage", "<f8"), ("risk_amount", "<f8"),
        # the working entry order
        ("work_side", "<i8"),  # 0 = none
        ("work_kind", "<i8"), ("work_price", "<i8"),  # Entry; level in ticks of a limit or stop entry
        ("work_lots", "<i8"), ("work_plan", "<i8"),
        ("work_stop", "<i8"), ("work_target", "<i8"),  # distances in ticks
        ("work_until", "<i8"),
        ("work_leverage", "<f8"),
        ("work_risk", "<f8"),  # most that the whole position may lose at its stop after this entry
        # what is known of the market
        ("last", "<i8"),  # ticks, last close, 0 = none
        ("mark", "<i8"),  # ticks, what a position is valued at: the mark price's close, where unknown the last close
        ("sigma", "<f8"),  # standard deviation of a bar's log return, 0 = unknown
        ("shock", "<f8"),  # one-hour volatility / its 30-day median, NaN = unknown
        ("funding_rate", "<f8"),
        ("funding_time", "<i8"), ("funding_step", "<i8"),  # last settlement and the interval before it, 0 = unknown
        ("seen", "<i8"),  # 1 = a bar of this UTC day was seen
        ("day_close", "<f8"),  # close of the UTC day before, 0 = none
        ("spread", "<f8"), ("quote_age", "<f8"),  # fraction of the price, seconds; NaN = unknown
        ("bid_depth", "<f8"), ("ask_depth", "<f8"),  # quote units of the ten best levels, NaN = unknown
        # portfolio risk
        ("weight", "<f8"),  # scratch: signed share of equity
        ("cut_lots", "<i8"), ("cuts", "<i8"),  # lots of a market exit with reason LIMIT, 0 = none; how many there were
        ("unit_day", "<i8"),  # ``risk_days`` for which the next four hold
        ("var_long", "<f8"), ("es_long", "<f8"), ("var_short", "<f8"), ("es_short", "<f8"),  # of a weight of 1
    ]
)  # fmt: skip

_GRID_BOUND = (
    "lots", "entry", "cost", "opened", "spent", "sold", "origin", "distance", "first_lots", "first_stop", "stop",
    "target", "next_target", "liquidation", "cut_lots", "part_ticks", "part_lots", "best", "worst", "peak",
    "work_price", "work_lots", "work_stop", "work_target", "last", "mark",
)  # fmt: skip

PLAN = np.dtype(
    [
        ("side", "<i8"), ("lots", "<i8"), ("plan_id", "<i8"),
        ("kind", "<i8"), ("price", "<i8"),  # Entry; level in ticks, 0 for a market entry
        ("stop", "<i8"), ("target", "<i8"),  # distances in ticks
        ("deadline", "<i8"), ("until", "<i8"),
        ("leverage", "<f8"), ("risk", "<f8"),
    ]
)  # fmt: skip

INTENT = np.dtype(
    [
        ("purpose", "<i8"), ("reason", "<i8"), ("maker", "<i8"), ("side", "<i8"),
        ("time", "<i8"), ("ticks", "<i8"), ("reference", "<i8"), ("lots", "<i8"),
    ]
)  # fmt: skip

RULES = np.dtype(
    [
        ("ensemble", "<i8"), ("threshold", "<f8"), ("enforce", "<i8"), ("on_halt", "<i8"),
        ("step", "<i8"), ("bars_per_year", "<f8"),
        ("row_distance", "<i8"), ("row_volatility", "<i8"), ("row_black_swan", "<i8"),  # rows of X, -1 = none
        ("unit", "<i8"), ("stop", "<f8"), ("target_ratio", "<f8"), ("limit_bars", "<i8"), ("target_in_stops", "<i8"),
        ("half_spread", "<f8"), ("impact", "<f8"), ("volume_share", "<f8"),
        ("risk_share", "<f8"), ("kelly_share", "<f8"), ("volatility_target", "<f8"),
        ("margin_share", "<f8"), ("leverage", "<f8"),
        ("sharpe_min_days", "<i8"), ("sharpe_min_trades", "<i8"),
        ("limit_drawdown", "<f8"), ("limit_sharpe", "<f8"), ("limit_black_swan", "<f8"),
        ("black_swan_action", "<i8"),  # 0 block, 1 halt, 2 halt and flatten
        ("entry", "<i8"),  # Entry
        ("entry_distance", "<f8"), ("entry_bars", "<i8"), ("entry_rest", "<i8"),  # 1 = works on
        ("exit_share", "<i8"),  # 1 = market exits take the volume share of a bar at most
        ("cross", "<i8"),  # 1 = cross margin
        ("on_mark", "<i8"),  # 1 = stops and market targets are tested on the mark price
        ("take_market", "<i8"),  # 1 = targets are market orders
        ("parts", "<i8"), ("part_at", "<f8", (PARTS,)), ("part_share", "<f8", (PARTS,)),
        ("managed", "<i8"),  # 1 = levels may move at closes
        ("row_atr", "<i8"),  # row of X that trailing reads, -1 = none
        ("trailing", "<f8"), ("trailing_after", "<f8"), ("break_even_after", "<f8"),
        ("give_back", "<f8"), ("give_back_after", "<f8"),
        ("adds", "<i8"), ("add_after", "<f8"), ("add_share", "<f8"),
        ("strict", "<i8"),  # 1 = what cannot be measured blocks
        ("row_spread", "<i8"),  # row of X, -1 = none
        ("var_method", "<i8"), ("var_days", "<i8"), ("var_least", "<i8"), ("correlation", "<f8"),
        ("reduces", "<i8"), ("held_room", "<f8"),  # 1 = what is held beyond a limit is reduced
        ("tighten_factor", "<f8"), ("tighten_floor", "<f8"),
        ("tighten_drawdown", "<f8"), ("tighten_day", "<f8"),  # infinite = never
        ("within", "<i8"),  # 1 = sizes are cut down to what the gates allow
        ("drawdown_floor", "<f8"), ("correlation_above", "<f8"), ("regime", "<f8", (REGIMES,)),
    ]
)  # fmt: skip


def rules_record(config: TradingConfig, schema: FeatureSchema) -> Record:
    """``RULES[1]`` of a run over features in ``schema``.

    Raises:
        UserError: the schema lacks a feature that the desk reads.
    """
    profile, costs = config.profile, config.settings.costs
    sizing = config.in_force.sizing
    limits = config.settings.limits
    values: dict[str, Any] = {
        "ensemble": int(config.strategy.decides), "threshold": config.strategy.threshold,
        "enforce": config.enforce, "on_halt": ON_HALT.index(config.on_halt),
        "step": config.step_ms, "bars_per_year": YEAR_MS / config.step_ms,
        "row_distance": -1 if profile.feature is None else schema.index(profile.feature),
        "row_volatility": schema.index("volatility_96"), "row_black_swan": schema.index("black_swan_ratio"),
        "unit": int(profile.unit), "stop": profile.stop, "target_ratio": profile.target_ratio,
        "limit_bars": profile.limit_bars, "target_in_stops": profile.target_in_stops,
        "half_spread": costs.spread / 2.0,
        "impact": costs.impact, "volume_share": costs.volume_share,
        "risk_share": sizing.risk_share, "kelly_share": sizing.kelly_share,
        "volatility_target": sizing.volatility_target, "margin_share": sizing.margin_share,
        "leverage": sizing.leverage,
        "sharpe_min_days": limits.sharpe_min_days, "sharpe_min_trades": limits.sharpe_min_trades,
        "limit_drawdown": limits.drawdown, "limit_sharpe": limits.sharpe, "limit_black_swan": limits.black_swan,
        "black_swan_action": ("block", "halt", "flatten").index(limits.black_swan_action),
        **_orders(config), **_management(config, schema), **risk_rules(config, schema),
    }  # fmt: skip
    row = np.zeros(1, dtype=RULES)
    for name, value in values.items():
        row[name] = value
    return row


def _orders(config: TradingConfig) -> dict[str, Any]:
    matching = config.in_force.matching
    return {
        "entry": int(Entry[matching.entry.upper()]), "entry_distance": matching.entry_distance,
        "entry_bars": matching.entry_bars, "entry_rest": matching.entry_rest == "work",
        "exit_share": matching.exit_fill == "volume", "cross": matching.margin_mode == "cross",
        "on_mark": matching.stop_trigger == "mark", "take_market": matching.target_order == "market",
    }  # fmt: skip


def _management(config: TradingConfig, schema: FeatureSchema) -> dict[str, Any]:
    settings = config.in_force.management
    by_atr = settings.trailing > 0.0 and settings.trailing_unit == "atr"
    blank = (0.0,) * (PARTS - len(settings.target_at))
    names = ("trailing", "trailing_after", "break_even_after", "give_back", "give_back_after")
    return {
        **{name: getattr(settings, name) for name in (*names, "adds", "add_after", "add_share")},
        "parts": len(settings.target_at), "part_at": settings.target_at + blank,
        "part_share": settings.target_share + blank, "managed": settings.active,
        "row_atr": schema.index("atr_14") if by_atr else -1,
    }  # fmt: skip


@dataclass(slots=True, eq=False)
class TradingState:
    """Mutable state and rules of one account over S symbols; kernels take its arrays.

    ``instruments`` and ``limits`` change with a symbol's rules only; a checkpoint holds neither.
    """

    account: Record  # ACCOUNT[1]
    positions: Record  # POSITION[S]
    ring: Float64Array  # [2, RING_DAYS] daily returns; closed trades of that day
    days: Float64Array  # [S, RING] daily returns of the symbols
    instruments: Record  # INSTRUMENT[S]
    rules: Record  # RULES[1]
    limits: Float64Array  # [S, GATE_SLOTS]
    plans: Record  # PLAN[S], scratch between decide and the order
    intent: Record  # INTENT[1], scratch between matching and the ledger

    @classmethod
    def new(cls, config: TradingConfig, schema: FeatureSchema) -> Self:
        """The state before the first bar."""
        account = np.zeros(1, dtype=ACCOUNT)
        for name in ("start", "cash", "equity", "high_water", "day_start"):
            account[name] = config.start_equity
        account["sharpe"] = account["sharpe_upper"] = np.nan
        account["last_bar"] = -1
        account["tightness"] = 1.0
        count = len(config.symbols)
        limits = gate_limits(config)
        if limits.shape != (count, GATE_SLOTS):
            raise AssertionError("gate limits have the wrong shape")
        positions = np.zeros(count, dtype=POSITION)
        positions["unit_day"] = -1
        for name in ("spread", "quote_age", "bid_depth", "ask_depth"):
            positions[name] = np.nan
        return cls(
            account, positions, np.zeros((2, RING_DAYS)), np.full((count, RING), np.nan), instrument_records(config),
            rules_record(config, schema), limits, np.zeros(count, dtype=PLAN), np.zeros(1, dtype=INTENT),
        )  # fmt: skip

    def remember(self, closes: Float64Array) -> None:
        """Daily closes ``[S, D]`` of the UTC days before the first bar's (NaN: no bar): what risk is measured on."""
        remember(self.account, self.positions, self.days, closes)

    def adopt(self, s: int, config: TradingConfig, price: float) -> None:
        """Symbol ``s``, flat and without a working order, goes over to its rules in ``config``.

        Ticks and lots of the old rules mean nothing any more: what is left of the last position is cleared, and
        ``price`` (quote) is the last close on the new grid. No money changes.
        """
        position = self.positions[s]
        if position["side"] != 0 or position["work_side"] != 0:
            raise AssertionError("rules change only where nothing is held and nothing works")
        for name in _GRID_BOUND:
            position[name] = 0
        self.obey(s, config)
        position["last"] = ticks_of(price, self.instruments[s]) if price > 0.0 else 0
        position["mark"] = position["last"]

    def obey(self, s: int, config: TradingConfig) -> None:
        """Put the rules of symbol ``s`` in ``config`` in force; its ticks and lots must be of these rules."""
        self.instruments[s] = instrument_records(config)[s]
        self.limits[s] = gate_limits(config)[s]

    def to_bytes(self, digest: str, about: dict[str, object]) -> bytes:
        """A checkpoint: the changing records, the run's digest and ``about`` (JSON), hashed."""
        parts = [self.account.tobytes(), self.positions.tobytes(), self.ring.tobytes(), self.days.tobytes()]
        head = json.dumps(
            {"version": STATE_VERSION, "digest": digest, "sizes": [len(part) for part in parts], "about": about}
        ).encode()
        body = struct.pack("<I", len(head)) + head + b"".join(parts)
        return _MAGIC + hashlib.blake2b(body, digest_size=16).digest() + body

    def restore(self, raw: bytes, digest: str) -> dict[str, Any]:
        """Load a checkpoint into this state; the ``about`` of :meth:`to_bytes`.

        Raises:
            UserError: the checkpoint is damaged, of another version, or of a run with other settings.
        """
        body = raw[20:]
        if raw[:4] != _MAGIC or hashlib.blake2b(body, digest_size=16).digest() != raw[4:20]:
            raise UserError("The account's checkpoint is damaged: start anew with --fresh.")
        (length,) = struct.unpack_from("<I", body)
        head = json.loads(body[4 : 4 + length])
        if head["version"] != STATE_VERSION or head["digest"] != digest:
            raise UserError("The account's checkpoint is of other settings or another version: start with --fresh.")
        at = 4 + length
        arrays: list[Any] = [self.account, self.positions, self.ring, self.days]
        for array, size in zip(arrays, head["sizes"], strict=True):
            flat = np.frombuffer(body, dtype=array.dtype, count=size // array.dtype.itemsize, offset=at)
            array[...] = flat.reshape(array.shape)
            at += size
        about: dict[str, Any] = head["about"]
        return about

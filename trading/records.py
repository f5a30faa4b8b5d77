"""Record types of the ledger: the rows that kernels fill, the journal stores and the window shows.

Prices and quantities are stored here in quote and base units (``float64``); kernels work in ``int64`` ticks and lots.
Every dtype is packed in a fixed order: a stored row is the row's bytes, and its hash is taken over them.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from enum import IntEnum
from typing import Any

import numpy as np

from ai.forecast import WIDTH

Row = MutableMapping[str, Any]  # one record, as kernels and their callers index it

GATE_SLOTS = 24  # room for gates to come; ``trading.risk.gates.GATES`` names those in use, in order
CODE_SHIFT = 2  # a bar's code in a run is ``action | reason << 2``


class Action(IntEnum):
    """What a decision came to."""

    ABSTAIN = 0  # no signal, or the forecast abstained, or a position is open already
    BLOCKED = 1  # a plan was made and at least one gate blocked it
    LONG = 2  # a plan was made and sent
    SHORT = 3


class Reason(IntEnum):
    """Why a decision abstained (0 for plans)."""

    NONE = 0
    WARMING_UP = 1
    NO_SIGNAL = 2
    NO_MODEL = 3
    BELOW_THRESHOLD = 4
    NEGATIVE_EV = 5
    POSITION_OPEN = 6
    TOO_SMALL = 7  # below the minimum notional after rounding down to the lot
    PAUSED = 8
    HALTED = 9
    INVALID_FORECAST = 10
    BAR_MISSING = 11
    EXIT_SIGNAL = 12
    LATE_BAR = 13  # the bar after it has closed already: an order would fill in the past
    NOT_TRADING = 14  # the exchange is delisting or settling the symbol, or changed its rules
    CLOCK_SKEW = 15  # the clock here is too far from the exchange's
    MODELS_ADVISE_AGAINST = 16  # there is a forecast, and its ``abstain`` says why not to act on it
    MODEL_DISAGREES = 17  # the rule signals one side, the ensemble takes the other
    RULE_FORBIDS = 18  # the ensemble takes a side whose conditions do not hold
    ENTRY_WORKING = 19  # an entry order of the symbol still works


class ExitReason(IntEnum):
    """Why a position was closed; names as in ``trades[].exit_reason``."""

    STOP = 1
    TARGET = 2
    TRAILING = 3  # a stop that was moved: trailing, to break-even, or to keep profit
    TIME = 4
    LIQUIDATION = 5
    SIGNAL = 6
    EMERGENCY = 7
    END = 8
    LIMIT = 9  # reduced, because what was held was beyond a portfolio limit


class Entry(IntEnum):
    """The order that opens a position."""

    MARKET = 0  # at the next open
    LIMIT = 1  # rests nearer to the stop than the close, as a maker
    STOP = 2  # waits beyond the close, fills as a taker


class Purpose(IntEnum):
    """What an order or fill is for."""

    ENTRY = 0
    EXIT = 1


DECISION = np.dtype(
    [
        ("open_time", "<i8"),  # of the bar whose close was decided on
        ("symbol", "<i4"),  # index into the run's symbols
        ("action", "<i4"),  # Action
        ("reason", "<i4"),  # Reason
        ("signal", "<i4"),  # -1 short, 0 none, 1 long
        ("model", "<i4"),  # index into the run's model ids, -1 = none
        ("abstain", "<i4"),  # ai.forecast.Abstain
        ("p_long", "<f8"), ("p_short", "<f8"), ("p_neutral", "<f8"),
        ("threshold", "<f8"),
        ("confidence", "<f8"),
        ("risk_score", "<f8"),
        ("expected_value", "<f8"),  # fraction of notional after costs, NaN for rules
        ("entry", "<f8"), ("stop", "<f8"), ("target", "<f8"),  # prices; entry = last close, filled at the next open
        ("quantity", "<f8"),  # base units
        ("leverage", "<f8"),
        ("risk_amount", "<f8"),  # quote units lost at the stop, costs included
        ("reward_to_risk", "<f8"),
        ("time_limit", "<i8"), ("valid_until", "<i8"),  # ms
        ("plan_id", "<i8"),  # running number of the account, 0 = no plan
        ("failed", "<i8"),  # bit g: gate g blocks
        ("unmeasured", "<i8"),  # bit g: gate g could not be measured
        ("gate_values", "<f8", (GATE_SLOTS,)),
        ("gate_limits", "<f8", (GATE_SLOTS,)),
    ]
)  # fmt: skip

SAID = np.dtype(
    [
        ("open_time", "<i8"),  # of the decision
        ("symbol", "<i4"),
        ("row", "<f8", (WIDTH,)),  # the forecast row that was decided on (ai.forecast)
    ]
)

FILL = np.dtype(
    [
        ("fill_id", "<i8"),  # running number of the account
        ("plan_id", "<i8"),
        ("symbol", "<i4"),
        ("purpose", "<i4"),  # Purpose
        ("reason", "<i4"),  # ExitReason, 0 for entries
        ("maker", "<i4"),  # 1 maker, 0 taker
        ("side", "<i4"),  # 1 buy, -1 sell
        ("_pad", "<i4"),
        ("time", "<i8"),  # ms
        ("price", "<f8"),
        ("quantity", "<f8"),  # base units, > 0
        ("fee", "<f8"),  # quote units, >= 0
        ("realised", "<f8"),  # gross profit of the closed part, quote units
        ("slippage", "<f8"),  # quote units paid against the reference price, >= 0
    ]
)

TRADE = np.dtype(
    [
        ("trade_id", "<i8"),
        ("plan_id", "<i8"),
        ("symbol", "<i4"),
        ("side", "<i4"),  # 1 long, -1 short
        ("exit_reason", "<i4"),
        ("_pad", "<i4"),
        ("entry_time", "<i8"), ("exit_time", "<i8"),
        ("entry_price", "<f8"), ("exit_price", "<f8"),
        ("quantity", "<f8"),
        ("fees", "<f8"),  # >= 0
        ("funding", "<f8"),  # + received
        ("pnl", "<f8"),  # net of both
        ("stop", "<f8"), ("target", "<f8"),
        ("risk_amount", "<f8"),
        ("mfe", "<f8"), ("mae", "<f8"),  # best and worst excursion, fraction of the entry price, signed for the side
        ("slippage", "<f8"),
    ]
)  # fmt: skip

EQUITY = np.dtype(
    [
        ("open_time", "<i8"),  # of the bar after whose close this holds
        ("equity", "<f8"),
        ("cash", "<f8"),  # wallet: deposits + realised - fees + funding
        ("unrealised", "<f8"),
        ("drawdown", "<f8"),  # fraction below the deposit-adjusted high-water mark, >= 0
        ("exposure", "<f8"),  # gross notional
    ]
)

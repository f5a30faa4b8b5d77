"""Why a session made another profit than the back-test of the same bars: the difference of every trade, in named parts.

Two sides are compared trade by trade; a trade is known by its symbol, the bar it was decided on and its side, so that a
late fill stays the same trade. Sums are exact (fractions of what the ledgers hold): the parts of a trade are its
difference, and nothing is rounded away. What no part explains is a part of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from data.market import Record
from trading.records import ExitReason

SLIPPAGE, FEE, FUNDING, LATENCY, MISSED, REVISED, SIZE, UNEXPLAINED = (
    "slippage", "fee", "funding", "latency", "missed_fill", "revised_data", "size", "unexplained",
)  # fmt: skip
PARTS: Mapping[str, str] = {
    SLIPPAGE: "other prices than the model's at the same moment",
    FEE: "other rates than the back-test's",
    FUNDING: "settlements paid at another rate, or not",
    LATENCY: "filled at another moment",
    MISSED: "filled on one side only, wholly or in part; bars that did not come",
    REVISED: "bars that were corrected afterwards",
    SIZE: "planned in another size, because the account stood elsewhere",
    UNEXPLAINED: "closed for another reason, which none of these says",
}
"""Every part with its meaning, in the order in which they are told."""

Key = tuple[int, int, int]  # symbol's number, open time of the bar decided on, side
Parts = dict[str, Fraction]
NOTHING = Fraction(0)
_BY_HAND = int(ExitReason.EMERGENCY)


@dataclass(frozen=True, slots=True)
class Made:
    """A closed trade of one side. Money in quote units, ``quantity`` and ``planned`` in base units."""

    pnl: float
    fees: float
    funding: float
    slippage: float
    quantity: float
    planned: float
    notional: float  # of entry and exit together
    entry_time: int
    exit_time: int
    reason: int  # ExitReason
    entry_price: float = 0.0


Side = dict[Key, Made]


def trades_by_plan(trades: Record, plans: Record) -> Side:
    """The TRADE rows by key; ``plans`` are the DECISION rows that their ``plan_id`` names."""
    decided = {int(row["plan_id"]): (int(row["open_time"]), float(row["quantity"])) for row in plans}
    side: Side = {}
    for trade in trades:
        opened, planned = decided[int(trade["plan_id"])]
        quantity = float(trade["quantity"])
        side[int(trade["symbol"]), opened, int(trade["side"])] = Made(
            float(trade["pnl"]), float(trade["fees"]), float(trade["funding"]), float(trade["slippage"]), quantity,
            planned, quantity * (float(trade["entry_price"]) + float(trade["exit_price"])), int(trade["entry_time"]),
            int(trade["exit_time"]), int(trade["exit_reason"]), float(trade["entry_price"]),
        )  # fmt: skip
    return side


def unfinished(side: Side) -> set[Key]:
    """Trades that only the end of a back-test closed."""
    return {key for key, made in side.items() if made.reason == ExitReason.END}


class Attribution:
    """Parts by trade. First the steps from the back-test towards what the session knew, then the session itself."""

    def __init__(self, left_out: Iterable[Key] = ()) -> None:
        self.parts: dict[Key, Parts] = {}
        self._left_out = frozenset(left_out)

    def step(self, part: str, before: Side, after: Side) -> None:
        """What one change to the inputs did, everything that followed from it included."""
        for key in before.keys() | after.keys():
            self._add(key, part, _pnl(after.get(key)) - _pnl(before.get(key)))

    def session(self, expected: Side, live: Side) -> None:
        """What is left between the back-test on what the session knew and the session."""
        for key in expected.keys() | live.keys():
            made, wanted = live.get(key), expected.get(key)
            if made is None or wanted is None or not wanted.quantity or not wanted.notional:
                self._add(key, MISSED, _pnl(made) - _pnl(wanted))
                continue
            for part, money in _split(wanted, made).items():
                self._add(key, part, money)

    def totals(self) -> Parts:
        """The sum of every part over all trades."""
        return {part: sum((own.get(part, NOTHING) for own in self.parts.values()), NOTHING) for part in PARTS}

    def _add(self, key: Key, part: str, money: Fraction) -> None:
        if key in self._left_out:
            return
        own = self.parts.setdefault(key, {})
        if money:
            own[part] = own.get(part, NOTHING) + money


def _pnl(made: Made | None) -> Fraction:
    return NOTHING if made is None else Fraction(made.pnl)


def _split(wanted: Made, made: Made) -> Parts:
    """One trade that both sides made. What it would have been at the other size comes first, then rates, then prices.

    Fees count as a rate on what was traded: what they cost more at another price belongs to the price.
    """
    share = Fraction(made.quantity) / Fraction(wanted.quantity)
    planned = Fraction(made.planned) / Fraction(wanted.planned) if wanted.planned else Fraction(1)
    usual_fees = Fraction(wanted.fees) / Fraction(wanted.notional) * Fraction(made.notional)
    parts = {
        SIZE: (planned - 1) * Fraction(wanted.pnl),
        MISSED: (share - planned) * Fraction(wanted.pnl),
        FEE: usual_fees - Fraction(made.fees),
        FUNDING: Fraction(made.funding) - share * Fraction(wanted.funding),
        SLIPPAGE: share * Fraction(wanted.slippage) - Fraction(made.slippage),
    }
    rest = Fraction(made.pnl) - Fraction(wanted.pnl) - sum(parts.values(), NOTHING)  # prices, and their fees
    if made.entry_time != wanted.entry_time or (made.exit_time != wanted.exit_time and made.reason == wanted.reason):
        parts[LATENCY] = rest + parts.pop(SLIPPAGE) + parts.pop(FUNDING)  # of that moment, and of the time held
    elif made.reason == wanted.reason or (made.entry_price != wanted.entry_price and made.reason != _BY_HAND):
        parts[SLIPPAGE] += rest  # stop and target hang from the fill: another entry moves the exit too
    else:
        parts[UNEXPLAINED] = rest
    return parts

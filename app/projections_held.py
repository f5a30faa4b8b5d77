"""What is held against the portfolio's limits, and how the traded symbols move together: by the desk's own kernels."""

from __future__ import annotations

import numpy as np

from app.contract.risk_views import CorrelationView
from app.contract.views import FloatArray, GateRow
from app.documents import number
from app.projection_context import Book
from app.projections_decision import TIERS
from trading.risk.history import CORRELATION_DAYS, CORRELATION_LEAST, RING, correlation, portfolio_returns
from trading.risk.limits import GATES, Gate
from trading.risk.passing import passes
from trading.risk.portfolio import open_risk, tail_risk, weigh
from trading.risk.tightening import limit_of

NOBODY = -1  # leaves no symbol out
PORTFOLIO = (Gate.VAR, Gate.SHORTFALL, Gate.OPEN_RISK, Gate.EXPOSURE, Gate.CONCENTRATION)


def held(book: Book) -> tuple[GateRow, ...]:
    """The portfolio as it is now, entries that wait included; no plan is added."""
    state = book.state
    a, rules = state.account[0], state.rules[0]
    gross = weigh(a, state.positions, state.instruments)
    at_risk, shortfall = tail_risk(a, state.positions, state.days, rules)
    values = (
        at_risk, shortfall, open_risk(state.positions, state.instruments, rules, NOBODY) / float(a["equity"]), gross,
        float(np.abs(state.positions["weight"]).max(initial=0.0)),
    )  # fmt: skip
    return tuple(_row(book, int(gate), value) for gate, value in zip(PORTFOLIO, values, strict=True))


def _row(book: Book, gate: int, value: float) -> GateRow:
    spec, limit = GATES[gate], in_force(book, 0, gate)
    measured = value == value
    words = f"{spec.words}, as it is held now." if measured else f"{spec.words}: too few days are known yet."
    return GateRow(
        key=spec.name.lower().replace(" ", "_"), label=spec.name, tier=TIERS[spec.tier], value=number(value),
        limit=limit, unit="fraction", passed=not measured or bool(passes(value, limit, spec.at_least)),
        measured=measured, words=words, set_limit=as_set(book, 0, gate),
    )  # fmt: skip


def in_force(book: Book, s: int, gate: int) -> float:
    """The limit of a gate for symbol ``s`` now."""
    return float(limit_of(book.state.account[0], book.state.limits, s, gate))


def as_set(book: Book, s: int, gate: int) -> float | None:
    """The limit that a person set, where the one in force has tightened."""
    tightened = GATES[gate].tightens and float(book.state.account["tightness"][0]) < 1.0
    return float(book.state.limits[s, gate]) if tightened else None


def held_days(book: Book) -> FloatArray:
    """What the portfolio of now would have made on each known day, oldest first; :func:`held` sets its weights."""
    state, out = book.state, np.empty(RING)
    if not state.positions["weight"].any():
        return out[:0]
    days = int(state.rules["var_days"][0])
    count = portfolio_returns(state.days, int(state.account["risk_days"][0]), days, state.positions, out)
    return out[:count][::-1].copy()


def correlations(book: Book) -> CorrelationView:
    """Every pair of traded symbols over the last 90 days."""
    state, symbols = book.state, book.config.symbols
    known, limit = int(state.account["risk_days"][0]), float(state.rules["correlation"][0])
    rho = tuple(
        tuple(1.0 if i == j else number(correlation(state.days, known, i, j)) for j in range(len(symbols)))
        for i in range(len(symbols))
    )
    sides = np.where(state.positions["side"] != 0, state.positions["side"], state.positions["work_side"])
    together = tuple(
        (symbols[i], symbols[j])
        for i in range(len(symbols))
        for j in range(i)
        if sides[i] != 0 and sides[i] == sides[j] and abs(rho[i][j] or 0.0) > limit
    )
    return CorrelationView(symbols, rho, limit, CORRELATION_DAYS, CORRELATION_LEAST, together)

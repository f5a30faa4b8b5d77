"""One decision, opened: what it read, what the models said, every gate, the plan, and what became of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ai.features.engine import FeatureEngine
from ai.features.registry import MODEL_FEATURES, schema_of, spec_of
from app.contract.queries import DecisionQuery
from app.contract.views import (
    DecisionDetail,
    FeatureValue,
    GateRow,
    MemberRow,
    OutcomeView,
    PlanView,
)
from app.documents import SIDES, exit_name, number, why
from app.projection_context import Context, base, digits, newest_bar_ms
from app.projections_forecast import expected, said, said_row
from app.projections_judgement import judgement, paths
from app.projections_ledger import ACTIONS
from app.wiring import extras_for, run_warmup, strategy_for
from data.errors import UserError
from database.trading import Filter
from trading.records import Action
from trading.risk.gates import verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.market import Float64Array, Frame, FundingFrame, Record, SeriesKey
    from database.accounts import Account
    from trading.risk.gates import Verdict
    from trading.strategy.spec import StrategySpec

PERCENTILE_BARS = 2_000  # the window in which a value is ranked
TIERS = {
    "position": "Position", "daily": "Day", "system": "System", "compliance": "Compliance",
    "portfolio": "Portfolio", "market": "Market",
}  # fmt: skip
BY_DESIGN = ("Leverage", "Stop distance", "Target distance")  # these stand on their limit by construction
BARS_AROUND = 24
LEAST_MULTIPLE = 0.5  # no profile asks for a smaller multiple, none for a larger share
UNITS = {
    "percent": "%",
    "basis points": "bp",
    "standard deviations": "σ",
    "per mille of price per bar": "‰ / bar",
    "index": "",
}  # as they are short
ENDS = {
    "stop": "Stopped out", "target": "Target reached", "trailing": "Trailing stop", "time": "Time limit",
    "liquidation": "Liquidated", "signal": "Closed by the strategy", "emergency": "Emergency stop", "end": "Run ended",
    "limit": "Reduced to a limit",
}  # fmt: skip


def decision(query: DecisionQuery, context: Context) -> DecisionDetail:
    """Everything about one decision.

    Raises:
        UserError: there is none with this number.
    """
    account, row = _find(query.decision_id, context)
    symbol = account.symbol_name(int(row["symbol"]))
    strategy = _strategy(account)
    key = context.key_of(symbol)
    frame, funding = _history(context, key, int(row["open_time"]))
    names = _names(strategy)
    values = _values(context, frame, funding, names) if names and len(frame) else None
    kind = strategy.kind if strategy is not None else "rule"
    row_said = said_row(context, account, row)
    newest = {} if values is None else {name: float(values[k][-1]) for k, name in enumerate(names)}
    forecast = said(context, account, row, symbol, newest, kind, row_said)
    side = "short" if int(row["signal"]) < 0 else "long"
    price_digits, quantity_digits = digits(symbol)
    trading = context.place.settings.values.trading
    return DecisionDetail(
        decision_id=query.decision_id, time_ms=int(row["open_time"]) + context.step_ms, symbol=symbol,
        timeframe=key.timeframe, action=ACTIONS[Action(int(row["action"]))],
        model=forecast.model_id or (strategy.name if strategy else str(account.about.get("strategy", ""))),
        sentence=_sentence(row, symbol),
        features=() if values is None else tuple(_feature(n, values[k]) for k, n in enumerate(names)),
        members=forecast.members, ensemble=_ensemble(row), side=side,
        threshold=number(row["threshold"]) if strategy is not None and strategy.kind != "rule" else None,
        gates=gate_views(row), plan=_plan(row, account, context), judgement=judgement(row_said),
        paths=paths(frame, row, int(account.about.get("seed", 0)), key.step_ms),
        expected=expected(row, forecast.chances, trading.costs, trading.matching.target_order),
        outcome=_outcome(context, account, row, key), base=base(symbol), price_digits=price_digits,
        quantity_digits=quantity_digits,
    )  # fmt: skip


def _find(text: str, context: Context) -> tuple[Account, Record]:
    ledger = context.place.database
    found = ledger.one("SELECT account FROM decisions WHERE id = ?", (int(text),)) if text.isdigit() else None
    if found is None:
        raise UserError(f"There is no decision {text}: choose another one from the list.")
    account = ledger.accounts.get(int(found[0]))
    return account, ledger.trading.decisions(account.id, Filter(id=int(text))).rows[0]


def _strategy(account: Account) -> StrategySpec | None:
    """The run's strategy, none where its file is gone."""
    try:
        return strategy_for(str(account.about.get("strategy", "")))
    except UserError:
        return None


def _names(strategy: StrategySpec | None) -> tuple[str, ...]:
    if strategy is None:
        return ()
    own = strategy.features()
    return tuple(dict.fromkeys([*own, *(MODEL_FEATURES if strategy.kind != "rule" else ("atr_14",))]))


def _values(context: Context, frame: Frame, funding: FundingFrame, names: Sequence[str]) -> Float64Array:
    """``[F, T]`` of the named features, as the run saw them."""
    place = context.place
    beside = extras_for(place.database, frame, place.settings.values.ai, names).beside
    return FeatureEngine(schema_of(names), frame.key.timeframe).batch(frame, funding, beside)


def _history(context: Context, key: SeriesKey, open_time: int) -> tuple[Frame, FundingFrame]:
    """Bars up to the one decided on: enough for every look-back and for the percentiles."""
    store = context.place.database.candles
    frame = store.tail(key, run_warmup(key.timeframe) + PERCENTILE_BARS, open_time + 1)
    start = int(frame.open_time[0]) if len(frame) else open_time
    return frame, store.read_funding(key.exchange, key.symbol, key.source, start, open_time + key.step_ms + 1)


def _feature(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> FeatureValue:
    spec, now = spec_of(name), float(values[-1])
    recent = values[-PERCENTILE_BARS:]
    known = recent[np.isfinite(recent)]
    share = float((known <= now).mean()) if math.isfinite(now) and len(known) > 1 else None
    label = name.replace("_pct", " %").replace("_", " ").replace("zscore", "Z-score")
    unit = UNITS.get(spec.unit, spec.unit)
    return FeatureValue(name, label[:1].upper() + label[1:], number(now), unit, share, spec.meaning)


def _ensemble(row: Record) -> MemberRow | None:
    values = [number(row[name]) for name in ("p_short", "p_neutral", "p_long")]
    short, neutral, long = values
    if short is None or neutral is None or long is None:
        return None
    return MemberRow("Ensemble", short, neutral, long, None)


def gate_views(row: Record) -> tuple[GateRow, ...]:
    """Every gate of a plan as a bar from nothing to its limit."""
    return gate_rows(verdicts(row))


def gate_rows(judged: Sequence[Verdict]) -> tuple[GateRow, ...]:
    """The same of verdicts, in the order of the gates."""
    from trading.risk.limits import GATES

    return tuple(
        GateRow(
            key=spec.name.lower().replace(" ", "_"), label=spec.name, tier=TIERS.get(spec.tier, spec.tier),
            value=number(v.value), limit=number(v.limit), unit=_unit(v.unit, v.limit),
            passed=v.passed, measured=v.measured, words=f"{v.words}.", at_least=spec.at_least,
            by_design=spec.name in BY_DESIGN, text=_text(v.gate, v.passed),
        )
        for spec, v in zip(GATES, judged, strict=False)
    )  # fmt: skip


def _unit(unit: str, limit: float) -> str:
    """The target's minimum is a share of the price or a multiple of the stop distance, by the exit profile."""
    if unit == "by profile":
        return "fraction" if limit < LEAST_MULTIPLE else "× stop"
    return "fraction" if unit.startswith("fraction") else unit


def _text(gate: str, passed: bool) -> str:
    return ("allowed" if passed else "not allowed") if gate == "Symbol" else ""


def _plan(row: Record, account: Account, context: Context) -> PlanView | None:
    if int(row["plan_id"]) == 0:
        return None
    entry, quantity = float(row["entry"]), float(row["quantity"])
    risk, opened = number(row["risk_amount"]), int(row["open_time"]) + context.step_ms
    before = context.place.database.trading.equity(account.id, Filter(end_ms=int(row["open_time"]) + 1, limit=1))
    equity = float(before["equity"][0]) if len(before) else account.start_equity
    limit = int(row["time_limit"])
    return PlanView(
        plan_id=int(row["plan_id"]), side=SIDES[int(row["signal"])], entry=entry, stop=float(row["stop"]),
        target=float(row["target"]), quantity=quantity, notional=entry * quantity,
        notional_fraction=entry * quantity / equity if equity > 0 else None, leverage=number(row["leverage"]),
        loss_at_stop=risk, loss_fraction=risk / equity if risk is not None and equity > 0 else None,
        reward_to_risk=number(row["reward_to_risk"]), time_limit_ms=limit or None,
        bars=round((limit - opened) / context.step_ms) if limit else None,
        profile=str(account.about.get("profile", "")),
    )  # fmt: skip


def _sentence(row: Record, symbol: str) -> str:
    name, action = base(symbol), Action(int(row["action"]))
    words = why(row)
    if action == Action.ABSTAIN:
        return f"No trade in {name}: {words}."
    side = SIDES[int(row["signal"])]
    plan = (
        f"{float(row['quantity']):g} {name} {side} at {float(row['entry']):,.8g}, stop {float(row['stop']):,.8g}, "
        f"target {float(row['target']):,.8g}"
    )
    return f"Planned {plan}; {words}." if action == Action.BLOCKED else f"Sent {plan}: {words}."


def _outcome(context: Context, account: Account, row: Record, key: SeriesKey) -> OutcomeView | None:
    if Action(int(row["action"])) not in (Action.LONG, Action.SHORT):
        return None
    ledger, plan = context.place.database, int(row["plan_id"])
    found = ledger.one("SELECT trade_id FROM trades WHERE account = ? AND plan_id = ?", (account.id, plan))
    if found is None:
        return _unfinished(context, account, row, key)
    t = ledger.trading.trades(account.id, Filter(id=int(found[0])))[0]
    reason, pnl, risk = exit_name(int(t["exit_reason"])), float(t["pnl"]), number(t["risk_amount"])
    bars = _bars(context, account, key, int(t["entry_time"]), int(t["exit_time"]))
    return OutcomeView(
        ENDS.get(reason, reason), "ok" if pnl > 0 else "bad", pnl, pnl / risk if risk else None, number(t["mfe"]),
        number(t["mae"]), (int(t["exit_time"]) - int(t["entry_time"])) / 60_000, int(t["entry_time"]),
        int(t["exit_time"]), float(t["entry_price"]), float(t["exit_price"]), bars.open_time, bars.open, bars.high,
        bars.low, bars.close,
    )  # fmt: skip


def _unfinished(context: Context, account: Account, row: Record, key: SeriesKey) -> OutcomeView:
    """Still open, or never filled."""
    held = [p for p in context.place.database.trading.positions(account.id) if p.plan_id == int(row["plan_id"])]
    start = held[0].entry_time if held else int(row["open_time"]) + context.step_ms
    bars = _bars(context, account, key, start, start + BARS_AROUND * key.step_ms)
    words = "Open" if held else "Not filled"
    return OutcomeView(
        words, "info", None, None, None, None, None, held[0].entry_time if held else None, None,
        held[0].entry_price if held else None, None, bars.open_time, bars.open, bars.high, bars.low, bars.close,
    )  # fmt: skip


def _bars(context: Context, account: Account, key: SeriesKey, start: int, end: int) -> Frame:
    """The bars around a trade, none beyond the account's newest: a replay's future is stored already."""
    margin, newest = BARS_AROUND * key.step_ms, newest_bar_ms(account)
    stop = end + margin if newest is None else min(end + margin, newest + 1)
    return context.place.database.candles.read(key, start - margin, stop)

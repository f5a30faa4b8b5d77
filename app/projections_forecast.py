"""What the models said about a decision, and what its expected value is made of."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ai.ensemble import EnsembleModel
from ai.forecast import Col, Forecast
from app.contract.judgement import NamedAmount
from app.contract.views import MemberRow
from app.documents import number
from app.projection_context import Context
from data.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.market import Float64Array, Record
    from database.accounts import Account
    from database.models import ModelRow
    from trading.settings import CostSettings

MEMBER_NAMES = {
    "logistic": "Logistic", "random_forest": "Random forest", "hist_boosting": "Hist boosting", "xgboost": "XGBoost",
    "lightgbm": "LightGBM", "catboost": "CatBoost",
}  # fmt: skip
MOST_FUNDING = 0.01  # expected funding over one trade beyond this means that the costs were others then


class Chances(NamedTuple):
    """Of the decision's side: probabilities of target, stop and time limit, and E[return | time limit]."""

    target: float
    stop: float
    time: float
    time_return: float


class Said(NamedTuple):
    """One bar's forecast for people; nothing in it where no model covered the bar."""

    members: tuple[MemberRow, ...] = ()
    model_id: str = ""
    chances: Chances | None = None


def member_name(name: str) -> str:
    """``lightgbm`` as it writes itself."""
    return MEMBER_NAMES.get(name, name)


def said_row(context: Context, account: Account, row: Record) -> Float64Array | None:
    """The forecast row ``[WIDTH]`` that a decision was made on; ``None`` where none was stored with it."""
    return context.place.database.trading.said(account.id, int(row["open_time"]), int(row["symbol"]))


def said(
    context: Context, account: Account, row: Record, symbol: str, features: Mapping[str, float], kind: str,
    row_said: Float64Array | None = None,
) -> Said:  # fmt: skip
    """The forecast behind a decision: the stored row, or what the run's own model says on the same ``features``.

    Args:
        row: DECISION record.
        features: values that the decision read, by name.
        kind: of the strategy; rules read no forecast.
        row_said: the forecast row that was stored with the decision, if one was.
    """
    if kind == "rule":
        return Said()
    runs = [str(run) for run in account.about.get("schedule", ())]
    if runs:
        return _stored(context, runs[min(int(row["symbol"]), len(runs) - 1)], row, symbol)
    if row_said is not None:
        return _of_row(row_said, int(row["signal"]), *_names_of_account(context, account, symbol))
    return _again(context, account, row, features)


def _stored(context: Context, run_id: str, row: Record, symbol: str) -> Said:
    run = context.place.database.forecasts.load(run_id)
    k = int(np.searchsorted(run.open_time, int(row["open_time"])))
    if k >= len(run.open_time) or run.open_time[k] != int(row["open_time"]) or run.info.key.symbol != symbol:
        return Said()
    return _of_row(run.rows[k], int(row["signal"]), run.info.model_ids, run.info.member_names)


def _of_row(values: Float64Array, signal: int, model_ids: tuple[str, ...], member_names: tuple[str, ...]) -> Said:
    forecast = Forecast.of(values, model_ids, member_names)
    if not math.isfinite(float(values[Col.P_LONG])):
        return Said((), forecast.model_id or "")
    members = tuple(
        MemberRow(member_name(m.name), m.p_short, m.p_neutral, m.p_long, m.weight)
        for m in forecast.members
        if math.isfinite(m.p_long)
    )
    first = int(Col.S_TARGET if signal < 0 else Col.L_TARGET)
    return Said(members, forecast.model_id or "", Chances(*(float(v) for v in values[first : first + 4])))


def _names_of_account(context: Context, account: Account, symbol: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Models in the order in which they took over, as rows of the account count them; the symbol's members likewise."""
    database = context.place.database
    ids = tuple(dict.fromkeys(switch.model_id for switch in database.trading.switches(account.id)))
    models = (database.models.get(model_id) for model_id in ids)
    named = (model.params.get("members", ()) for model in models if model.key.symbol == symbol)
    return ids, tuple(dict.fromkeys(name for names in named for name in names))


def _again(context: Context, account: Account, row: Record, features: Mapping[str, float]) -> Said:
    """Rows of a run's own models are not stored: ask the model again. How much each member weighed is not known."""
    stored = _model_of(context, account, row)
    if stored is None:
        return Said()
    if number(row["p_long"]) is None:
        return Said((), stored.model_id)
    try:
        model = _loaded(str(context.place.home.models / stored.path), stored.sha256)
    except UserError:  # its files are gone: what the ensemble said is in the decision
        return Said((), stored.model_id)
    x = np.array([[features.get(name, math.nan) for name in model.features]])
    each = model.predict(x)[:, 0]
    members = tuple(
        MemberRow(member_name(name), float(p[0]), float(p[1]), float(p[2]), None)
        for name, p in zip(model.members, each, strict=True)
        if np.all(np.isfinite(p))
    )
    return Said(members, stored.model_id, _chances(model, row))


def _model_of(context: Context, account: Account, row: Record) -> ModelRow | None:
    """The decision's model: its number counts the account's models in the order in which they took over."""
    switches = context.place.database.trading.switches(account.id)
    ids = tuple(dict.fromkeys(switch.model_id for switch in switches))
    at = int(row["model"])
    return context.place.database.models.get(ids[at]) if 0 <= at < len(ids) else None


@lru_cache(maxsize=4)
def _loaded(folder: str, digest: str) -> EnsembleModel:
    model = EnsembleModel.load(Path(folder))
    if model.digest != digest:
        raise UserError(f"The files in {folder} are not those that were registered: train the model again.")
    return model


def _chances(model: EnsembleModel, row: Record) -> Chances:
    """As the forecaster makes them of the ensemble's probabilities and the model's payoffs."""
    pay = model.payoffs
    long, short, neutral = (float(row[name]) for name in ("p_long", "p_short", "p_neutral"))
    if int(row["signal"]) < 0:
        stop = pay.short_stop_if_neutral
        return Chances(short, long + neutral * stop, neutral * (1.0 - stop), pay.short_time_return)
    stop = pay.long_stop_if_neutral
    return Chances(long, short + neutral * stop, neutral * (1.0 - stop), pay.long_time_return)


def expected(
    row: Record, chances: Chances | None, costs: CostSettings, target_order: str = "limit"
) -> tuple[NamedAmount, ...]:
    """The decision's expected value in its parts, as fractions of notional; the last one is the sum.

    What slippage was expected follows from the plan's net reward to risk, the funding from what is then left: both
    are exact while the fees are those of the run. Without a plan or with other fees there is the sum alone.
    """
    value = number(row["expected_value"])
    if value is None:
        return ()
    total = NamedAmount("EV", value)
    ratio = number(row["reward_to_risk"])
    if chances is None or ratio is None or int(row["plan_id"]) == 0:
        return (total,)
    entry = float(row["entry"])
    stop, target = abs(float(row["stop"]) / entry - 1.0), abs(float(row["target"]) / entry - 1.0)
    taker, takes = costs.taker_fee, target_order == "market"
    win_fee, loss_fee = taker + (taker if takes else costs.maker_fee) * (1.0 + target), (2.0 + stop) * taker
    slipping = 2.0 + target if takes else 1.0  # fills of a trade that wins that pay the slippage
    slip = (target - win_fee - ratio * (stop + loss_fee)) / (slipping + ratio * (2.0 + stop))
    half_spread = costs.spread / 2.0
    fills = chances.target * slipping + chances.stop * (2.0 + stop) + chances.time * 2.0
    parts = [
        ("Target", chances.target * target), ("Stop", -chances.stop * stop),
        ("Time", chances.time * chances.time_return if chances.time > 0.0 else 0.0),
        ("Fees", -(chances.target * win_fee + chances.stop * loss_fee + chances.time * 2.0 * taker)),
        ("Spread", -fills * half_spread), ("Slippage", -fills * (slip - half_spread)),
    ]  # fmt: skip
    funding = value - math.fsum(amount for _, amount in parts)
    if slip < half_spread - 1e-9 or abs(funding) > MOST_FUNDING:
        return (total,)
    return (*(NamedAmount(name, amount) for name, amount in parts), NamedAmount("Funding", funding), total)

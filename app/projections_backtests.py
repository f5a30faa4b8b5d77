"""The back-test tab's views: what can be asked, what was asked before, one result whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from app.backtest_figures import cards, excursion_rows, figures
from app.backtest_jobs import SWEEP_KIND, form_of, pairs_of
from app.backtest_verdict import finding
from app.contract.backtest_views import (
    BacktestRow,
    BacktestsView,
    BacktestView,
    ScheduleChoice,
    SeriesChoice,
    SettingChoice,
    StrategyChoice,
    SweepView,
)
from app.contract.queries import BacktestQuery, BacktestsQuery
from app.contract.results import MonthRow
from app.projections_sweep import sweep_view, written
from app.result_rows import cost_parts, group_rows, trade_row
from data.market import short_symbol
from data.timeframes import parse_time

if TYPE_CHECKING:
    from app.projection_context import Context
    from trading.strategy.spec import StrategySpec

Document = Mapping[str, Any]
NUMBERS_AT = "15m"  # the timeframe whose exits a document's numbers are listed with
OFFERED = ("trading.costs.", "trading.sizing.", "trading.management.", "trading.limits.", "trading.matching.")


# ---- what can be asked -----------------------------------------------------------------------------------------------


def backtests(_query: BacktestsQuery, context: Context) -> BacktestsView:
    """The form's choices and the stored results."""
    from ai.exits import PROFILE_NAMES
    from trading.strategy.library import LIBRARY

    database = context.place.database
    series = tuple(
        SeriesChoice(i.key.exchange, i.key.symbol, i.key.timeframe, i.key.source, i.first_ms,
                     i.last_ms + i.key.step_ms, i.rows)
        for i in database.candles.series() if i.key.kind == "ohlcv" and i.rows
    )  # fmt: skip
    schedules = tuple(
        ScheduleChoice(run.run_id, run.key.symbol, run.key.timeframe, run.key.exchange, run.key.source, run.from_ms,
                       run.to_ms + run.key.step_ms)
        for run in database.forecasts.runs() if run.from_ms is not None and run.to_ms is not None
    )  # fmt: skip
    running = any(job.state == "running" and job.name in ("Back-test", "Sweep") for job in context.jobs.jobs)
    return BacktestsView(
        tuple(_row(head) for head in database.backtests.heads()), series,
        tuple(_strategy(spec) for spec in LIBRARY.values()), schedules, _settings(context), PROFILE_NAMES,
        str(context.place.settings.values.ai.seed),
        "A back-test runs already: wait for it, or cancel it." if running else "",
    )  # fmt: skip


def _row(head: Any) -> BacktestRow:
    said: Document = head.head
    return BacktestRow(
        head.number, head.kind, head.made_ms, said["strategy"], tuple(said["symbols"]), said["timeframe"],
        parse_time(said["from"]), parse_time(said["to"]), said["net_return"], said["sharpe"], said["trades"],
        said["about"],
    )  # fmt: skip


def _strategy(spec: StrategySpec) -> StrategyChoice:
    from app.grid_keys import constants, tree_of

    tree = tree_of(spec, NUMBERS_AT, spec.kind == "rule")
    numbers = tuple((path, written(_at(tree, path))) for path in constants(spec, NUMBERS_AT) if _number(tree, path))
    return StrategyChoice(spec.name, spec.kind != "rule", spec.meaning, numbers)


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree.get(part)
        if tree is None:
            return None
    return tree


def _number(tree: Any, path: str) -> bool:
    value = _at(tree, path)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _settings(context: Context) -> tuple[SettingChoice, ...]:
    """Numbers of the desk that change a back-test, costs first."""
    rows = [r for r in context.place.settings.describe("trading") if r["kind"] in ("number", "choice")]
    shown = [r for part in OFFERED for r in rows if str(r["key"]).startswith(part)]
    shown += [r for r in rows if r["key"] == "trading.paper.start_equity"]
    return tuple(SettingChoice(str(r["key"]), written(r["value"]), str(r["unit"]), str(r["sentence"])) for r in shown)


# ---- one result ------------------------------------------------------------------------------------------------------


def backtest(query: BacktestQuery, context: Context) -> BacktestView | SweepView:
    """One stored result.

    Raises:
        UserError: there is none of this number.
    """
    database = context.place.database
    body = database.backtests.body(query.number)
    head = next(head for head in database.backtests.heads() if head.number == query.number)
    if head.kind == SWEEP_KIND:
        return sweep_view(query.number, head.made_ms, body)
    return backtest_view(query.number, head.made_ms, body)


def backtest_view(number: int, made_ms: int, body: Document) -> BacktestView:
    """A back-test from what :func:`app.backtest_jobs.backtest` made."""
    document: Document = body["document"]
    parts, curve = document["analysis"], body["curve"]
    trades = tuple(trade_row(t) for t in reversed(document["trades"]))
    halted = document["halted_at"]
    return BacktestView(
        number, made_ms, document["strategy"], about(document), form_of(body["form"]), pairs_of(body["parameters"]),
        finding(body["evidence"], len(trades), document["metrics"]["net_return"]),
        cards(document, body["evidence"]), figures(document),
        time=np.array(curve["time"], dtype=np.int64), equity=np.array(curve["equity"], dtype=np.float64),
        drawdown=np.array(curve["drawdown"], dtype=np.float64), equity_start=document["equity_start"],
        drawdown_limit=body["drawdown_limit"] if document["gates"] == "enforce" else None,
        halted_ms=parse_time(halted) if halted else None,
        months=tuple(MonthRow(*month) for month in curve["months"]),
        by_exit=group_rows(parts["by_exit"]), by_symbol=group_rows(parts["by_symbol"]),
        by_side=group_rows(parts["by_side"]), by_regime=group_rows(parts["by_regime"]),
        by_hour=group_rows(parts["by_hour"]), costs=cost_parts(parts["costs"]) if trades else (),
        excursions=excursion_rows(parts["excursions"]),
        results_r=np.array([t.pnl_r for t in trades if t.pnl_r is not None], dtype=np.float64), trades=trades,
        assumptions=(*([body["note"]] if body["note"] else ()), *_bars_words(document), *document["assumptions"]),
    )  # fmt: skip


def about(document: Document) -> str:
    """Series, span and rules of a result in one line."""
    symbols = " ".join(short_symbol(s) for s in document.get("symbols") or [document["symbol"]])
    gates = "gates enforced" if document["gates"] == "enforce" else "gates observed"
    return f"{symbols} {document['timeframe']} · {document['from'][:10]} … {document['to'][:10]} · {gates}"


def _bars_words(document: Document) -> Sequence[str]:
    said = []
    for key, words in (
        ("in_sample_bars", "were seen in training: they say nothing about the future"),
        ("repaired_bars", "were repaired later: at the time nobody could have decided on them"),
    ):
        if document[key]:
            said.append(f"{document[key]:,} of {document['bars']:,} bars {words}.")
    return said

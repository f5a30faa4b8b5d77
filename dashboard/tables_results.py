"""Columns of what runs came to: stored results, figures beside another run's, groups of trades, quantiles, trades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter

from app.contract.backtest_views import BacktestRow, ExcursionRow, Figure, SweepCell
from app.contract.results import GroupRow, TradeRow
from dashboard import numbers, painting
from dashboard.cells import Cell, Column
from dashboard.charts.results import cell_words
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import money_cell, number_cell, share_cell, symbol_cell, time_cell
from dashboard.theme import ROW_DENSE_H

EXIT_TONES = {"liquidation": "danger", "emergency": "danger"}


# ---- stored results --------------------------------------------------------------------------------------------------


def _return_cell(r: BacktestRow) -> Cell:
    if r.kind == "sweep":
        return Cell("sweep", "text2", badge="text2", tip=f"Sweep: {r.about}")
    words = numbers.percent(r.net_return, 1, signed=True)
    return Cell(words, painting.money_token(r.net_return), 600, numbers.arrow(r.net_return), tip=_row_tip(r))


def _row_tip(r: BacktestRow) -> str:
    symbols = " ".join(numbers.ticker(s) for s in r.symbols)
    said = f"{r.strategy}, {symbols} {r.timeframe}\n{numbers.date(r.from_ms)} to {numbers.date(r.to_ms)}"
    sharpe = "" if r.sharpe is None else f"\nSharpe {numbers.number(r.sharpe, signed=True)}"
    return f"{said}{sharpe}\nMade {numbers.full_time(r.made_ms)}" + (f"\n{r.about}" if r.about else "")


def run_columns() -> list[Column]:
    """Columns of the stored results."""
    return [
        Column("number", "Run", lambda r: Cell(str(r.number), "text3", tip=_row_tip(r)), 46),
        Column("strategy", "Strategy", lambda r: Cell(r.strategy, "text", 500, tip=_row_tip(r)), 96, grow=3),
        Column("series", "Series", lambda r: Cell(series_words(r), "text3", tip=_row_tip(r)), 84, grow=1, rank=1),
        Column("return", "Return", _return_cell, 82, right=True),
    ]  # fmt: skip


def series_words(r: BacktestRow) -> str:
    """``BTC 15m`` or ``3 × 15m``."""
    first = numbers.ticker(r.symbols[0]).removesuffix("USDT") if len(r.symbols) == 1 else f"{len(r.symbols)} symbols"
    return f"{first} {r.timeframe}"


# ---- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FigureLine:
    """A figure of the run in sight, and of the one beside it."""

    figure: Figure
    beside: Figure | None = None

    @property
    def change(self) -> float | None:
        """This run's less the other's."""
        if self.beside is None or self.figure.value is None or self.beside.value is None:
            return None
        return self.figure.value - self.beside.value


def written(figure: Figure | None) -> str:
    """A figure with its unit."""
    if figure is None:
        return ""
    return _measured(figure.value, figure.unit, figure.signed)


def _measured(value: float | None, unit: str, signed: bool) -> str:
    """With its unit; that of money stands in the caption."""
    digits = 0 if unit in ("days", "count") else None
    return numbers.measured(value, "ratio" if unit == "USDT" else unit, signed=signed, digits=digits)


def _change_cell(line: FigureLine) -> Cell:
    change = line.change
    if change is None:
        return Cell("", "text3")
    words = _measured(change, line.figure.unit, True)
    good = change * line.figure.better
    tone = "text3" if not good else "profit" if good > 0 else "loss"
    return Cell(words, tone, 500, numbers.arrow(change) if line.figure.better else 0)


def figure_columns() -> list[Column]:
    """Columns of the comparison."""
    return [
        Column("figure", "Figure", lambda r: Cell(r.figure.label, "text2", tip=r.figure.tip), 112, grow=2),
        Column("this", "This run", lambda r: Cell(written(r.figure), "text", 600, tip=r.figure.tip), 80, right=True),
        Column("beside", "Beside", lambda r: Cell(written(r.beside), "text2", tip=r.figure.tip), 76, right=True),
        Column("change", "Change", _change_cell, 84, right=True, rank=1),
    ]  # fmt: skip


# ---- groups ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amount:
    """A bar from the middle, as long as its share of the largest; profit to the right."""

    share: float  # −1..1

    def draw(self, p: QPainter, box: QRectF) -> None:
        """Paint into the box."""
        middle, half = box.center(), box.width() / 2
        wide = max(1.0, abs(self.share) * half)
        x = middle.x() if self.share > 0 else middle.x() - wide
        token = painting.money_token(self.share)
        painting.fill(p, QRectF(x, round(middle.y() - 4), wide, 8), token, 0.85, 2)
        painting.fill(p, QRectF(round(middle.x()), box.top() + 4, 1, box.height() - 8), "line3")


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group and the largest result among its neighbours."""

    row: GroupRow
    top: float


def _name(row: GroupRow) -> str:
    name = numbers.ticker(row.name).replace("_", " ")
    return f"{name}:00" if name.isdigit() else name[:1].upper() + name[1:]


def _known(value: float | None, words: str) -> Cell:
    return Cell(words, "text3" if value is None else "text2")


def group_columns() -> list[Column]:
    """Columns of trades by group."""
    return [
        Column("name", "Group", lambda r: Cell(_name(r.row), "text", 600), 104, grow=1),
        Column("trades", "Trades", lambda r: Cell(f"{r.row.trades:,}"), 62, right=True),
        Column("won", "Won", lambda r: Cell(numbers.percent(r.row.wins / r.row.trades if r.row.trades else None, 0)),
               60, right=True, tip="Share of trades with a profit after costs"),
        Column("bar", "", lambda r: Cell("", drawing=Amount(r.row.pnl / (r.top or 1.0))), 90, grow=4, rank=3),
        Column("gross", "Gross", lambda r: _known(r.row.gross, numbers.number(r.row.gross, signed=True)), 92,
               right=True, rank=2, tip="What the moves of the price made, before costs, USDT"),
        Column("costs", "Costs", lambda r: _known(r.row.costs, numbers.number(
            None if r.row.costs is None else -r.row.costs, signed=True)), 88, right=True, rank=2,
               tip="Fees and slippage, less funding received, USDT"),
        Column("mean", "Mean", lambda r: _known(r.row.expectancy, numbers.number(r.row.expectancy, signed=True)), 76,
               right=True, rank=1, tip="Mean profit of a trade after costs, USDT"),
        Column("factor", "Factor", lambda r: _known(r.row.profit_factor, numbers.number(r.row.profit_factor)), 66,
               right=True, rank=1, tip="Profit factor: all profits over all losses"),
        Column("net", "Net USDT", lambda r: money_cell(r.row.pnl), 108, right=True),
    ]  # fmt: skip


class GroupTable(DataTable):
    """Trades by group, a bar beside each."""

    def __init__(self, name: str) -> None:
        super().__init__(Rows(group_columns(), lambda r: r.row.name), row_height=ROW_DENSE_H)
        self.setObjectName(name)

    def show_groups(self, rows: tuple[GroupRow, ...]) -> None:
        """Change the groups."""
        top = max((abs(row.pnl) for row in rows), default=1.0)
        self.rows.replace([GroupLine(row, top) for row in rows])


# ---- how far prices went ---------------------------------------------------------------------------------------------


def _quantile(at: int) -> Column:
    share = (5, 25, 50, 75, 95)[at]

    def cell(r: ExcursionRow) -> Cell:
        value = r.quantiles[at]
        words = numbers.percent(value) if r.unit == "fraction" else numbers.number(value) + numbers.NBSP + r.unit
        return Cell(words, "text" if share == 50 else "text2", 600 if share == 50 else 400)

    title = "Median" if share == 50 else f"{share} %"
    return Column(f"q{share}", title, cell, 64, right=True, rank=0 if share == 50 else 1 if share in (25, 75) else 2)


def excursion_columns() -> list[Column]:
    """Columns of the quantiles of excursions."""
    return [
        Column("name", "How far", lambda r: Cell(r.name, "text2", tip=r.tip), 128, grow=2),
        *(_quantile(at) for at in range(5)),
    ]  # fmt: skip


# ---- a sweep's combinations ------------------------------------------------------------------------------------------


def combination_columns() -> list[Column]:
    """Columns of the combinations of a sweep."""
    return [
        Column("set", "Combination", lambda r: Cell(", ".join(f"{k} = {v}" for k, v in r.parameters), "text", 500,
                                                    tip=cell_words(r)), 220, grow=4),
        Column("sharpe", "Sharpe", lambda r: Cell(numbers.number(r.sharpe, signed=True), "text", 600), 76, right=True,
               tip="Of daily returns, a year"),
        Column("return", "Return", lambda r: Cell(numbers.percent(r.net_return, signed=True),
                                                  painting.money_token(r.net_return), 500,
                                                  numbers.arrow(r.net_return)), 96, right=True),
        Column("drawdown", "Drawdown", lambda r: Cell(numbers.percent(r.max_drawdown)), 84, right=True),
        Column("trades", "Trades", lambda r: Cell("" if r.trades is None else f"{r.trades:,}"), 66, right=True),
        Column("words", "", lambda r: Cell(r.error, "warn", tip=r.error), 80, grow=1, rank=1),
    ]  # fmt: skip


def ranked(cells: tuple[SweepCell, ...]) -> list[SweepCell]:
    """The best Sharpe ratio first, what was not run last."""
    return sorted(cells, key=lambda c: (c.sharpe is None, -(c.sharpe or 0.0), c.y, c.x))


# ---- trades ----------------------------------------------------------------------------------------------------------


def back_trade_columns() -> list[Column]:
    """Columns of a back-test's trades."""
    return [
        Column("id", "#", lambda r: Cell(f"{r.trade_id:,}", "text3"), 62, right=True, grow=0),
        Column("symbol", "Trade", lambda r: symbol_cell(r.symbol, r.side), 138, grow=1),
        Column("entry_time", "Entry UTC", lambda r: _stamp(r.entry_ms), 128, grow=1),
        Column("entry", "Entry", lambda r: number_cell(r.entry, r.price_digits, "text"), 86, right=True, rank=2),
        Column("exit", "Exit", lambda r: number_cell(r.exit, r.price_digits, "text"), 86, right=True, rank=2),
        Column("reason", "Exit by", lambda r: Cell(r.exit_reason.capitalize(),
                                                   badge=EXIT_TONES.get(r.exit_reason, "text2")), 88),
        Column("held", "Held", lambda r: Cell(numbers.span((r.exit_ms - r.entry_ms) / 1000)), 86, right=True, rank=3),
        Column("mfe", "Best", lambda r: share_cell(r.mfe, signed=True), 70, right=True, rank=4,
               tip="Best excursion while it was held, of the entry price (MFE)"),
        Column("mae", "Worst", lambda r: share_cell(r.mae, signed=True), 70, right=True, rank=4,
               tip="Worst excursion while it was held, of the entry price (MAE)"),
        Column("costs", "Costs", lambda r: number_cell(r.funding - r.fees - r.slippage, 2), 72, right=True, rank=1,
               tip="Fees and slippage, less funding received, USDT"),
        Column("r", "R", lambda r: Cell(numbers.number(r.pnl_r, signed=True), painting.money_token(r.pnl_r)), 58,
               right=True, rank=1, tip="Net result in multiples of the risk at the stop"),
        Column("pnl", "Net USDT", lambda r: money_cell(r.pnl), 104, right=True),
    ]  # fmt: skip


def _stamp(ms: int) -> Cell:
    return Cell(f"{numbers.date(ms)} {numbers.clock(ms)}", "text3", tip=time_cell(ms).tip)


def _costs(r: TradeRow) -> float:
    return r.fees + r.slippage - r.funding


TRADE_ORDERS: dict[str, Callable[[Any], Any]] = {
    "id": attrgetter("trade_id"), "symbol": attrgetter("symbol", "side"), "entry_time": attrgetter("entry_ms"),
    "reason": attrgetter("exit_reason"), "held": lambda r: r.exit_ms - r.entry_ms, "mfe": attrgetter("mfe"),
    "mae": attrgetter("mae"), "costs": _costs, "r": attrgetter("pnl_r"), "pnl": attrgetter("pnl"),
}  # fmt: skip

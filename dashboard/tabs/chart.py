"""Chart: what is the market doing, what did we do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PyQt6.QtCore import QPoint
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from app.contract.commands import ClosePosition
from app.contract.queries import ChartQuery
from app.contract.views import BarView, ChartView, PositionRow
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.charts.candles import CandleChart
from dashboard.charts.shares import RangeBar
from dashboard.tabs.base import Tab
from dashboard.widgets.cards import Card, EmptyView, label, set_tone
from dashboard.widgets.controls import TOOL_H, Badge, Button, Picker, Segments, Switch
from dashboard.widgets.facts import Facts

INDICATORS = ("EMA 20", "EMA 50", "EMA 200", "RSI 14", "ATR 14")
SIDE_W = 268


class PositionCard(Card):
    """The open position of this symbol."""

    def __init__(self) -> None:
        super().__init__("Position")
        self.protection = Badge()
        self.control(self.protection)
        self.pnl = label("", 18, 600)
        self.track, self.facts = RangeBar(), Facts(19)
        self.close_button = Button("Close…", "danger", height=28)
        for widget in (self.pnl, self.track, self.facts, self.close_button):
            self.body(widget, 0)
        self.row: PositionRow | None = None

    def show_row(self, row: PositionRow | None, currency: str) -> None:
        """Change the position; ``None`` hides the card."""
        self.row = row
        self.setVisible(row is not None)
        if row is None:
            return
        self.subtitle.setText(numbers.side_words(row.side))
        self.protection.show_words(row.protection, "profit" if row.protected else "danger")
        way = {1: "▲ ", -1: "▼ "}.get(numbers.arrow(row.pnl), "")
        self.pnl.setText(f"{way}{numbers.number(row.pnl, signed=True)} {currency}")
        set_tone(self.pnl, painting.money_token(row.pnl))
        self.track.show_prices(row.stop, row.entry, row.target, row.last)
        loss = None if row.loss_at_stop is None else -row.loss_at_stop
        limit = "" if row.margin_limit is None else f" · limit {numbers.short(row.margin_limit, 'fraction')}"
        self.facts.show_facts(
            ("Result", f"{numbers.number(row.pnl_r, signed=True)} R", painting.money_token(row.pnl_r)),
            ("Size", f"{numbers.number(row.quantity, row.quantity_digits)} {row.base}", "text"),
            ("Notional", f"{numbers.number(row.notional, 0)} {currency}", "text"),
            ("Margin", f"{numbers.percent(row.margin, 1)}{limit}", "text"),
            ("Loss at stop", f"{numbers.number(loss)} {currency}", "text"),
            ("To liquidation", numbers.percent(row.to_liquidation, 1), "text"),
            ("Time left", numbers.span(row.left_s), "text"),
        )


class TradesCard(Card):
    """The last trades of this symbol, newest first."""

    def __init__(self) -> None:
        super().__init__("Trades here")
        self.facts = Facts(20)
        self.body(self.facts, 0)

    def show_trades(self, view: ChartView) -> None:
        """Change the trades; hidden where there are none."""
        trades = sorted(view.trades, key=lambda t: t.exit_ms, reverse=True)
        self.setVisible(bool(trades))
        net = sum(t.pnl for t in trades)
        self.subtitle.setText(f"{len(trades)} · {numbers.number(net, signed=True)} {view.currency}")
        self.facts.show_facts(
            *(
                (
                    f"{numbers.day_clock(t.exit_ms)}  {'↗' if t.side == 'long' else '↘'} {t.exit_reason}",
                    numbers.number(t.pnl, signed=True),
                    painting.money_token(t.pnl),
                )
                for t in trades[:10]
            )
        )


class ChartTab(Tab):
    """Pickers above, the chart, and what is open at the right."""

    key, title = "chart", "Chart"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.symbol, self.timeframe = "", ""
        self._backtest = 0  # whose trades are shown; 0: the account's
        self._from_ms: int | None = None  # how far back the bars have to reach
        self.view: ChartView | None = None
        self.grid.setSpacing(10)
        self.grid.setContentsMargins(16, 10, 16, 14)
        self.grid.addLayout(self._tools(), 0, 0, 1, 2)
        self.card = Card()
        self.chart = CandleChart()
        self.card.column.setContentsMargins(10, 8, 6, 4)
        self.card.body(self.chart)
        self.card.empty(
            EmptyView(
                "chart", "No candles yet",
                "They come with the first bars of the run, an import, or the exchange.",
            )
        )  # fmt: skip
        self.chart.follow_changed.connect(self._followed)
        self.grid.addWidget(self.card, 1, 0)
        self.side = QWidget()
        column = QVBoxLayout(self.side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        self.position, self.trades = PositionCard(), TradesCard()
        self.position.close_button.clicked.connect(self._close)
        column.addWidget(self.position)
        column.addWidget(self.trades)
        column.addStretch(1)
        self.side.setFixedWidth(SIDE_W)
        self.grid.addWidget(self.side, 1, 1)
        self.grid.setColumnStretch(0, 1)
        self.grid.setRowStretch(1, 1)
        self.position.hide()
        self.trades.hide()

    def _tools(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(10)
        self.symbols = Picker(width=124)
        self.frames = Segments(("1m", "5m", "15m", "1h", "4h", "1d"), "15m")
        self.indicators = Button("Indicators", icon="trend", height=TOOL_H)
        self.show_trades, self.show_levels, self.show_volume = Switch("Trades"), Switch("Levels"), Switch("Volume")
        self.follow = Switch("Follow live")
        self.export_button = Button("Export PNG", icon="download", height=TOOL_H)
        for widget in (self.symbols, self.frames, self.indicators):
            row.addWidget(widget)
        row.addSpacing(6)
        for switch in (self.show_trades, self.show_levels, self.show_volume):
            row.addWidget(switch)
            switch.toggled.connect(self._parts)
        row.addStretch(1)
        row.addWidget(self.follow)
        row.addWidget(self.export_button)
        self.symbols.currentTextChanged.connect(self._symbol_chosen)
        self.frames.chosen.connect(self._frame_chosen)
        self.indicators.clicked.connect(self._indicator_menu)
        self.follow.toggled.connect(lambda on: self.chart.set_follow(on))
        self.export_button.clicked.connect(self._export)
        self.chosen_indicators = ["EMA 20", "EMA 50", "EMA 200", "RSI 14"]
        return row

    def question(self) -> ChartQuery:
        return ChartQuery(
            self.symbol, self.timeframe, indicators=tuple(self.chosen_indicators), backtest=self._backtest,
            from_ms=self._from_ms,
        )  # fmt: skip

    def show_view(self, view: Any) -> None:
        v: ChartView = view
        self.view, self.symbol, self.timeframe = v, v.symbol, v.timeframe
        self.symbols.offer([numbers.ticker(s) for s in v.symbols], numbers.ticker(v.symbol))
        if v.timeframes:
            self.frames.offer(v.timeframes)
        self.frames.choose(v.timeframe, tell=False)
        self.indicators.setText(f"Indicators  {len(self.chosen_indicators)}")
        self.card.show_empty(v.close.size == 0)
        self.chart.rsi.setVisible(any(name.startswith("RSI") for name in v.indicators))
        self.chart.show_view(v)
        self.position.show_row(v.position, v.currency)
        self.trades.title.setText(f"Trades of run {self._backtest}" if self._backtest else "Trades here")
        self.trades.show_trades(v)
        self.side.setVisible(v.position is not None or bool(v.trades))

    def show_bar(self, bar: BarView) -> None:
        """The newest candle of the series in sight changes in place; a new one waits for the next answer."""
        v = self.view
        if v is None or v.time.size == 0 or (bar.symbol, bar.timeframe) != (v.symbol, v.timeframe):
            return
        if bar.time_ms != int(v.time[-1]):
            return
        columns = {}
        for name in ("open", "high", "low", "close", "volume"):
            series = getattr(v, name).copy()
            series[-1] = getattr(bar, name)
            columns[name] = series
        self.view = replace(v, **columns)
        self.chart.show_view(self.view)

    def focus_on(self, what: object) -> None:
        """A symbol; (symbol, entry time, exit time) of a trade, of a back-test with its timeframe and number too."""
        self._backtest, self._from_ms = 0, None
        if isinstance(what, str):
            self.symbol = what
            self.refresh()
        elif isinstance(what, tuple):
            self.symbol, entry_ms, exit_ms, *run = what
            if run:
                self.timeframe, self._backtest = run
                self._from_ms = entry_ms
            self.bridge.ask(self.question(), lambda view: self._show_at(view, entry_ms, exit_ms), self.key)

    def _show_at(self, view: ChartView, entry_ms: int, exit_ms: int) -> None:
        self.show_view(view)
        self.chart.show_trade(entry_ms, exit_ms)

    def set_narrow(self, width: int) -> None:
        self.side.setFixedWidth(SIDE_W if width >= 1500 else 236)

    def _symbol_chosen(self, symbol: str) -> None:
        wanted = next((s for s in (self.view.symbols if self.view else ()) if numbers.ticker(s) == symbol), "")
        if wanted and wanted != self.symbol:
            self.symbol = wanted
            self._backtest, self._from_ms = 0, None
            self.refresh()

    def _frame_chosen(self, timeframe: str) -> None:
        self.timeframe = timeframe
        self.refresh()

    def _parts(self) -> None:
        self.chart.set_parts(
            trades=self.show_trades.isChecked(), levels=self.show_levels.isChecked(),
            volume=self.show_volume.isChecked(), lines=True,
        )  # fmt: skip

    def _followed(self, on: bool) -> None:
        self.follow.blockSignals(True)
        self.follow.setChecked(on)
        self.follow.blockSignals(False)
        self.follow.update()

    def _indicator_menu(self) -> None:
        menu = QMenu(self)
        for name in INDICATORS:
            action = QAction(name, menu)
            action.setCheckable(True)
            action.setChecked(name in self.chosen_indicators)
            action.toggled.connect(lambda on, name=name: self._choose_indicator(name, on))
            menu.addAction(action)
        menu.popup(self.indicators.mapToGlobal(QPoint(0, self.indicators.height() + 4)))

    def _choose_indicator(self, name: str, on: bool) -> None:
        chosen = {*self.chosen_indicators, name} if on else set(self.chosen_indicators) - {name}
        self.chosen_indicators = [n for n in INDICATORS if n in chosen]
        self.refresh()

    def _export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export chart", f"{numbers.ticker(self.symbol)}-{self.timeframe}.png", "PNG (*.png)"
        )
        if path and not self.chart.save_png(path):
            self.bridge.failed.emit(f"The chart could not be written to {path}.")

    def _close(self) -> None:
        row = self.position.row
        if row is not None:
            words = f"{numbers.number(row.quantity, row.quantity_digits)} {row.base}"
            self.ask_once(
                f"Close {numbers.ticker(row.symbol)}?",
                f"{words} close at market, and the stop and target orders are cancelled.",
                "Close at market", ClosePosition(row.symbol), alarm=True,
            )  # fmt: skip

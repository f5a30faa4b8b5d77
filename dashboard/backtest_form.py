"""The back-test form: what is traded, on which bars, by which rules and at what costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PyQt6.QtCore import QPoint, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QFileDialog, QFrame, QGridLayout, QHBoxLayout, QLineEdit, QMenu, QScrollArea, QWidget

from app.contract.backtest_views import BacktestsView, SeriesChoice
from app.contract.forms import BacktestForm
from app.contract.results import JobView
from dashboard import numbers
from dashboard.theme import named
from dashboard.widgets.cards import Card, Elided, label
from dashboard.widgets.controls import Button, Picker, Switch
from dashboard.widgets.tray import JobBar, progress_words

FIELD_H, WIDE, HALF = 26, 258, 125
FILE, OWN_EXITS, NEWEST, NO_FORECASTS = "File…", "strategy's own", "newest walk-forward", "reads none"
ON_HALT = {"stop": "stop", "next day": "next-day", "next month": "next-month"}
FEE, MAKER, SPREAD = "trading.costs.taker_fee", "trading.costs.maker_fee", "trading.costs.spread"
IMPACT, EQUITY = "trading.costs.impact", "trading.paper.start_equity"
SHARES = (FEE, MAKER, SPREAD)  # typed in per cent


class Fields(QScrollArea):
    """A page that is as tall as it is, and scrolls where there is less room."""

    def __init__(self, page: QWidget) -> None:
        super().__init__()
        self.setWidget(page)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(120)
        self.setMaximumHeight(page.sizeHint().height() + 2)

    def sizeHint(self) -> QSize:
        page = self.widget()
        return super().sizeHint() if page is None else page.sizeHint() + QSize(0, 2)


class BacktestFormCard(Card):
    """The fields, Run and Sweep, and how far a running job is."""

    run = pyqtSignal(object)  # a BacktestForm
    sweep = pyqtSignal(object)
    cancel = pyqtSignal(str)  # job id

    def __init__(self) -> None:
        super().__init__("Run")
        self.view: BacktestsView | None = None
        self._chosen: tuple[str, ...] = ()
        self._file = ""
        self._job = ""
        self.about = Elided("", 12, 400, "text3")
        self._make_fields()
        page = QWidget()
        named(page, "clear")
        grid = QGridLayout(page)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(1)
        self._place(grid)
        self.fields = Fields(page)
        self.body(self.fields, 1)
        self._foot()

    def _make_fields(self) -> None:
        self.strategy, self.forecasts, self.series = Picker((), WIDE), Picker((NEWEST,), WIDE), Picker((), HALF)
        self.symbols = Button("Choose…", height=FIELD_H)
        self.exits, self.on_halt = Picker((OWN_EXITS,), HALF), Picker(tuple(ON_HALT), HALF)
        self.gates = Switch("Gates enforced")
        self.since, self.until, self.seed, self.equity = QLineEdit(), QLineEdit(), QLineEdit(), QLineEdit()
        self.costs = {key: QLineEdit() for key in (*SHARES, IMPACT)}
        for picker in (self.strategy, self.forecasts, self.series, self.exits, self.on_halt):
            picker.setFixedHeight(FIELD_H)
        self.symbols.setFixedWidth(WIDE)
        for field in (self.since, self.until, self.seed, self.equity, *self.costs.values()):
            field.setFixedHeight(FIELD_H)
            field.setFixedWidth(HALF)
        self.strategy.currentTextChanged.connect(self._strategy_chosen)
        self.series.currentTextChanged.connect(lambda _: self._series_chosen())
        self.symbols.clicked.connect(self._symbol_menu)
        for field in (self.since, self.until):
            field.textChanged.connect(lambda _: self._tell_size())

    def _place(self, grid: QGridLayout) -> None:
        pairs: tuple[tuple[tuple[str, QWidget], ...], ...] = (
            (("Strategy", self.strategy),), (("Stored forecasts", self.forecasts),), (("Symbols", self.symbols),),
            (("Timeframe", self.series), ("Exits", self.exits)), (("From, UTC", self.since), ("To, UTC", self.until)),
            (("Start equity, USDT", self.equity), ("Seed", self.seed)),
            (("Taker fee, %", self.costs[FEE]), ("Maker fee, %", self.costs[MAKER])),
            (("Spread, %", self.costs[SPREAD]), ("Impact factor", self.costs[IMPACT])),
            (("After a halt", self.on_halt), ("", self.gates)),
        )  # fmt: skip
        for row, pair in enumerate(pairs):
            for column, (caption, field) in enumerate(pair):
                across = 2 if len(pair) == 1 else 1
                said = label(caption, 11, 400, "text3")
                said.setContentsMargins(0, 4, 0, 0)
                grid.addWidget(said, 2 * row, column, 1, across)
                grid.addWidget(field, 2 * row + 1, column, 1, across)
        grid.setColumnStretch(2, 1)

    def _foot(self) -> None:
        self.body(self.about, 0)
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        self.go = Button("Run", "primary", icon="play")
        self.go.setMinimumWidth(120)
        self.vary = Button("Sweep…")
        line.addWidget(self.go, 1)
        line.addWidget(self.vary)
        line.addStretch(1)
        self.body(row, 0)
        self.bar, self.words, self.stop = JobBar(), Elided("", 12, 400, "text2"), Button("Cancel", "ghost", height=24)
        self.bar.setMaximumWidth(WIDE)
        self.progress = QWidget()
        follow = QGridLayout(self.progress)
        follow.setContentsMargins(0, 0, 0, 0)
        follow.setVerticalSpacing(2)
        follow.addWidget(self.words, 0, 0)
        follow.addWidget(self.stop, 0, 1)
        follow.addWidget(self.bar, 1, 0, 1, 2)
        self.body(self.progress, 0)
        self.progress.hide()
        self.refused = label("", 12, 400, "danger", wrap=True)
        self.refused.hide()
        self.body(self.refused, 0)
        self.go.clicked.connect(lambda: self.run.emit(self.form()))
        self.vary.clicked.connect(lambda: self.sweep.emit(self.form()))
        self.stop.clicked.connect(lambda: self.cancel.emit(self._job))

    # ---- choices -----------------------------------------------------------------------------------------------------

    def offer(self, view: BacktestsView) -> None:
        """What can be chosen; what is chosen stays where it is still there."""
        first, self.view = self.view is None, view
        names = [s.name for s in view.strategies] + ([self._file] if self._file else []) + [FILE]
        self.strategy.offer(names, self.strategy.currentText() or (names[0] if names else ""))
        groups = [self._group_words(g) for g in self._groups()]
        now = self.series.currentText()
        self.series.offer(groups, now if now in groups else self._usual(groups))
        self.exits.offer([OWN_EXITS, *view.exits], self.exits.currentText())
        for key, field in (*self.costs.items(), (EQUITY, self.equity)):
            field.setPlaceholderText(self._shown(key))
        self.seed.setPlaceholderText(view.seed)
        self._series_chosen(keep=not first)
        self._strategy_chosen(self.strategy.currentText())
        self._buttons()

    def _usual(self, groups: Sequence[str]) -> str:
        return next((g for g in groups if g.startswith("15m")), groups[0] if groups else "")

    def _groups(self) -> list[tuple[str, str, str]]:
        """Timeframe, exchange and source of what is stored, each once."""
        return list(dict.fromkeys((s.timeframe, s.exchange, s.source) for s in self.view.series)) if self.view else []

    def _group_words(self, group: tuple[str, str, str]) -> str:
        timeframe, exchange, source = group
        others = {g[1:] for g in self._groups()}
        if len(others) == 1:
            return timeframe
        return f"{timeframe} {'synthetic' if source == 'synthetic' else exchange}"

    @property
    def group(self) -> tuple[str, str, str]:
        """Timeframe, exchange and source that are chosen."""
        words = self.series.currentText()
        return next((g for g in self._groups() if self._group_words(g) == words), ("", "", ""))

    def here(self) -> list[SeriesChoice]:
        """The stored series of the chosen group."""
        return [s for s in (self.view.series if self.view else ()) if (s.timeframe, s.exchange, s.source) == self.group]

    def _series_chosen(self, keep: bool = True) -> None:
        stored = [s.symbol for s in self.here()]
        kept = tuple(s for s in self._chosen if s in stored) if keep else ()
        self._choose_symbols(kept or tuple(stored[:1]))
        self._offer_forecasts()

    def _choose_symbols(self, symbols: tuple[str, ...]) -> None:
        self._chosen = symbols
        self.symbols.setText(" ".join(numbers.ticker(s).removesuffix("USDT") for s in symbols) or "Choose…")
        self.symbols.setToolTip(", ".join(numbers.ticker(s) for s in symbols))
        mine = [s for s in self.here() if s.symbol in symbols]
        self.since.setPlaceholderText(numbers.date(max((s.from_ms for s in mine), default=None)))
        self.until.setPlaceholderText(numbers.date(min((s.to_ms for s in mine), default=None)))
        self._tell_size()
        self._buttons()

    def _symbol_menu(self) -> None:
        menu = QMenu(self)
        for choice in self.here():
            action = QAction(numbers.ticker(choice.symbol), menu)
            action.setCheckable(True)
            action.setChecked(choice.symbol in self._chosen)
            action.toggled.connect(lambda on, symbol=choice.symbol: self.toggle(symbol, on))
            menu.addAction(action)
        menu.popup(self.symbols.mapToGlobal(QPoint(0, self.symbols.height() + 4)))

    def toggle(self, symbol: str, on: bool) -> None:
        """Trade a symbol, or no longer; in the order that they are stored."""
        chosen = {*self._chosen, symbol} if on else set(self._chosen) - {symbol}
        self._choose_symbols(tuple(s.symbol for s in self.here() if s.symbol in chosen))
        self._offer_forecasts()

    def _strategy_chosen(self, name: str) -> None:
        if name == FILE:
            path, _ = QFileDialog.getOpenFileName(self, "Strategy", "", "Strategy (*.toml *.json)")
            self.take_file(path)
            return
        found = next((s for s in (self.view.strategies if self.view else ()) if s.name == name), None)
        self.strategy.setToolTip(found.sentence if found is not None else name)
        self.forecasts.setEnabled(found is None or found.reads_forecasts)
        self._offer_forecasts()

    def take_file(self, path: str) -> None:
        """Trade the strategy that this file declares; an empty path goes back to the first of the library."""
        self._file = path or self._file
        if self.view is not None:
            names = [s.name for s in self.view.strategies] + ([self._file] if self._file else []) + [FILE]
            self.strategy.offer(names, path or names[0])
            self._strategy_chosen(self.strategy.currentText())

    def _offer_forecasts(self) -> None:
        if not self.forecasts.isEnabled():
            self.forecasts.offer([NO_FORECASTS], NO_FORECASTS)
            self.forecasts.setToolTip("This strategy is a rule")
            return
        runs = [
            r.run_id for r in (self.view.schedules if self.view else ())
            if r.symbol in self._chosen and (r.timeframe, r.exchange, r.source) == self.group
        ]  # fmt: skip
        now = self.forecasts.currentText()
        self.forecasts.offer([NEWEST, *runs], now if now in runs else NEWEST)
        self.forecasts.setToolTip("" if runs else "No walk-forward of these series is stored")

    def _shown(self, key: str) -> str:
        """A setting as the form writes it: shares in per cent."""
        value = next((s.value for s in (self.view.settings if self.view else ()) if s.key == key), "")
        return f"{float(value) * 100:.10g}" if key in SHARES and value else numbers.grouped(value)

    def _tell_size(self) -> None:
        rows = [s.rows for s in self.here() if s.symbol in self._chosen]
        if not rows:
            self.about.show_words("No candles are stored yet: import or download some.", "warn")
            return
        step = min((s.to_ms - s.from_ms) // max(1, s.rows) for s in self.here() if s.symbol in self._chosen)
        symbols = f" × {len(rows)} symbols" if len(rows) > 1 else ""
        days = min(rows) * step / 86_400_000
        self.about.show_words(f"{min(rows):,} bars stored{symbols} · {days:,.0f} days", "text3")

    # ---- what is asked -----------------------------------------------------------------------------------------------

    def form(self) -> BacktestForm:
        """The fields as a request."""
        timeframe, exchange, source = self.group
        schedule = self.forecasts.currentText()
        overrides = [(key, self._plain(key, field.text())) for key, field in self.costs.items() if field.text().strip()]
        if self.equity.text().strip():
            overrides.append((EQUITY, self.equity.text().replace(",", "").strip()))
        exits = self.exits.currentText()
        return BacktestForm(
            self._chosen, timeframe, self.strategy.currentText(),
            "" if schedule in (NEWEST, NO_FORECASTS) else schedule, self.since.text().strip(),
            self.until.text().strip(), exchange, source, "" if exits == OWN_EXITS else exits,
            "enforce" if self.gates.isChecked() else "observe", ON_HALT[self.on_halt.currentText()],
            self.seed.text().strip(), tuple(overrides),
        )  # fmt: skip

    @staticmethod
    def _plain(key: str, text: str) -> str:
        """As the setting is stored; what is no number goes as it is, to be refused in words."""
        try:
            return f"{float(text) / 100:.10g}" if key in SHARES else text.strip()
        except ValueError:
            return text.strip()

    def fill(self, form: BacktestForm) -> None:
        """Ask the same again."""
        names = [self.strategy.itemText(i) for i in range(self.strategy.count())]
        if form.strategy in names:
            self.strategy.setCurrentText(form.strategy)
        elif Path(form.strategy).suffix:
            self.take_file(form.strategy)
        group = form.timeframe, form.exchange, form.source
        if group in self._groups():
            self.series.setCurrentText(self._group_words(group))
            self._choose_symbols(tuple(s.symbol for s in self.here() if s.symbol in form.symbols))
        self._offer_forecasts()
        self.forecasts.setCurrentText(form.schedule or self.forecasts.itemText(0))
        given = dict(form.overrides)
        for key, field in (*self.costs.items(), (EQUITY, self.equity)):
            value = given.get(key, "")
            field.setText(f"{float(value) * 100:.10g}" if value and key in SHARES else value)
        for field, text in ((self.since, form.since), (self.until, form.until), (self.seed, form.seed)):
            field.setText(text)
        self.exits.setCurrentText(form.exits or OWN_EXITS)
        self.on_halt.setCurrentText(next(words for words, name in ON_HALT.items() if name == form.on_halt))
        self.gates.setChecked(form.gates == "enforce")
        self.refuse("")

    # ---- what became of it -------------------------------------------------------------------------------------------

    def refuse(self, sentence: str) -> None:
        """Say why it was not run; empty: nothing is wrong."""
        self.refused.setText(numbers.typeset(sentence))
        self.refused.setVisible(bool(sentence))

    def show_job(self, job: JobView | None) -> None:
        """How far the running job is; ``None``: none runs."""
        self._job = job.job_id if job is not None else ""
        self.progress.setVisible(job is not None)
        if job is not None:
            self.words.show_words(progress_words(job) or f"{job.name} is starting")
            self.bar.fraction = job.fraction
            self.bar.update()
        self._buttons()

    def _buttons(self) -> None:
        why = "" if self._chosen else "Choose a symbol with stored candles first."
        if self.view is not None and self.view.blocked:
            why = self.view.blocked
        if self._job:
            why = "A back-test runs already: wait for it, or cancel it."
        self.go.block(why, "Trade the stored bars; it runs beside the trading")
        several = "A sweep trades one symbol: choose one." if len(self._chosen) > 1 else ""
        self.vary.block(why or several, "Run it for every value of one or two numbers")

"""Data: what do I have, what is wrong with it, and how does it come in."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QWidget

from app.contract.commands import CheckSeries, ExportSeries
from app.contract.market_views import DataView, FindingRow, FindingsView, QuoteRow, SeriesRow
from app.contract.queries import DataQuery, FindingsQuery
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.charts.coverage import CoverageStrip
from dashboard.downloading import DownloadDialog
from dashboard.importing import ImportDialog
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab
from dashboard.theme import GAP, NARROW, ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView, label
from dashboard.widgets.controls import Button, Picker, level_tone
from dashboard.widgets.facts import Facts

KIND_WORDS = {
    "ohlcv": "candles", "mark": "mark price", "index": "index price", "funding": "funding", "premium": "premium",
    "metrics": "open interest", "trades": "trades", "book": "order book", "liquidations": "liquidations",
}  # fmt: skip
HOW_TO_READ = "Pick a finding to read it in full; open it to see it in the chart."
LIVE_H = 230  # eight facts
UNCHECKED = "Not checked yet: 'Check all' looks at every series."


def _check_cell(r: SeriesRow) -> Cell:
    if r.findings is None:
        return Cell("not checked", "text3", tip=UNCHECKED, sort=-1.0)
    when = f"Checked {numbers.day_clock(r.checked_ms)} UTC"
    if not r.findings:
        return Cell("sound", badge="profit", tip=when, sort=0.0)
    words = f"{r.findings:,} finding{'s' if r.findings != 1 else ''}"
    return Cell(words, badge=level_tone(r.worst), tip=when, sort=float(r.findings))


def _span_cell(r: SeriesRow) -> Cell:
    words = f"{numbers.date(r.first_ms)} … {numbers.date(r.last_ms)}"
    return Cell(words, "text2", tip=f"{numbers.full_time(r.first_ms)} to {numbers.full_time(r.last_ms)}",
                sort=float(r.last_ms))  # fmt: skip


def _missing_cell(r: SeriesRow) -> Cell:
    if r.missing is None:
        return Cell(numbers.UNKNOWN, "text3", tip="This kind has no fixed step, so nothing can be counted as missing")
    return Cell(f"{r.missing:,}", "warn" if r.missing else "text3", 600 if r.missing else 400, sort=float(r.missing))


def _kind_cell(r: SeriesRow) -> Cell:
    words = KIND_WORDS.get(r.kind, r.kind)
    if r.source == "synthetic":
        return Cell("synthetic", badge="warn", sort=words, tip=f"Synthetic {words}")
    return Cell(words, sort=words)


def series_columns() -> list[Column]:
    """Columns of the stored series."""
    return [
        Column("symbol", "Series", lambda r: Cell(numbers.ticker(r.symbol), "text", 600, extra=r.timeframe,
                                                  sort=f"{r.symbol} {r.timeframe}"), 124, grow=0),
        Column("kind", "Holds", _kind_cell, 96, grow=0),
        Column("exchange", "Exchange", lambda r: Cell(r.exchange, "text3"), 106, grow=0, rank=3),
        Column("rows", "Rows", lambda r: Cell(f"{r.rows:,}", sort=float(r.rows)), 78, right=True, grow=0, rank=1),
        Column("span", "From … to", _span_cell, 196, grow=0, rank=2),
        Column("coverage", "Coverage", lambda r: Cell("", drawing=CoverageStrip.of(r.coverage),
                                                      tip="Blue: whole, amber: rows missing, red: nothing"), 150,
               grow=5),
        Column("missing", "Missing", _missing_cell, 70, right=True, grow=0,
               tip="Rows absent between the first and the last"),
        Column("check", "Check", _check_cell, 112, grow=0),
    ]  # fmt: skip


def _when_cell(r: FindingRow) -> Cell:
    words = f"{numbers.date(r.start_ms)} {numbers.clock(r.start_ms)}"
    tip = f"{numbers.full_time(r.start_ms)} to {numbers.full_time(r.end_ms)}"
    return Cell(words, "text3", sort=float(r.start_ms), tip=tip)


def finding_columns() -> list[Column]:
    """Columns of the data report."""
    return [
        Column("time", "From UTC", _when_cell, 142, grow=0),
        Column("kind", "Finding", lambda r: Cell(r.kind.replace("_", " "), badge=level_tone(r.level), sort=r.kind), 120,
               grow=0),
        Column("bars", "Bars", lambda r: Cell(f"{r.bars:,}", sort=float(r.bars)), 58, right=True, grow=0, rank=1),
        Column("words", "What", lambda r: Cell(r.words, "text2", tip=r.words), 160, grow=5),
    ]  # fmt: skip


def feed_columns() -> list[Column]:
    """Columns of the feeds."""
    return [
        Column("name", "Feed", lambda r: Cell(r.name, "text", 600, dot=level_tone(r.level)), 122, grow=0),
        Column("state", "State", lambda r: Cell(r.state), 60, grow=0),
        Column("age", "Age", lambda r: Cell(numbers.span(r.age_s), sort=r.age_s), 84, right=True, grow=0,
               tip="Since the newest answer, message or bar"),
        Column("detail", "Detail", lambda r: Cell(r.detail, "text3", tip=r.detail), 120, grow=3),
    ]  # fmt: skip


class DataTab(Tab):
    """Stored series at the left, the picked one's report at the right, live feeds below it."""

    key, title = "data", "Data"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.view: DataView | None = None
        self._picked = ""
        self._series_card()
        self._report_card()
        self._live_cards()
        live = QWidget()
        row = QHBoxLayout(live)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addWidget(self.market_card, 1)
        row.addWidget(self.feeds_card, 1)
        live.setFixedHeight(LIVE_H)
        self.grid.addWidget(self.series_card, 0, 0)
        self.grid.addWidget(live, 1, 0)
        self.grid.addWidget(self.report_card, 0, 1, 2, 1)
        self.grid.setColumnStretch(0, 62)
        self.grid.setColumnStretch(1, 38)
        self.grid.setRowStretch(0, 1)

    def _series_card(self) -> None:
        self.series_card = Card("Stored series")
        self.search = QLineEdit()
        self.search.setPlaceholderText("Filter")
        self.search.setFixedWidth(130)
        self.search.setClearButtonEnabled(True)
        self.check_all = Button("Check all", icon="check", height=28)
        self.download = Button("Download…", icon="download", height=28)
        self.bring = Button("Import…", height=28)
        self.series_card.control(self.search, self.check_all, self.download, self.bring)
        self.series = DataTable(Rows(series_columns(), lambda r: r.key), row_height=ROW_DENSE_H, sortable=True)
        self.series.setObjectName("data.series")
        self.series.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.series_card.body(self.series)
        self.series_card.empty(
            EmptyView("download", "Nothing is stored yet",
                      "Import archive files, or download the history of a symbol from the exchange.",
                      "Download…", self.open_download)
        )  # fmt: skip
        self.search.textChanged.connect(self.series.filter)
        self.series.picked.connect(self._pick)
        self.check_all.clicked.connect(lambda: self.do(CheckSeries()))
        self.download.clicked.connect(self.open_download)
        self.bring.clicked.connect(lambda: ImportDialog(self, self.bridge).open())

    def _report_card(self) -> None:
        self.report_card = Card("Data report")
        self.check = Button("Check", icon="check", height=28)
        self.repair = Button("Repair…", height=28)
        self.save = Button("Export…", icon="download", height=28)
        self.report_card.control(self.check, self.repair, self.save)
        self.findings = DataTable(Rows(finding_columns(), lambda r: r.number), row_height=ROW_DENSE_H)
        self.findings.setObjectName("data.findings")
        self.report_card.body(self.findings)
        self.words = label("", 12, 400, "text2", wrap=True)
        self.report_card.body(self.words, 0)
        self.nothing_found = EmptyView("seal", "No series picked", "Pick a series to see what is wrong with it.")
        self.report_card.empty(self.nothing_found)
        self.report_card.show_empty(True)
        self.check.clicked.connect(lambda: self.do(CheckSeries(self._picked)))
        self.repair.clicked.connect(self._ask_repair)
        self.save.clicked.connect(self._export_series)
        self.findings.opened.connect(self._open)
        self.findings.picked.connect(lambda row: self._say(row))

    def _live_cards(self) -> None:
        self.market_card = Card("Market")
        self.quote_of = Picker((), 120)
        self.market_card.control(self.quote_of)
        self.quote = (Facts(), Facts())
        columns = QWidget()
        pair = QHBoxLayout(columns)
        pair.setContentsMargins(0, 0, 0, 0)
        pair.setSpacing(24)
        for half in self.quote:
            pair.addWidget(half, 1, Qt.AlignmentFlag.AlignTop)
        self.market_card.body(columns, 0)
        self.market_card.hide()
        self.feeds_card = Card("Feeds")
        self.feeds = DataTable(Rows(feed_columns(), lambda r: r.name), row_height=ROW_DENSE_H)
        self.feeds.setObjectName("data.feeds")
        self.feeds_card.body(self.feeds)
        self.feeds_card.empty(
            EmptyView("link", "No live feed", "Feeds show here while a run takes its bars from an exchange.")
        )
        self.quote_of.currentTextChanged.connect(lambda _: self._show_quote())

    def question(self) -> DataQuery:
        return DataQuery()

    def refresh(self) -> None:
        super().refresh()
        if self._picked:
            self.bridge.ask(FindingsQuery(self._picked), self.show_findings, "findings")

    def set_narrow(self, width: int) -> None:
        narrow = width < NARROW
        self.search.setFixedWidth(90 if narrow else 130)
        for button in (self.check, self.save):
            button.set_compact(narrow)

    def show_view(self, view: Any) -> None:
        v: DataView = view
        self.view = v
        rows = sum(r.rows for r in v.series)
        words = f"{len(v.series)} series · {rows:,} rows · {numbers.size(v.size_bytes)}" if v.series else ""
        self.series_card.subtitle.setText(words)
        self.series.rows.replace(v.series)
        self.series_card.show_empty(not v.series)
        self.check_all.block(v.check_blocked or ("" if v.series else "Nothing is stored yet."))
        if v.series and not any(r.key == self._picked for r in v.series):
            self.series.pick(v.series[0].key)
        self.feeds.rows.replace(v.feeds)
        self.feeds_card.show_empty(not v.feeds)
        self.market_card.setVisible(bool(v.quotes))
        names = [numbers.ticker(q.symbol) for q in v.quotes]
        current = self.quote_of.currentText()
        self.quote_of.offer(names, current if current in names else (names[0] if names else ""))
        self._show_quote()
        self._buttons()

    def show_findings(self, view: FindingsView) -> None:
        """The report of the picked series."""
        if view.key != self._picked:
            return
        self.findings.rows.replace(view.findings)
        self.words.setText(
            "Pick a finding to read it in full; open it to see it in the chart." if view.findings else ""
        )
        self.report_card.show_empty(not view.findings)
        row = self._row()
        name = f"{numbers.ticker(row.symbol)} {row.timeframe}" if row is not None else ""
        count = len(view.findings)
        about = f" · {count:,} finding{'s' if count != 1 else ''}" if count else ""
        self.report_card.subtitle.setText(f"{name}{about}")
        if view.checked_ms is None:
            self.nothing_found.title.setText("Not checked yet")
            self.nothing_found.sentence.setText("'Check' looks for gaps, broken bars, spikes and partial volume.")
        elif not view.findings:
            self.nothing_found.title.setText("Nothing wrong")
            self.nothing_found.sentence.setText(f"Checked {numbers.day_clock(view.checked_ms)} UTC.")
        self.repair.block(view.repair_blocked, "Fetch anew what is missing or broken; repaired bars are marked")
        self._buttons()

    def _say(self, row: object) -> None:
        """The picked finding in full."""
        if isinstance(row, FindingRow):
            words = numbers.sentence(row.words)
            self.words.setText(f"{numbers.date(row.start_ms)} {numbers.clock(row.start_ms)} UTC. {words}")

    def _row(self) -> SeriesRow | None:
        rows = self.view.series if self.view is not None else ()
        return next((r for r in rows if r.key == self._picked), None)

    def _buttons(self) -> None:
        why = "" if self._row() is not None else "Pick a series first."
        self.check.block(why or (self.view.check_blocked if self.view is not None else ""))
        self.save.block(why, "Write this series to a CSV or Parquet file")
        if why:
            self.repair.block(why)

    def _pick(self, row: object) -> None:
        if isinstance(row, SeriesRow) and row.key != self._picked:
            self._picked = row.key
            self.bridge.ask(FindingsQuery(row.key), self.show_findings, "findings")
            self._buttons()

    def _show_quote(self) -> None:
        quotes = self.view.quotes if self.view is not None else ()
        q = next((q for q in quotes if numbers.ticker(q.symbol) == self.quote_of.currentText()), None)
        if q is not None:
            self.market_card.subtitle.setText(f"{numbers.span(q.age_s)} ago" if q.age_s is not None else "")
            facts = quote_facts(q)
            half = (len(facts) + 1) // 2
            self.quote[0].show_facts(*facts[:half])
            self.quote[1].show_facts(*facts[half:])

    def _ask_repair(self) -> None:
        row = self._row()
        if row is not None:
            self.ask_once(
                f"Repair {numbers.ticker(row.symbol)} {row.timeframe}?",
                "Missing and broken bars are fetched again; what comes back is marked as repaired. "
                "Where the exchange cannot be reached, bars are made from a finer stored series. Nothing is invented.",
                "Repair", CheckSeries(row.key, repair=True),
            )  # fmt: skip

    def _export_series(self) -> None:
        row = self._row()
        if row is None:
            return
        name = f"{numbers.ticker(row.symbol)}-{row.timeframe}-{row.kind}.parquet"
        path, _ = QFileDialog.getSaveFileName(self, "Export series", name, "Parquet (*.parquet);;CSV (*.csv)")
        if path:
            self.do(ExportSeries(row.key, path))

    def open_download(self) -> None:
        """Ask what to download."""
        v = self.view
        DownloadDialog(self, self.bridge, v.exchange if v else "", v.symbols if v else ()).open()

    def _open(self, row: object) -> None:
        """A finding opens the chart at its place."""
        series = self._row()
        if isinstance(row, FindingRow) and series is not None and series.kind == "ohlcv":
            self.go.emit("chart", (series.symbol, row.start_ms, row.end_ms))


def quote_facts(q: QuoteRow) -> tuple[tuple[str, str, str], ...]:
    """The market of a symbol as captions and values, what is not known left out."""
    d = q.price_digits
    facts: list[tuple[str, str, str]] = []

    def add(caption: str, value: float | None, words: str, tone: str = "text") -> None:
        if value is not None:
            facts.append((caption, words, tone))

    add("Last", q.last, numbers.number(q.last, d))
    add("Bid", q.bid, numbers.number(q.bid, d))
    add("Ask", q.ask, numbers.number(q.ask, d))
    add("Spread", q.spread, f"{(q.spread or 0) * 1e4:.2f} bp")
    add("Book imbalance", q.imbalance, numbers.number(q.imbalance, 2, signed=True))
    add("Microprice", q.microprice, numbers.number(q.microprice, d + 1))
    add("Flow imbalance", q.flow_imbalance, numbers.number(q.flow_imbalance, 2, signed=True))
    add("Taker buying", q.buy_pressure, numbers.percent(q.buy_pressure, 1))
    add("Mark", q.mark, numbers.number(q.mark, d))
    add("Index", q.index, numbers.number(q.index, d))
    add("Basis", q.basis, f"{(q.basis or 0) * 1e4:+.2f} bp")
    add("Funding", q.funding_rate, numbers.percent(q.funding_rate, 4, signed=True))
    add("Next funding", q.next_funding_ms, f"{numbers.clock(q.next_funding_ms)} UTC")
    add("Open interest", q.open_interest, numbers.number(q.open_interest, 0))
    add("Long / short accounts", q.account_ratio, numbers.number(q.account_ratio, 2))
    add("Taker buy / sell", q.taker_ratio, numbers.number(q.taker_ratio, 2))
    return tuple(facts)

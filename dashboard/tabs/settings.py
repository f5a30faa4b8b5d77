"""Settings: every one with its unit, default, range and a plain sentence."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QGridLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from app.contract.commands import Outcome, ResetSetting, SetSetting
from app.contract.queries import SettingsQuery
from app.contract.results import SettingRow, SettingsView
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.tabs.base import Tab
from dashboard.theme import font, named, theme
from dashboard.widgets.cards import Card, Elided, EmptyView, label
from dashboard.widgets.controls import Button, Picker, Switch

LOOK = "Appearance"
ALL = "All settings"


class GroupList(QWidget):
    """The groups at the left."""

    chosen = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[tuple[str, int]] = []
        self.current = ALL
        self.setMinimumWidth(150)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def show_groups(self, groups: list[tuple[str, int]]) -> None:
        """Change the groups: name and how many settings were changed in it."""
        self._groups = groups
        self.update()

    def mousePressEvent(self, a0: Any) -> None:
        self._choose(int(a0.position().y() // 32))

    def keyPressEvent(self, a0: Any) -> None:
        step = {int(Qt.Key.Key_Up): -1, int(Qt.Key.Key_Down): 1}.get(int(a0.key()), 0)
        names = [name for name, _ in self._groups]
        if step and self.current in names:
            self._choose(names.index(self.current) + step)

    def _choose(self, at: int) -> None:
        if 0 <= at < len(self._groups):
            self.current = self._groups[at][0]
            self.chosen.emit(self.current)
            self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for i, (name, changed) in enumerate(self._groups):
            box = QRectF(0, i * 32, self.width(), 30)
            picked = name == self.current
            if picked:
                painting.fill(p, box, "bg3", 1.0, 6)
            face, ink = font(12, 600 if picked else 500), "text" if picked else "text2"
            painting.text(p, box.adjusted(10, 0, -40, 0), name, face, ink)
            if changed:
                words = f"{changed} changed"
                ink = "text2" if picked else "text3"
                painting.text(p, box.adjusted(0, 0, -10, 0), words, font(11), ink, painting.RIGHT)


class SettingLine(QWidget):
    """One setting: name and sentence left, field and range right."""

    wanted = pyqtSignal(str, str)
    reset = pyqtSignal(str)

    def __init__(self, row: SettingRow) -> None:
        super().__init__()
        self.row = row
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 8, 8, 8)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(0, 1)
        restart = "  (from the next start on)" if row.needs_restart else ""
        grid.addWidget(Elided(row.label + restart, 12, 600, "text"), 0, 0)
        sentence = Elided(row.sentence, 12, 400, "text2")
        sentence.setToolTip(f"{row.sentence}\n{row.key}")
        grid.addWidget(sentence, 1, 0)
        self.field = self._field(row)
        grid.addWidget(self.field, 0, 1, 2, 1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        unit = Elided(row.unit, 12, 400, "text3")
        unit.setToolTip(row.unit)
        unit.setFixedWidth(76)
        grid.addWidget(unit, 0, 2, 2, 1)
        self.range = label(self.range_words(), 12, 400, "text3")
        self.range.setFixedWidth(214)
        grid.addWidget(self.range, 0, 3, 2, 1)
        self.back = Button("Reset", "link")
        self.back.setFixedWidth(40)
        self.back.clicked.connect(lambda: self.reset.emit(row.key))
        kept = self.back.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.back.setSizePolicy(kept)
        self.back.setVisible(row.value != row.default and not row.locked)
        grid.addWidget(self.back, 0, 4, 2, 1)
        self.setFixedHeight(54)

    def range_words(self) -> str:
        """Range and default."""
        row = self.row
        low, high, usual = (numbers.grouped(text) for text in (row.minimum, row.maximum, row.default))
        words = f"default {usual or 'none'}"
        if low and high:
            words = f"{low} to {high} · {words}"
        elif low:
            words = f"from {low} · {words}"
        elif high:
            words = f"up to {high} · {words}"
        return words

    def _field(self, row: SettingRow) -> QWidget:
        made: QWidget
        if row.kind == "switch":
            switch = Switch("", row.value.lower() in ("true", "1", "on", "yes"))
            switch.setAccessibleName(row.label)
            switch.toggled.connect(lambda on: self.wanted.emit(row.key, "true" if on else "false"))
            made = switch
        elif row.kind == "choice":
            picker = Picker(row.choices, 150)
            picker.setCurrentText(row.value)
            picker.currentTextChanged.connect(lambda words: self.wanted.emit(row.key, words))
            made = picker
        else:
            line = QLineEdit(row.value)
            line.setFixedWidth(150)
            line.setAlignment(Qt.AlignmentFlag.AlignRight)
            line.setFont(font(12, 600))
            line.editingFinished.connect(lambda: self._typed(line))
            made = line
        made.setEnabled(not row.locked)
        if row.locked:
            made.setToolTip(row.locked)
        return made

    def _typed(self, line: QLineEdit) -> None:
        if line.text() != self.row.value:
            self.wanted.emit(self.row.key, line.text())

    def refuse(self, sentence: str) -> None:
        """Mark the field and say why."""
        self.field.setProperty("bad", True)
        style = self.field.style()
        if style is not None:
            style.unpolish(self.field)
            style.polish(self.field)
        self.range.setText(sentence)
        self.range.setProperty("tone", "danger")
        self.range.setToolTip(sentence)
        if style is not None:
            style.unpolish(self.range)
            style.polish(self.range)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painting.fill(QPainter(self), QRectF(0, self.height() - 1, self.width(), 1), "line")


class SettingsTab(Tab):
    """Groups at the left, lines at the right, and how the window looks."""

    key, title = "settings", "Settings"
    look_wanted = pyqtSignal(str, bool, bool)  # palette, safe colours, high contrast

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.groups = GroupList()
        self.side = Card("Settings")
        self.side.body(self.groups)
        self.side.setFixedWidth(236)
        self.home = Elided("", 11, 400, "text3")
        self.side.column.addWidget(self.home)
        self.card = Card(ALL)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find a setting")
        self.search.setFixedWidth(220)
        self.card.control(self.search)
        self.room = QScrollArea()
        self.room.setWidgetResizable(True)
        self.room.setFrameShape(QScrollArea.Shape.NoFrame)
        self.room.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.room.setMinimumSize(200, 120)
        self.card.body(self.room)
        self.card.empty(EmptyView("gear", "No such setting", "Try another word, or choose a group at the left."))
        self.grid.addWidget(self.side, 0, 0)
        self.grid.addWidget(self.card, 0, 1)
        self.grid.setColumnStretch(1, 1)
        self.view: SettingsView | None = None
        self.lines: dict[str, SettingLine] = {}
        self._drawn: object = None
        self.groups.chosen.connect(lambda _: self._show_lines())
        self.search.textChanged.connect(lambda _: self._show_lines())

    def question(self) -> SettingsQuery:
        return SettingsQuery()

    def show_view(self, view: Any) -> None:
        self.view = view
        rows: tuple[SettingRow, ...] = self.view.rows if self.view else ()
        changed: dict[str, int] = {}
        for row in rows:
            changed[row.group] = changed.get(row.group, 0) + (row.value != row.default)
        groups = [(ALL, sum(changed.values())), *changed.items(), (LOOK, 0)]
        self.groups.show_groups(groups)
        if self.view is not None:
            self.home.show_words(self.view.home)
            self.home.setToolTip(f"Everything is stored in {self.view.home}")
        self._show_lines()

    def _show_lines(self) -> None:
        group, words = self.groups.current, self.search.text().lower()
        rows = [
            r for r in (self.view.rows if self.view else ())
            if (group in (ALL, r.group) or words) and words in f"{r.key} {r.label} {r.sentence}".lower()
        ]  # fmt: skip
        state = (group, words, tuple(rows), theme.name, theme.safe_colours, theme.high_contrast)
        if state == self._drawn:
            return
        self._drawn = state
        bar = self.room.verticalScrollBar()
        place = bar.value() if bar is not None else 0
        page = QWidget()
        named(page, "clear")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(0)
        self.lines = {}
        last = ""
        for row in rows:
            if row.group != last:
                last = row.group
                heading = label(row.group, 11, 600, "text3")
                heading.setContentsMargins(8, 10, 0, 2)
                column.addWidget(heading)
            line = SettingLine(row)
            line.wanted.connect(self._set)
            line.reset.connect(lambda key: self.do(ResetSetting(key)))
            self.lines[row.key] = line
            column.addWidget(line)
        looks = group in (LOOK, ALL) and not words
        if looks:
            self._look_lines(column)
        column.addStretch(1)
        self.room.setWidget(page)
        if bar is not None:
            bar.setValue(place)
        self.card.title.setText(group if not words else "Found")
        self.card.subtitle.setText(f"{len(rows)}" if rows else "")
        self.card.show_empty(not rows and not looks)

    def _look_lines(self, column: QVBoxLayout) -> None:
        heading = label(LOOK, 11, 600, "text3")
        heading.setContentsMargins(8, 10, 0, 2)
        column.addWidget(heading)
        for key, name, sentence, on in (
            ("look.light", "Light palette", "Dark is easier over hours; light reads better in a bright room.",
             not theme.dark),
            ("look.safe", "Colour-blind-safe pair", "Profit is blue and loss is orange; signs and arrows stay.",
             theme.safe_colours),
            ("look.contrast", "High contrast", "Edges of controls become clearer.", theme.high_contrast),
        ):  # fmt: skip
            row = SettingRow(
                key, name, LOOK, "true" if on else "false", "true" if on else "false", "", sentence, "switch"
            )
            line = SettingLine(row)
            line.range.setText("")
            line.wanted.connect(self._set_look)
            self.lines[key] = line
            column.addWidget(line)

    def _set_look(self, key: str, value: str) -> None:
        on = value == "true"
        name = ("light" if on else "dark") if key == "look.light" else theme.name
        safe = on if key == "look.safe" else theme.safe_colours
        contrast = on if key == "look.contrast" else theme.high_contrast
        self.look_wanted.emit(name, safe, contrast)

    def _set(self, key: str, value: str) -> None:
        def done(outcome: Outcome) -> None:
            if outcome.ok:
                self.bridge.told.emit(outcome)
                self.refresh()
            elif key in self.lines:
                self.lines[key].refuse(outcome.sentence)

        self.bridge.send(SetSetting(key, value), done)

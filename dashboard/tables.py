"""Tables: a model that changes cell by cell, a delegate that paints cells, a view that fits its columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PyQt6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    QSortFilterProxyModel,
    Qt,
    pyqtSignal,
)  # fmt: skip
from PyQt6.QtGui import QPainter, QResizeEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)  # fmt: skip

from dashboard import painting
from dashboard.cells import Cell, Column, draw_cell
from dashboard.theme import HEAD_H, ROW_H, font

Index = QModelIndex | QPersistentModelIndex
CELL = Qt.ItemDataRole.UserRole + 1
SORT = Qt.ItemDataRole.UserRole + 2
ROW = Qt.ItemDataRole.UserRole + 3


class Rows(QAbstractTableModel):
    """Rows of a view. ``replace`` compares by key and touches only what changed."""

    def __init__(
        self, columns: Sequence[Column], key: Callable[[Any], object], alarm: Callable[[Any], bool] | None = None,
        parent: QObject | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.columns = tuple(columns)
        self._key = key
        self._alarm = alarm
        self._rows: list[Any] = []
        self._keys: list[object] = []
        self._cells: list[list[Cell]] = []

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def row(self, index: int) -> Any:
        """The view row at a position."""
        return self._rows[index]

    def position(self, key: object) -> int:
        """Where the row with this key stands, or -1."""
        return self._keys.index(key) if key in self._keys else -1

    def alarmed(self, row: int) -> bool:
        """Whether the row is painted as an alarm."""
        return self._alarm is not None and self._alarm(self._rows[row])

    def cell(self, row: int, column: int) -> Cell:
        """What stands at a place."""
        return self._cells[row][column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        cell = self.cell(index.row(), index.column())
        if role == CELL:
            return cell
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{cell.words} {cell.extra}".strip()
        if role == SORT:
            return cell.words if cell.sort is None else cell.sort
        if role == ROW:
            return self._rows[index.row()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell.tip or None
        if role == Qt.ItemDataRole.TextAlignmentRole and self.columns[index.column()].right:
            return int(painting.RIGHT)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal and 0 <= section < len(self.columns):
            if role == Qt.ItemDataRole.DisplayRole:
                return self.columns[section].title
            if role == Qt.ItemDataRole.ToolTipRole:
                return self.columns[section].tip or None
        return None

    def replace(self, rows: Sequence[Any]) -> None:
        """Show these rows: insert and remove by key, and report only the cells that differ."""
        keys = [self._key(row) for row in rows]
        wanted = set(keys)
        for at in range(len(self._keys) - 1, -1, -1):
            if self._keys[at] not in wanted:
                self.beginRemoveRows(QModelIndex(), at, at)
                del self._rows[at], self._keys[at], self._cells[at]
                self.endRemoveRows()
        have = set(self._keys)
        if [key for key in keys if key in have] != self._keys:
            self._rearrange(rows, keys)
            return
        self._insert_missing(rows, keys, have)
        for at, row in enumerate(rows):
            if self._rows[at] is not row:
                self._update(at, row)

    def _insert_missing(self, rows: Sequence[Any], keys: list[object], have: set[object]) -> None:
        at = 0
        while at < len(keys):
            if keys[at] in have:
                at += 1
                continue
            end = at
            while end < len(keys) and keys[end] not in have:
                end += 1
            self.beginInsertRows(QModelIndex(), at, end - 1)
            self._rows[at:at] = list(rows[at:end])
            self._keys[at:at] = keys[at:end]
            self._cells[at:at] = [self._make(row) for row in rows[at:end]]
            self.endInsertRows()
            at = end

    def _rearrange(self, rows: Sequence[Any], keys: list[object]) -> None:
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        places = {key: at for at, key in enumerate(keys)}
        targets = [places.get(self._keys[i.row()], -1) for i in old]
        self._rows, self._keys = list(rows), keys
        self._cells = [self._make(row) for row in rows]
        moved = [self.index(at, i.column()) if at >= 0 else QModelIndex() for at, i in zip(targets, old, strict=True)]
        self.changePersistentIndexList(old, moved)
        self.layoutChanged.emit()

    def _make(self, row: Any) -> list[Cell]:
        return [column.cell(row) for column in self.columns]

    def _update(self, at: int, row: Any) -> None:
        self._rows[at] = row
        fresh = self._make(row)
        for c, cell in enumerate(fresh):
            if cell != self._cells[at][c]:
                self._cells[at][c] = cell
                where = self.index(at, c)
                self.dataChanged.emit(where, where)


class CellDelegate(QStyledItemDelegate):
    """Paints a ``Cell``: row rule, picked row, alarm row, text, arrow, badge, dot."""

    def __init__(self, table: DataTable) -> None:
        super().__init__(table)
        self._table = table

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        if painter is None:
            return
        painter.save()
        box = QRectF(option.rect)
        self._ground(painter, box, option, index)
        cell = index.data(CELL)
        if isinstance(cell, Cell):
            column = self._table.column_at(index.column())
            draw_cell(painter, box.adjusted(8, 0, -8, 0), cell, column.right)
        painter.restore()

    def _ground(self, p: QPainter, box: QRectF, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        first = index.column() == self._table.first_column()
        if self._table.alarmed(index):
            painting.fill(p, box, "danger", 0.12)
            if first:
                painting.fill(p, QRectF(box.left(), box.top(), 2, box.height()), "danger")
        elif option.state & QStyle.StateFlag.State_Selected:
            painting.fill(p, box, "accent", 0.13)
            if first:
                painting.fill(p, QRectF(box.left(), box.top(), 2, box.height()), "accent")
        elif self._table.hovered() == index.row():
            painting.fill(p, box, "bg3", 0.45)
        painting.fill(p, QRectF(box.left(), box.bottom() - 1, box.width(), 1), "line")

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        return QSize(40, self._table.row_height)


class Head(QHeaderView):
    """Column heads: 11/500, aligned as their cells, with the sort arrow in grey."""

    def __init__(self, table: DataTable) -> None:
        super().__init__(Qt.Orientation.Horizontal, table)
        self._table = table
        self.setFixedHeight(HEAD_H)
        self.setMinimumSectionSize(24)
        self.setHighlightSections(False)

    def paintSection(self, painter: QPainter | None, rect: Any, section: int) -> None:
        if painter is None:
            return
        painter.save()
        column = self._table.column_at(section)
        box = QRectF(rect)
        painting.fill(painter, QRectF(box.left(), box.bottom() - 1, box.width(), 1), "line2")
        align = painting.RIGHT if column.right else painting.LEFT
        sorted_here = self.isSortIndicatorShown() and self.sortIndicatorSection() == section
        words = column.title
        if sorted_here:
            words += " ↓" if self.sortIndicatorOrder() is Qt.SortOrder.DescendingOrder else " ↑"
        tone = "text2" if sorted_here else "text3"
        painting.text(painter, box.adjusted(8, 0, -8, 0), words, font(11, 500), tone, align)
        painter.restore()


class DataTable(QTableView):
    """The view of ``Rows``: fits columns to the room, drops the highest rank first, never half a row."""

    opened = pyqtSignal(object)  # a row was activated (double click or Enter)
    picked = pyqtSignal(object)  # the current row changed

    def __init__(
        self, model: Rows, *, row_height: int = ROW_H, sortable: bool = False, whole_rows: bool = True
    ) -> None:
        super().__init__()
        self.rows = model
        model.setParent(self)
        self.row_height = row_height
        self._whole_rows = whole_rows
        self._hovered = -1
        self.overrides: dict[str, int] = {}  # widths a person chose, by column key
        self._fitting = False
        self._proxy: QSortFilterProxyModel | None = None
        if sortable:
            self._proxy = QSortFilterProxyModel(self)
            self._proxy.setSourceModel(model)
            self._proxy.setSortRole(SORT)
            self._proxy.setFilterKeyColumn(-1)
            self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._head = Head(self)
        self.setHorizontalHeader(self._head)
        self.setModel(self._proxy or model)
        self.setItemDelegate(CellDelegate(self))
        self._settle(sortable)

    def _settle(self, sortable: bool) -> None:
        side = self.verticalHeader()
        if side is not None:
            side.hide()
            side.setMinimumSectionSize(16)
            side.setDefaultSectionSize(self.row_height)
            side.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerItem)
        self.setMinimumSize(120, HEAD_H + 2 * self.row_height)
        self.setMouseTracking(True)
        self.setWordWrap(False)
        self._head.setSectionsClickable(sortable)
        self._head.sectionResized.connect(self._resized)
        if sortable:
            self.setSortingEnabled(True)
            self.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        self.activated.connect(lambda index: self.opened.emit(index.data(ROW)))
        chosen = self.selectionModel()
        if chosen is not None:
            chosen.currentRowChanged.connect(self._pick_changed)

    def _pick_changed(self, now: QModelIndex) -> None:
        if now.isValid():
            self.picked.emit(now.data(ROW))

    def filter(self, words: str) -> None:
        """Show rows in which some cell holds these words (sortable tables only)."""
        if self._proxy is not None:
            self._proxy.setFilterFixedString(words)

    def pick(self, key: object) -> None:
        """Select the row with this key, if it is there."""
        at = self.rows.position(key)
        if at >= 0:
            index = self.rows.index(at, 0)
            self.setCurrentIndex(self._proxy.mapFromSource(index) if self._proxy else index)

    def column_at(self, section: int) -> Column:
        """The description of a column."""
        return self.rows.columns[section]

    def first_column(self) -> int:
        """The leftmost column in sight."""
        return next((c for c in range(len(self.rows.columns)) if not self.isColumnHidden(c)), 0)

    def hovered(self) -> int:
        """The row under the pointer, or -1."""
        return self._hovered

    def alarmed(self, index: QModelIndex) -> bool:
        """Whether this row is an alarm."""
        source = self._proxy.mapToSource(index) if self._proxy else index
        return self.rows.alarmed(source.row())

    def mouseMoveEvent(self, e: Any) -> None:
        row = self.indexAt(e.position().toPoint()).row()
        if row != self._hovered:
            self._hovered = row
            self._repaint()
        super().mouseMoveEvent(e)

    def leaveEvent(self, a0: Any) -> None:
        self._hovered = -1
        self._repaint()
        super().leaveEvent(a0)

    def _repaint(self) -> None:
        port = self.viewport()
        if port is not None:
            port.update()

    def resizeEvent(self, e: QResizeEvent | None) -> None:
        super().resizeEvent(e)
        self.fit()
        if self._whole_rows:
            spare = (self.height() - HEAD_H) % self.row_height
            if self.viewportMargins().bottom() != spare:
                self.setViewportMargins(0, HEAD_H, 0, spare)

    def set_row_height(self, tall: int) -> None:
        """Change the height of every row."""
        side = self.verticalHeader()
        if tall != self.row_height and side is not None:
            self.row_height = tall
            side.setDefaultSectionSize(tall)
            self.setMinimumHeight(HEAD_H + 2 * tall)

    def fit(self) -> None:
        """Give the columns the room there is."""
        port = self.viewport()
        room = port.width() if port is not None else self.width()
        columns = self.rows.columns
        want = [self.overrides.get(column.key, column.width) for column in columns]
        shown = list(range(len(columns)))
        for c in sorted(shown, key=lambda c: -columns[c].rank):
            if sum(want[i] for i in shown) <= room or columns[c].rank == 0:
                break
            shown.remove(c)
        short = sum(want[i] for i in shown) - room
        giving = [i for i in shown if columns[i].grow > 0]
        if short > 0 and giving:
            whole = sum(want[i] for i in giving)
            for i in giving:
                want[i] = max(40, want[i] - short * want[i] // whole - 1)
        spare = max(0, room - sum(want[i] for i in shown))
        total = sum(columns[i].grow for i in shown) or 1
        self._fitting = True
        for c, column in enumerate(columns):
            self.setColumnHidden(c, c not in shown)
            if c in shown:
                self.setColumnWidth(c, want[c] + spare * column.grow // total)
        self._fitting = False

    def _resized(self, section: int, _old: int, new: int) -> None:
        if not self._fitting and new > 0 and not self.isColumnHidden(section):
            self.overrides[self.rows.columns[section].key] = new


def table_state(widget: QWidget) -> dict[str, dict[str, int]]:
    """Widths that a person chose, by the table's object name."""
    named = [t for t in widget.findChildren(DataTable) if t.objectName() and t.overrides]
    return {t.objectName(): dict(t.overrides) for t in named}

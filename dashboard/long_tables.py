"""Tables of thousands of rows that never change: cells are made when they come into sight, heads sort the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PyQt6.QtCore import Qt

from dashboard.cells import Cell, Column
from dashboard.tables import DataTable, Rows

Order = Callable[[Any], Any]  # what a column sorts its rows by
KEPT_CELLS = 4_000  # a few screens


class LongRows(Rows):
    """As ``Rows`` without the comparison of old and new: :meth:`replace` takes the rows as they are."""

    def __init__(self, columns: Sequence[Column], key: Callable[[Any], object]) -> None:
        super().__init__(columns, key)
        self._made: dict[tuple[int, int], Cell] = {}

    def replace(self, rows: Sequence[Any]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self._rows, self._made = list(rows), {}
        self.endResetModel()

    def position(self, key: object) -> int:
        return next((at for at, row in enumerate(self._rows) if self._key(row) == key), -1)

    def cell(self, row: int, column: int) -> Cell:
        found = self._made.get((row, column))
        if found is None:
            if len(self._made) >= KEPT_CELLS:
                self._made.clear()
            found = self._made[row, column] = self.columns[column].cell(self._rows[row])
        return found


class LongTable(DataTable):
    """The view of ``LongRows``. ``orders``: by which value of a row a column sorts; the others do not sort."""

    def __init__(self, model: LongRows, orders: Mapping[str, Order], *, row_height: int) -> None:
        super().__init__(model, row_height=row_height)
        self._orders = dict(orders)
        self._by: tuple[str, bool] | None = None  # column, falling
        self._shown: Sequence[Any] = ()
        self._head.setSectionsClickable(True)
        self._head.sectionClicked.connect(self._clicked)

    def show_rows(self, rows: Sequence[Any]) -> None:
        """Show these rows in the order that was chosen, or in their own."""
        self._shown = rows
        if self._by is not None:
            order = self._orders[self._by[0]]
            rows = sorted(rows, key=lambda row: _known_last(order(row)), reverse=self._by[1])
        self.rows.replace(rows)

    def _clicked(self, section: int) -> None:
        key = self.column_at(section).key
        if key not in self._orders:
            return
        falling = self._by is None or self._by[0] != key or not self._by[1]
        self._by = (key, falling)
        self._head.setSortIndicatorShown(True)
        way = Qt.SortOrder.DescendingOrder if falling else Qt.SortOrder.AscendingOrder
        self._head.setSortIndicator(section, way)
        self.show_rows(self._shown)


def _known_last(value: Any) -> tuple[bool, Any]:
    """Unknown values below all others."""
    return (value is not None, 0 if value is None else value)

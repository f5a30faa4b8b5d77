"""Tables change cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from PyQt6.QtCore import QAbstractItemModel, Qt

from dashboard.cells import Cell, Column
from dashboard.tables import DataTable, Rows

pytestmark = pytest.mark.qt


@dataclass(frozen=True)
class Item:
    key: int
    name: str
    value: float


COLUMNS = [
    Column("name", "Name", lambda r: Cell(r.name), 80),
    Column("value", "Value", lambda r: Cell(f"{r.value:.1f}", sort=r.value), 60, right=True),
    Column("extra", "Extra", lambda r: Cell("x"), 200, rank=2),
]


class Watch:
    """What a model reported."""

    def __init__(self, model: QAbstractItemModel) -> None:
        self.changed: list[tuple[int, int]] = []
        self.inserted: list[tuple[int, int]] = []
        self.removed: list[int] = []
        self.resets = 0
        model.dataChanged.connect(lambda a, _b: self.changed.append((a.row(), a.column())))
        model.rowsInserted.connect(lambda _p, a, b: self.inserted.append((a, b)))
        model.rowsRemoved.connect(lambda _p, a, _b: self.removed.append(a))
        model.modelReset.connect(lambda: setattr(self, "resets", self.resets + 1))


@pytest.fixture
def model(dressed: object) -> Rows:
    made = Rows(COLUMNS, lambda r: r.key)
    made.replace([Item(k, f"n{k}", float(k)) for k in range(5)])
    return made


def test_only_the_cell_that_differs_is_reported(model: Rows) -> None:
    watch = Watch(model)
    rows = [model.row(i) for i in range(5)]
    model.replace([*rows[:3], replace(rows[3], value=9.0), rows[4]])
    assert watch.changed == [(3, 1)]
    assert watch.resets == 0 and not watch.inserted and not watch.removed


def test_equal_rows_report_nothing(model: Rows) -> None:
    watch = Watch(model)
    model.replace([Item(k, f"n{k}", float(k)) for k in range(5)])
    assert not watch.changed


def test_new_rows_are_inserted_and_old_ones_removed(model: Rows) -> None:
    watch = Watch(model)
    rows = [model.row(i) for i in range(5)]
    model.replace([Item(10, "a", 1), Item(11, "b", 2), rows[0], rows[1], rows[3], rows[4]])
    assert watch.inserted == [(0, 1)]
    assert watch.removed == [2]
    assert [model.row(i).key for i in range(6)] == [10, 11, 0, 1, 3, 4]


def test_a_new_order_keeps_the_picked_row(model: Rows, qtbot: Any) -> None:
    table = DataTable(model)
    qtbot.addWidget(table)
    table.pick(4)
    model.replace([model.row(i) for i in (4, 3, 2, 1, 0)])
    assert table.currentIndex().row() == 0
    assert model.row(table.currentIndex().row()).key == 4


def test_the_least_important_column_leaves_where_room_is_short(model: Rows, qtbot: Any) -> None:
    table = DataTable(model)
    qtbot.addWidget(table)
    table.resize(500, 200)
    table.show()
    assert not table.isColumnHidden(2)
    table.resize(220, 200)
    assert table.isColumnHidden(2)
    assert not table.isColumnHidden(0)


def test_numbers_sort_by_value_and_stand_right(model: Rows, qtbot: Any) -> None:
    model.replace([Item(k, f"n{k}", v) for k, v in enumerate((9.0, 10.0, 2.0))])
    table = DataTable(model, sortable=True)
    qtbot.addWidget(table)
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    shown = table.model()
    assert shown is not None
    assert [shown.index(i, 1).data() for i in range(3)] == ["10.0", "9.0", "2.0"]
    align = model.index(0, 1).data(Qt.ItemDataRole.TextAlignmentRole)
    assert Qt.AlignmentFlag(align) & Qt.AlignmentFlag.AlignRight

"""Prices of an open position in order: targets with what is taken, entry, last, stop, liquidation."""

from __future__ import annotations

from dataclasses import dataclass

from PyQt6.QtCore import QRectF, QSize
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.contract.views import PositionRow
from dashboard import numbers, painting
from dashboard.theme import font

HEAD, PITCH = 20, 22
RULES = {
    "moved to break-even": "break-even", "moved to keep profit": "keeps profit", "moved for the addition": "addition",
}  # fmt: skip


def stop_rule(rule: str) -> str:
    """The rule in a word or two."""
    return RULES.get(rule, rule)


@dataclass(frozen=True, slots=True)
class Level:
    """One line: what it is, how much it closes, where it stands, how far from the last price."""

    name: str
    state: str
    quantity: str
    price: str
    away: str
    token: str  # of the price
    strong: bool = False


def levels_of(row: PositionRow) -> list[Level]:
    """Every level of a position, the highest price first."""
    found: list[tuple[float, Level]] = []

    def add(
        price: float | None, name: str, state: str, quantity: float | None, token: str, strong: bool = False
    ) -> None:
        if price is None:
            return
        away = None if not row.last else price / row.last - 1.0
        size = "" if quantity is None else numbers.number(quantity, row.quantity_digits)
        far = "" if name == "Last" else numbers.percent(away, signed=True)
        words = numbers.number(price, row.price_digits)
        found.append((price, Level(name, state, size, words, far, token, strong)))

    for at, target in enumerate(row.targets, 1):
        token = "text3" if target.state == "taken" else "profit"
        part = 0.0 < target.filled < target.quantity
        state = f"{numbers.number(target.filled, row.quantity_digits)} filled" if part else target.state
        add(target.price, f"Target {at}", state, target.quantity, token)
    add(row.entry, "Entry", "", row.quantity, "text2")
    add(row.last, "Last", "", None, "text", strong=True)
    add(row.stop, "Stop", stop_rule(row.stops[0].rule) if row.stops else "", row.protecting, "loss")
    add(row.liquidation, "Liquidation", "", None, "danger")
    return [level for _, level in sorted(found, key=lambda pair: -pair[0])]


class LevelLadder(QWidget):
    """The levels as lines of a small table."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[Level] = []
        self._unit = ""
        self.setMinimumWidth(200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_row(self, row: PositionRow) -> None:
        """Change the position."""
        levels = levels_of(row)
        if (levels, row.base) == (self.levels, self._unit):
            return
        grew = len(levels) != len(self.levels)
        self.levels, self._unit = levels, row.base
        self.setAccessibleDescription("; ".join(f"{v.name} {v.state} {v.price} {v.away}" for v in levels))
        if grew:
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(280, HEAD + PITCH * len(self.levels))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        columns = self._columns()
        for box, words in zip(columns, ("Level", self._unit, "Price", "From last"), strict=True):
            align = painting.LEFT if words == "Level" else painting.RIGHT
            painting.text(p, QRectF(box[0], 0, box[1], HEAD), words, font(11, 500), "text3", align)
        for at, level in enumerate(self.levels):
            y = HEAD + at * PITCH
            painting.fill(p, QRectF(0, y, self.width(), 1), "line")
            self._line(p, y, columns, level)

    def _columns(self) -> list[tuple[float, float]]:
        """Left edge and width of name, quantity, price, distance."""
        wide = float(self.width())
        price = max((painting.width_of(v.price, font(12, 600)) for v in self.levels), default=60.0) + 2
        size = max((painting.width_of(v.quantity, font(12)) for v in self.levels), default=40.0) + 2
        away = painting.width_of("+00.00 %", font(12)) + 6
        name = max(60.0, wide - price - size - away - 20)
        return [(0.0, name), (name, size), (name + size + 10, price), (wide - away, away)]

    def _line(self, p: QPainter, y: float, columns: list[tuple[float, float]], level: Level) -> None:
        (x0, w0), (x1, w1), (x2, w2), (x3, w3) = columns
        weight = 600 if level.strong else 500
        drawn = painting.text(
            p, QRectF(x0, y, w0, PITCH), level.name, font(12, weight), "text" if level.strong else "text2"
        )
        rest = QRectF(x0 + drawn + 6, y, w0 - drawn - 10, PITCH)
        if rest.width() > 16:
            painting.text(p, rest, level.state, font(11), "text3")
        painting.text(p, QRectF(x1, y, w1, PITCH), level.quantity, font(12), "text2", painting.RIGHT, elide=False)
        painting.text(p, QRectF(x2, y, w2, PITCH), level.price, font(12, 600), level.token, painting.RIGHT, elide=False)
        painting.text(p, QRectF(x3, y, w3, PITCH), level.away, font(12), "text2", painting.RIGHT, elide=False)

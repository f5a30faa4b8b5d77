"""Gates as bars from zero to their limit, grouped by tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PyQt6.QtCore import QEvent, QRectF, QSize, Qt
from PyQt6.QtGui import QHelpEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QToolTip, QWidget

from app.contract.views import GateRow
from dashboard import numbers, painting
from dashboard.theme import font, theme

NEAR = 0.8  # of the limit: from here on the bar warns
UNMEASURED = "unknown"


@dataclass(frozen=True, slots=True)
class GateLook:
    """How one gate is drawn."""

    share: float | None  # of the bar's length
    tick: float  # where the limit stands, 0..1
    tone: str  # of the bar
    ink: str  # of the value
    icon: str
    icon_tone: str
    value: str
    limit: str
    old: str = ""  # the limit as set, where the one in force has tightened: struck out


def look_of(gate: GateRow) -> GateLook:
    """The drawing of a gate, from its numbers alone; a tightened one is drawn to the limit as set."""
    look = _plain_look(gate)
    if gate.set_limit is None or not gate.limit or look.tick < 0:
        return look
    reach = gate.limit / gate.set_limit
    share = None if look.share is None else look.share * reach
    return replace(look, share=share, tick=reach, old=numbers.short(gate.set_limit, gate.unit))


def _plain_look(gate: GateRow) -> GateLook:
    ok = ("check", "profit") if gate.passed else ("bad", "danger")
    if gate.text:
        head, _, tail = gate.text.partition(" / ")
        return GateLook(None, -1, "s6", "text" if gate.passed else "danger", *ok, head, f" / {tail}" if tail else "")
    sign = " ≥ " if gate.at_least else " / "
    limit = sign + numbers.short(gate.limit, gate.unit)
    if not gate.measured or gate.value is None:
        return GateLook(None, 1.0, "warn", "warn", "warn", "warn", UNMEASURED, limit)
    long_unit = len(gate.unit) > 3 and gate.unit not in ("fraction", "ratio", "count", "price", "bars")
    value = numbers.measured(gate.value, gate.unit)
    if long_unit and gate.limit is not None:  # the limit carries the unit
        value = value.removesuffix(gate.unit).rstrip(numbers.NBSP)
    if gate.limit is None:
        return GateLook(None, -1, "s6", "text", *ok, value, "")
    if gate.at_least:
        top = max(gate.limit * 1.65, gate.value, 1e-12)
        tone = "s6" if gate.passed else "danger"
        ink = "text" if gate.passed else "danger"
        return GateLook(max(0.0, gate.value / top), gate.limit / top, tone, ink, *ok, value, limit)
    share = max(0.0, gate.value) / gate.limit if gate.limit else (0.0 if gate.passed else 1.0)
    if not gate.passed:
        return GateLook(share, 1.0, "danger", "danger", *ok, value, limit)
    if gate.by_design:
        return GateLook(share, 1.0, "s6", "text", *ok, value, limit)
    if share >= NEAR:
        return GateLook(share, 1.0, "warn", "warn", "warn", "warn", value, limit)
    return GateLook(share, 1.0, "accent", "text", *ok, value, limit)


def passing_words(gates: Sequence[GateRow]) -> str:
    """How many were measured and pass, and how many are unknown: an unknown one is neither."""
    known = [gate for gate in gates if gate.measured]
    words = f"{sum(gate.passed for gate in known)} of {len(gates)} pass"
    return words if len(known) == len(gates) else f"{words} · {len(gates) - len(known)} unknown"


class GateBars(QWidget):
    """All gates, with the name of their tier over each group. Row height follows the room."""

    def __init__(self, name_share: float = 0.36) -> None:
        super().__init__()
        self._gates: tuple[GateRow, ...] = ()
        self._looks: dict[str, GateLook] = {}
        self._widest, self._names = 124.0, 0.0  # room of value and limit, of the longest name
        self._name_share = name_share
        self.setMinimumSize(240, 160)

    def show_gates(self, gates: Sequence[GateRow]) -> None:
        """Change the gates."""
        if tuple(gates) != self._gates:
            self._gates = tuple(gates)
            self._looks = {gate.key: look_of(gate) for gate in gates}
            self._names = max((painting.width_of(g.label, font(12)) for g in gates), default=0.0) + 14
            self._widest = max((self._wide(look) for look in self._looks.values() if look.tick >= 0), default=0.0) + 8
            self.setAccessibleDescription("; ".join(map(self._said, self._gates)))
            self.update()

    @staticmethod
    def _wide(look: GateLook) -> float:
        old = painting.width_of(look.old, font(12)) + 6 if look.old else 0.0
        return painting.width_of(look.value, font(12, 600)) + painting.width_of(look.limit, font(12)) + old

    def _said(self, gate: GateRow) -> str:
        look = self._looks[gate.key]
        return f"{gate.label} {look.value}{look.limit}{'' if gate.passed else ', blocks'}"

    def sizeHint(self) -> QSize:
        return QSize(300, 24 * self._lines())

    def _lines(self) -> int:
        return len(self._gates) + len({g.tier for g in self._gates})

    def _pitch(self) -> float:
        return max(15.0, min(31.0, self.height() / max(1, self._lines())))

    def _walk(self) -> list[tuple[float, GateRow | str]]:
        found: list[tuple[float, GateRow | str]] = []
        y, tier, pitch = 0.0, "", self._pitch()
        for gate in self._gates:
            if gate.tier != tier:
                tier = gate.tier
                found.append((y, tier))
                y += pitch
            found.append((y, gate))
            y += pitch
        return found

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            pitch = self._pitch()
            for y, item in self._walk():
                if isinstance(item, GateRow) and y <= event.pos().y() < y + pitch:
                    QToolTip.showText(event.globalPos(), f"{item.label}. {item.words}", self)
            return True
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        pitch = self._pitch()
        for y, item in self._walk():
            if isinstance(item, str):
                box = QRectF(0, y + 1, self.width(), pitch)
                painting.text(p, box, item, font(11, 600), "text3")
            else:
                self._gate(p, QRectF(0, y, self.width(), pitch), item)

    def _gate(self, p: QPainter, row: QRectF, gate: GateRow) -> None:
        look = self._looks[gate.key]
        middle = round(row.center().y())
        numbers_width = max(self._widest, row.width() * 0.28)
        name = min(max(self._names, row.width() * self._name_share), row.width() * 0.5)
        painting.text(p, QRectF(0, row.top(), name - 8, row.height()), gate.label, font(12), "text2")
        bar = QRectF(name, middle - 3, max(20.0, row.width() - name - numbers_width - 22), 6)
        if look.tick >= 0:
            self._bar(p, bar, look)
        right = QRectF(row.right() - numbers_width - 20, row.top(), numbers_width, row.height())
        if not gate.text:
            tail = self._old(p, right, look.old)
            right.adjust(0, 0, -tail, 0)
            tail = painting.width_of(look.limit, font(12))
            painting.text(p, right, look.limit, font(12), "warn" if look.old else "text3", painting.RIGHT, elide=False)
            right.adjust(0, 0, -tail, 0)
            painting.text(p, right, look.value, font(12, 600), look.ink, painting.RIGHT, elide=False)
        else:
            right.setLeft(name)
            tail = painting.width_of(look.limit, font(12))
            painting.text(p, right, look.limit, font(12), "text3", painting.RIGHT)
            right.adjust(0, 0, -tail, 0)
            painting.text(p, right, look.value, font(12, 600), look.ink, painting.RIGHT)
        painting.icon(p, row.right() - 13, middle, look.icon, look.icon_tone, 12)

    @staticmethod
    def _old(p: QPainter, right: QRectF, words: str) -> float:
        """The limit that a person set, struck out; the width that it takes."""
        if not words:
            return 0.0
        face = font(12)
        face.setStrikeOut(True)
        return painting.text(p, right, words, face, "text3", painting.RIGHT, elide=False) + 6

    @staticmethod
    def _bar(p: QPainter, bar: QRectF, look: GateLook) -> None:
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        if look.value == UNMEASURED:
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.setPen(QPen(theme.color("warn"), 1, Qt.PenStyle.DashLine))
            p.drawRoundedRect(bar.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
            return
        painting.bar(p, bar, look.share, look.tone)
        x = bar.left() + bar.width() * min(1.0, look.tick)
        painting.fill(p, QRectF(x - 0.75, bar.center().y() - 6, 1.5, 12), "warn" if look.old else "text2")

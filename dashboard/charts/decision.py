"""Charts of one decision: features against their history, members against the threshold, the trade it led to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PyQt6.QtCore import QEvent, QPointF, QRectF, Qt
from PyQt6.QtGui import QHelpEvent, QPainter, QPen, QPolygonF
from PyQt6.QtWidgets import QToolTip

from app.contract.views import FeatureValue, MemberRow, OutcomeView
from dashboard import numbers, painting
from dashboard.charts.plot import Plot, level
from dashboard.theme import font, theme


class FeatureRows(Plot):
    """Name, value, where the value stands within its history."""

    left, top, right, bottom = 0.0, 0.0, 0.0, 0.0

    def __init__(self) -> None:
        super().__init__(220, 120)
        self._features: tuple[FeatureValue, ...] = ()

    def show_features(self, features: Sequence[FeatureValue]) -> None:
        """Change the features; as many as fit are shown."""
        self._features = tuple(features)
        self.update()

    def has_data(self) -> bool:
        return bool(self._features)

    def _pitch(self) -> float:
        return min(32.0, max(20.0, self.height() / max(1, len(self._features))))

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            at = int(event.pos().y() // self._pitch())
            if 0 <= at < len(self._features):
                f = self._features[at]
                QToolTip.showText(event.globalPos(), f"{f.name}. {f.meaning}", self)
            return True
        return super().event(event)

    def draw(self, p: QPainter, box: QRectF) -> None:
        pitch = self._pitch()
        box = QRectF(box.left(), box.top(), min(box.width(), 520.0), box.height())
        widest = max(painting.width_of(feature_words(f), font(12, 600)) for f in self._features)
        value_w, tail = min(104.0, widest + 6), 38.0
        curve_w = min(96.0, max(46.0, box.width() * (0.24 if box.width() > 320.0 else 0.14)))
        name_w = box.width() - value_w - tail - curve_w - 14
        for i, f in enumerate(self._features[: int(box.height() // pitch)]):
            y = i * pitch
            painting.text(p, QRectF(0, y, name_w, pitch), feature_label(f.label), font(12), "text2")
            value = feature_words(f)
            painting.text(p, QRectF(name_w, y, value_w, pitch), value, font(12, 600), "text", painting.RIGHT)
            hill = QRectF(name_w + value_w + 14, y + pitch - 5 - min(18.0, pitch - 8), curve_w, min(18.0, pitch - 8))
            odd = f.percentile is not None and (f.percentile < 0.1 or f.percentile > 0.9)
            self._hill(p, hill, f.percentile, "warn" if odd else "accent")
            words = numbers.percent(f.percentile, 0)
            cell = QRectF(box.right() - tail, y, tail, pitch)
            painting.text(p, cell, words, font(12), "warn" if odd else "text2", painting.RIGHT)

    @staticmethod
    def _hill(p: QPainter, box: QRectF, percentile: float | None, token: str) -> None:
        """A bell as a scale of rank (the same for every feature), with the value's rank marked."""
        z = np.linspace(-2.6, 2.6, 40)
        shape = QPolygonF([QPointF(box.left(), box.bottom())])
        for a, b in zip(z.tolist(), np.exp(-z * z / 2).tolist(), strict=True):
            shape.append(QPointF(box.left() + (a + 2.6) / 5.2 * box.width(), box.bottom() - b * box.height()))
        shape.append(QPointF(box.right(), box.bottom()))
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(theme.color("line2"))
        p.drawPolygon(shape)
        if percentile is not None:
            at = max(-2.5, min(2.5, math.sqrt(2) * _inverse_erf(2 * min(0.999, max(0.001, percentile)) - 1)))
            x = box.left() + (at + 2.6) / 5.2 * box.width()
            painting.fill(p, QRectF(x - 1, box.top() - 2, 2, box.height() + 4), token)


def _inverse_erf(y: float) -> float:
    """Winitzki's approximation (2008), good to 2e-3: enough for a mark of two pixels."""
    a = 0.147
    log = math.log(1 - y * y)
    first = 2 / (math.pi * a) + log / 2
    return math.copysign(math.sqrt(math.sqrt(first * first - log / a) - first), y)


BARE_UNITS = ("", "ratio", "count", "price", "0/1", "0..1", "0..100", "-1..1")
ABBREVIATIONS = ("rsi", "ema", "sma", "atr", "adx", "macd", "cci", "mfi", "obv", "vwap", "roc")


def feature_label(label: str) -> str:
    """A feature's name with abbreviations in capitals."""
    parts = [part.upper() if part.lower() in ABBREVIATIONS else part for part in label.split(" ")]
    return " ".join(parts)


def feature_words(f: FeatureValue) -> str:
    """A feature's value with its unit; small numbers keep three figures."""
    if f.value is None or not math.isfinite(f.value):
        return numbers.UNKNOWN
    if f.unit == "fraction":
        return numbers.percent(f.value, 2 if abs(f.value) >= 0.001 else 3)
    size = abs(f.value)
    digits = 0 if size >= 10_000 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4
    unit = "" if f.unit in BARE_UNITS else numbers.NBSP + f.unit
    return numbers.number(f.value, digits) + unit


class MemberBars(Plot):
    """Each member's short, neutral and long share of one, its weight, and the threshold as a line."""

    left, top, right, bottom = 0.0, 22.0, 0.0, 22.0

    def __init__(self) -> None:
        super().__init__(220, 110)
        self._members: tuple[MemberRow, ...] = ()
        self._ensemble: MemberRow | None = None
        self._side, self._threshold = "long", None  # type: str, float | None

    def show_members(
        self, members: Sequence[MemberRow], ensemble: MemberRow | None, side: str, threshold: float | None
    ) -> None:
        """Change the members."""
        self._members, self._ensemble, self._side, self._threshold = tuple(members), ensemble, side, threshold
        self.update()

    def has_data(self) -> bool:
        return bool(self._members) or self._ensemble is not None

    def draw(self, p: QPainter, box: QRectF) -> None:
        rows = [*self._members, *([self._ensemble] if self._ensemble else [])]
        pitch = min(38.0, box.height() / len(rows))
        roomy = box.width() > 310
        name, tail = (96.0, 92.0) if roomy else (70.0, 44.0)
        field = QRectF(name, box.top(), max(40.0, box.width() - name - tail), pitch * len(rows))
        order = ("Short", "Neutral", "Long") if self._side == "short" else ("Long", "Neutral", "Short")
        for words, align in zip(order, (painting.LEFT, painting.CENTER, painting.RIGHT), strict=True):
            if words == "Neutral" and not roomy:
                continue
            head = QRectF(field.left(), 0, field.width(), 18)
            painting.text(p, head, words, font(11, 500), "text3", align)
        painting.text(p, QRectF(box.right() - 60, 0, 60, 18), "Weight", font(11, 500), "text3", painting.RIGHT)
        for i, member in enumerate(rows):
            y = field.top() + i * pitch
            whole = member is self._ensemble
            if whole and self._members:
                painting.fill(p, QRectF(0, round(y), box.width(), 1), "line2")
            face = font(12, 600 if whole else 400)
            painting.text(p, QRectF(0, y, name - 6, pitch), member.name, face, "text" if whole else "text2")
            self._shares(p, QRectF(field.left(), round(y + pitch / 2 - 8), field.width(), 16), member)
            if member.weight is not None:
                track = QRectF(field.right() + 12, round(y + pitch / 2 - 3), 34, 5)
                if not whole and roomy:
                    painting.bar(p, track, member.weight)
                cell = QRectF(box.right() - 44, y, 44, pitch)
                painting.text(p, cell, numbers.percent(member.weight, 0), font(12), "text2", painting.RIGHT)
        if self._threshold is not None:
            x = round(field.left() + self._threshold * field.width())
            p.setPen(QPen(theme.color("text"), 1.2, Qt.PenStyle.DashLine))
            p.drawLine(QPointF(x, field.top() - 2), QPointF(x, field.bottom() + 2))
            words = f"threshold {numbers.number(self._threshold)}"
            label = QRectF(max(0.0, x - 60), field.bottom() + 3, 120, 18)
            painting.text(p, label, words, font(11), "text2", painting.CENTER, elide=False)

    def _shares(self, p: QPainter, box: QRectF, member: MemberRow) -> None:
        short = self._side == "short"
        parts = [(member.p_short, "s5"), (member.p_neutral, "line2"), (member.p_long, "s3")]
        if not short:
            parts.reverse()
        x = box.left()
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for i, (share, token) in enumerate(parts):
            if not math.isfinite(share):
                continue
            wide = share * box.width()
            cell = QRectF(x, box.top(), max(1.0, wide - 1), box.height())
            painting.fill(p, cell, token, 0.9, 2)
            if i == 0 and wide > 26:
                inked = cell.adjusted(0, 0, -3, 0)
                painting.text(p, inked, numbers.number(share), font(11, 600), "onTag", painting.RIGHT, elide=False)
            x += wide


class MiniTrade(Plot):
    """The bars round a trade with its entry and exit."""

    left, top, right, bottom = 2.0, 4.0, 66.0, 18.0

    def __init__(self) -> None:
        super().__init__(120, 60)
        self._outcome: OutcomeView | None = None
        self._side, self._digits = "long", 1

    def show_outcome(self, outcome: OutcomeView | None, side: str, digits: int) -> None:
        """Change the trade."""
        self._outcome, self._side, self._digits = outcome, side, digits
        self.update()

    def has_data(self) -> bool:
        return self._outcome is not None and self._outcome.time.size > 1

    def draw(self, p: QPainter, box: QRectF) -> None:
        o = self._outcome
        if o is None:
            return
        low, high = float(np.nanmin(o.low)), float(np.nanmax(o.high))
        reach = (high - low) or 1.0

        def at_y(price: float) -> float:
            return box.bottom() - (price - low) / reach * box.height()

        def at_x(ms: int) -> float:
            span = int(o.time[-1]) - int(o.time[0])
            return box.left() + (ms - int(o.time[0])) / max(1, span) * (box.width() - 8) + 4

        body = max(2, round(box.width() / o.time.size * 0.66))
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for t, a, h, lo, c in zip(o.time.tolist(), o.open, o.high, o.low, o.close, strict=True):
            token = "candleUp" if c >= a else "candleDown"
            x = round(at_x(t))
            painting.fill(p, QRectF(x, round(at_y(h)), 1, max(1, round(at_y(lo)) - round(at_y(h)))), token)
            top, bottom = sorted((round(at_y(a)), round(at_y(c))))
            painting.fill(p, QRectF(x - body // 2, top, body, max(1, bottom - top)), token)
        self._marks(p, box, o, at_x, at_y)

    def _marks(self, p: QPainter, box: QRectF, o: OutcomeView, at_x: object, at_y: object) -> None:
        if o.entry is None or o.entry_ms is None or not callable(at_x) or not callable(at_y):
            return
        x, y = at_x(o.entry_ms), at_y(o.entry)
        level(p, box, y, "text3")
        painting.text(
            p, QRectF(box.right() + 5, y - 9, 60, 18), numbers.number(o.entry, self._digits), font(11), "axis"
        )
        if o.exit is not None and o.exit_ms is not None:
            x2, y2 = at_x(o.exit_ms), at_y(o.exit)
            token = painting.money_token(o.pnl)
            level(p, box, y2, token)
            if abs(y2 - y) > 11:
                label = QRectF(box.right() + 5, y2 - 9, 60, 18)
                painting.text(p, label, numbers.number(o.exit, self._digits), font(11), token)
            p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
            p.setPen(QPen(theme.color(token), 1.3, Qt.PenStyle.DotLine))
            p.drawLine(QPointF(x, y), QPointF(x2, y2))
        up = self._side == "long"
        painting.triangle(p, x - 5, y + (5 if up else -5), up, "text", 5)
        label = QRectF(x - 40, box.bottom() + 1, 80, 16)
        painting.text(p, label, numbers.clock(o.entry_ms), font(11), "axis", painting.CENTER, elide=False)

"""Charts of amounts: histogram with limits, months, groups, a waterfall, exposure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PyQt6.QtCore import QPointF, QRectF
from PyQt6.QtGui import QPainter, QPen

from app.contract.judgement import NamedAmount
from app.contract.results import GroupRow, MonthRow
from app.contract.views import FloatArray, no_floats
from dashboard import numbers, painting
from dashboard.charts.plot import Plot, edges, round_ticks, tick_digits, upright
from dashboard.theme import font, theme

LEAST_PITCH, MORE = 15.0, "…"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Histogram(Plot):
    """How often which result came; marks are (value, words, token). The count stands at the top."""

    left, right, bottom = 8.0, 8.0, 22.0

    def __init__(self, words: Callable[[float, int], str], noun: str) -> None:
        super().__init__(180, 90)
        self._words, self._noun = words, noun
        self._values: FloatArray = no_floats()
        self._flat = 0  # values of exactly nothing: a bar of them would dwarf the rest
        self._marks: tuple[tuple[float, str, str], ...] = ()

    def show_values(self, values: FloatArray, marks: Sequence[tuple[float, str, str]] = ()) -> None:
        """Change the values."""
        finite = values[np.isfinite(values)]
        self._values = finite[np.abs(finite) > 1e-9]
        self._flat = finite.size - self._values.size
        self._marks = tuple(marks)
        self.update()

    def has_data(self) -> bool:
        return self._values.size > 1

    def draw(self, p: QPainter, box: QRectF) -> None:
        v = self._values
        low, high = float(np.percentile(v, 0.5)), float(np.percentile(v, 99.5))
        for at, _, _ in self._marks:
            low, high = min(low, at), max(high, at)
        reach = max(abs(low), abs(high)) * 1.08 or 1.0
        bins = int(max(15, min(61, box.width() // 9))) | 1
        counts, bounds = np.histogram(np.clip(v, -reach, reach), bins=bins, range=(-reach, reach))

        def at_x(value: float) -> float:
            return box.left() + (value + reach) / (2 * reach) * box.width()

        ticks = round_ticks(-reach, reach, max(3, int(box.width() // 90)))
        for tick in ticks:
            x = at_x(tick)
            painting.fill(p, QRectF(round(x), box.top(), 1, box.height()), "grid")
            words = self._words(tick, tick_digits(ticks))
            label = QRectF(x - 40, box.bottom() + 4, 80, 18)
            painting.text(p, label, words, font(11), "axis", painting.CENTER, elide=False)
        most = float(counts.max()) or 1.0
        limit = min((m[0] for m in self._marks if m[2] == "danger"), default=-np.inf)
        room = box.height() - 20
        for i, count in enumerate(counts.tolist()):
            if not count:
                continue
            x0, x1 = at_x(bounds[i]), at_x(bounds[i + 1])
            tall = max(1.5, count / most * room)
            token = "danger" if bounds[i + 1] <= limit else "s6"
            bar = QRectF(round(x0) + 1, box.bottom() - tall, max(1, round(x1) - round(x0) - 1), tall)
            painting.fill(p, bar, token, 0.95 if token == "danger" else 0.5)
        taken = 0.0  # right edge of the label before: one that would cover it goes a line down
        for value, words, token in sorted(self._marks):
            upright(p, box, at_x(value), token)
            near_end = at_x(value) > box.right() - 110
            down = 15 if at_x(value) + 5 < taken else 0
            taken = at_x(value) + 11 + painting.width_of(words, font(11, 600))
            label = QRectF(at_x(value) - (114 if near_end else -5), box.top() + down, 110, 16)
            align = painting.RIGHT if near_end else painting.LEFT
            painting.text(p, label, words, font(11, 600), token, align)
        noun = f"{v.size:,} {self._noun}" + (f" · {self._flat:,} flat left out" if self._flat else "")
        painting.text(p, QRectF(box.right() - 200, box.top() + 14, 198, 16), noun, font(11), "text3", painting.RIGHT)
        edges(p, box.adjusted(0, 0, 0, 0))


class MonthTable(Plot):
    """Returns by month, a row a year, with the year's product at the right."""

    left, top, right, bottom = 0.0, 0.0, 0.0, 0.0

    def __init__(self) -> None:
        super().__init__(300, 80)
        self._months: tuple[MonthRow, ...] = ()

    def show_months(self, months: Sequence[MonthRow]) -> None:
        """Change the months."""
        self._months = tuple(months)
        self.update()

    def has_data(self) -> bool:
        return bool(self._months)

    def draw(self, p: QPainter, box: QRectF) -> None:
        years = sorted({m.year for m in self._months}, reverse=True)
        values = {(m.year, m.month): m.value for m in self._months}
        top = max((abs(v) for v in values.values()), default=0.01) or 0.01
        row_h = min(30.0, max(20.0, (box.height() - 24) / max(1, len(years))))
        years = years[: max(1, int((box.height() - 24) / row_h))]
        first, year_w = 44.0, 64.0
        wide = (box.width() - first - year_w - 6) / 12
        for m, name in enumerate(MONTHS):
            label = QRectF(first + m * wide, 0, wide, 20)
            painting.text(p, label, name, font(11, 500), "text3", painting.CENTER)
        painting.text(
            p, QRectF(box.right() - year_w, 0, year_w - 6, 20), "Year", font(11, 500), "text3", painting.RIGHT
        )
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for r, year in enumerate(years):
            y = 22 + r * row_h
            painting.text(p, QRectF(0, y, first, row_h), str(year), font(12, 500), "text2")
            total = 1.0
            for m in range(12):
                cell = QRectF(first + m * wide + 1, y + 1, wide - 2, row_h - 2)
                value = values.get((year, m + 1))
                if value is None:
                    painting.text(p, cell, "·", font(11), "line3", painting.CENTER)
                    continue
                total *= 1 + value
                token = "profit" if value > 0 else "loss"
                painting.fill(p, cell, token, 0.06 + 0.22 * min(1.0, abs(value) / top), 3)
                face = font(11 if wide < 52 else 12, 500)
                words = numbers.number(value * 100, 2 if wide > 44 else 1, signed=True)
                painting.text(p, cell, words, face, "text", painting.CENTER, elide=False)
            label = QRectF(box.right() - year_w, y, year_w - 6, row_h)
            painting.text(
                p, label, numbers.percent(total - 1, signed=True), font(12, 600), painting.money_token(total - 1),
                painting.RIGHT,
            )  # fmt: skip


class GroupBars(Plot):
    """Net profit by group: a bar from zero, the count and the share won beside it."""

    left, top, right, bottom = 0.0, 0.0, 0.0, 0.0

    def __init__(self) -> None:
        super().__init__(220, 60)
        self._groups: tuple[GroupRow, ...] = ()

    def show_groups(self, groups: Sequence[GroupRow]) -> None:
        """Change the groups."""
        self._groups = tuple(groups)
        self.update()

    def has_data(self) -> bool:
        return bool(self._groups)

    def draw(self, p: QPainter, box: QRectF) -> None:
        pitch = min(28.0, max(17.0, (box.height() - 18) / max(1, len(self._groups))))
        shown = self._groups[: max(1, int((box.height() - 18) / pitch))]
        top = max((abs(g.pnl) for g in shown), default=1.0) or 1.0
        name, tail = 84.0, 168.0
        bar = QRectF(name, 0, max(20.0, box.width() - name - tail), 8)
        zero = bar.center().x()
        for title, right in (("Net", 0.0), ("Won", 86.0), ("Trades", 130.0)):
            painting.text(p, QRectF(box.right() - right - 60, 0, 60, 16), title, font(11, 500), "text3", painting.RIGHT)
        for i, g in enumerate(shown):
            y = 18 + i * pitch
            middle = y + pitch / 2
            shown_name = numbers.ticker(g.name)
            shown_name = shown_name[:1].upper() + shown_name[1:]
            painting.text(p, QRectF(0, y, name - 6, pitch), shown_name, font(12, 500), "text2")
            wide = abs(g.pnl) / top * bar.width() / 2
            x = zero if g.pnl > 0 else zero - wide
            painting.fill(p, QRectF(x, round(middle - 4), max(1.0, wide), 8), painting.money_token(g.pnl), 0.85, 2)
            painting.fill(p, QRectF(round(zero), y + 2, 1, pitch - 4), "line3")
            won = numbers.percent(g.wins / g.trades if g.trades else None, 0)
            for words, right, token in (
                (numbers.number(g.pnl, 2, signed=True), 0.0, painting.money_token(g.pnl)), (won, 86.0, "text2"),
                (str(g.trades), 130.0, "text2"),
            ):  # fmt: skip
                cell = QRectF(box.right() - right - 80, y, 80, pitch)
                painting.text(p, cell, words, font(12, 600 if not right else 400), token, painting.RIGHT, elide=False)


class HourBars(Plot):
    """Net profit by hour of entry (UTC)."""

    left, right, bottom = 2.0, 2.0, 20.0

    def __init__(self) -> None:
        super().__init__(200, 70)
        self._groups: tuple[GroupRow, ...] = ()

    def show_groups(self, groups: Sequence[GroupRow]) -> None:
        """Change the hours; names are ``"00"`` to ``"23"``."""
        self._groups = tuple(groups)
        self.update()

    def has_data(self) -> bool:
        return bool(self._groups)

    def draw(self, p: QPainter, box: QRectF) -> None:
        by_hour = {g.name: g for g in self._groups}
        top = max((abs(g.pnl) for g in self._groups), default=1.0) or 1.0
        pitch = box.width() / 24
        middle = round(box.center().y())
        painting.fill(p, QRectF(box.left(), middle, box.width(), 1), "line3")
        for hour in range(24):
            name = f"{hour:02d}"
            x = box.left() + hour * pitch
            if hour % 4 == 0:
                label = QRectF(x - 10, box.bottom() + 2, pitch + 20, 18)
                painting.text(p, label, name, font(11), "axis", painting.CENTER, elide=False)
            group = by_hour.get(name)
            if group is None:
                continue
            tall = max(1.0, abs(group.pnl) / top * (box.height() / 2 - 2))
            y = middle - tall if group.pnl > 0 else middle + 1
            bar = QRectF(round(x + pitch * 0.2), y, max(2, round(pitch * 0.6)), tall)
            painting.fill(p, bar, painting.money_token(group.pnl), 0.85, 1)


class Waterfall(Plot):
    """Amounts that add up; the last one is the sum."""

    left, top, right, bottom = 0.0, 0.0, 0.0, 0.0

    def __init__(self, words: Callable[[float], str]) -> None:
        super().__init__(160, 70)
        self._words = words
        self._parts: tuple[NamedAmount, ...] = ()

    def show_parts(self, parts: Sequence[NamedAmount]) -> None:
        """Change the parts."""
        self._parts = tuple(parts)
        self.update()

    def has_data(self) -> bool:
        return len(self._parts) > 1

    def draw(self, p: QPainter, box: QRectF) -> None:
        parts = self._parts
        pitch = min(26.0, box.height() / len(parts))
        name = max(painting.width_of(part.label, font(12, 600)) for part in parts) + 14
        tail = max(painting.width_of(self._words(part.value), font(12, 600)) for part in parts) + 12
        bar = QRectF(name, 0, max(20.0, box.width() - name - tail), 8)
        sums = np.concatenate(([0.0], np.cumsum([part.value for part in parts[:-1]])))
        low, high = float(min(sums.min(), parts[-1].value, 0)), float(max(sums.max(), parts[-1].value, 0))
        reach = (high - low) or 1.0

        def at(value: float) -> float:
            return bar.left() + (value - low) / reach * bar.width()

        painting.fill(p, QRectF(round(at(0)), 0, 1, pitch * len(parts)), "line3")
        for i, part in enumerate(parts):
            y = i * pitch
            last = i == len(parts) - 1
            a, b = (0.0, part.value) if last else (float(sums[i]), float(sums[i + 1]))
            left, right = sorted((at(a), at(b)))
            token = "accent" if last else "profit" if part.value > 0 else "loss"
            tall = min(8.0, pitch - 6)
            strip = QRectF(left, round(y + pitch / 2 - tall / 2), max(2.0, right - left), tall)
            painting.fill(p, strip, token, 0.9, 2)
            ink, weight = ("text", 600) if last else ("text2", 400)
            painting.text(p, QRectF(0, y, name - 6, pitch), part.label, font(12, weight), ink)
            words = self._words(part.value)
            cell = QRectF(box.right() - tail, y, tail, pitch)
            painting.text(p, cell, words, font(12, 600 if last else 500), "text", painting.RIGHT, elide=False)


class ExposureBars(Plot):
    """Signed exposure by symbol, net and gross, against the limit. Long is teal, short is orange."""

    left, top, right, bottom = 0.0, 2.0, 0.0, 20.0

    def __init__(self) -> None:
        super().__init__(220, 80)
        self._rows: tuple[NamedAmount, ...] = ()
        self._gross: float | None = None
        self._limit: float | None = None

    def show_exposure(
        self, rows: Sequence[NamedAmount], net: float | None, gross: float | None, limit: float | None
    ) -> None:
        """Change the exposures (fractions of equity)."""
        tail = []
        if net is not None:
            tail.append(NamedAmount("Net", net))
        if gross is not None:
            tail.append(NamedAmount("Gross", gross))
        self._rows, self._gross, self._limit = (*rows, *tail), gross, limit
        self.update()

    def has_data(self) -> bool:
        return bool(self._rows)

    def fitting(self, tall: float) -> list[NamedAmount]:
        """The rows that fit into a height: sums always, of the symbols the largest, and a line for those left out."""
        room = max(1, int(tall // LEAST_PITCH))
        if len(self._rows) <= room:
            return list(self._rows)
        sums = [row for row in self._rows if row.label in ("Net", "Gross")]
        symbols = [row for row in self._rows if row not in sums]
        kept = sorted(symbols, key=lambda row: -abs(row.value))[: max(1, room - len(sums) - 1)]
        return [row for row in symbols if row in kept] + [NamedAmount(MORE, 0.0), *sums]

    def draw(self, p: QPainter, box: QRectF) -> None:
        shown = self.fitting(box.height())
        pitch = min(26.0, box.height() / len(shown))
        name, tail = 64.0, 74.0
        field = QRectF(name, box.top(), max(30.0, box.width() - name - tail), pitch * len(shown))
        low = min([*(r.value for r in self._rows), -0.2]) * 1.1
        high = max([*(r.value for r in self._rows), self._limit or 0.5]) * 1.06

        def at(value: float) -> float:
            return field.left() + (value - low) / (high - low) * field.width()

        for tick in round_ticks(low, high, max(3, int(field.width() // 80))):
            painting.fill(p, QRectF(round(at(tick)), field.top(), 1, field.height()), "grid")
            label = QRectF(at(tick) - 40, field.bottom() + 2, 80, 18)
            words = numbers.percent(tick, 0, signed=True)
            painting.text(p, label, words, font(11), "axis", painting.CENTER, elide=False)
        painting.fill(p, QRectF(round(at(0)), field.top(), 1, field.height()), "line3")
        for i, row in enumerate(shown):
            y = field.top() + i * pitch
            if row.label == MORE:
                words = f"{len(self._rows) - len(shown) + 1} more"
                painting.text(p, QRectF(0, y, name - 4, pitch), words, font(12), "text3")
                continue
            total = row.label in ("Net", "Gross")
            token = "s6" if total else "s3" if row.value > 0 else "s5"
            left, right = sorted((at(0), at(row.value)))
            if row.value:
                bar = QRectF(left, round(y + pitch / 2 - 4), max(2.0, right - left), 9)
                painting.fill(p, bar, token, 0.9, 2)
            face, ink = font(12, 600 if total else 400), "text" if total else "text2"
            words = row.label if total else numbers.ticker(row.label).removesuffix("USDT")
            painting.text(p, QRectF(0, y, name - 4, pitch), words, face, ink)
            words = numbers.percent(row.value, 1, signed=row.label != "Gross") if row.value else numbers.UNKNOWN
            painting.text(p, QRectF(box.right() - tail, y, tail, pitch), words, font(12, 600), "text", painting.RIGHT)
        if self._limit is not None:
            upright(p, field, at(self._limit), "danger")


class RangeBar(Plot):
    """Where the price stands between stop and target: the risk at the left of the entry, the gain at its right."""

    left, top, right, bottom = 8.0, 0.0, 8.0, 0.0

    def __init__(self) -> None:
        super().__init__(120, 22)
        self.setFixedHeight(22)
        self._shares: tuple[float, float] | None = None

    def show_prices(self, stop: float | None, entry: float, target: float | None, last: float | None) -> None:
        """Change the prices; without stop or target nothing is drawn."""
        self._shares = None
        if stop is not None and target is not None and last is not None and target != stop:
            self._shares = ((entry - stop) / (target - stop), (last - stop) / (target - stop))
        self.update()

    def has_data(self) -> bool:
        return self._shares is not None

    def draw(self, p: QPainter, box: QRectF) -> None:
        if self._shares is None:
            return
        entry, last = (box.left() + min(1.0, max(0.0, s)) * box.width() for s in self._shares)
        middle = box.center().y()
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, QRectF(box.left(), middle - 3, entry - box.left(), 6), "loss", 0.35, 3)
        painting.fill(p, QRectF(entry, middle - 3, box.right() - entry, 6), "profit", 0.30, 3)
        a, b = sorted((entry, last))
        painting.fill(p, QRectF(a, middle - 3, b - a, 6), "profit" if last > entry else "loss", 1.0, 2)
        painting.fill(p, QRectF(round(entry), middle - 8, 1.5, 16), "text2")
        p.setPen(QPen(theme.color("bg1"), 1.5))
        p.setBrush(theme.color("text"))
        p.drawEllipse(QPointF(last, middle), 6, 6)

"""How much of a series is there, over time: a strip whose gaps are seen at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter

from app.contract.views import FloatArray
from dashboard import painting

WHOLE = 0.9995  # a share that counts as complete
TALL = 12.0


@dataclass(frozen=True, slots=True)
class CoverageStrip:
    """Shares 0..1 by bin; NaN where the series has not begun or has ended."""

    shares: tuple[float, ...]

    @classmethod
    def of(cls, coverage: FloatArray) -> CoverageStrip:
        """Rounded, so that a bar more or less does not paint the strip anew; NaN becomes −1 (it equals itself)."""
        return cls(tuple(-1.0 if math.isnan(x) else round(float(x), 3) for x in coverage))

    def draw(self, p: QPainter, box: QRectF) -> None:
        """Full bins in the accent, incomplete ones in amber by how much is there, empty ones in red."""
        strip = QRectF(box.left(), round(box.center().y() - TALL / 2), box.width(), TALL)
        painting.fill(p, strip, "bg3", 0.35, 2)
        count = len(self.shares)
        for first, last, share in self._runs():
            left = strip.left() + strip.width() * first / count
            right = strip.left() + strip.width() * (last + 1) / count
            part = QRectF(left, strip.top(), max(1.0, right - left), TALL)
            if share >= WHOLE:
                painting.fill(p, part, "accent", 0.75)
            else:
                painting.fill(p, part, "danger" if share <= 0 else "warn", 0.9)

    def _runs(self) -> list[tuple[int, int, float]]:
        """Neighbours that look the same as one stretch, so that no seam shows between them."""
        runs: list[tuple[int, int, float]] = []
        for i, share in enumerate(self.shares):
            if share < 0:
                continue
            look = 1.0 if share >= WHOLE else 0.0 if share <= 0 else 0.5
            if runs and runs[-1][1] == i - 1 and runs[-1][2] == look:
                runs[-1] = (runs[-1][0], i, look)
            else:
                runs.append((i, i, look))
        return runs

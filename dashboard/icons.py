"""Icons from Phosphor (shipped with QtAwesome), sharp at every pixel ratio and in the token's colour."""

from __future__ import annotations

import qtawesome
from PyQt6.QtCore import QSize
from PyQt6.QtGui import QIcon, QPixmap

from dashboard.theme import theme

NAMES = {
    "play": "ph.play-fill", "pause": "ph.pause-fill", "stop": "ph.stop-fill", "alarm": "ph.warning-circle-fill",
    "search": "ph.magnifying-glass", "down": "ph.caret-down", "download": "ph.download-simple", "gear": "ph.gear-six",
    "done": "ph.check-circle", "check": "ph.check-bold", "cross": "ph.x-bold", "warn": "ph.warning",
    "bad": "ph.x-circle", "info": "ph.info", "scales": "ph.scales", "chart": "ph.chart-line", "shield": "ph.shield",
    "trend": "ph.trend-up", "list": "ph.list-bullets", "history": "ph.clock-counter-clockwise", "flask": "ph.flask",
    "wallet": "ph.wallet", "receipt": "ph.receipt", "brain": "ph.brain", "close": "ph.x", "command": "ph.terminal",
    "reset": "ph.arrow-counter-clockwise", "link": "ph.link-simple", "seal": "ph.shield-check", "tab": "ph.browser",
    "idle": "ph.minus-circle",
}  # fmt: skip
_cache: dict[tuple[str, str, int, float], QPixmap] = {}


def pixmap(name: str, token: str, size: int, ratio: float) -> QPixmap:
    """One icon as a pixmap of ``size`` logical pixels at the device pixel ratio."""
    key = (name, theme.color(token).name(), size, ratio)
    found = _cache.get(key)
    if found is None:
        found = qtawesome.icon(NAMES[name], color=theme.color(token)).pixmap(QSize(size, size), ratio)
        _cache[key] = found
    return found


def icon(name: str, token: str = "text") -> QIcon:
    """An icon for an action or a button."""
    return QIcon(qtawesome.icon(NAMES[name], color=theme.color(token)))

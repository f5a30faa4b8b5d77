"""The look as data: colour tokens, type, spaces, and the one style sheet made from them.

Widgets read colours by token name when they paint (``theme.color("text2")``), so a change of palette is one call and a
repaint. ``PALETTES`` is what the contrast test reads.
"""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QObject, pyqtSignal
from PyQt6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PyQt6.QtWidgets import QApplication, QWidget

DARK: dict[str, str] = {
    "bg0": "#0A0C10", "bg1": "#10131A", "bg2": "#171B24", "bg3": "#1F2531", "inset": "#0C0F15",
    "line": "#1D222D", "line2": "#2B3240", "line3": "#434D61", "lineHC": "#667085",
    "text": "#E7EAF0", "text2": "#A9B1C0", "text3": "#7F899C",
    "accent": "#5B93FF", "profit": "#2EC08B", "loss": "#FF6B76", "cbUp": "#4DA3FF", "cbDown": "#F59A3C",
    "warn": "#F0B23E", "danger": "#FF5A66",
    "accentFill": "#2B66E0", "dangerFill": "#D12536", "dangerHover": "#DA2E40", "dangerPressed": "#A81B29",
    "violetFill": "#7048D6", "onFill": "#FFFFFF", "onWarn": "#14100A", "onTag": "#0A0C10",
    "s1": "#5B93FF", "s2": "#F0B23E", "s3": "#2EC0B6", "s4": "#C08BFA", "s5": "#FF8A5C", "s6": "#8FA3BF",
    "candleUp": "#26A583", "candleDown": "#E5535F", "grid": "#171B24", "axis": "#7F899C",
    "cross": "#6B7588", "crossLabel": "#343C4C", "idle": "#8A93A6",
}  # fmt: skip
LIGHT: dict[str, str] = {
    "bg0": "#F3F5F8", "bg1": "#FFFFFF", "bg2": "#F7F8FA", "bg3": "#E9EDF3", "inset": "#FAFBFC",
    "line": "#E5E8EE", "line2": "#D0D6E0", "line3": "#9AA4B5", "lineHC": "#7C879A",
    "text": "#11151D", "text2": "#475063", "text3": "#626C7F",
    "accent": "#1F5FE0", "profit": "#087A55", "loss": "#C92A3A", "cbUp": "#0B63B8", "cbDown": "#A85400",
    "warn": "#8F5B00", "danger": "#C8202F",
    "accentFill": "#1F5FE0", "dangerFill": "#C8202F", "dangerHover": "#B91C2A", "dangerPressed": "#A81B29",
    "violetFill": "#6D42D8", "onFill": "#FFFFFF", "onWarn": "#FFFFFF", "onTag": "#FFFFFF",
    "s1": "#1F5FE0", "s2": "#B87A00", "s3": "#0B8F87", "s4": "#8450D6", "s5": "#D2571F", "s6": "#64748B",
    "candleUp": "#0E9A70", "candleDown": "#D93F4D", "grid": "#EEF0F4", "axis": "#626C7F",
    "cross": "#8A94A6", "crossLabel": "#3A4252", "idle": "#8A93A6",
}  # fmt: skip
PALETTES: dict[str, dict[str, str]] = {"dark": DARK, "light": LIGHT}
TINT_FILL = {"dark": 0.14, "light": 0.10}  # of a tinted badge
TINT_EDGE = 0.34
SERIES = ("s1", "s6", "s3", "s4", "s2", "s5")  # order in which members of an ensemble take colours

MARGIN, GAP, PAD, PAD_TOP = 16, 12, 14, 11
STRIP_H, TABS_H, TRAY_H, ROW_H, ROW_DENSE_H, HEAD_H = 56, 40, 38, 32, 27, 28
NARROW = 1500  # below this width the strip and the tables take their narrow form

FONTS = Path(__file__).parent / "fonts"
TEXT_FAMILIES = ["Inter", "Segoe UI Variable Text", "Segoe UI", "SF Pro Text", "Noto Sans", "sans-serif"]
MONO_FAMILIES = ["JetBrains Mono", "Cascadia Mono", "Consolas", "monospace"]


class Theme(QObject):
    """The palette in use. ``changed`` is emitted after every widget was told to repaint."""

    changed = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.name = "dark"
        self.safe_colours = False
        self.high_contrast = False
        self._cache: dict[tuple[str, float], QColor] = {}

    @property
    def dark(self) -> bool:
        """Whether the dark palette is in use."""
        return self.name == "dark"

    def token(self, name: str) -> str:
        """The hex colour of a token, with the safe pair and high contrast in place where they are on."""
        if self.safe_colours:
            name = {"profit": "cbUp", "loss": "cbDown", "candleUp": "cbUp", "candleDown": "cbDown"}.get(name, name)
        if self.high_contrast and name == "line2":
            name = "lineHC"
        return PALETTES[self.name][name]

    def color(self, name: str, alpha: float = 1.0) -> QColor:
        """A token as a colour with an opacity of 0..1."""
        found = self._cache.get((name, alpha))
        if found is None:
            found = QColor(self.token(name))
            found.setAlphaF(alpha)
            self._cache[(name, alpha)] = found
        return found

    def tint(self, name: str) -> QColor:
        """Fill of a tinted badge in this tone."""
        return self.color(name, TINT_FILL[self.name])

    def use(self, name: str, *, safe_colours: bool = False, high_contrast: bool = False) -> None:
        """Change the palette and repaint everything."""
        self.name, self.safe_colours, self.high_contrast = name, safe_colours, high_contrast
        self._cache.clear()
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.setPalette(_palette(self))
            app.setStyleSheet(style_sheet(self))
            for widget in app.allWidgets():
                widget.update()
        self.changed.emit()


theme = Theme()
_fonts: dict[tuple[float, int, bool], QFont] = {}


def font(px: float = 12, weight: int = 400, mono: bool = False) -> QFont:
    """Every font of the window: pixels, weight 400/500/600, tabular figures."""
    found = _fonts.get((px, weight, mono))
    if found is None:
        found = QFont()
        found.setFamilies(MONO_FAMILIES if mono else TEXT_FAMILIES)
        found.setPixelSize(round(px))
        found.setWeight(QFont.Weight(weight))
        found.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
        found.setFeature(QFont.Tag(b"tnum"), 1)
        if px >= 18:
            found.setLetterSpacing(QFont.SpacingType.PercentageSpacing, 97.5)
        _fonts[(px, weight, mono)] = found
    return QFont(found)


def load_fonts() -> list[str]:
    """Register the shipped font files; the result names families that could not be loaded."""
    paths = sorted([*FONTS.glob("*.otf"), *FONTS.glob("*.ttf")])
    return [path.name for path in paths if QFontDatabase.addApplicationFont(str(path)) < 0]


def dress(app: QApplication, name: str = "dark") -> None:
    """Fonts, palette and style sheet of the application."""
    load_fonts()
    app.setStyle("Fusion")
    app.setFont(font())
    theme.use(name)


def named(widget: QWidget, name: str) -> None:
    """Give a widget the style of ``name`` (the sheet's ``[look="…"]``)."""
    widget.setProperty("look", name)


def _palette(t: Theme) -> QPalette:
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: "bg0", QPalette.ColorRole.Base: "bg1", QPalette.ColorRole.AlternateBase: "bg1",
        QPalette.ColorRole.WindowText: "text", QPalette.ColorRole.Text: "text", QPalette.ColorRole.Button: "bg2",
        QPalette.ColorRole.ButtonText: "text", QPalette.ColorRole.Highlight: "accentFill",
        QPalette.ColorRole.HighlightedText: "onFill", QPalette.ColorRole.ToolTipBase: "bg2",
        QPalette.ColorRole.ToolTipText: "text2", QPalette.ColorRole.PlaceholderText: "text3",
        QPalette.ColorRole.Link: "accent",
    }  # fmt: skip
    for role, token in roles.items():
        palette.setColor(role, t.color(token))
    return palette


def style_sheet(t: Theme) -> str:
    """The one sheet of the application, made from the tokens."""

    def rgba(name: str, alpha: float) -> str:
        c = QColor(t.token(name))
        return f"rgba({c.red()},{c.green()},{c.blue()},{alpha})"

    k = {name: t.token(name) for name in PALETTES[t.name]}
    return f"""
QMainWindow, QDialog, QWidget[look="page"] {{ background: {k["bg0"]}; }}
QWidget[look="bar"] {{ background: {k["bg1"]}; }}
QWidget[look="popup"] {{ background: {k["bg2"]}; border: 1px solid {k["line2"]}; border-radius: 8px; }}
QLabel {{ color: {k["text"]}; background: transparent; }}
QLabel[tone="text2"] {{ color: {k["text2"]}; }} QLabel[tone="text3"] {{ color: {k["text3"]}; }}
QLabel[tone="warn"] {{ color: {k["warn"]}; }} QLabel[tone="danger"] {{ color: {k["danger"]}; }}
QLabel[tone="profit"] {{ color: {k["profit"]}; }} QLabel[tone="loss"] {{ color: {k["loss"]}; }}
QLabel[tone="accent"] {{ color: {k["accent"]}; }}
QToolTip {{ background: {k["bg2"]}; color: {k["text2"]}; border: 1px solid {k["line2"]}; padding: 6px 8px; }}
QLineEdit, QComboBox, QSpinBox, QPlainTextEdit {{ background: {k["inset"]}; color: {k["text"]};
  border: 1px solid {k["line2"]}; border-radius: 6px; padding: 0 8px; selection-background-color: {k["accentFill"]}; }}
QLineEdit, QComboBox {{ min-height: 26px; max-height: 26px; }}
QLineEdit:focus, QComboBox:focus {{ border: 2px solid {k["accent"]}; padding: 0 7px;
  min-height: 24px; max-height: 24px; }}
QLineEdit[bad="true"] {{ border: 2px solid {k["danger"]}; padding: 0 7px; min-height: 24px; max-height: 24px; }}
QLineEdit:disabled {{ color: {rgba("text3", 0.8)}; }}
QPlainTextEdit {{ padding: 6px 8px; }}
QComboBox:hover, QLineEdit:hover {{ border-color: {k["line3"]}; }}
QComboBox::drop-down {{ border: none; width: 20px; }}
QComboBox::down-arrow {{ image: none; width: 0; height: 0; }}
QComboBox QAbstractItemView, QMenu {{ background: {k["bg2"]}; color: {k["text"]}; border: 1px solid {k["line2"]};
  selection-background-color: {k["bg3"]}; selection-color: {k["text"]}; outline: none; padding: 4px; }}
QMenu::item {{ padding: 5px 16px; border-radius: 4px; }} QMenu::item:selected {{ background: {k["bg3"]}; }}
QTableView {{ background: transparent; border: none; gridline-color: transparent; outline: none;
  selection-background-color: transparent; }}
QGraphicsView {{ background: transparent; border: none; }}
QHeaderView {{ background: transparent; border: none; }}
QHeaderView::section {{ background: transparent; border: none; }}
QTableCornerButton::section {{ background: transparent; border: none; }}
QScrollArea, QScrollArea > QWidget > QWidget[look="clear"] {{ background: transparent; border: none; }}
QScrollBar:vertical {{ background: transparent; width: 8px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 8px; margin: 0; }}
QScrollBar::handle {{ background: {k["line2"]}; border-radius: 4px; min-height: 28px; min-width: 28px; }}
QScrollBar::handle:hover {{ background: {k["line3"]}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QSplitter::handle {{ background: transparent; }}
"""

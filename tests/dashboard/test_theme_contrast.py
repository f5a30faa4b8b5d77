"""Contrast of the tokens by WCAG 2.1 (relative luminance), as the look demands it; fonts and glyphs are shipped."""

from __future__ import annotations

import pytest
from PyQt6.QtGui import QFontDatabase, QFontMetricsF

from dashboard.theme import FONTS, PALETTES, TINT_FILL, font, style_sheet, theme

pytestmark = pytest.mark.qt
TEXTS = ("text", "text2", "text3", "accent", "profit", "loss", "cbUp", "cbDown", "warn", "danger")
FILLS = ("accentFill", "dangerFill", "dangerHover", "dangerPressed", "violetFill")


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _luminance(rgb: tuple[float, ...]) -> float:
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_agrees_with_the_known_extremes() -> None:
    assert contrast(_rgb("#000000"), _rgb("#FFFFFF")) == pytest.approx(21.0)
    assert contrast(_rgb("#777777"), _rgb("#FFFFFF")) == pytest.approx(4.48, abs=0.01)  # W3C's example


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("token", TEXTS)
def test_text_reads_on_cards_and_on_the_window(name: str, token: str) -> None:
    colours = PALETTES[name]
    for ground in ("bg0", "bg1", "bg2"):
        assert contrast(_rgb(colours[token]), _rgb(colours[ground])) >= 4.5, (token, ground)


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("token", FILLS)
def test_white_reads_on_every_fill(name: str, token: str) -> None:
    assert contrast(_rgb(PALETTES[name]["onFill"]), _rgb(PALETTES[name][token])) >= 4.5


@pytest.mark.parametrize("name", PALETTES)
def test_the_synthetic_badge_and_value_tags_read(name: str) -> None:
    colours = PALETTES[name]
    assert contrast(_rgb(colours["onWarn"]), _rgb(colours["warn"])) >= 4.5
    for token in ("profit", "loss", "candleUp", "candleDown"):
        assert contrast(_rgb(colours["onTag"]), _rgb(colours[token])) >= 3.0, token


@pytest.mark.parametrize("name", PALETTES)
def test_series_and_clear_edges_stand_out(name: str) -> None:
    colours = PALETTES[name]
    for token in ("s1", "s2", "s3", "s4", "s5", "s6", "lineHC"):
        assert contrast(_rgb(colours[token]), _rgb(colours["bg1"])) >= 3.0, token


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("tone", ("profit", "warn", "danger", "accent"))
def test_a_tinted_badge_reads(name: str, tone: str) -> None:
    colours, share = PALETTES[name], TINT_FILL[name]
    ink, ground = _rgb(colours[tone]), _rgb(colours["bg1"])
    tinted = tuple(share * a + (1 - share) * b for a, b in zip(ink, ground, strict=True))
    assert contrast(ink, tinted) >= 4.5


def test_both_palettes_have_the_same_tokens() -> None:
    assert set(PALETTES["dark"]) == set(PALETTES["light"])


def test_the_sheet_is_made_from_the_tokens() -> None:
    sheet = style_sheet(theme)
    assert theme.token("bg0") in sheet
    assert "{" in sheet and "{{" not in sheet


def test_the_shipped_fonts_load_with_their_licences(dressed: object) -> None:
    assert {"Inter", "JetBrains Mono"} <= set(QFontDatabase.families())
    assert {path.name for path in FONTS.glob("*OFL.txt")} == {"Inter-OFL.txt", "JetBrainsMono-OFL.txt"}


def test_figures_are_tabular(dressed: object) -> None:
    metrics = QFontMetricsF(font(12))
    assert {metrics.horizontalAdvance(digit) for digit in "0123456789"} == {metrics.horizontalAdvance("0")}

"""How numbers and times are written."""

from __future__ import annotations

import math

import pytest

from dashboard import numbers as n


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (n.number(-1234.5), "\u22121,234.50"),
        (n.number(12.3, 1, signed=True), "+12.3"),
        (n.number(-0.001, 2, signed=True), "0.00"),
        (n.number(None), "–"),
        (n.number(math.nan), "–"),
        (n.percent(-0.0132), "\u22121.32\u00a0%"),
        (n.percent(0.0007, signed=True), "+0.07\u00a0%"),
        (n.measured(5.0, "x"), "5.0×"),
        (n.measured(42.0, "count"), "42"),
        (n.measured(2.5, "R"), "2.50\u00a0R"),
        (n.short(0.02, "fraction"), "2\u00a0%"),
        (n.short(0.025, "fraction"), "2.5\u00a0%"),
        (n.short(15.0, "count"), "15"),
        (n.span(7200), "2\u00a0h 00\u00a0m"),
        (n.span(400), "6\u00a0min 40\u00a0s"),
        (n.span(46 * 86_400 + 7 * 3600), "46\u00a0d 7\u00a0h"),
        (n.span(None), "–"),
        (n.size(14_200_000), "14\u00a0MB"),
        (n.clock(1_753_945_204_000, True), "07:00:04"),
        (n.day_clock(1_753_945_204_000), "31 Jul 07:00"),
    ],
)
def test_a_value_is_written_as_people_read_it(made: str, written: str) -> None:
    assert made == written


def test_unknown_is_never_written_as_zero() -> None:
    for unit in ("fraction", "count", "x", "R", "USDT", "s"):
        assert n.measured(None, unit) == n.UNKNOWN
        assert n.measured(0.0, unit) != n.UNKNOWN


def test_a_sentence_gets_true_minus_signs_and_leaves_dates_and_names_alone() -> None:
    said = "33 trades make -0.6% and +1.5 % (halted at 2025-03-01); rsi-oversold, swing-20250711-7f3a, 1e-5, -.5 R"
    assert n.typeset(said) == (
        "33 trades make −0.6\u00a0% and +1.5\u00a0% (halted at 2025-03-01); rsi-oversold, swing-20250711-7f3a, "
        "1e-5, −.5 R"
    )


def test_typed_numbers_are_grouped_and_other_text_stays() -> None:
    assert [n.grouped(text) for text in ("1000000", "-10", "0.0005", "12345.5", "6mo", "", "a-1")] == [
        "1,000,000", "−10", "0.0005", "12,345.5", "6mo", "", "a-1",
    ]  # fmt: skip

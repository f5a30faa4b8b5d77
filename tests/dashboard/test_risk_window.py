"""Risk, what-if and the levels of positions: shown as the view says, reached by keys, refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sample_risk as made
import sample_views as sample
from fake_service import FakeService
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QApplication

from app.contract import queries as q
from app.contract.commands import LoosenLimits, Outcome
from app.contract.judgement import NamedAmount
from app.contract.results import RiskView, WhatIfView
from app.contract.views import PositionsView
from dashboard.bridge import Bridge
from dashboard.charts.correlation import CorrelationMap
from dashboard.charts.levels import levels_of
from dashboard.charts.shares import ExposureBars
from dashboard.main_window import MainWindow
from dashboard.tabs.positions import PositionsTab
from dashboard.tabs.risk import RiskTab
from dashboard.tabs.risk_tables import LIMITS, REDUCED
from dashboard.what_if import WhatIfDialog, typed_number
from dashboard.widgets.before_after import BeforeAfter, Change
from dashboard.widgets.gate_bars import look_of

pytestmark = pytest.mark.qt


@pytest.fixture
def bridge(dressed: QApplication, service: FakeService) -> Bridge:
    return Bridge(service)


@pytest.fixture
def risk_tab(bridge: Bridge, qtbot: Any) -> RiskTab:
    tab = RiskTab(bridge)
    qtbot.addWidget(tab)
    tab.resize(1366, 606)
    tab.show_view(made.risk())
    return tab


@pytest.fixture
def asking(service: FakeService, bridge: Bridge, qtbot: Any) -> Iterator[WhatIfDialog]:
    service.answers[q.WhatIfQuery] = made.what_if()
    dialog = WhatIfDialog(None, bridge)  # type: ignore[arg-type]
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: dialog.view is not None)
    service.asked.clear()
    yield dialog


def words(table: Any, row: int = 0) -> dict[str, str]:
    """Column title and words of one row of a table."""
    return {c.title: table.rows.index(row, i).data() for i, c in enumerate(table.rows.columns)}


# ---- the tab -------------------------------------------------------------------------------------------------------


def test_a_tightened_limit_stands_before_the_one_that_was_set() -> None:
    gate = next(g for g in made.risk().gates if g.label == "Margin per symbol")
    look = look_of(gate)  # 4.7 % of equity, 4 % in force, 8 % as set
    assert (look.value, look.limit, look.old) == ("4.70\u00a0%", " / 4\u00a0%", "8\u00a0%")
    assert look.tick == pytest.approx(0.5) and look.share == pytest.approx(0.047 / 0.08)
    assert look.tone == "danger" and look.icon == "bad"


def test_what_is_held_and_what_is_unknown_are_said_in_words(risk_tab: RiskTab) -> None:
    said = risk_tab.figures.accessibleDescription().replace("\u00a0", " ")
    assert said == "VaR 0.93 % / 1 %; Expected shortfall unknown / 1.25 %; Open risk 1.21 % / 1 %"
    assert "Spread / stop unknown" in risk_tab.gates.accessibleDescription()
    assert risk_tab.note.words.startswith("Met by 1000PEPEUSDT ↘\u00a0Short, 31 Jul 07:00 UTC")
    gates = [g for g in made.risk().gates if g.measured]
    assert [g.label for g in gates if not g.passed] == ["Margin per symbol", "Volatility, 1 h"]
    assert risk_tab.gates_card.subtitle.text() == "11 of 14 pass · 1 unknown"


def test_every_pair_is_one_sentence(risk_tab: RiskTab) -> None:
    first, second, third = risk_tab.correlation.pairs()
    assert first == "ETH and BTC: ρ +0.90 over the last 90 days. Held in one direction: they share one margin limit."
    assert second == "1000PEPE and BTC: not measured, fewer than 30 of the last 90 days are known."
    assert third == "1000PEPE and ETH: ρ −0.85 over the last 90 days, beyond 0.8."
    assert "Amber" in risk_tab.correlation_note.words


def test_cells_of_the_heat_map_fill_it_without_overlap(dressed: QApplication, qtbot: Any) -> None:
    drawn = CorrelationMap()
    qtbot.addWidget(drawn)
    drawn.resize(360, 260)
    drawn.show_matrix(made.risk().correlation)
    cells = [drawn.cell(i, j) for i in range(3) for j in range(3)]
    assert all(drawn.rect().toRectF().contains(cell) for cell in cells)
    assert not any(a.intersects(b) for k, a in enumerate(cells) for b in cells[:k])


def test_loosening_asks_for_a_reason_and_sends_it(risk_tab: RiskTab, service: FakeService, qtbot: Any) -> None:
    bar = risk_tab.tightening
    assert not bar.isHidden() and bar.words.words == "Limits at 50\u00a0% since 30 Jul 07:00: drawdown 2.61\u00a0%."
    bar.button.click()
    dialog = risk_tab.findChild(type(risk_tab.ask_loosen()))
    assert dialog is not None and not dialog.go.isEnabled() and "reason" in dialog.go.toolTip()
    qtbot.keyClick(dialog.reason, Qt.Key.Key_Return)
    assert not service.sent
    service.outcome = Outcome(False, "The service is stopped: start it first.")
    qtbot.keyClicks(dialog.reason, "the fall was one print")
    qtbot.keyClick(dialog.reason, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: service.sent == [LoosenLimits("the fall was one print")])
    qtbot.waitUntil(lambda: dialog.refused.text() == "The service is stopped: start it first.")
    for left in risk_tab.findChildren(type(dialog)):
        left.reject()


def test_limits_as_set_show_no_bar_and_a_stopped_service_says_why_not(risk_tab: RiskTab) -> None:
    tight = made.risk().tightening
    assert tight is not None
    risk_tab.show_view(replace(made.risk(), tightening=replace(tight, blocked="The service is stopped.")))
    assert not risk_tab.tightening.button.isEnabled()
    assert risk_tab.tightening.button.toolTip() == "The service is stopped."
    risk_tab.show_view(replace(made.risk(), tightening=replace(tight, left=1.0)))
    assert risk_tab.tightening.isHidden()


def test_what_the_limits_did_is_listed_and_an_empty_list_says_what_fills_it(risk_tab: RiskTab, qtbot: Any) -> None:
    card = risk_tab.history
    assert words(card.blocked)["Blocked by"] == "System · volatility, 1 h"
    card.which.choose(REDUCED)
    row = words(card.reduced)
    assert (row["Symbol"], row["Held beyond"], row["Cut"]) == ("ETHUSDT", "VaR, Exposure", "34.5\u00a0%")
    assert (row["Quantity"], row["At"], row["Gross P&L"]) == ("1.200", "3,858.14", "−12.50")
    card.which.choose(LIMITS)
    assert words(card.limits)["Why"] == "Drawdown 2.61\u00a0%" and card.subtitle.text() == "1"
    risk_tab.show_view(RiskView("not started", "idle", ()))
    assert card.stack.currentWidget() is card.nothing and "The limits are as set" in card.nothing.title.text()
    card.which.choose(REDUCED)
    assert card.nothing.title.text() == "Nothing was reduced"


def test_enter_on_a_blocked_plan_opens_its_decision(risk_tab: RiskTab, qtbot: Any) -> None:
    risk_tab.show()
    table = risk_tab.history.blocked
    table.setCurrentIndex(table.rows.index(2, 0))
    with qtbot.waitSignal(risk_tab.go) as gone:
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert gone.args == ["signals", "b2"]


def test_exposures_that_do_not_fit_are_counted_and_the_largest_stay() -> None:
    bars = ExposureBars()
    rows = [NamedAmount(f"S{k}", 0.01 * (k - 5)) for k in range(12)]
    bars.show_exposure(rows, 0.06, 0.36, 1.0)
    shown = bars.fitting(90.0)
    assert [r.label for r in shown] == ["S0", "S10", "S11", "…", "Net", "Gross"]
    assert bars.fitting(500.0) == [*rows, NamedAmount("Net", 0.06), NamedAmount("Gross", 0.36)]


# ---- what if -------------------------------------------------------------------------------------------------------


def test_the_palette_opens_what_if_by_keys(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    service.answers[q.WhatIfQuery] = made.what_if()
    qtbot.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(window.palette_box.field, "what if")
    qtbot.keyClick(window.palette_box.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: q.WhatIfQuery() in service.asked)
    dialog = window.findChild(WhatIfDialog)
    assert dialog is not None
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    window.go_to("what-if", made.ETH)
    qtbot.waitUntil(lambda: q.WhatIfQuery(made.ETH) in service.asked)


def test_a_plan_is_shown_as_answered(asking: WhatIfDialog) -> None:
    facts = {caption: value for caption, value, _ in asking.facts.facts}
    assert facts["Stop"] == "117,000.0 · 1.39\u00a0% away"
    assert facts["Liquidation"] == "96,000.0 · 19.09\u00a0% away"
    assert facts["Size"] == "0.200 BTC · 23,731 USDT"
    assert facts["Margin"] == "4,746.14 USDT at 5.0×"
    assert facts["Loss at the stop, costs included"] == "−345.60 USDT"
    assert facts["Expected funding"] == "1.23 USDT", "a negative one is received"
    assert asking.verdict.words == "2 gates would block it: Volatility, 1 h, Open risk."
    assert [asking.changes.words(row) for row in asking.changes.rows] == [
        "1.12\u00a0% → 2.12\u00a0%", "unknown → unknown", "0.34\u00a0% → 1.04\u00a0%", "59.70\u00a0% → 83.00\u00a0%",
    ]  # fmt: skip
    assert [row.over for row in asking.changes.rows] == [True, False, True, True]
    assert asking.correlated.text() == "Moves with ETHUSDT ρ +0.90: they share one margin limit."


def test_it_is_asked_once_when_typing_ends(asking: WhatIfDialog, service: FakeService, qtbot: Any) -> None:
    qtbot.keyClicks(asking.quantity, "1,000.5")
    assert not service.asked and asking.verdict.words == "Asking…"
    qtbot.waitUntil(lambda: len(service.asked) == 1)
    assert service.asked == [q.WhatIfQuery(made.BTC, "long", 1000.5, None)]
    asking.side.setFocus()
    qtbot.keyClick(asking.side, Qt.Key.Key_Right)
    qtbot.keyClicks(asking.stop, "119000")
    qtbot.keyClick(asking.stop, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(service.asked) == 2)
    assert service.asked[-1] == q.WhatIfQuery(made.BTC, "short", 1000.5, 119_000.0)


@pytest.mark.parametrize("typed", ["abc", "-1", "0", "1e999", "nan"])
def test_what_is_no_number_is_said_and_not_asked(
    asking: WhatIfDialog, service: FakeService, typed: str, qtbot: Any
) -> None:
    asking.quantity.setText(typed)
    asking.ask()
    assert f"'{typed}' is no quantity or price" in asking.verdict.words.replace("−", "-")
    assert not service.asked and asking.pages.currentWidget() is asking.nothing_card
    with pytest.raises(ValueError):
        typed_number(typed)


def test_a_new_bar_asks_anew_and_a_second_what_if_takes_the_place_of_the_first(
    window: MainWindow, service: FakeService, qtbot: Any
) -> None:
    service.answers[q.WhatIfQuery] = made.what_if()
    window.open_what_if()
    second = window.open_what_if(made.ETH)
    qtbot.waitUntil(lambda: second.view is not None)
    assert [d for d in window.findChildren(WhatIfDialog) if d.isVisible()] == [second]
    second._follow()
    service.asked.clear()
    second._follow()
    assert not service.asked, "no other bar has come"
    window.bridge.latest.emit("strip", sample.strip(bar_ms=sample.BAR + 900_000))
    second._follow()
    qtbot.waitUntil(lambda: service.asked == [q.WhatIfQuery(made.BTC, "long")])


def test_a_refusal_takes_the_old_plan_away(asking: WhatIfDialog, service: FakeService, qtbot: Any) -> None:
    sentence = "A position in BTCUSDT is open already: close it first, or ask for another symbol."
    service.answers[q.WhatIfQuery] = WhatIfView(made.BTC, "long", refused=sentence, symbols=(made.BTC, made.ETH))
    assert asking.pages.currentIndex() == 0
    asking.ask()
    qtbot.waitUntil(lambda: asking.verdict.words == sentence)
    assert asking.pages.currentWidget() is asking.nothing_card
    service.answers[q.WhatIfQuery] = made.what_if(fails=(), expected_funding=None)
    asking.symbol.setCurrentText("ETHUSDT")
    qtbot.waitUntil(lambda: asking.pages.currentIndex() == 0)
    assert service.asked[-1].symbol == made.ETH
    assert asking.verdict.words.startswith("Every gate would let it pass; 2 cannot be measured")
    assert ("Expected funding", "the rate is unknown", "warn") in asking.facts.facts


def test_a_figure_over_its_limit_or_unknown_is_never_drawn_as_within() -> None:
    assert Change("VaR", 0.01, 0.03, 0.02).over and not Change("VaR", 0.01, None, 0.02).over
    assert BeforeAfter.words(Change("VaR", None, 0.03, 0.02)) == "unknown → 3.00\u00a0%"


# ---- positions -----------------------------------------------------------------------------------------------------


def view_of(*rows: Any, entries: Any = ()) -> PositionsView:
    return PositionsView(tuple(rows), 24.6, 0.2, 1.0, 0.2, 45.0, entries=tuple(entries))


def test_levels_stand_in_the_order_of_their_prices() -> None:
    levels = levels_of(made.managed())
    assert [(v.name, v.state) for v in levels] == [
        ("Target 3", "waits"), ("Target 2", "0.012 filled"), ("Target 1", "taken"), ("Last", ""), ("Entry", ""),
        ("Stop", "trailed"), ("Liquidation", ""),
    ]  # fmt: skip
    stop = levels[5]
    assert (stop.price, stop.quantity, stop.away) == ("118,041.0", "0.094", "−0.52\u00a0%")


def test_a_position_says_its_targets_its_stop_and_its_protection(bridge: Bridge, qtbot: Any) -> None:
    tab = PositionsTab(bridge)
    qtbot.addWidget(tab)
    tab.show_view(view_of(made.managed(), entries=(made.waiting(),)))
    row = words(tab.positions)
    assert (row["Targets"], row["Stop by"], row["Added"]) == ("1 of 3", "trailed", "1 of 2")
    facts = {caption: value for caption, value, _ in tab.panel.facts.facts}
    assert facts["Protected"] == "0.094 of 0.094 BTC" and facts["Additions"] == "1 of 2"
    assert facts["Liquidation"] == "95,600.0 · 19.40\u00a0% away"
    assert facts["Margin, of equity"] == "isolated 5.0× · 4.4\u00a0% of 8\u00a0%"
    assert [(c, v) for c, v, _ in tab.panel.moves.facts] == [
        ("31 Jul 07:00", "trailed · 118,041.0"), ("30 Jul 07:00", "as planned · 117,000.0"),
    ]  # fmt: skip
    entry = words(tab.entries)
    assert (entry["For"], entry["At"], entry["Expires"]) == ("an addition", "0.0123000", "01 Aug 07:00")
    assert entry["Size"] == "123,456.7" and not tab.entries_card.isHidden()
    tab.show_view(view_of(made.managed()))
    assert tab.entries_card.isHidden()


def test_a_tick_changes_only_the_cells_that_differ(bridge: Bridge, qtbot: Any) -> None:
    tab = PositionsTab(bridge)
    qtbot.addWidget(tab)
    tab.show_view(view_of(made.managed(), sample.position("ETHUSDT")))
    touched: list[tuple[int, str]] = []
    model = tab.positions.rows
    model.dataChanged.connect(lambda at, _to: touched.append((at.row(), model.columns[at.column()].key)))
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    tab.show_view(view_of(replace(made.managed(), last=118_700.0, pnl=30.0), sample.position("ETHUSDT")))
    assert touched == [(0, "last"), (0, "pnl")] and not resets


def test_both_open_what_if(bridge: Bridge, risk_tab: RiskTab, qtbot: Any) -> None:
    tab = PositionsTab(bridge)
    qtbot.addWidget(tab)
    for opener in (tab, risk_tab):
        with qtbot.waitSignal(opener.go) as gone:
            opener.ask.click()
        assert gone.args == ["what-if", None]

"""Models: can I believe it."""

from __future__ import annotations

from typing import Any

from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.contract.commands import PromoteModel, RollbackModel, RunWalkForward, TuneModels
from app.contract.queries import ModelsQuery
from app.contract.results import ModelRow, ModelsView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.charts.evidence import FoldPlot, GainPlot, ReliabilityPlot, WeightsPlot
from dashboard.charts.plot import Legend
from dashboard.tables import DataTable, Rows
from dashboard.tables_models import live_columns, model_columns, overlay_columns, score_columns, trial_columns
from dashboard.tabs.base import Tab
from dashboard.theme import GAP, NARROW, ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView, Verdict
from dashboard.widgets.controls import Button, Segments

PAGES = ("Registry", "Scores", "Live", "Holds", "Tried")
EMPTY = {
    "Registry": ("No model is registered", "Train one, or let the run train by itself."),
    "Scores": ("Nothing is scored yet", "A walk-forward scores the ensemble, every member and the baselines."),
    "Live": ("No model forecasts now", "While one does, its live forecasts stand here beside what was announced."),
    "Holds": ("No model was promoted", "What a promoted model holds besides its members stands here."),
    "Tried": ("Nothing was tried yet", "Every configuration counts in the deflated Sharpe ratio, failed ones too."),
}


class ModelsTab(Tab):
    """The verdict first, then the evidence, then the registry."""

    key, title = "models", "Models"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.verdict = Verdict()
        self.grid.addWidget(self.verdict, 0, 0, 1, 3)
        self._folds_cards()
        self._side_cards()
        self._registry_card()
        self.nothing = Card()
        self.nothing.body(
            EmptyView(
                "brain", "Nothing was trained yet",
                "A walk-forward trains on the past and scores on the months after it, fold by fold. "
                "It shows here whether the models know anything.",
                "Run a walk-forward", self._run,
            )
        )  # fmt: skip
        self.grid.addWidget(self.nothing, 3, 0, 1, 3)
        for column, share in ((0, 44), (1, 27), (2, 29)):
            self.grid.setColumnStretch(column, share)
        self.grid.setRowStretch(1, 62)
        self.grid.setRowStretch(2, 38)
        self._evidence = (self.verdict, self.folds_side, self.reliability_card, self.weights_card, self.registry_card)
        for widget in self._evidence:
            widget.hide()
        self.grid.setRowStretch(3, 1)
        self.view: ModelsView | None = None
        self._shares = (62, 38)
        self._picked: ModelRow | None = None

    def _folds_cards(self) -> None:
        self.folds_side = QWidget()
        column = QVBoxLayout(self.folds_side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        self.folds_card, self.gain_card = Card("Direction AUC by fold"), Card("Log-loss gain over the base rate")
        self.folds, self.gain = FoldPlot(), GainPlot()
        self.fold_legend = Legend(
            [("fold, 95 % band", "s1", "box"), ("clear of 0.50", "s2", "box"), ("6-fold mean", "text2", "line")]
        )  # fmt: skip
        self.folds_card.control(self.fold_legend)
        self.gain_card.control(Legend([("better", "s1", "box"), ("worse", "s5", "box")]))
        self.folds.nothing = self.gain.nothing = "No fold is scored yet."
        self.folds_card.body(self.folds)
        self.gain_card.body(self.gain)
        column.addWidget(self.folds_card, 58)
        column.addWidget(self.gain_card, 42)
        self.grid.addWidget(self.folds_side, 1, 0)

    def _side_cards(self) -> None:
        self.reliability_card = Card("Reliability", "pooled test rows")
        self.reliability = ReliabilityPlot()
        self.reliability.nothing = "No test row is scored yet."
        self.reliability_card.body(self.reliability)
        self.grid.addWidget(self.reliability_card, 1, 1)
        self.weights_card = Card("Ensemble weights", "share of the vote")
        self.weights, self.weight_legend = WeightsPlot(), Legend([])
        self.weights.nothing = "Weights begin with the first fold."
        self.weights_card.column.addWidget(self.weight_legend)
        self.weights_card.body(self.weights)
        self.grid.addWidget(self.weights_card, 1, 2)

    def _registry_card(self) -> None:
        self.registry_card = Card("Models")
        self.page = Segments(PAGES, PAGES[0], 26)
        self.run_button = Button("Run walk-forward", icon="play", height=26)
        self.tune_button = Button("Tune", height=26)
        self.rollback = Button("Roll back…", height=26)
        self.promote = Button("Promote…", height=26)
        self.registry_card.control(self.page, self.run_button, self.tune_button, self.rollback, self.promote)
        self.registry = DataTable(Rows(model_columns(), lambda r: r.model_id), row_height=ROW_DENSE_H)
        self.tables = {
            "Registry": self.registry,
            "Scores": DataTable(Rows(score_columns(), lambda r: f"{r.kind} {r.name}"), row_height=ROW_DENSE_H),
            "Live": DataTable(Rows(live_columns(), lambda r: r.symbol), row_height=ROW_DENSE_H),
            "Holds": DataTable(Rows(overlay_columns(), lambda r: r.part), row_height=ROW_DENSE_H),
            "Tried": DataTable(
                Rows(trial_columns(), lambda r: f"{r.symbol} {r.timeframe} {r.kind}"), row_height=ROW_DENSE_H
            ),
        }
        for name, table in self.tables.items():
            table.setObjectName(f"models.{name.lower()}")
            self.registry_card.body(table)
            table.setVisible(name == PAGES[0])
        self.blank = EmptyView("brain", *EMPTY["Registry"])
        self.registry_card.empty(self.blank)
        self.page.chosen.connect(lambda _: self._show_page())
        self.run_button.clicked.connect(self._run)
        self.tune_button.clicked.connect(lambda: self.do(TuneModels()))
        self.rollback.clicked.connect(self._roll_back)
        self.promote.clicked.connect(self._promote)
        self.registry.picked.connect(self._pick)
        self.grid.addWidget(self.registry_card, 2, 0, 1, 3)

    def question(self) -> ModelsQuery:
        return ModelsQuery()

    def set_narrow(self, width: int) -> None:
        self.fold_legend.setVisible(width >= NARROW)
        self.gain.show_dates(width >= NARROW)
        self.verdict.setFixedHeight(108 if width >= NARROW else 122)
        self._shares = (62, 38) if width >= NARROW else (50, 50)

    def show_view(self, view: Any) -> None:
        v: ModelsView = view
        self.view = v
        empty = not v.title and not v.folds and not v.registry
        for widget in self._evidence:
            widget.setVisible(not empty)
        self.nothing.setVisible(empty)
        for line, share in ((1, self._shares[0]), (2, self._shares[1]), (3, 0)):
            self.grid.setRowStretch(line, share if not empty else int(line == 3))
        self.verdict.say(v.title or "No verdict yet", v.level, v.badge, v.sentence, v.scores)
        self.folds_card.subtitle.setText(v.about)
        series = " · ".join(part for part in ("pooled test rows", numbers.ticker(v.symbol), v.timeframe) if part)
        self.reliability_card.subtitle.setText(series)
        self.folds.show_folds(v.folds, v.auc_low, v.auc_high)
        self.gain.show_folds(v.folds)
        gains = [g for f in v.folds if (g := GainPlot.gain(f)) is not None]
        self.gain_card.subtitle.setText(f"{sum(g > 0 for g in gains)} of {len(gains)} folds better" if gains else "")
        self.reliability.show_bins(v.reliability, v.base_rate)
        self.weights.show_weights(v.weights_time, v.weights)
        self.weight_legend.show_items(self.weights.items())
        for name, rows in self._rows(v).items():
            self.tables[name].rows.replace(rows)
        self._show_page()
        self.run_button.block(v.training_blocked, "Train and score month by month; it runs beside the trading")
        self.tune_button.block(
            v.training_blocked, "Search for hyper-parameters on inner, purged folds; cancelled, it goes on another time"
        )
        self.rollback.setText(f"Roll back to {v.rollback_to}…" if v.rollback_to else "Roll back…")
        self.rollback.updateGeometry()
        self.rollback.block(v.rollback_blocked or ("" if v.rollback_to else "No earlier model was active."))
        picked = self._picked.model_id if self._picked else ""
        row = next((r for r in v.registry if r.model_id == picked), v.registry[0] if v.registry else None)
        if row is not None and not picked:
            self.registry.pick(row.model_id)
        self._pick(row)

    @staticmethod
    def _rows(v: ModelsView) -> dict[str, tuple[Any, ...]]:
        return {"Registry": v.registry, "Scores": v.lines, "Live": v.live, "Holds": v.overlay, "Tried": v.trials}

    def _show_page(self) -> None:
        """The chosen table, or why it is empty."""
        shown = self.page.current
        rows = self._rows(self.view)[shown] if self.view is not None else ()
        self.blank.say(*EMPTY[shown])
        self.registry_card.show_empty(not rows)
        for name, table in self.tables.items():
            table.setVisible(name == shown and bool(rows))

    def _pick(self, row: ModelRow | None) -> None:
        self._picked = row
        self.promote.block(row.promote_blocked if row is not None else "Pick a model first.")

    def _run(self) -> None:
        self.do(RunWalkForward())

    def _roll_back(self) -> None:
        if self.view is not None:
            self.ask_once(
                "Roll back the model?", f"{self.view.rollback_to} makes the forecasts from the next bar on.",
                "Roll back", RollbackModel(),
            )  # fmt: skip

    def _promote(self) -> None:
        if self._picked is not None:
            self.ask_once(
                f"Promote {self._picked.model_id}?",
                f"It makes the paper account's forecasts from the next bar on. Its verdict: {self._picked.verdict}.",
                "Promote", PromoteModel(self._picked.model_id),
            )  # fmt: skip

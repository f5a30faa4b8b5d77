"""``scripts/soak scenarios``: random markets, orders and settings through both engines, held against the invariants.

A scenario is small and drawn from a seed (``scenario_markets``), the service goes through it bar by bar and is judged
after each (``scenario_checks``); where it is killed it starts again from its last checkpoint. In the end every row must
be, bit for bit, that of the compiled engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from ai.schema import FeatureSchema
from data.market import Record
from scripts.soaks.scenario_checks import Checks
from scripts.soaks.scenario_markets import FEATURES, MILD, Scenario, scenario
from trading.backtest import RunResult, run_fast
from trading.bar import bar_at
from trading.execution.orders import IllegalMove
from trading.journal import AccountKey, Batch, Checkpoint
from trading.outcome import BarOutcome
from trading.records import CODE_SHIFT, DECISION, EQUITY, FILL, TRADE, ExitReason, Purpose
from trading.session import TradingSession

__all__ = ["FEATURES", "MILD", "Scenario", "drawn", "scenario", "scenarios", "violations"]

CENT = 0.005


@dataclass(slots=True)
class _LastCheckpoint:
    """A journal that keeps nothing but the newest checkpoint."""

    newest: Checkpoint | None = None

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        return 1

    def commit(self, batch: Batch) -> None:
        self.newest = Checkpoint(batch.account_id, batch.last_bar_ms, batch.checkpoint)

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        return self.newest

    def forget(self, account_id: int) -> None:
        self.newest = None


@dataclass(slots=True)
class _Service:
    """The service over one scenario, killed and started again where the scenario says so."""

    case: Scenario
    journal: _LastCheckpoint = field(default_factory=_LastCheckpoint)
    known: list[Checks] = field(default_factory=list)  # by the judge before each bar
    outcomes: list[BarOutcome] = field(default_factory=list)

    def start(self) -> TradingSession:
        config = self.case.config
        return TradingSession(
            config, FeatureSchema(config.features()), self.journal, 1, self.journal.newest, self.case.history
        )

    def run(self) -> list[str]:
        """Every bar, then the end; what broke."""
        case, kills, found = self.case, dict(self.case.kills), []
        finer = case.finer if case.config.settings.matching.both_touched == "finer" else None
        session, judge, t = self.start(), Checks.of(case), 0
        while t < case.grid.bars:
            if t in kills:
                if kills.pop(t):
                    session.flush()
                session = self.start()
                t = 0 if session.last_bar_ms is None else 1 + int(
                    np.searchsorted(case.grid.open_time, session.last_bar_ms)
                )  # fmt: skip
                del self.outcomes[t:]
                judge = self.known[t].copied() if t < len(self.known) else judge
                found += self._differs(session, judge, t)
                del self.known[t:]
            self.known.append(judge.copied())
            before = case.X[:, :, t - 1] if t else np.full(case.X.shape[:2], np.nan)
            rows = None if case.forecasts is None else np.ascontiguousarray(case.forecasts[:, t])
            outcome = session.on_bar(bar_at(case.grid, t, finer), np.stack([before, case.X[:, :, t]], axis=2), rows)
            found += judge.bar(session, t, outcome)
            self.outcomes.append(outcome)
            t += 1
        self.outcomes.append(session.close_all(case.grid.volume[:, -1]))
        return found

    def _differs(self, session: TradingSession, judge: Checks, t: int) -> list[str]:
        """I9: a restart loosens nothing."""
        same = session.tightness == judge.tightness and int(session.state.account["state"][0]) == judge.state
        return [] if same else [f"bar {t}: I9: a restart changed tightness or halt"]


def violations(s: Scenario) -> list[str]:
    """What broke: I1-I5 and I9 after every bar, and the equality of the engines; empty where all held."""
    service = _Service(s)
    try:
        found = service.run()
    except IllegalMove as error:
        return [str(error)]
    fast = run_fast(s.config, s.grid, s.X, s.forecasts, None, s.finer, s.history)
    return found + _whole(fast) + _engines(fast, service.outcomes)


def _whole(result: RunResult) -> list[str]:
    """I5: no fill counts twice; trades are what fills and settlements made."""
    found, fills, trades = [], result.fills, result.trades
    if fills["fill_id"].tolist() != list(range(1, len(fills) + 1)):
        found.append("I5: a fill counts twice or is lost")
    net = float(trades["pnl"].sum())
    want = float(fills["realised"].sum() - fills["fee"].sum() + trades["funding"].sum())
    if abs(net - want) > CENT:
        found.append(f"trades made {net}, fills and funding {want}")
    return found


def _engines(fast: RunResult, outcomes: list[BarOutcome]) -> list[str]:
    """Every row of the service against the compiled engine's; the last bar is marked again at the end."""
    made = np.concatenate([np.empty(0, DECISION), *(o.decisions for o in outcomes if len(o.decisions))])
    bars = [o.equity for o in outcomes]
    pairs: tuple[tuple[str, Record, Record], ...] = (
        ("fills", fast.fills, np.concatenate([np.empty(0, FILL), *(o.fills for o in outcomes if len(o.fills))])),
        ("trades", fast.trades, np.concatenate([np.empty(0, TRADE), *(o.trades for o in outcomes if len(o.trades))])),
        ("equity", fast.equity, np.concatenate([np.empty(0, EQUITY), *bars[:-2], *bars[-1:]])),
        ("decisions", fast.decisions, made[made["action"] != 0]),
        ("codes", fast.codes.T.ravel(), (made["action"] | made["reason"] << CODE_SHIFT).astype(np.uint8)),
    )
    return [f"the engines differ in {name}" for name, a, b in pairs if a.tobytes() != b.tobytes()]


def drawn(seed: int) -> tuple[int, int, int, tuple[str, ...]]:
    """Arguments of :func:`scenario` from one number: few, some, most or all features."""
    rng = np.random.default_rng([seed, 1])
    chance = float(rng.choice([0.1, 0.3, 0.6, 0.9]))
    pool = FEATURES if rng.random() < 0.3 else MILD
    features = tuple(name for name in pool if rng.random() < chance)
    return seed, int(rng.integers(2, 60)), int(rng.integers(1, 4)), features


def scenarios(count: int, first: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Scenarios ``first`` to ``first + count``; the document of figures."""
    began = perf_counter()
    broken: list[dict[str, Any]] = []
    seen = {reason.name: 0 for reason in ExitReason}
    parts = adds = kills = blocked = 0
    for seed in range(first, first + count):
        arguments = drawn(seed)
        case = scenario(*arguments)
        words = violations(case)
        if words:
            broken.append({"seed": seed, "arguments": arguments, "first": words[0], "count": len(words)})
            tell(f"seed {seed}: {words[0]}")
        result = run_fast(case.config, case.grid, case.X, case.forecasts, None, case.finer, case.history)
        for reason in result.trades["exit_reason"].tolist():
            seen[ExitReason(reason).name] += 1
        entries = int((result.fills["purpose"] == Purpose.ENTRY).sum())
        parts += len(result.fills) - entries - len(result.trades)
        adds += entries - len(result.trades)
        kills += len(case.kills)
        blocked += int((result.decisions["failed"] != 0).sum())
        if (seed - first + 1) % 500 == 0:
            tell(f"{seed - first + 1} scenarios, {len(broken)} broken")
    return {
        "scenarios": count, "first_seed": first, "broken": broken, "partial_exits": parts, "further_entries": adds,
        "plans_with_failed_gates": blocked, "kills": kills, "exits": seen, "seconds": round(perf_counter() - began, 1),
        "sound": not broken,
    }  # fmt: skip

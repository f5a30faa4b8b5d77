"""Bugs planted in the source of the trading floor, and what the scenarios say of each.

``python -m scripts.soaks.mutations`` prints one line of JSON for each: its name and the first violation, null where it
went unnoticed. It runs with NUMBA_DISABLE_JIT=1: a changed source is loaded in place of the module, nothing is compiled
and no file is touched. ``none`` is the program as it is.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEEDS = 40
BARS = 30


@dataclass(frozen=True, slots=True)
class Mutation:
    """``old``, which is there once, becomes ``new`` in a module; ``features`` are those of the scenarios tried."""

    name: str
    module: str
    old: str
    new: str
    features: tuple[str, ...]


MUTATIONS = (
    Mutation("none", "trading.matching", "TRADE_THROUGH = 1 ", "TRADE_THROUGH = 1 ", ("targets", "adds", "costs")),
    Mutation(
        "a partial target closes the first quantity", "trading.positions",
        'min(p["part_lots"][k], p["lots"])', 'p["first_lots"]', ("targets", "costs"),
    ),
    Mutation(
        "an addition forgets its own price", "trading.positions",
        'p["cost"] += intent["ticks"] * lots', 'p["cost"] += p["origin"] * lots', ("adds", "costs"),
    ),
    Mutation(
        "an exit fills more than is held", "trading.matching",
        'if rules["exit_share"] == 0 or reason == _LIQUIDATION:\n        return lots',
        'if rules["exit_share"] == 0 or reason == _LIQUIDATION:\n        return lots + 1', ("costs",),
    ),
    Mutation(
        "the stop is moved and not told", "trading.session",
        "            elif moved:\n", "            elif moved and s > 9:\n",
        ("trailing", "costs"),
    ),
    Mutation(
        "a stop that is gapped through fills at its own price", "trading.matching",
        'stopped = side * (seen - p["stop"]) <= 0\n    if p["exit_at_open"]',
        'stopped = False\n    if p["exit_at_open"]', ("spikes",),
    ),
    Mutation(
        "a reduction that goes on shields from the stop", "trading.matching",
        "    if leaving:\n", "    if leaving or reducing:\n",
        ("tight", "volume", "thin", "together", "spikes"),
    ),
    Mutation(
        "an entry takes a bar's volume twice", "trading.matching",
        'taken = p["filled_at"] == close_time or p["filled_at"] == open_time', 'taken = p["filled_at"] == close_time',
        ("limit", "rest", "thin"),
    ),
    Mutation(
        "positions are valued at the last price", "trading.matching",
        'position["last"] if math.isnan(mark_close) else ticks_of(mark_close, instrument)', 'position["last"]',
        ("marks",),
    ),
    Mutation(
        "the mark price within a bar is not seen", "trading.matching",
        'danger = ticks_of(mark_low if p["side"] > 0 else mark_high, instrument)', "danger = adverse",
        ("marks", "on_mark"),
    ),
    Mutation(
        "settlements have the wrong sign", "trading.accounting",
        'cash = -p["side"] * quantity_of', 'cash = p["side"] * quantity_of', ("odd_funding",),
    ),
    Mutation(
        "the fee of a part is counted twice", "trading.accounting",
        'a["fees"] += fee\n', 'a["fees"] += fee if p["sold"] == 0 else 2.0 * fee\n', ("targets", "costs"),
    ),
    Mutation(
        "two plans get one number", "trading.desk", 'account["plans"] += 1\n',
        'account["plans"] = max(1, account["plans"])\n', ("costs",),
    ),
    Mutation(
        "a failed gate of exposure is not marked", "trading.risk.gates",
        "            failed |= 1 << g\n", "            failed |= 1 << g if g != 16 else 0\n", ("tight", "block"),
    ),
    Mutation(
        "a plan that fails two gates is sent", "trading.desk",
        'if failed != 0 and rules["enforce"] == 1:',
        'if failed != 0 and failed & -failed == failed and rules["enforce"] == 1:',
        ("tight", "daily", "block"),
    ),
    Mutation(
        "entries that wait are no trades of the day", "trading.risk.daily",
        'values[_TRADES] = account["trades_today"] + pending + 1', 'values[_TRADES] = account["trades_today"] + 1',
        ("daily", "limit"),
    ),
    Mutation(
        "a halt leaves entries working", "trading.risk.system",
        '        a["first_halt"] = moment\n    cancel_entries(positions)', '        a["first_halt"] = moment',
        ("swan_halt", "limit"),
    ),
    Mutation(
        "what is held may pass a limit by half", "trading.risk.held",
        'limit * (1.0 + rules["held_room"])', "limit * 1.5", ("tight", "together", "spikes"),
    ),
    Mutation(
        "a good day loosens", "trading.risk.tightening",
        '    if a["equity"] / a["day_start"] - 1.0 <= -rules["tighten_day"]:\n',
        '    if a["equity"] > a["day_start"]:\n        a["tightness"] = 1.0\n'
        '    if a["equity"] / a["day_start"] - 1.0 <= -rules["tighten_day"]:\n',
        ("tight", "long_bars", "spikes"),
    ),
    Mutation(
        "a restart loosens", "trading.session",
        'self._orders.restore(about["orders"])',
        'self._orders.restore(about["orders"]); self.state.account["tightness"] = 1.0', ("tight", "kills", "spikes"),
    ),
    Mutation(
        "a restart forgets an entry that waits", "trading.session",
        'self._orders.restore(about["orders"])',
        'self._orders.restore(about["orders"]); self.state.positions["work_side"] = 0', ("kills",),
    ),
    Mutation(
        "the compiled run reduces nothing", "trading.run_bars",
        'reducing = rule["reduces"] == 1', 'reducing = rule["reduces"] == 2', ("tight", "together", "spikes"),
    ),
    Mutation(
        "the last target is for all that is held", "trading.execution.order_manager",
        'wanted["T"] = lots - sum(part for part, _ in wanted.values())', 'wanted["T"] = lots', ("targets",),
    ),
    Mutation(
        "after a fill nobody looks at the limits", "trading.risk.held",
        'or a["fills"] != a["looked_fills"]\n', "", ("tight", "together", "portfolio", "spikes"),
    ),
    Mutation(
        "value at risk of what is held is taken at 5 %", "trading.risk.tail",
        "place = (n - 1) * VAR_LEVEL", "place = (n - 1) * 0.05", ("portfolio", "together", "spikes"),
    ),
)  # fmt: skip


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from its changed source."""

    def __init__(self, mutation: Mutation) -> None:
        self.mutation = mutation

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name != self.mutation.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found is None or found.origin is None:
            raise AssertionError(f"there is no module {name}")
        return importlib.util.spec_from_file_location(name, found.origin, loader=self)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        place, old = str(module.__file__), self.mutation.old
        source = Path(place).read_text(encoding="utf-8")
        if source.count(old) != 1:
            raise AssertionError(
                f"'{self.mutation.name}' has to follow {place}: '{old}' is there {source.count(old)} times"
            )
        exec(compile(source.replace(old, self.mutation.new), place, "exec"), module.__dict__)


def first_violation(mutation: Mutation) -> str | None:
    """What the scenarios say first of the trading floor with this bug; it is loaded anew."""
    for name in [n for n in sys.modules if n.split(".")[0] == "trading" or n.startswith("scripts.soaks.scenario")]:
        del sys.modules[name]
    loader = _Loader(mutation)
    sys.meta_path.insert(0, loader)
    try:
        scenarios = importlib.import_module("scripts.soaks.scenarios")
        for seed in range(SEEDS):
            found = scenarios.violations(scenarios.scenario(seed, BARS, 1 + seed % 2, mutation.features))
            if found:
                return f"seed {seed}: {found[0]}"
            if mutation.name == "none" and seed == 9:
                return None
    finally:
        sys.meta_path.remove(loader)
    return None


def main() -> None:
    """Every mutation, or those whose names hold an argument."""
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        sys.exit("Start it with NUMBA_DISABLE_JIT=1: a compiled kernel would hide what is planted.")
    asked = sys.argv[1:]
    for mutation in MUTATIONS:
        if not asked or any(words in mutation.name for words in asked):
            print(json.dumps([mutation.name, first_violation(mutation)]), flush=True)


if __name__ == "__main__":
    main()

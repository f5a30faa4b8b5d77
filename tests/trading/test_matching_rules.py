"""Orders on small tables of bars, computed by hand: limit and stop entries, partial fills, finer bars, cross margin.

Both engines run every table. ``docs/matching.md`` names the test of each rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.instruments import Instrument, LeverageTier
from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    START_MS,
    SYMBOLS,
    MemoryJournal,
    config_of,
    features_of,
    grid_of,
    instrument,
    merged,
    profile,
)
from trading.backtest import RunResult, run_fast, run_service
from trading.finer import FinerGrid
from trading.records import ExitReason, Purpose, Reason

CALM = merged(FREE, LOOSE)
FLAT = (100.0, 100.0, 100.0, 100.0)
WIDE = {"sizing": {"leverage": 20.0}, "limits": {"max_leverage": 20.0, "margin_share": 0.5}}


def run(
    bars: Any, go: Any, settings: Mapping[str, Any] | None = None, rules: Sequence[Instrument] = (),
    symbols: int = 1, finer: FinerGrid | None = None, stop: float = 0.01, ratio: float = 2.0, **grid: Any,
) -> RunResult:  # fmt: skip
    """The table through both engines, which must agree; costs nothing, stop 1 %, target 2 %, 10 bars."""
    table = grid_of(bars, **grid)
    config = config_of(
        settings=merged(CALM, settings or {}), exits=profile(stop, ratio, 10), symbols=SYMBOLS[:symbols],
        instruments=rules,
    )  # fmt: skip
    X = features_of(config, table, go=go)
    journal = MemoryJournal()
    fast = run_fast(config, table, X, None, None, finer)
    service = run_service(config, table, X, None, journal, 1, None, finer)
    for part in ("fills", "trades", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    return fast


def test_every_rule_in_the_document_names_a_test_that_there_is() -> None:
    folder = Path(__file__).parent
    names = (
        "fills", "matching_rules", "position_management", "margin", "volume_share", "mark_price", "target_orders",
        "scenarios",
    )  # fmt: skip
    files = [f"test_{name}" for name in names]
    known = {f"test_{n}" for f in files for n in re.findall(r"^def test_(\w+)", (folder / f"{f}.py").read_text(), re.M)}
    rows = [line for line in (folder.parents[1] / "docs/matching.md").read_text().splitlines() if line.startswith("| ")]
    named = [n for row in rows[1:] for n in re.findall(r"`(\w+)…?`", row.rsplit("|", 2)[1])]
    assert len(named) > 40
    assert [n for n in named if not any(test.startswith(f"test_{n}") for test in known)] == []


LIMIT = {"matching": {"entry": "limit", "entry_distance": 0.5, "entry_bars": 2}}
STOP = {"matching": {"entry": "stop", "entry_distance": 0.5, "entry_bars": 2}}
# level of the limit 99.5, of the stop entry 100.5; decided at the close of bar 0
ENTRIES = {
    "a limit touched only does not fill": (LIMIT, [FLAT, (100, 100, 99.5, 100), FLAT], None),
    "a limit traded through fills as maker at its price": (
        LIMIT, [FLAT, (100, 100, 99.4, 100), FLAT], (99.5, 1, 2)),
    "a limit gapped through fills at its price at the open": (
        LIMIT, [FLAT, (99.2, 100, 99.2, 100), FLAT], (99.5, 1, 1)),
    "a limit works on for its bars": (LIMIT, [FLAT, FLAT, (100, 100, 99.0, 99), FLAT], (99.5, 1, 3)),
    "a limit expires": (LIMIT, [FLAT, FLAT, FLAT, (100, 100, 99.0, 99)], None),
    "a stop entry fills as taker at its level": (STOP, [FLAT, (100, 100.5, 100, 100.2), FLAT], (100.5, 0, 2)),
    "a stop entry not reached does not fill": (STOP, [FLAT, (100, 100.4, 100, 100.2), FLAT], None),
    "a stop entry gapped through fills at the open": (
        STOP, [FLAT, (101.0, 101.2, 100.9, 101), FLAT], (101.0, 0, 1)),
    "a stop entry expires": (STOP, [FLAT, FLAT, FLAT, (100, 101, 100, 101)], None),
}  # fmt: skip


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("name", ENTRIES)
def test_entry_orders(name: str, side: int) -> None:
    settings, rows, fill = ENTRIES[name]
    bars = rows if side > 0 else [(200 - o, 200 - lo, 200 - h, 200 - c) for o, h, lo, c in rows]
    result = run(bars, [side] + [0] * (len(bars) - 1), settings)
    if fill is None:
        assert len(result.fills) == 0
        return
    price, maker, minute = fill
    entry = result.fills[0]
    assert entry["price"] == pytest.approx(price if side > 0 else 200 - price)
    assert (entry["maker"], entry["time"]) == (maker, START_MS + minute * MINUTE)
    assert result.trades["stop"][0] == pytest.approx(entry["price"] - side * 1.0, abs=0.06)


def test_while_an_entry_works_no_second_one_is_planned() -> None:
    result = run([FLAT, FLAT, FLAT, FLAT], [1, 1, 1, 0], LIMIT)
    assert len(result.decisions) == 2  # at bar 0, and at bar 2 after the first expired
    assert result.codes[0, 1] >> 2 == Reason.ENTRY_WORKING


def test_on_the_bar_of_a_limit_fill_the_stop_counts_and_the_target_does_not() -> None:
    both = run([FLAT, (100, 103, 98.0, 100), FLAT], [1, 0, 0], LIMIT)
    assert both.trades["exit_reason"][0] == ExitReason.STOP
    assert both.trades["entry_time"][0] == both.trades["exit_time"][0] == START_MS + 2 * MINUTE
    target = run([FLAT, (100, 103, 99.0, 100), FLAT], [1, 0, 0], LIMIT)
    assert target.trades["exit_reason"][0] == ExitReason.END


def test_what_the_volume_leaves_of_an_entry_works_on_where_asked() -> None:
    settings = {"matching": {"entry_rest": "work", "entry_bars": 3}}
    result = run([FLAT] * 6, [1] + [0] * 5, settings, volume=[1000, 50.0, 200.0, 500.0, 1000, 1000])
    assert result.fills["quantity"].tolist() == [5.0, 20.0, 15.0, 40.0]
    assert result.fills["purpose"].tolist() == [0, 0, 0, 1]
    assert set(result.fills["plan_id"].tolist()) == {1}
    assert result.trades["quantity"][0] == 40.0
    assert result.trades["risk_amount"][0] == pytest.approx(40.0)


def test_the_rest_of_an_entry_never_raises_the_loss_at_the_stop() -> None:
    """The second half would fill at 101: bought there the position would lose more than its plan allowed."""
    settings = {"matching": {"entry_rest": "work", "entry_bars": 3}}
    bars = [FLAT, FLAT, (101.0, 101, 101, 101), FLAT, FLAT]
    result = run(bars, [1, 0, 0, 0, 0], settings, volume=[1000, 200.0, 1000, 1000, 1000])
    quantity = result.trades["quantity"][0]
    at_stop = sum(f["quantity"] * (f["price"] - 99.0) for f in result.fills if f["purpose"] == Purpose.ENTRY)
    assert 20.0 < quantity < 40.0
    assert at_stop <= 40.0 * 1.0 + 1e-9


def test_a_large_exit_takes_several_bars_where_asked() -> None:
    settings = {"matching": {"exit_fill": "volume"}}
    bars = [FLAT, FLAT, (100, 100, 98.0, 98.5), (98.2, 98.5, 98, 98), (97.0, 97, 97, 97), FLAT]
    result = run(bars, [1, 0, 0, 0, 0, 0], settings, volume=[1000, 1000, 100.0, 150.0, 1000, 1000])
    exits = result.fills[1:]
    assert exits["quantity"].tolist() == [10.0, 15.0, 15.0]
    assert exits["price"].tolist() == pytest.approx([99.0, 98.2, 97.0])
    assert [(t - START_MS) // MINUTE for t in exits["time"].tolist()] == [3, 3, 4]
    assert result.trades["exit_price"][0] == pytest.approx((10 * 99 + 15 * 98.2 + 15 * 97) / 40)
    assert result.trades["exit_reason"][0] == ExitReason.STOP
    assert len(run(bars, [1, 0, 0, 0, 0, 0], volume=[1000, 1000, 100.0, 150.0, 1000, 1000]).fills) == 2


def finer(high: list[float], low: list[float], begin: int) -> FinerGrid:
    return FinerGrid(np.array(high), np.array(low), np.array([[-1, begin, -1]]), len(high))


def test_finer_bars_say_which_level_came_first() -> None:
    bars, go = [FLAT, (100, 103.0, 98.0, 100), FLAT], [1, 0, 0]
    settings = {"matching": {"both_touched": "finer"}}
    up = finer([100.5, 103.0, 100.0], [99.8, 100.0, 98.0], 0)
    down = finer([100.5, 100.0, 103.0], [99.8, 98.0, 99.0], 0)
    together = finer([100.5, 103.0, 100.0], [99.8, 98.0, 99.0], 0)
    reasons = [run(bars, go, settings, finer=f).trades["exit_reason"][0] for f in (up, down, together)]
    assert reasons == [ExitReason.TARGET, ExitReason.STOP, ExitReason.STOP]
    assert run(bars, go, settings, finer=finer([1.0], [1.0], -1)).trades["exit_reason"][0] == ExitReason.STOP
    assert run(bars, go, finer=up).trades["exit_reason"][0] == ExitReason.STOP  # not asked for


def test_quantities_obey_the_bounds_of_orders() -> None:
    def rules(**more: Any) -> list[Instrument]:
        return [instrument(**more)]

    def quantity(**more: Any) -> float:
        fills = run([FLAT, FLAT, FLAT], [1, 0, 0], rules=rules(**more)).fills
        return float(fills["quantity"][0]) if len(fills) else 0.0

    assert quantity() == 40.0
    assert quantity(max_quantity=Decimal(30)) == 30.0
    assert quantity(max_quantity=Decimal(30), market_max_quantity=Decimal("7.5")) == 7.5
    assert quantity(min_quantity=Decimal("40.001")) == 0.0
    assert quantity(min_notional=4000.1) == 0.0
    assert quantity(contract_size=10.0) == 40.0  # quantities are base units, whatever a contract is


def test_a_size_stays_within_the_tier_that_allows_its_leverage() -> None:
    tiers = (LeverageTier(0, 1000, 20, 0.01), LeverageTier(1000, 2500, 5, 0.02), LeverageTier(2500, 1e9, 4, 0.05))
    result = run([FLAT, FLAT, FLAT], [1, 0, 0], rules=[instrument(tiers=tiers)])
    assert result.fills["quantity"][0] == 25.0  # leverage 5 is allowed up to 2,500
    none = run([FLAT, FLAT, FLAT], [1, 0, 0], rules=[instrument(tiers=tiers[2:])])
    assert len(none.fills) == 0


def test_fees_are_the_symbols_own_where_they_are_known() -> None:
    settings = merged(CALM, {"costs": {"taker_fee": 0.001, "maker_fee": 0.0005}})
    bars = [FLAT, (100, 102.1, 100, 101)]
    own = run(bars, [1, 0], settings, rules=[instrument(taker_fee=0.0004, maker_fee=0.0)])
    assert own.fills["fee"].tolist() == pytest.approx([4000 * 0.0004, 0.0], rel=0.03)
    other = run(bars, [1, 0], settings)
    assert other.fills["fee"][0] == pytest.approx(other.fills["quantity"][0] * 100 * 0.001)


def test_cross_margin_is_backed_by_the_whole_account() -> None:
    """Isolated the position is liquidated at the fall, cross it lives on and comes back."""
    bars, go = [FLAT, (100, 100, 94.0, 95), (95, 100, 95, 100), FLAT], [1, 0, 0, 0]
    rules = [instrument(maintenance_rate=0.02, max_leverage=50.0)]
    alone = run(bars, go, WIDE, rules, stop=0.2)
    assert alone.trades["exit_reason"][0] == ExitReason.LIQUIDATION
    whole = run(bars, go, merged(WIDE, {"matching": {"margin_mode": "cross"}}), rules, stop=0.2)
    assert whole.trades["exit_reason"][0] == ExitReason.END


def test_with_cross_margin_the_loss_of_one_symbol_liquidates_another() -> None:
    """40 % of two notionals of one equity each must be kept: what BTC loses is missing behind ETH."""
    settings = merged(
        {"sizing": {"leverage": 2.0, "margin_share": 0.5, "risk_share": 0.5},
         "limits": {"max_leverage": 5.0, "margin_share": 0.9, "loss_at_stop": 1.0, "drawdown": 1.0, "daily_loss": 1.0,
                    "exposure": 10.0, "concentration": 10.0, "open_risk": 1.0, "held": "mark"},
         "matching": {"margin_mode": "cross"}},
    )  # fmt: skip
    rules = [instrument(symbol, maintenance_rate=0.4) for symbol in SYMBOLS[:2]]
    fall = [FLAT, FLAT, (100, 100, 73, 73), (73, 73, 73, 73), (73, 73, 73, 73)]
    dip = [FLAT, FLAT, FLAT, (100, 100, 93.0, 97), (97, 97, 97, 97)]
    go = np.array([[1, 0, 0, 0, 0]] * 2)
    reasons = {}
    for mode in ("cross", "isolated"):
        result = run(
            {SYMBOLS[0]: fall, SYMBOLS[1]: dip}, go, merged(settings, {"matching": {"margin_mode": mode}}), rules,
            symbols=2, stop=0.4,
        )  # fmt: skip
        found = {int(t["symbol"]): t for t in result.trades}
        reasons[mode] = [ExitReason(found[s]["exit_reason"]) for s in (0, 1)]
        if mode == "cross":  # 7,300 - 100·(100 - P) = 0.4·(7,300 + 100·P)
            assert found[1]["exit_price"] == pytest.approx(np.ceil(10 * 5620 / 60) / 10)
    assert reasons["cross"] == [ExitReason.END, ExitReason.LIQUIDATION]
    assert reasons["isolated"] == [ExitReason.LIQUIDATION, ExitReason.END]

"""Parts of a difference: planted ones land in their own part, and parts always sum to the whole."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.cases import FREE, GO, MemoryJournal, config_of, features_of, grid_of, merged, profile
from trading.backtest import RunResult, run_fast, run_service
from trading.execution.paper import PaperVenue
from trading.parity import PARTS, Attribution, Key, Made, Side, trades_by_plan, unfinished
from trading.records import ExitReason

HOUR = 3_600_000
KEY: Key = (0, 10 * HOUR, 1)
# 2 coins at 100 to 104: 8 gross, 0.2 of it lost to slippage already; fees 0.1 % of both sides, 0.05 funding received
WANTED = Made(8.0 - 0.408 + 0.05, 0.408, 0.05, 0.2, 2.0, 2.0, 408.0, 11 * HOUR, 15 * HOUR, ExitReason.TARGET)


def parts(expected: Side, live: Side) -> dict[str, float]:
    made = Attribution()
    made.session(expected, live)
    return {part: float(money) for part, money in made.totals().items() if abs(money) > 1e-9}


def test_the_same_trade_has_no_difference() -> None:
    assert parts({KEY: WANTED}, {KEY: WANTED}) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"fees": 0.816, "pnl": WANTED.pnl - 0.408}, {"fee": -0.408}),
        ({"funding": -0.05, "pnl": WANTED.pnl - 0.1}, {"funding": -0.1}),
        # bought at 100.5: 1 more of slippage, and the usual 0.1 % on a notional greater by 1
        (
            {"slippage": 1.2, "notional": 409.0, "fees": 0.409, "pnl": WANTED.pnl - 1.0 - 0.001},
            {"slippage": -1.001},
        ),
        # filled a bar later at 101
        (
            {"entry_time": 12 * HOUR, "notional": 410.0, "fees": 0.41, "pnl": WANTED.pnl - 2.0 - 0.002},
            {"latency": -2.002},
        ),
        # ... with the spread and the settlements of that time
        (
            {"entry_time": 12 * HOUR, "slippage": 1.2, "funding": -0.05, "notional": 410.0, "fees": 0.41,
             "pnl": WANTED.pnl - 4.0 - 0.002},
            {"latency": -4.002},
        ),
        # bought dearer, and therefore stopped out
        (
            {"entry_price": 101.0, "reason": ExitReason.STOP, "exit_time": 13 * HOUR, "pnl": WANTED.pnl - 3.0},
            {"slippage": -3.0},
        ),
        # half of it filled
        (
            {"quantity": 1.0, "slippage": 0.1, "notional": 204.0, "fees": 0.204, "funding": 0.025,
             "pnl": WANTED.pnl / 2.0},
            {"missed_fill": -WANTED.pnl / 2.0},
        ),
        # planned half as large
        (
            {"planned": 1.0, "quantity": 1.0, "slippage": 0.1, "notional": 204.0, "fees": 0.204, "funding": 0.025,
             "pnl": WANTED.pnl / 2.0},
            {"size": -WANTED.pnl / 2.0},
        ),
        # closed by hand at another price: no model of a bar explains that
        ({"reason": ExitReason.EMERGENCY, "exit_time": 13 * HOUR, "pnl": WANTED.pnl - 3.0}, {"unexplained": -3.0}),
    ],
)  # fmt: skip
def test_a_planted_difference_lands_in_its_own_part(change: dict[str, float], expected: dict[str, float]) -> None:
    assert parts({KEY: WANTED}, {KEY: replace(WANTED, **change)}) == pytest.approx(expected)  # type: ignore[arg-type]


def test_a_trade_of_one_side_only_is_a_missed_fill() -> None:
    assert parts({KEY: WANTED}, {}) == {"missed_fill": pytest.approx(-WANTED.pnl)}
    assert parts({}, {KEY: WANTED}) == {"missed_fill": pytest.approx(WANTED.pnl)}


money = st.floats(-1e4, 1e4, allow_nan=False)
positive = st.floats(1e-3, 1e4, allow_nan=False)
made = st.builds(
    Made, pnl=money, fees=st.floats(0, 100), funding=money, slippage=st.floats(0, 100), quantity=positive,
    planned=st.one_of(st.just(0.0), positive), notional=positive, entry_time=st.integers(0, 3),
    exit_time=st.integers(3, 6), reason=st.sampled_from([int(r) for r in ExitReason if r != ExitReason.END]),
)  # fmt: skip
keys = st.tuples(st.integers(0, 1), st.integers(0, 3), st.sampled_from([-1, 1]))
sides = st.dictionaries(keys, made, max_size=6)


@given(chain=st.lists(sides, min_size=2, max_size=5), live=sides, out=st.sets(keys, max_size=2))
def test_parts_of_every_trade_sum_to_its_difference_exactly(chain: list[Side], live: Side, out: set[Key]) -> None:
    attribution = Attribution(out)
    for part, before, after in zip(("revised_data", "missed_fill", "funding", "fee"), chain, chain[1:], strict=False):
        attribution.step(part, before, after)
    attribution.session(chain[-1], live)
    assert not out & attribution.parts.keys()
    for key, own in attribution.parts.items():
        whole = [Fraction(side[key].pnl) if key in side else Fraction(0) for side in (live, chain[0])]
        assert sum(own.values()) == whole[0] - whole[1]
        assert set(own) <= set(PARTS)
    counted = (live.keys() | chain[0].keys()) - out
    whole = sum((Fraction(live[k].pnl) if k in live else 0) - (Fraction(chain[0][k].pnl) if k in chain[0] else 0)
                for k in counted)  # fmt: skip
    assert sum(attribution.totals().values()) == whole


def ran(shift: float = 0.0, **settings: object) -> RunResult:
    """Two signals on a rising and falling market; ``shift`` moves the close of bar 5 and the open after it."""
    closes = [100.0, 101.0, 102.0, 101.0, 100.0, 99.0 + shift, 98.0, 99.0, 100.0, 101.0, 102.0, 103.0]
    opens = [100.0, *closes[:-1]]
    grid = grid_of([(o, max(o, c) + 0.3, min(o, c) - 0.3, c) for o, c in zip(opens, closes, strict=True)])
    config = config_of(GO, profile(0.02, 2.0, 3), merged(FREE, settings))  # type: ignore[arg-type]
    go = [0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0]
    return run_fast(config, grid, features_of(config, grid, go=[float(g) for g in go]), None)


def test_a_run_is_its_own_equal_and_a_revised_bar_is_a_step() -> None:
    plain, revised = (trades_by_plan(r.trades, r.decisions) for r in (ran(), ran(0.4)))
    assert len(plain) == 2 and not unfinished(plain)
    assert parts(plain, plain) == {}
    attribution = Attribution()
    attribution.step("revised_data", plain, revised)
    attribution.session(revised, revised)
    moved = {part: float(m) for part, m in attribution.totals().items() if m}
    whole = sum(m.pnl for m in revised.values()) - sum(m.pnl for m in plain.values())
    assert moved == {"revised_data": pytest.approx(whole)} and whole != 0.0


def test_both_engines_agree_so_their_parity_is_nought() -> None:
    grid = grid_of([(100.0 + k, 101.5 + k, 99.0 + k, 101.0 + k) for k in range(20)])
    config = config_of()
    X = features_of(config, grid, go=[1.0 if k % 6 == 2 else 0.0 for k in range(20)])
    fast, service = run_fast(config, grid, X, None), run_service(config, grid, X, None, MemoryJournal(), 1)
    a, b = (trades_by_plan(r.trades, r.decisions) for r in (fast, service))
    assert a and parts(a, b) == {}


def test_an_entry_filled_a_bar_late_is_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's venue sleeps through one open; the order works on and fills at the next."""
    opens = [round(100.0 + 0.5 * k - 0.02 * k * k, 1) for k in range(13)]  # it rises less and less
    grid = grid_of([(o, c + 0.2, o - 0.2, c) for o, c in pairwise(opens)])
    config = config_of(GO, profile(0.04, 2.0, 6), merged(FREE, {"matching": {"entry_bars": 2}}))
    X = features_of(config, grid, go=[1.0 if k == 2 else 0.0 for k in range(12)])
    expected = run_fast(config, grid, X, None)
    at_open = PaperVenue.at_open
    asleep = int(grid.open_time[3])
    monkeypatch.setattr(
        PaperVenue, "at_open", lambda self, s, bar: bar.open_time != asleep and at_open(self, s, bar)
    )  # fmt: skip
    late = run_service(config, grid, X, None, MemoryJournal(), 1)
    a, b = (trades_by_plan(r.trades, r.decisions) for r in (expected, late))
    ((wanted, made),) = [(a[key], b[key]) for key in a]
    assert made.entry_time == wanted.entry_time + 60_000
    assert wanted.reason == made.reason == ExitReason.TIME and made.pnl < wanted.pnl
    assert parts(a, b) == {"latency": pytest.approx(made.pnl - wanted.pnl)}

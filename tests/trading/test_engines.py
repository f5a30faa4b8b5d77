"""Both engines over the same bars: equal bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.cases import Market, MemoryJournal, random_market
from trading import backtest
from trading.backtest import RunResult, run_fast, run_service
from trading.records import Action, ExitReason, Reason

PARTS = ("trades", "fills", "equity", "decisions", "codes")


def both(market: Market) -> tuple[RunResult, RunResult, MemoryJournal]:
    journal = MemoryJournal()
    fast = run_fast(market.config, market.grid, market.X, market.forecasts)
    service = run_service(market.config, market.grid, market.X, market.forecasts, journal, 1)
    return fast, service, journal


def assert_bitwise(fast: RunResult, service: RunResult) -> None:
    for part in PARTS:
        a, b = getattr(fast, part), getattr(service, part)
        assert a.dtype == b.dtype and a.shape == b.shape, part
        assert a.tobytes() == b.tobytes(), part
    for name in ("fees", "funding", "equity_end", "halted_at", "halts", "metrics"):
        assert getattr(fast, name) == getattr(service, name), name


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31), bars=st.integers(1, 300), symbols=st.integers(1, 3), modelled=st.booleans(),
    enforce=st.booleans(), step_name=st.sampled_from(["1h", "1m", "1d"]),
    on_halt=st.sampled_from(["stop", "next-day", "next-month"]), marks=st.booleans(),
    matching=st.fixed_dictionaries(
        {"stop_trigger": st.sampled_from(["last", "mark"]), "target_order": st.sampled_from(["limit", "market"]),
         "exit_fill": st.sampled_from(["whole", "volume"])}
    ),
)  # fmt: skip
def test_engines_agree_bit_for_bit_on_random_markets(
    seed: int, bars: int, symbols: int, modelled: bool, enforce: bool, step_name: str, on_halt: str, marks: bool,
    matching: dict[str, str],
) -> None:  # fmt: skip
    market = random_market(
        seed, bars, symbols, modelled, enforce, step_name=step_name, on_halt=on_halt, marks=marks,
        settings={"matching": matching},
    )  # fmt: skip
    fast, service, _ = both(market)
    assert_bitwise(fast, service)


@pytest.mark.parametrize("modelled", [False, True])
def test_random_markets_reach_every_corner(modelled: bool) -> None:
    """The comparison above is worth something only if the markets trade, block, halt, pay and exit in every way."""
    exits, reasons, actions, paid, halts = set(), set(), set(), 0.0, 0
    for seed in range(12):
        market = random_market(seed, 600, 2, modelled, on_halt="next-day")
        fast, service, _ = both(market)
        assert_bitwise(fast, service)
        exits |= set(fast.trades["exit_reason"].tolist())
        actions |= set((fast.codes & 3).ravel().tolist())
        reasons |= set((fast.codes >> 2).ravel().tolist())
        paid += abs(fast.funding)
        halts += fast.halted_at is not None
    assert {ExitReason.STOP, ExitReason.TARGET, ExitReason.TIME} <= exits
    assert actions == {Action.ABSTAIN, Action.BLOCKED, Action.LONG, Action.SHORT}
    assert {Reason.WARMING_UP, Reason.POSITION_OPEN, Reason.HALTED, Reason.BAR_MISSING} <= reasons
    if modelled:
        assert {Reason.NO_MODEL, Reason.INVALID_FORECAST, Reason.NEGATIVE_EV, Reason.BELOW_THRESHOLD} <= reasons
        assert {Reason.MODEL_DISAGREES, Reason.RULE_FORBIDS} <= reasons
    else:
        assert {Reason.EXIT_SIGNAL, Reason.NO_SIGNAL} <= reasons
        assert ExitReason.SIGNAL in exits
    assert paid > 0 and halts > 0


def test_engines_agree_when_buffers_overflow_within_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    market = random_market(3, 500, 2, enforce=False)
    whole = run_fast(market.config, market.grid, market.X, None)
    monkeypatch.setattr(backtest, "PLAN_ROWS", 5)
    monkeypatch.setattr(backtest, "FILL_ROWS", 9)
    assert_bitwise(whole, run_fast(market.config, market.grid, market.X, None))
    assert len(whole.decisions) > 5


def test_the_journal_holds_a_decision_for_every_bar_and_symbol() -> None:
    market = random_market(4, 1200, 2, settings={"paper": {"batch_bars": 500}})
    _, service, journal = both(market)
    rows = np.concatenate([batch.decisions for batch in journal.batches])
    assert len(journal.batches) == 3
    assert len(rows) == 2 * market.grid.bars
    assert (rows["open_time"][::2] == market.grid.open_time).all()
    assert np.concatenate([b.trades for b in journal.batches]).tobytes() == service.trades.tobytes()
    assert np.concatenate([b.equity for b in journal.batches]).tobytes() == service.equity.tobytes()
    assert np.concatenate([b.fills for b in journal.batches]).tobytes() == service.fills.tobytes()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 3), modelled=st.booleans())
def test_equity_is_start_plus_realised_minus_fees_plus_funding_plus_unrealised(
    seed: int, symbols: int, modelled: bool
) -> None:
    """I4, from the fills and the trades alone."""
    market = random_market(seed, 300, symbols, modelled, enforce=False)
    result = run_fast(market.config, market.grid, market.X, market.forecasts)
    fills, equity = result.fills, result.equity
    assert np.allclose(equity["equity"], equity["cash"] + equity["unrealised"], rtol=0, atol=1e-9)
    total = result.equity_start + fills["realised"].sum() - fills["fee"].sum() + result.funding
    assert equity["equity"][-1] == pytest.approx(total, abs=1e-7)
    assert equity["unrealised"][-1] == 0.0
    assert result.equity_end - result.equity_start == pytest.approx(result.trades["pnl"].sum(), abs=1e-7)
    assert result.trades["funding"].sum() == pytest.approx(result.funding, abs=1e-9)
    assert result.trades["fees"].sum() == pytest.approx(result.fees, abs=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 3))
def test_no_plan_enters_twice_and_no_exit_turns_a_position_round(seed: int, symbols: int) -> None:
    """I1 and I3, from the fills alone."""
    market = random_market(seed, 300, symbols, enforce=False)
    fills = run_fast(market.config, market.grid, market.X, None).fills
    entries = fills[fills["purpose"] == 0]
    assert len(set(entries["plan_id"].tolist())) == len(entries)
    for s in range(symbols):
        held = np.cumsum(np.where(fills["symbol"] == s, fills["side"] * fills["quantity"], 0.0))
        own = held[fills["symbol"] == s]
        sides = fills["side"][fills["symbol"] == s]
        assert np.allclose(own[1::2], 0.0, atol=1e-9)
        assert (np.sign(own[::2]) == sides[::2]).all()
    assert fills["fill_id"].tolist() == list(range(1, len(fills) + 1))

"""A back-test with a session's departures is that session: the same trades to the last bit, on random markets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai.schema import FeatureSchema
from tests.trading.cases import MemoryJournal, random_market
from trading.backtest import run_fast, run_service
from trading.bar import MarketBar
from trading.departures import NEVER, Departures, first_fills, run_departing, sent
from trading.execution.paper import PaperVenue
from trading.records import Action, Reason

SETTINGS = {"matching": {"entry_bars": 4}}


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 3), entry=st.sampled_from(["market", "limit", "stop"]))
def test_late_and_missed_entries_of_a_session_are_met_again(seed: int, symbols: int, entry: str) -> None:
    market = random_market(seed, 200, symbols, settings={"matching": {"entry_bars": 4, "entry": entry}})
    sleeps = np.random.default_rng(seed).random((symbols, 200)) < 0.3
    first = int(market.grid.open_time[0])
    at_open = PaperVenue.at_open

    def sleepy(self: PaperVenue, s: int, bar: MarketBar) -> bool:
        flat = self._state.positions["side"][s] == 0
        sleeping = sleeps[s, (bar.open_time - first) // market.grid.step_ms] and flat
        return not sleeping and at_open(self, s, bar)

    schema = FeatureSchema(market.config.features())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PaperVenue, "at_open", sleepy)
        session = run_service(market.config, market.grid, market.X, None, MemoryJournal(), 1)
    entries = first_fills(sent(session.decisions), session.fills)
    found = run_departing(
        market.config, market.grid, market.X, None, schema, None, None, Departures(entries)
    )  # fmt: skip
    for part in ("trades", "fills", "equity", "decisions", "codes"):
        assert getattr(found, part).tobytes() == getattr(session, part).tobytes(), part


def test_without_departures_it_is_the_bar_by_bar_engine() -> None:
    market = random_market(5, 300, 2, settings=SETTINGS)
    schema = FeatureSchema(market.config.features())
    found = run_departing(market.config, market.grid, market.X, None, schema, None, None, Departures())
    assert found.trades.tobytes() == run_fast(market.config, market.grid, market.X, None).trades.tobytes()
    assert len(found.trades) > 5


def test_nothing_is_entered_where_the_session_was_held() -> None:
    market = random_market(5, 300, 2, settings=SETTINGS)
    plain = run_fast(market.config, market.grid, market.X, None)
    plans = sent(plain.decisions)
    held = {(int(row["symbol"]), int(row["open_time"])): int(Reason.LATE_BAR) for row in plans[::3]}
    schema = FeatureSchema(market.config.features())
    found = run_departing(market.config, market.grid, market.X, None, schema, None, None, Departures({}, held))
    at = {int(time): t for t, time in enumerate(market.grid.open_time)}
    for s, time in held:
        assert found.codes[s, at[time]] in (
            Action.ABSTAIN | Reason.LATE_BAR << 2,
            Action.ABSTAIN | Reason.POSITION_OPEN << 2,
        )
    assert not {(int(row["symbol"]), int(row["open_time"])) for row in sent(found.decisions)} & held.keys()
    assert NEVER not in first_fills(plans[:1], plain.fills).values()

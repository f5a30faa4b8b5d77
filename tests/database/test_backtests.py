"""Results of back-tests in the database: whole, numbered once, the newest kept."""

from __future__ import annotations

import math

import pytest

from data.clock import ManualClock
from data.errors import UserError
from database import backtests
from database.home import Home
from database.repositories import Repositories


def test_a_result_comes_back_whole_after_the_home_was_closed(home: Home, clock: ManualClock) -> None:
    with home.open() as db:
        number = db.backtests.save("backtest", {"net_return": 0.1}, {"trades": [{"pnl": -1.5}], "sharpe": math.nan})
    clock.advance(60)
    with home.open() as db:
        (head,) = db.backtests.heads()
        assert (head.number, head.kind, head.head) == (number, "backtest", {"net_return": 0.1})
        assert head.made_ms == clock.now_ms() - 60_000
        assert db.backtests.body(number) == {"trades": [{"pnl": -1.5}], "sharpe": None}


def test_only_the_newest_are_kept_and_a_number_is_never_given_again(
    db: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtests, "KEPT", 2)
    numbers = [db.backtests.save("backtest", {"n": n}, {}) for n in range(3)]
    assert [head.head["n"] for head in db.backtests.heads()] == [2, 1]
    db.backtests.remove(numbers[2])
    assert db.backtests.save("sweep", {}, {}) == numbers[2] + 1
    for gone in (numbers[0], numbers[2]):
        with pytest.raises(UserError, match=f"There is no back-test {gone}"):
            db.backtests.body(gone)
    with pytest.raises(UserError, match="put away before"):
        db.backtests.remove(numbers[2])

"""What counts as a try: every search writes it down, whatever becomes of it, and no option of it is forgotten."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ai.ensemble import TrainingCancelled
from ai.tuned import TunedMember
from ai.validation.scores import BETTER, NO_EDGE
from app import walk_forward as room
from app.main import main
from app.sweeps import Request as SweepRequest
from app.sweeps import perform as sweep
from app.trials import tried
from app.walk_forward import STARTED, Request, perform, words
from app.wiring import Workplace, choose_series
from data.errors import UserError

ASKED = Request("BTC/USDT:USDT", "1h", "1500b", "700b", members=("logistic",), workers=1)
GRID = '"long.all.0.right" = [25, 30, 35]\n"short.all.0.right" = [65, 70]\n'
TRADING: dict[str, Any] = {
    "edge": {"trades": 40, "net_return": 0.1, "deflated_sharpe": 0.97, "trials": 2, "sharpe_low": 0.4},
    "account": {"net_return": 0.05, "halted_at": None}, "baselines": {"buy and hold": {"net_return": -0.2}},
}  # fmt: skip


@pytest.fixture
def place(home: Path) -> Iterator[Workplace]:
    series = ["--symbol", "BTCUSDT", "--timeframe", "1h"]
    assert main(["--home", str(home), "--json", "synthetic", *series, "--bars", "2950", "--seed", "3"]) == 0
    with Workplace.opened(home) as opened:
        yield opened


def key_of(place: Workplace) -> Any:
    return choose_series(place.database.candles, ASKED.symbol, ASKED.timeframe).key


def asked(**changes: Any) -> Request:
    return dataclasses.replace(ASKED, **changes)


def test_a_failed_and_a_cancelled_walk_are_tries_with_their_reason(place: Workplace) -> None:
    with pytest.raises(UserError, match="too few"):
        perform(place, asked(train="9000b"))
    with pytest.raises(TrainingCancelled):
        perform(place, asked(seed=5), cancelled=lambda: True)
    document = perform(place, ASKED)
    failed, cancelled, done = place.database.trials.of(key_of(place), "walk-forward")
    assert "too few" in (failed.failure or "") and "cancelled" in (cancelled.failure or "")
    assert done.failure is None and done.score == document["overall"]["log_loss"]
    assert document["trading"]["trials"] == 3 and document["trading"]["trials_with_returns"] <= 1


@pytest.mark.workers
def test_every_option_that_changes_the_result_makes_another_try_and_no_other_does(place: Workplace) -> None:
    def run(**changes: Any) -> str:
        return str(perform(place, asked(**changes))["run_id"])

    plain = run()
    assert run(workers=2) == plain  # where it is computed is no part of what it is
    others = [run(anchored=True), run(embargo_bars=9), run(seed=8), run(exit_profile="even")]
    assert len({plain, *others}) == 5
    assert len(place.database.trials.of(key_of(place))) == 5
    place.database.settings.set({"ai.max_disagreement": 0.01})
    with Workplace.opened(place.home.path) as changed:
        assert perform(changed, ASKED)["run_id"] not in {plain, *others}


def test_an_inner_search_is_counted_configuration_by_configuration(place: Workplace) -> None:
    document = perform(place, asked(tune=3))
    tuned = place.database.trials.of(key_of(place), "tuning")
    assert document["tuned_configurations"] == 6  # three in each of two folds
    assert len(tuned) == len({json.dumps(t.configuration, sort_keys=True) for t in tuned})
    assert 3 <= len(tuned) < 6  # the member's own parameters are tried first in every fold: the same configuration
    assert {t.configuration["member"] for t in tuned} == {"logistic"}
    assert document["trading"]["trials"] == 1 + len(tuned)


def test_what_was_tuned_on_tested_bars_is_not_used(place: Workplace) -> None:
    key = key_of(place)
    frame = place.database.candles.read(key)
    first_test = int(frame.open_time[1500])
    for until, c in ((first_test + 1, 0.01), (first_test, 0.02)):
        parameters = {"c": c}
        found = TunedMember("logistic", "swing", parameters, 0.9, 1.0, 1.1, 4, 0, 7, 0, until, until)
        place.database.tunings.save(key, [found])
    spec = room.spec_of(place, ASKED, key, frame)
    assert spec.options.parameters == {"logistic": {"c": 0.02}}
    assert perform(place, ASKED)["spec"]["options"]["parameters"] == spec.options.parameters


def test_tries_that_only_the_audit_knows_still_count(place: Workplace) -> None:
    key = key_of(place)
    series = {name: getattr(key, name) for name in ("exchange", "symbol", "timeframe", "source")}
    place.database.audit.append(None, STARTED, {**series, "digest": "0123456789ab"})
    place.database.audit.append(None, "sweep_started", {**series, "digests": ["aa", "bb"]})
    place.database.audit.append(None, STARTED, {**series, "symbol": "ETH/USDT:USDT", "digest": "of another series"})
    assert perform(place, ASKED)["trading"]["trials"] == 4
    assert perform(place, ASKED)["trading"]["trials"] == 4  # what is in the log is not counted again from the audit
    assert sorted(t.kind for t in tried(place, key)) == ["sweep", "sweep", "walk-forward", "walk-forward"]


@pytest.mark.workers
def test_a_sweep_by_workers_is_the_sweep(place: Workplace, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    request = SweepRequest(ASKED.symbol, "1h", "rsi-oversold", grid, enforce=False, workers=1)
    said: list[int] = []
    alone = sweep(place, request)
    shared = sweep(place, dataclasses.replace(request, workers=2), lambda done, total, words: said.append(done))
    without = {"elapsed_s"}
    assert {k: v for k, v in shared.items() if k not in without} == {k: v for k, v in alone.items() if k not in without}
    assert said == sorted(said) and said[-1] == 6
    assert len(place.database.trials.of(key_of(place), "sweep")) == 6
    for name in ("pbo", "superior_ability", "reality_check", "deflated_sharpe", "probabilistic_sharpe"):
        assert 0.0 <= alone[name] <= 1.0, name
    assert (alone["trials"], alone["trials_compared"], alone["earlier_trials"]) == (6, 6, 0)
    assert alone["track_record_days"] == 123


def test_a_walk_forward_pays_for_the_sweeps_of_its_series(place: Workplace, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    sweep(place, SweepRequest(ASKED.symbol, "1h", "rsi-oversold", grid, workers=1))
    trading = perform(place, ASKED)["trading"]
    assert (trading["trials"], trading["trials_compared"], trading["pbo"]) == (7, 7, None)


def test_a_good_sharpe_without_a_ranking_of_direction_is_not_called_enough() -> None:
    ranked, unranked = (
        SimpleNamespace(verdict=v, trading=TRADING) for v in (f"{BETTER}: AUC 0.6", f"{NO_EDGE}: AUC 0.5")
    )
    assert words(unranked).endswith(
        "buying and holding -20.0%; the chance that this is more than luck after 2 tries is 97%, "
        "but it does not come from a ranking of direction."
    )
    assert words(ranked).endswith("is 97%, enough to go on.")
    doubted = {**ranked.trading, "edge": {**ranked.trading["edge"], "reality_check": 0.061}}
    said = words(SimpleNamespace(verdict=ranked.verdict, trading=doubted))
    assert said.endswith("White's reality check sees as much in 6% of what has no edge.")
    low = {**TRADING, "edge": {**TRADING["edge"], "sharpe_low": -0.1}}
    assert words(SimpleNamespace(verdict=ranked.verdict, trading=low)).endswith("band of its Sharpe ratio holds zero.")
    luck = {**TRADING, "edge": {**TRADING["edge"], "deflated_sharpe": 0.5}}
    assert "below the 95% that would be" in words(SimpleNamespace(verdict=ranked.verdict, trading=luck))

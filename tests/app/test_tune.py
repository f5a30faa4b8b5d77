"""``tune``: found parameters train later models, an interruption loses nothing, every configuration is counted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ai.tuned import TunedMember
from app.main import main
from app.tuning import LOCK, STUDIES, Request, TrialNotes, perform, tuned_for, tuning_job
from app.wiring import Workplace
from data.clock import ManualClock
from data.market import SeriesKey
from database.home import Home
from database.lock import FileLock
from tests.app.said import Command

SERIES = ("--symbol", "BTCUSDT", "--timeframe", "1h")
LINE = ("tune", *SERIES, "--models", "logistic", "--trials", "5")
KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic")
HOUR = 3_600_000


@pytest.fixture
def stocked(home: Path, command: Command) -> Path:
    assert command("synthetic", *SERIES, "--bars", 3000, "--seed", 3).code == 0
    return home


def interrupt_after(monkeypatch: pytest.MonkeyPatch, ends: int) -> None:
    """The person presses Ctrl+C while the study is about to be told of configuration ``ends``."""
    told = TrialNotes.end
    seen = []

    def end(self, member, parameters, loss, failure) -> None:
        seen.append(member)
        if len(seen) == ends:
            raise KeyboardInterrupt
        told(self, member, parameters, loss, failure)

    monkeypatch.setattr(TrialNotes, "end", end)


def test_the_document_says_what_was_tried_and_what_is_best(stocked, command) -> None:
    said = command(*LINE)
    assert said.code == 0, said.stderr
    document = said.document
    assert set(document["members"]) == {"logistic"}
    best = document["members"]["logistic"]
    assert set(best) == {"parameters", "loss", "plain_loss", "base_loss", "tried", "failed"}
    assert best["loss"] <= best["plain_loss"] and best["base_loss"] > 0.0
    assert (document["tried"], document["planned"], document["failed"], document["resumed"]) == (5, 5, 0, 0)
    assert document["complete"] and document["stored"]
    assert document["bars"] == 3000 - 450  # the newest fold is left for scoring
    again = command(*LINE).document
    assert (again["resumed"], again["members"]) == (5, document["members"])


def test_every_configuration_is_a_trial_of_the_series(stocked, command) -> None:
    command(*LINE)
    with Home(stocked).open() as database:
        trials = database.trials.of(KEY, "tuning")
    assert len(trials) == 5
    assert trials[0].configuration == {"member": "logistic", "parameters": {"c": 0.003}}
    assert all(t.ended_ms is not None and t.score is not None for t in trials)


def test_a_training_whose_test_begins_later_uses_what_was_found(stocked, command) -> None:
    with Home(stocked).open() as database:
        database.tunings.save(KEY, [tuned("logistic", 0.02, HOUR, 1)])
        database.tunings.save(KEY, [tuned("logistic", 0.7, 2_000_000_000_000, 2)])  # it has seen the test
    model = command("train", *SERIES, "--models", "logistic").document
    with Home(stocked).open() as database:
        row = database.models.get(model["model_id"])
    assert row.params["parameters"]["logistic"]["params"]["c"] == 0.02


def tuned(member: str, c: float, until_ms: int, found_ms: int, profile: str = "swing") -> TunedMember:
    return TunedMember(member, profile, {"c": c}, 0.9, 0.95, 1.0, 5, 1, 7, 0, until_ms, found_ms)


def test_parameters_never_know_what_is_tested(home) -> None:
    with Home(home).open() as database:
        assert tuned_for(database, KEY, "swing") == {}
        database.tunings.save(KEY, [tuned("logistic", 0.1, 5 * HOUR, 1)])
        database.tunings.save(KEY, [tuned("logistic", 0.2, 9 * HOUR, 2), tuned("xgboost", 0.3, 9 * HOUR, 2)])
        database.tunings.save(KEY, [tuned("logistic", 0.9, HOUR, 3, "scalp")])
        assert tuned_for(database, KEY, "swing") == {"logistic": {"c": 0.2}, "xgboost": {"c": 0.3}}
        assert tuned_for(database, KEY, "swing", 9 * HOUR)["logistic"] == {"c": 0.2}
        assert tuned_for(database, KEY, "swing", 9 * HOUR - 1) == {"logistic": {"c": 0.1}}
        assert tuned_for(database, KEY, "swing", 5 * HOUR - 1) == {}
        other = SeriesKey(KEY.exchange, "ETH/USDT:USDT", KEY.timeframe, KEY.kind, KEY.source)
        assert tuned_for(database, other, "swing") == {}
        database.tunings.save(KEY, [tuned("logistic", 0.4, 9 * HOUR, 4)])  # the same span again
        assert len(database.tunings.of(KEY, "swing")) == 3
        assert tuned_for(database, KEY, "swing")["logistic"] == {"c": 0.4}
    with Home(home).open_reader() as database:
        assert database.tunings.of(KEY)[0] == tuned("logistic", 0.4, 9 * HOUR, 4)


def test_ctrl_c_leaves_a_search_that_goes_on_as_if_nothing_had_been(stocked, command, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        interrupt_after(patched, 3)
        stopped = command(*LINE)
    assert stopped.code == 0
    assert (stopped.document["tried"], stopped.document["complete"], stopped.document["stored"]) == (2, False, False)
    with Home(stocked).open() as database:
        assert tuned_for(database, KEY, "swing") == {}
    rest = command(*LINE).document
    assert (rest["tried"], rest["resumed"], rest["complete"], rest["stored"]) == (5, 2, True, True)
    (stocked / STUDIES).unlink()  # from the beginning, in one piece
    whole = command(*LINE).document
    assert (whole["resumed"], whole["members"]) == (0, rest["members"])


def test_ctrl_c_before_anything_is_known_ends_the_command(stocked, command, monkeypatch) -> None:
    interrupt_after(monkeypatch, 1)
    said = command(*LINE)
    assert said.code == 1 and "Stopped before the end" in said.stderr


def test_a_stopped_search_says_how_it_goes_on(stocked, capfd, monkeypatch) -> None:
    interrupt_after(monkeypatch, 3)
    assert main(["--home", str(stocked), *LINE]) == 0
    assert "The same command goes on where it stopped" in capfd.readouterr().out


def test_a_time_limit_keeps_what_is_known(stocked) -> None:
    clock = ManualClock(1_700_000_000_000)
    told: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, words: str) -> None:
        told.append((done, total, words))
        clock.advance(10.0)  # each part takes ten seconds

    request = Request("BTC/USDT:USDT", "1h", ("logistic",), 12, time_limit_s=35.0)
    with Workplace.opened(stocked, clock) as place:
        document = perform(place, request, progress)
        assert (document["tried"], document["complete"], document["stored"]) == (8, False, True)
        assert tuned_for(place.database, KEY, "swing")["logistic"] == document["members"]["logistic"]["parameters"]
        assert place.database.tunings.of(KEY)[0].found_ms == clock.now_ms()
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {12}


def test_a_second_search_on_the_home_waits_for_the_first(stocked, command) -> None:
    with FileLock(stocked / LOCK):
        said = command(*LINE)
    assert said.code == 1 and "Another search for parameters runs" in said.stderr
    assert command(*LINE).code == 0


def test_a_damaged_file_of_searches_is_named_in_one_sentence(stocked, command) -> None:
    (stocked / STUDIES).write_bytes(b"no database at all, not even a little one" * 200)
    said = command(*LINE)
    assert said.code == 1
    assert STUDIES in said.document["error"] and "delete the file" in said.document["error"]


def test_a_wrong_member_or_too_few_bars_are_refused(stocked, command) -> None:
    assert "Unknown model 'moon'" in command("tune", *SERIES, "--models", "moon").document["error"]
    short = command(*LINE, "--to", "2024-02-01")
    assert short.code == 1 and "give it more history" in short.document["error"]


def test_the_job_of_the_window_tells_progress_and_gives_the_document(stocked) -> None:
    told: list[tuple[int, int, str]] = []
    document = tuning_job(
        lambda *words: told.append(words), str(stocked), "BTC/USDT:USDT", "1h", "binanceusdm", "synthetic",
        ("logistic",), 4,
    )  # fmt: skip
    assert document["complete"] and set(document["members"]) == {"logistic"}
    assert told[0][:2] == (0, 4) and told[-1][:2] == (4, 4)


def test_an_older_home_gets_the_new_table(home) -> None:
    with Home(home).open():
        pass
    with closing(sqlite3.connect(home / "quantai.sqlite")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM schema_history ORDER BY number")]
    assert "tunings" in names

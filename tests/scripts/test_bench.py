"""The benchmarks say what they measured in one document, and say of a missing peer that it is missing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.benchmarks.bench import against
from scripts.benchmarks.environments import Peer, Peers
from scripts.benchmarks.rows import Goal, measured

REPOSITORY = Path(__file__).resolve().parent.parent.parent
KEYS = {"id", "what", "figure", "unit", "peer", "peer_figure", "ratio", "reach", "ok"}


@pytest.mark.workers
@pytest.mark.skipif(not (REPOSITORY / ".venv" / "bin" / "python").is_file(), reason="scripts/bench runs with .venv")
def test_the_document_holds_every_row_that_was_asked_for() -> None:
    done = subprocess.run(
        [REPOSITORY / "scripts" / "bench", "--only", "p15,P13", "--bars", "2000", "--no-install", "--json"],
        env={name: value for name, value in os.environ.items() if name != "QUANTAI_TEST_DATA"},
        capture_output=True,
        text=True,
        check=True,
    )
    read, absent = json.loads(done.stdout)["rows"]
    assert KEYS <= absent.keys() == read.keys()
    assert (absent["id"], absent["figure"], absent["ok"]) == ("P15", None, None)
    assert absent["note"]
    assert (read["id"], read["unit"]) == ("P13", "ms")
    assert read["ratio"] == pytest.approx(read["peer_figure"] / read["figure"])
    assert read["ok"] == (read["figure"] <= 300.0)


@pytest.mark.workers
@pytest.mark.skipif(not (REPOSITORY / ".venv" / "bin" / "python").is_file(), reason="scripts/bench runs with .venv")
def test_rows_of_the_data_floor_say_when_the_recorded_session_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [REPOSITORY / "scripts" / "bench", "--only", "D4,d8", "--bars", "2000", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "QUANTAI_TEST_DATA": str(tmp_path)},
    )
    books, longer = json.loads(done.stdout)["rows"]
    assert (books["id"], books["figure"], books["ok"]) == ("D4", None, None)
    assert "recorded session" in books["note"]
    assert (longer["id"], longer["unit"]) == ("D8", "ms")
    assert longer["ratio"] == pytest.approx(longer["peer_figure"] / longer["figure"])
    assert longer["ok"] == (longer["ratio"] >= 1.0)


def test_a_missing_peer_leaves_the_verdict_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTAI_CACHE", str(tmp_path))
    peers = Peers(install=False)

    @contextmanager
    def opened(_share: float) -> Iterator[Peer]:
        with peers.opened("nobody", ("nobody",), "with_nobody", {}) as peer:
            yield peer

    pair = against(lambda: 0.5, "nobody", opened)
    row = measured("P1", "work", pair.ours, "s", Goal("≥ 2×", ratio=2.0), pair.title, pair.theirs, pair.note)
    assert (row.figure, row.peer, row.ratio, row.ok) == (0.5, "nobody", None, None)
    assert "not installed" in row.note


def test_a_verdict_needs_the_whole_ratio() -> None:
    goal = Goal("≥ 2×", ratio=2.0)
    times = [measured("P1", "work", 1.0, "s", goal, "peer", theirs).ok for theirs in (1.9, 2.0)]
    rates = [measured("P1", "work", rate, "rows/s", goal, "peer", 1.0, more_is_better=True).ok for rate in (1.9, 2.0)]
    assert times == rates == [False, True]

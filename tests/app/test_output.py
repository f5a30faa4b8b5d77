"""What a command writes: one document on the saved descriptor, progress and notes beside it."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest

from app.output import Output, Progress, dump, plain, show_table
from data.clock import ManualClock


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Pair:
    left: float
    right: object


def test_nan_and_infinity_are_null_in_a_document() -> None:
    document = {"a": math.nan, "b": [math.inf, -math.inf, 1.5], "c": np.float64("nan"), "d": np.array([1.0, np.nan])}
    assert json.loads(dump(document)) == {"a": None, "b": [None, None, 1.5], "c": None, "d": [1.0, None]}


def test_numpy_values_enums_and_dataclasses_become_plain_json() -> None:
    document = {"n": np.int64(7), "flag": np.bool_(True), "e": Colour.RED, "p": Pair(1.0, (np.float32(0.5),))}
    assert json.loads(dump(document)) == {"n": 7, "flag": True, "e": "red", "p": {"left": 1.0, "right": [0.5]}}


def test_with_json_only_the_document_reaches_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with Output.opened(json=True) as out:
        print("a library talks")  # noqa: T201
        out.document({"rows": [1]})
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"rows": [1]}
    assert captured.out.count("\n") == 1
    assert "a library talks" in captured.err


def test_descriptor_one_is_stdout_again_after_a_json_command(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with Output.opened(json=True) as out:
        os.write(1, b"C code talks\n")
        out.document({})
    os.write(1, b"afterwards\n")
    captured = capfd.readouterr()
    assert captured.out == "{}\nafterwards\n"
    assert "C code talks" in captured.err


def test_a_second_document_is_refused() -> None:
    with Output.opened(json=True) as out:
        out.document({})
        with pytest.raises(RuntimeError, match="one document"):
            out.document({})


def test_an_error_with_json_is_a_document_and_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with Output.opened(json=True) as out:
        out.error("Nothing is there.")
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"error": "Nothing is there."}
    assert captured.err == "Error: Nothing is there.\n"


def test_progress_off_a_terminal_speaks_seldom_and_says_the_time_left() -> None:
    clock, stream = ManualClock(), io.StringIO()
    progress = Progress("walk-forward", clock, stream)
    for done in range(1, 11):
        clock.advance(2.0)
        progress(done, 10, f"fold {done}")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4  # after 6, 12, 18 seconds and at the end
    assert lines[0] == "walk-forward:  30% fold 3, about 14 s left"
    assert lines[-1].startswith("walk-forward: 100%")


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        (None, None, "–"), (math.nan, ",.2f", "–"), (True, None, "yes"), (1234.5, ",.2f", "1,234.50"),
        ("2024-05-01T00:00:00.000Z", None, "2024-05-01 00:00:00"), (Colour.RED, None, "red"),
    ],
)  # fmt: skip
def test_cells_read_well(value: object, form: str | None, words: str) -> None:
    assert plain(value, form) == words


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(Output().console(), [], [], none="No trade yet.")
    assert capsys.readouterr().out == "No trade yet.\n"


def test_the_end_of_a_job_is_said_once_and_a_second_part_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with Output().progress("work") as progress:
        for done in (1, 2, 2):
            progress(done, 2)
        progress(0, 4)
        progress(4, 4, "repaired")
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["100%", "100%"]

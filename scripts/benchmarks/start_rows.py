"""P16: from the command to its words, and to the drawn window."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.rows import Goal, Row, absent, measured
from scripts.benchmarks.timing import in_turn, timed

ROOT = Path(__file__).resolve().parent.parent.parent
WINDOW_WITHIN_S = 120


def starting(bench: Bench) -> list[Row]:
    """Warm starts: the first run of each is not counted."""
    (spoken,) = in_turn(timed(_help))
    words = measured("P16", "python -m app.main --help", spoken, "s", Goal("≤ 0.6 s", at_most=0.6))
    what, goal = "command to drawn window (offscreen), warm", Goal("≤ 2.5 s", at_most=2.5)
    try:
        (drawn,) = in_turn(_window, rounds=3)
    except RuntimeError as failure:
        return [words, absent("P16", what, "s", goal.words, str(failure))]
    return [words, measured("P16", what, drawn, "s", goal, note="synthetic source; until the first painted frame")]


def _help() -> None:
    subprocess.run([sys.executable, "-m", "app.main", "--help"], cwd=ROOT, capture_output=True, check=True)


def _window() -> float:
    with tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder, (Path(folder) / "log").open("w+") as log:
        arguments = ["--home", str(Path(folder) / "home"), "run", "--source", "synthetic"]
        command = [sys.executable, "-m", "scripts.benchmarks.window_start", *arguments]
        began = perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = perf_counter() - began
            try:
                process.wait(WINDOW_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise RuntimeError("the window did not close") from None
        if line.strip() != "drawn":
            log.seek(0)
            raise RuntimeError(f"the window did not come: {log.read().strip()[-200:]}")
        return seconds

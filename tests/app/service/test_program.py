"""The program as a person starts it: commands from outside, Ctrl+C, one instance a home, a calm terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.control import CONTROL_FILE

ROOT = Path(__file__).resolve().parents[3]
CALM = ("Warming up", "Running", "Paused", "Stopping", "Stopped", "running ·", "paused ·", "BTCUSDT ")


class Program:
    """``python -m app.main … run`` beside the test; ``said`` are its lines so far."""

    def __init__(self, home: Path, *words: str, json_out: bool = True) -> None:
        line = [sys.executable, "-m", "app.main", "--home", str(home), *(["--json"] if json_out else []), *words]
        pipe = subprocess.PIPE
        self.home = home
        self.said: list[str] = []
        self.process = subprocess.Popen(
            line, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True,
            env={**os.environ, "QUANTAI_AI__HISTORY_LIMIT": "600", "QUANTAI_AI__ENABLE_TRAINING": "false"},
        )  # fmt: skip
        self._running = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if line.startswith("Running"):
                self._running.set()
        self._running.set()

    def wait_until_it_runs(self) -> None:
        assert self._running.wait(60) and self.process.poll() is None, self.said
        assert (self.home / CONTROL_FILE).is_file()

    def interrupt(self) -> str:
        """Ctrl+C, as a terminal sends it to the whole group; what was printed."""
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        self.process.wait(30)
        return printed

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    made: list[Program] = []

    def begin(*words: str, json_out: bool = True) -> Program:
        made.append(Program(tmp_path / "home", *words, json_out=json_out))
        return made[-1]

    yield begin
    for program in made:
        program.close()


SYNTHETIC = ("run", "--source", "synthetic", "--speed", "50", "--strategy", "rsi-oversold")


def test_commands_from_outside_and_a_clean_end_by_ctrl_c(start, ask, tmp_path, capfd):
    program = start(*SYNTHETIC)
    program.wait_until_it_runs()
    home = tmp_path / "home"
    status = ask(home, "status")
    assert (status["state"], status["source"]) == ("RUNNING", "synthetic")
    assert ask(home, "pause")["state"] == "PAUSED"
    assert ask(home, "flatten")["positions"] == [] or ask(home, "status")["state"] == "PAUSED"
    second = refused(home, capfd, *SYNTHETIC)
    assert "Another instance runs" in second and len(second.splitlines()) == 1
    assert ask(home, "decisions", "--limit", "1")["decisions"]
    assert ask(home, "audit", "verify")["ok"]
    printed = program.interrupt()
    assert program.process.returncode == 0, program.said
    document = json.loads(printed)
    assert (document["state"], document["trading_state"]) == ("STOPPED", "PAUSED")
    assert document["bars"] == document["decisions"] > 0
    program.close()
    assert [line for line in program.said if not line.startswith(CALM) and "  BTCUSDT " not in line] == []
    assert not (home / CONTROL_FILE).exists()
    assert "No service is running" in refused(home, capfd, "status")


def test_ctrl_c_prints_a_summary_for_a_person(start):
    program = start(*SYNTHETIC, json_out=False)
    program.wait_until_it_runs()
    lines = program.interrupt().splitlines()
    assert program.process.returncode == 0
    assert 3 <= len(lines) <= 8, lines
    text = "\n".join(lines)
    for words in ("Stopped", "synthetic", "bar", "closed trade", "Equity", "USDT"):
        assert words in text, text


def refused(home: Path, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says that has to fail."""
    from app.main import main

    capfd.readouterr()
    assert main(["--home", str(home), *words]) == 1
    return capfd.readouterr().err.strip()

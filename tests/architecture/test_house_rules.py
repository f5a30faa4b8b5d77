"""The habits that no linter knows: names, sizes, empty packages, quiet starts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bundle import program_files

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FLOORS = ("app", "ai", "data", "trading", "database", "dashboard")
FILES = program_files(REPOSITORY)
SOURCES = [name for name in FILES if name.endswith(".py") and name.split("/")[0] in FLOORS]

LONGEST_FILE = 400
# A longer file has its reason here; the number may only fall.
LONGER_FILES: dict[str, tuple[int, str]] = {}

NO_ROOM = ("utils", "util", "helpers", "helper", "common", "manager", "misc")
# What only a start that trains, trades or draws may load.
HEAVY = ("numba", "pandas", "sklearn", "ccxt", "PyQt6", "xgboost", "lightgbm", "scipy", "pyarrow")


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("__init__.py")])
def test_packages_say_nothing(name: str) -> None:
    assert (REPOSITORY / name).read_text().strip() == ""


def test_no_file_is_a_drawer_for_everything() -> None:
    assert [name for name in SOURCES if set(re.split(r"[/.]", name)) & set(NO_ROOM)] == []


def test_files_stay_short() -> None:
    lengths = {name: len((REPOSITORY / name).read_text().splitlines()) for name in SOURCES}
    allowed = {name: LONGER_FILES.get(name, (LONGEST_FILE, ""))[0] for name in lengths}
    assert {name: length for name, length in lengths.items() if length > allowed[name]} == {}


def test_the_list_of_longer_files_is_not_out_of_date() -> None:
    for name, (length, reason) in LONGER_FILES.items():
        assert reason
        assert len((REPOSITORY / name).read_text().splitlines()) == length > LONGEST_FILE


# Written in pieces, so that this file does not name what it looks for.
MACHINE_PATHS = re.compile(
    "|".join(("/wo" + "rk/", "/ro" + "ot/", "/ho" + r"me/\w", "/Us" + r"ers/\w", r"[A-Z]:\\Us" + "ers"))
)


def test_no_file_names_a_place_on_one_machine() -> None:
    found: list[str] = []
    for name in FILES:
        try:
            text = (REPOSITORY / name).read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name}:{n}" for n, line in enumerate(text.splitlines(), 1) if MACHINE_PATHS.search(line)]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    mark = re.compile("#.*\\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + ")\\b")
    assert [
        name for name in FILES if name.endswith((".py", ".sh")) and mark.search((REPOSITORY / name).read_text())
    ] == []


PLANTED = {
    "time.time()": "import time\n\nSTARTED = time.time()\n",
    "datetime.now()": "from datetime import UTC, datetime\n\nSTARTED = datetime.now(UTC)\n",
    "date.today()": "import datetime\n\nTODAY = datetime.date.today()\n",
    "random": "import random\n\nDRAW = random.random()\n",
    "numpy's global seed": "import numpy as np\n\nnp.random.seed(1)\n",
}


@pytest.mark.parametrize("what", PLANTED)
def test_ruff_catches_a_planted_clock_or_random_call(what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", "trading/planted.py", "-"],
        input=PLANTED[what],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout


def test_files_of_kernel_tests_are_named_rightly(request: pytest.FixtureRequest) -> None:
    conftest = request.config.pluginmanager.get_plugin(str(REPOSITORY / "tests" / "conftest.py"))
    assert conftest is not None
    assert [name for name in conftest.KERNEL_TESTS if not (REPOSITORY / "tests" / name).is_file()] == []


@pytest.mark.parametrize("module", ["app.main"])
def test_help_loads_nothing_heavy(module: str, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "walk-forward" in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "app" in loaded
    assert loaded & set(HEAVY) == set()

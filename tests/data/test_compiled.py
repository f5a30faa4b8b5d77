"""The cache of compiled kernels: one for all copies of the same program, another as soon as a kernel differs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data.compiled import KERNEL_FLOORS

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ONE_CALL = """
import json, os
from trading.costs import volume_share
volume_share(1.0, 2.0)
stats = volume_share.stats
print(json.dumps([os.environ["NUMBA_CACHE_DIR"], sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two copies of the floors with kernels; their files were written at different times."""
    places = tmp_path_factory.mktemp("one") / "program", tmp_path_factory.mktemp("other") / "moved" / "program"
    for place in places:
        for floor in KERNEL_FLOORS:
            shutil.copytree(
                REPOSITORY / floor, place / floor, copy_function=shutil.copy,
                ignore=shutil.ignore_patterns("__pycache__"),
            )  # fmt: skip
    return places


def called(program: Path, cache: Path) -> tuple[Path, int, int]:
    """Cache folder, hits and misses of one kernel in a new process of a copy."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment = {**kept, "PYTHONPATH": str(program), "QUANTAI_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ONE_CALL], cwd=program, env=environment, capture_output=True, text=True, check=True
    )
    folder, hits, misses = json.loads(done.stdout)
    return Path(folder), hits, misses


def test_a_moved_program_uses_what_was_compiled_and_an_edited_one_compiles_anew(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    first, other = copies
    folder, hits, misses = called(first, tmp_path)
    assert (hits, misses) == (0, 1)
    assert called(other, tmp_path) == (folder, 1, 0)
    file = other / "trading" / "costs.py"
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    changed, hits, misses = called(other, tmp_path)
    assert (changed != folder, hits, misses) == (True, 0, 1)

"""Folds, splits and sweeps on a Dask cluster of two worker processes: the documents of one process, word for word."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.said import Command

pytestmark = pytest.mark.workers

SERIES = ("--symbol", "BTCUSDT", "--timeframe", "1h")
WALK = ("walk-forward", *SERIES, "--train", "1500b", "--test", "600b", "--models", "logistic,lightgbm", "--cpcv", "3")
GRID = '"long.all.0.right" = [25, 30, 35]\n"short.all.0.right" = [65, 70]\n'


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import dask
    from distributed import LocalCluster

    folder = str(tmp_path_factory.mktemp("dask"))
    with (
        dask.config.set({"temporary-directory": folder}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as made,
    ):
        yield made.scheduler_address


@pytest.fixture
def two_homes(market_home: Path, tmp_path: Path) -> tuple[Path, Path]:
    alone, shared = (Path(shutil.copytree(market_home, tmp_path / name)) for name in ("alone", "shared"))
    return alone, shared


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return {k: v for k, v in one.items() if k != "elapsed_s"} == {k: v for k, v in other.items() if k != "elapsed_s"}


def test_a_walk_forward_and_a_sweep_on_a_cluster_are_those_of_one_process(
    command: Command, two_homes: tuple[Path, Path], address: str, tmp_path: Path
) -> None:
    alone, shared = two_homes
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    for line in (WALK, ("sweep", *SERIES, "--strategy", "rsi-oversold", "--grid", grid)):
        here = command("--home", alone, *line, "--workers", 1)
        there = command("--home", shared, *line, "--cluster", address)
        assert (here.code, there.code) == (0, 0)
        assert same(here.document, there.document)
    assert len(here.document["runs"]) == 6


def test_a_cluster_that_is_not_there_is_one_sentence(command: Command, market_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(market_home, tmp_path / "copy")
    said = command("--home", home, *WALK[:-2], "--cluster", "nowhere")
    assert said.code == 1
    assert "nowhere" in said.document["error"]

"""The bundle holds the program, nothing of a person or a machine, and runs where it is unpacked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.bundle import FOLDER, NAME, left_out, main, program_files, write_bundle

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PRIVATE = (
    "quantai.sqlite",
    "quantai.sqlite-wal",
    "notes.db",
    "candles.parquet",
    ".env",
    "exchange.key",
    "secrets.toml",
)


def tree(root: Path) -> Path:
    """A small program with everything beside it that must not travel."""
    program = ("README.md", "app/main.py", "app/secrets.py", "ai/models/base.py", "scripts/run.sh", ".ci/run")
    kept_by_nobody = ("models/1/model.json", "logs/today.log", ".venv/bin/python", "app/__pycache__/main.pyc")
    more = (".git.old/x.key", "dist/old.zip", ".mypy_cache/x.json", "settings.toml", ".venv.setup/lock")
    for name in (*program, *PRIVATE, *kept_by_nobody, *more):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_only_the_program_is_in_the_bundle(tmp_path: Path) -> None:
    names = program_files(tree(tmp_path / "tree"))
    assert names == [".ci/run", "README.md", "ai/models/base.py", "app/main.py", "app/secrets.py", "scripts/run.sh"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed here")
def test_private_files_stay_out_even_when_git_tracks_them(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "-f", "README.md", "app/main.py", *PRIVATE], check=True)
    assert program_files(root) == ["README.md", "app/main.py"]


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    write_bundle(root, tmp_path / "a.zip")
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (1, 1))
    write_bundle(root, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_scripts_stay_executable(tmp_path: Path) -> None:
    write_bundle(tree(tmp_path / "tree"), tmp_path / NAME)
    with zipfile.ZipFile(tmp_path / NAME) as bundle:
        assert bundle.getinfo(f"{FOLDER}/scripts/run.sh").external_attr >> 16 & 0o111 == 0o111


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["--out", str(tmp_path / "file" / "below")]) == 1
    assert capsys.readouterr().err.startswith("error: the bundle could not be written")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This program's bundle, made by its script and unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    script = str(REPOSITORY / "scripts" / "create_download_bundle.sh")
    subprocess.run(["bash", script, "--out", str(folder)], check=True, capture_output=True)
    with zipfile.ZipFile(folder / NAME) as bundle:
        bundle.extractall(folder)
    return folder / FOLDER


def test_every_file_of_the_program_is_there(unpacked: Path) -> None:
    assert program_files(unpacked) == program_files(REPOSITORY)
    assert {"README.md", "LICENSE", "requirements.txt", "scripts/run.sh", "tests/conftest.py"} <= set(
        program_files(unpacked)
    )


def test_no_code_is_taken_for_something_private() -> None:
    floors = ("app", "ai", "data", "trading", "database", "dashboard")
    found = (path for floor in floors for path in (REPOSITORY / floor).rglob("*.py"))
    here = [path.relative_to(REPOSITORY).as_posix() for path in found]
    assert [name for name in here if left_out(name)] == []


def test_a_bundle_of_the_unpacked_bundle_is_the_same(unpacked: Path, tmp_path: Path) -> None:
    write_bundle(unpacked, tmp_path / NAME)
    write_bundle(REPOSITORY, tmp_path / "first.zip")
    assert (tmp_path / NAME).read_bytes() == (tmp_path / "first.zip").read_bytes()


@pytest.mark.workers
def test_the_headless_service_runs_from_the_unpacked_bundle(unpacked: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    arguments = ["--home", str(home), "--json", "run", "--source", "synthetic", "--bars", "200", "--speed", "max"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "app.main", *arguments],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["source"] == "synthetic"
    assert document["bars"] == 200
    assert (home / "quantai.sqlite").is_file()
    changed = [path for path in unpacked.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sorted(path.relative_to(unpacked).as_posix() for path in changed) == program_files(unpacked)

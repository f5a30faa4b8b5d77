"""Environments of the peers, one each, under the user's cache folder; never the program's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

WORKER = Path(__file__).resolve().parent / "peers" / "worker.py"
INSTALL_WITHIN_S = 300
MARK = "installed"
Columns = Mapping[str, npt.NDArray[Any]]


class PeerMissing(Exception):
    """A peer cannot be measured here; the words say why."""


def folder() -> Path:
    """Where the environments are kept."""
    base = os.environ.get("QUANTAI_CACHE")
    if base is None:
        import platformdirs

        base = platformdirs.user_cache_dir("quantai-trad")
    return Path(base) / "bench"


@dataclass(slots=True)
class Peer:
    """A running worker."""

    name: str
    process: subprocess.Popen[str]
    log: IO[str]
    version: str = ""

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def answer(self) -> dict[str, Any]:
        """The next line from the worker.

        Raises:
            PeerMissing: it ended instead.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self.process.wait()
        self.log.seek(0)
        said = self.log.read().strip().splitlines() or ["no reason given"]
        raise PeerMissing(f"{self.name} failed: {said[-1][:200]}")

    def run(self) -> dict[str, Any]:
        """One run: ``seconds`` and whatever else the job says."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def seconds(self) -> float:
        """Seconds of one run."""
        return float(self.run()["seconds"])


@dataclass(slots=True)
class Peers:
    """Opens peers; a failed installation is not tried again in the same run."""

    install: bool = True
    refused: dict[str, str] = field(default_factory=dict)

    def python(self, name: str, packages: tuple[str, ...], within_s: int = INSTALL_WITHIN_S) -> Path:
        """The interpreter of a peer's environment, made if need be.

        Raises:
            PeerMissing: it cannot be installed, or is not and must not be.
        """
        where = folder() / name
        python = where / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if (where / MARK).is_file() and (where / MARK).read_text().split() == list(packages):
            return python
        if name not in self.refused:
            self.refused[name] = self._install(name, packages, where, python, within_s)
        if self.refused[name]:
            raise PeerMissing(self.refused[name])
        return python

    def _install(self, name: str, packages: tuple[str, ...], where: Path, python: Path, within_s: int) -> str:
        """Empty, or why there is no such peer."""
        if not self.install:
            return f"{name} is not installed (--no-install)"
        sys.stderr.write(f"installing {name} into its own environment\n")
        shutil.rmtree(where, ignore_errors=True)
        commands = (
            [sys.executable, "-m", "venv", str(where)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
        )
        for command in commands:
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
            except subprocess.TimeoutExpired:
                return f"{name} was not installed within {within_s} s"
            if done.returncode:
                said = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["pip failed"]
                return f"{name} cannot be installed: {said[-1][:160]}"
        (where / MARK).write_text(" ".join(packages) + "\n")
        return ""

    @contextmanager
    def opened(
        self, name: str, packages: tuple[str, ...], job: str, data: Columns, within_s: int = INSTALL_WITHIN_S,
        **options: object,
    ) -> Iterator[Peer]:  # fmt: skip
        """A worker that has prepared ``job`` on ``data``; ended afterwards.

        Raises:
            PeerMissing: it cannot be installed or started.
        """
        python = self.python(name, packages, within_s)
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantai-bench-")))
            np.savez(place / "data.npz", **dict[str, Any](data))
            log = stack.enter_context((place / "log").open("w+"))
            command = [str(python), str(WORKER), job, str(place / "data.npz"), json.dumps(options)]
            environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                cwd=place,
            )  # fmt: skip
            stack.callback(_end, process)
            peer = Peer(name, process, log)
            peer.version = str(peer.answer()["version"])
            yield peer


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()

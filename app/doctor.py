"""The checks of ``doctor``: installation, keychain, clock, disk, database, chunk cache, kernel cache."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.clock import Clock, SystemClock, iso
from data.errors import QuantError
from data.timeframes import parse_time

if TYPE_CHECKING:
    from database.repositories import Repositories

OLDEST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 2 * 1024**3
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PROGRAM_YEAR = "2026-01-01"  # a clock before this is wrong

Verdict = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class _Place:
    home: Path
    database: Repositories
    clock: Clock


def examine(home: Path, clock: Clock | None = None) -> list[dict[str, object]]:
    """Run every check; a check that itself fails counts as not ok, with its reason.

    Raises:
        UserError: the home folder or its database cannot be opened at all.
    """
    from database.home import Home

    clock = clock or SystemClock()
    with Home(home, clock).open() as database:
        place = _Place(home, database, clock)
        return [_run(name, check, place) for name, check in CHECKS.items()]


def _run(name: str, check: Callable[[_Place], Verdict], place: _Place) -> dict[str, object]:
    try:
        ok, detail = check(place)
    except (QuantError, OSError, ValueError) as error:
        ok, detail = False, str(error)
    return {"name": name, "ok": ok, "detail": detail}


def _installation(_place: _Place) -> Verdict:
    if sys.version_info < OLDEST_PYTHON:
        return False, f"Python {sys.version.split()[0]} is too old: 3.11 or newer is needed."
    wrong: list[str] = []
    pinned = _pinned()
    for name, version in pinned.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if found != version:
            wrong.append(f"{name} is {found}, not {version}")
    python = f"Python {sys.version.split()[0]}"
    if wrong:
        return False, f"{python}; {'; '.join(wrong[:5])}{' …' if len(wrong) > 5 else ''}: run scripts/run.sh again."
    return True, f"{python}, {len(pinned)} packages as pinned"


def _pinned() -> dict[str, str]:
    """Packages of requirements.txt that this platform needs, with their versions."""
    from packaging.markers import Marker

    found: dict[str, str] = {}
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)\s*(?:;\s*(.+))?$", line.strip())
        if match and (match[3] is None or Marker(match[3]).evaluate()):
            found[match[1]] = match[2]
    return found


def _keychain(_place: _Place) -> Verdict:
    from app.secrets import usable_backend

    backend = usable_backend()
    return True, str(getattr(backend, "name", type(backend).__name__))


def _clock(place: _Place) -> Verdict:
    now = place.clock.now_ms()
    said = f"{iso(now)} UTC"
    if now < parse_time(PROGRAM_YEAR):
        return False, f"The clock says {said}, before this program was made: set it, for example by NTP."
    stored = place.database.candles.series()
    newest = max((i.last_ms for i in stored if i.key.source == "exchange" and i.key.holds_bars), default=0)
    if newest > now:
        return False, f"The clock says {said}, but bars up to {iso(newest)} are stored: set it, for example by NTP."
    return True, said


def _disk(place: _Place) -> Verdict:
    free = shutil.disk_usage(place.home).free
    words = f"{free / 1024**3:,.1f} GiB free at {place.home}"
    return free >= LEAST_FREE_BYTES, words if free >= LEAST_FREE_BYTES else f"{words}: at least 2 GiB are advised."


def _database(place: _Place) -> Verdict:
    answer = place.database.integrity()
    size = (place.home / "quantai.sqlite").stat().st_size
    return answer == "ok", f"{size / 1024**2:,.1f} MiB, {'sound' if answer == 'ok' else answer}"


def _chunks(place: _Place) -> Verdict:
    findings = place.database.candles.verify_chunks()
    if findings:
        return False, f"{len(findings)} chunks differ from their rows, the first: {findings[0]}."
    return True, "every chunk equals its rows"


def _kernels(_place: _Place) -> Verdict:
    from data.compiled import cache_folder

    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return False, f"{folder} cannot be written ({error.strerror}): every start would compile anew."
    kernels = sum(1 for _ in folder.rglob("*.nbi"))
    return True, f"{kernels} compiled kernels in {folder}" if kernels else f"empty, {folder} can be written"


CHECKS: dict[str, Callable[[_Place], Verdict]] = {
    "installation": _installation,
    "keychain": _keychain,
    "clock": _clock,
    "disk": _disk,
    "database": _database,
    "chunk cache": _chunks,
    "kernel cache": _kernels,
}

"""The downloadable program as one ZIP: every file of it, and nothing that belongs to a person or a machine."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "QuantAI-Trad-full-program.zip"
FOLDER = "QuantAI-Trad"
EPOCH = (1980, 1, 1, 0, 0, 0)

# Folders that are made here, by name at any depth or as a path from the top.
LEFT_OUT_FOLDERS = (
    ".git", ".venv", ".venv.*", ".idea", ".vscode", ".hypothesis", "__pycache__", ".*_cache", "*.egg-info",
    "/dist", "/build", "/htmlcov", "/models", "/logs", "/audit", "/reports", "/cache",
)  # fmt: skip
# Files that hold history, data or secrets, or that a machine leaves behind.
LEFT_OUT_FILES = (
    "*.sqlite", "*.sqlite-*", "*.sqlite3", "*.db", "*.parquet", "*.feather", "*.zip", "*.log", "*.pyc", "*.nb[ic]",
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "secrets.toml", "secrets.json", "/settings.toml",
    ".coverage", ".coverage.*", ".DS_Store",
)  # fmt: skip


def left_out(path: str) -> bool:
    """Whether ``path`` (relative, with ``/``) is no part of the program."""
    parts = path.split("/")
    folders = [("/" + "/".join(parts[: depth + 1]), part) for depth, part in enumerate(parts[:-1])]
    return any(_matches(whole, part, LEFT_OUT_FOLDERS) for whole, part in folders) or _matches(
        f"/{path}", parts[-1], LEFT_OUT_FILES
    )


def _matches(whole: str, name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(whole if pattern.startswith("/") else name, pattern) for pattern in patterns)


def _tracked(root: Path) -> list[str] | None:
    """What git tracks in ``root``; ``None`` where ``root`` is no checkout of its own (an unpacked bundle)."""
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in done.stdout.decode().split("\0") if name]


def _found(root: Path) -> list[str]:
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not left_out((here / name / "file").as_posix())]
        found.extend((here / name).as_posix() for name in files)
    return found


def program_files(root: Path = ROOT) -> list[str]:
    """The program's files under ``root``, as sorted relative paths with ``/``."""
    names = _tracked(root)
    if names is None:
        names = _found(root)
    return sorted(name for name in names if not left_out(name) and (root / name).is_file())


def write_bundle(root: Path, target: Path) -> list[str]:
    """Write the ZIP to ``target`` (whole or not at all); the same tree gives the same bytes. Returns what is in it."""
    names = program_files(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
            for name in names:
                entry = zipfile.ZipInfo(f"{FOLDER}/{name}", EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix: the permissions below count
                runs = name.endswith(".sh") or name == ".ci/run"
                entry.external_attr = (0o100755 if runs else 0o100644) << 16
                bundle.writestr(entry, (root / name).read_bytes())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return names


def main(arguments: list[str] | None = None) -> int:
    """Write the bundle and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bash scripts/create_download_bundle.sh")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", metavar="DIR", help="folder for the ZIP (default: dist)"
    )
    target = parser.parse_args(arguments).out / NAME
    try:
        names = write_bundle(ROOT, target)
    except OSError as error:
        print(f"error: the bundle could not be written to {target}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"{target}  {len(names)} files, {target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

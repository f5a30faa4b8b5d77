"""Model folders: native files and a manifest with the hash of each, put in place by one rename, verified at load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from data.errors import UserError

MANIFEST = "manifest.json"
FORMAT = 1


def sha256(content: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(content).hexdigest()


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no NaN, ends with a newline."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def write_folder(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write ``files`` and the manifest into a new folder beside, then rename it into place.

    Raises:
        UserError: the place cannot be written.
    """
    record = {**manifest, "format": FORMAT, "files": {name: sha256(content) for name, content in files.items()}}
    record["digest"] = sha256(json_bytes(record))
    fresh = folder.with_name(folder.name + ".new")
    aside = folder.with_name(folder.name + ".old")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (fresh, aside):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir()
        for name, content in {**files, MANIFEST: json_bytes(record)}.items():
            with (fresh / name).open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        if folder.exists():
            folder.rename(aside)
        fresh.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"The model cannot be written to {folder}: {error.strerror or error}.") from error


def read_folder(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the verified files of a model folder.

    Raises:
        UserError: no such folder, a wrong kind or format, or a file whose hash differs.
    """
    manifest = _read_manifest(folder)
    if manifest.get("kind") != kind:
        raise UserError(f"The model in {folder} is of kind '{manifest.get('kind')}', not '{kind}'; train it again.")
    if manifest.get("format") != FORMAT or not isinstance(manifest.get("files"), dict):
        raise UserError(f"The model in {folder} has an unknown format; train it again with this version.")
    files: dict[str, bytes] = {}
    for name, digest in manifest["files"].items():
        if Path(name).name != name:
            raise UserError(f"The model in {folder} names a file outside its folder; train it again.")
        try:
            files[name] = (folder / name).read_bytes()
        except OSError:
            raise UserError(f"The model in {folder} lacks the file {name}; train it again.") from None
        if sha256(files[name]) != digest:
            raise UserError(f"The model file {folder / name} is corrupt (its hash differs); train it again.")
    return manifest, files


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise UserError(f"There is no model in {folder}; 'models list' shows what is stored.") from None
    except (OSError, ValueError):
        raise UserError(f"The manifest of the model in {folder} cannot be read; train it again.") from None
    if not isinstance(manifest, dict):
        raise UserError(f"The manifest of the model in {folder} cannot be read; train it again.")
    digest = manifest.pop("digest", None)
    if digest != sha256(json_bytes(manifest)):
        raise UserError(f"The manifest of the model in {folder} is corrupt (its hash differs); train it again.")
    return manifest


class FileModel(ABC):
    """Save and load for a model whose whole state is ``files()``."""

    kind: ClassVar[str]

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Native files by name."""

    @classmethod
    @abstractmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """A model from its native files."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Kind, parameters and sizes."""

    def save(self, folder: Path) -> None:
        """Write the files and the manifest; an existing folder is replaced by rename."""
        write_folder(folder, self.files(), {**self.describe(), "kind": self.kind})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and verify.

        Raises:
            UserError: a file is missing, corrupt or of another kind.
        """
        return cls.of(read_folder(folder, cls.kind)[1])

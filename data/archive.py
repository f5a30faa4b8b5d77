"""ZIP archives from outside, opened with distrust: no path escapes, links, passwords, nesting or bombs."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data.errors import UserError

MAX_MEMBERS = 10_000
MAX_TOTAL_BYTES = 2 * 1024**3
MAX_RATIO = 300  # a member that unpacks to more than this many times its size is a bomb …
FREE_BYTES = 8 * 1024**2  # … unless it is small anyway


def csv_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The CSV files of an exchange archive as ``(member name, bytes)``, in name order; nothing is written to disk.

    Raises:
        UserError: not a ZIP file, damaged, unsafe (path escape, link, bomb, password), or a member that is no CSV.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
            _inspect(path, members)
            for member in sorted(members, key=lambda m: m.filename):
                yield member.filename, archive.read(member)  # never more than the size it declares
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise UserError(f"{path} is not a readable ZIP archive ({error}).") from None


def _inspect(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if not members:
        raise UserError(f"{path} is an empty ZIP archive.")
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{path} holds {len(members)} files; at most {MAX_MEMBERS} are read from one archive.")
    if sum(m.file_size for m in members) > MAX_TOTAL_BYTES:
        raise UserError(f"{path} unpacks to more than {MAX_TOTAL_BYTES // 1024**3} GiB and is not opened.")
    for member in members:
        _inspect_member(path, member)


def _inspect_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise UserError(f"{path} holds the unsafe path '{member.filename}' and is not opened.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{path} holds the symbolic link '{member.filename}' and is not opened.")
    if member.flag_bits & 0x1:
        raise UserError(f"{path} is protected by a password: unpack it first.")
    if member.file_size > FREE_BYTES and member.file_size > MAX_RATIO * max(member.compress_size, 1):
        raise UserError(f"{path} unpacks '{member.filename}' to over {MAX_RATIO} times its size and is not opened.")
    if name.suffix.lower() != ".csv":
        raise UserError(f"{path} holds '{member.filename}', which is no CSV file.")

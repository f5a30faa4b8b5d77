"""ZIP archives are opened with distrust."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from data import archive
from data.archive import csv_members
from data.errors import UserError

ROW = "1704067200000,1,2,0.5,1,10\n"


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return path


def refused(path: Path, words: str) -> None:
    with pytest.raises(UserError, match=words):
        list(csv_members(path))


def test_members_come_in_name_order(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("b.csv", "2"), ("sub/a.csv", "3"), ("a.csv", "1"), ("__MACOSX/x", "0"))
    assert [name for name, _ in csv_members(path)] == ["a.csv", "b.csv", "sub/a.csv"]


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:evil.csv"])
def test_a_path_that_escapes_is_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path / "a.zip", (name, ROW)), "unsafe path")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(zipped(tmp_path / "a.zip", (link, "/etc/passwd")), "symbolic link")


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", ("a.csv", "0" * (archive.FREE_BYTES + 1))), "300 times its size")


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.csv", ROW * 1000))
    content = bytearray(path.read_bytes())
    size = len(ROW * 1000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(bytes(content).replace(size, (50).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"a\.zip"):
        list(csv_members(path))


def test_too_much_in_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 100)
    refused(zipped(tmp_path / "a.zip", ("a.csv", ROW * 2), ("b.csv", ROW * 2)), "unpacks to more than")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    refused(zipped(tmp_path / "a.zip", *((f"{i}.csv", ROW) for i in range(3))), "holds 3 files")


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", ("inner.zip", ROW)), "'inner.zip', which is no CSV")


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip"), "empty ZIP")


def test_a_password_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.csv", ROW))
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    refused(path, "password")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.csv", ROW * 100))
    path.write_bytes(path.read_bytes()[:60])
    refused(path, "not a readable ZIP")

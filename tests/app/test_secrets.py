"""Secrets: in the keychain, by name, and nowhere else."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError

from app.main import main
from app.secrets import INDEX, SERVICE, Keychain, usable_backend
from data.errors import UserError
from tests.app.said import Command

CANARY = "c4nary-Zx81-nowhere-else-7741"
KEY = "binanceusdm.key"


class Memory(KeyringBackend):
    """A keychain that forgets with the test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("not there")
        del self.kept[service, username]


class Plain(Memory):
    """As keyrings.alt would be."""


Plain.__module__ = "keyrings.alt.file"


@pytest.fixture
def memory() -> Iterator[Memory]:
    """The keychain of the test."""
    before = keyring.get_keyring()
    memory = Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def typed(monkeypatch: pytest.MonkeyPatch, value: str | bytes) -> None:
    """What stands on stdin."""
    raw = value if isinstance(value, bytes) else value.encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_a_secret_is_set_from_stdin_listed_by_name_replaced_and_deleted(
    command: Command, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, f"{CANARY}\n")
    assert command("secrets", "set", KEY).document == {"name": KEY, "replaced": False}
    typed(monkeypatch, "other\n")
    assert command("secrets", "set", "binanceusdm.secret").code == 0
    assert command("secrets", "list").document == {"names": [KEY, "binanceusdm.secret"]}
    assert memory.kept[SERVICE, KEY] == CANARY
    assert Keychain().get(KEY) == CANARY
    typed(monkeypatch, "a new one")
    assert command("secrets", "set", KEY).document["replaced"] is True
    assert Keychain().get(KEY) == "a new one"
    assert command("secrets", "delete", KEY).code == 0
    assert command("secrets", "list").document == {"names": ["binanceusdm.secret"]}
    assert Keychain().get(KEY) is None
    assert "no secret of that name" in command("secrets", "delete", KEY).document["error"]


def test_at_a_terminal_the_value_is_asked_for_and_hidden(
    command: Command, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hidden(prompt: str) -> str:
        asked.append(prompt)
        return f" {CANARY} "

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", hidden)
    assert command("secrets", "set", KEY).code == 0
    assert asked == [f"Value of {KEY} (hidden): "]
    assert memory.kept[SERVICE, KEY] == CANARY


def test_a_terminal_that_cannot_hide_is_refused(
    command: Command, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import getpass

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", getpass.fallback_getpass)  # type: ignore[attr-defined]
    assert "cannot hide what is typed" in command("secrets", "set", KEY).document["error"]
    assert memory.kept == {}


@pytest.mark.usefixtures("memory")
def test_a_planted_value_is_found_nowhere_in_the_home_nor_in_what_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[list[str]] = [
        ["secrets", "set", KEY], ["--json", "secrets", "list"], ["secrets", "list"], ["--debug", "secrets", "set", KEY],
        ["settings"], ["doctor"], ["audit", "verify"], ["secrets", "set", KEY, CANARY], ["secrets", "set", CANARY],
        ["--json", "secrets", "set", KEY, CANARY], ["secrets", "set", KEY, f"--value={CANARY}"],
        ["secrets", "set", f"{KEY}={CANARY}"], ["secrets", "delete", CANARY], ["secrets", "delete", KEY],
    ]  # fmt: skip
    codes = []
    for line in lines:
        typed(monkeypatch, f"{CANARY}\n")
        codes.append(main(["--home", str(home), *line]))
    assert codes == [0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 2, 1, 1, 0]
    said = capfd.readouterr()
    assert "never an argument" in said.err
    written = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert KEY.encode() in written  # the audit has the name: what is looked for could be found
    names = "".join(str(file) for file in home.rglob("*"))
    for form in (CANARY.encode(), CANARY.encode("utf-16-le"), base64.b64encode(CANARY.encode())[:-4]):
        assert form not in written
        assert form not in (said.out + said.err + names).encode()


def test_the_audit_says_which_secret_was_set_and_deleted(
    command: Command, memory: Memory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from database.home import Home

    assert memory.kept == {}
    typed(monkeypatch, CANARY)
    command("secrets", "set", KEY)
    command("secrets", "delete", KEY)
    with Home(home).open() as database:
        found = [(e.kind, json.loads(e.body)) for e in database.audit.entries()]
    assert found == [("secret_deleted", {"name": KEY}), ("secret_set", {"name": KEY})]


@pytest.mark.parametrize(
    "backend",
    [cls() for cls in (fail.Keyring, null.Keyring, Plain, type("Below", (Plain,), {}))],
    ids=lambda b: type(b).__name__,
)
def test_without_a_true_keychain_nothing_is_stored_and_one_sentence_says_so(
    command: Command, memory: Memory, home: Path, monkeypatch: pytest.MonkeyPatch, backend: KeyringBackend
) -> None:
    assert memory.kept == {}
    keyring.set_keyring(backend)
    for words in (("set", KEY), ("list",), ("delete", KEY)):
        typed(monkeypatch, CANARY)
        said = command("secrets", *words)
        assert said.code == 1
        assert said.document["error"].startswith("No keychain on this machine")
    assert getattr(backend, "kept", {}) == {}
    assert not any(CANARY.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())
    checks = {row["name"]: row for row in command("doctor").document["checks"]}
    assert checks["keychain"]["ok"] is False


def test_of_a_chain_the_first_that_keeps_no_plain_text_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Memory()
    chain = type("Chain", (chainer.ChainerBackend,), {"backends": [Plain(), good]})()
    monkeypatch.setattr(keyring, "get_keyring", lambda: chain)
    assert usable_backend() is good
    none = type("Chain", (chainer.ChainerBackend,), {"backends": [Plain()]})()
    monkeypatch.setattr(keyring, "get_keyring", lambda: none)
    with pytest.raises(UserError, match="No keychain"):
        usable_backend()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyringLocked(CANARY), "is locked"),
        (PasswordSetError(CANARY), "PasswordSetError"),
        (OSError(CANARY), "refused"),
    ],
    ids=["locked", "refused", "broken"],
)
def test_a_keychain_that_refuses_leaves_no_name_and_its_words_are_not_repeated(
    memory: Memory, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception,
    words: str,
) -> None:  # fmt: skip
    store = memory.set_password

    def refuse(service: str, username: str, password: str) -> None:
        if username != INDEX:
            raise error
        store(service, username, password)

    monkeypatch.setattr(memory, "set_password", refuse)
    typed(monkeypatch, CANARY)
    assert main(["--home", str(home), "--json", "--debug", "secrets", "set", KEY]) == 1
    said = capfd.readouterr()
    assert "Traceback" in said.err  # asked for by --debug; it must not repeat the value either
    assert words in json.loads(said.out)["error"]
    assert CANARY not in said.err + said.out
    assert Keychain().names() == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("binanceusdm", "x", "two to four parts"), ("Binance.Key", "x", "two to four parts"),
        (INDEX, "x", "two to four parts"), ("../a.b", "x", "two to four parts"), (KEY, " \n", "is empty"),
        (KEY, "x" * 16_001, "longer than 16,000"), (KEY, "\x1b[200~x", "control characters"), (KEY, b"\xff", "UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_name_or_no_value_is_refused(
    command: Command, memory: Memory, monkeypatch: pytest.MonkeyPatch, name: str, value: str | bytes, words: str
) -> None:
    typed(monkeypatch, value)
    assert words in command("secrets", "set", name).document["error"]
    assert memory.kept == {}


def test_a_damaged_list_of_names_is_said(command: Command, memory: Memory) -> None:
    for text in ("{", '{"a": 1}', "[1]"):
        memory.kept[SERVICE, INDEX] = text
        assert "list of names in the keychain is damaged" in command("secrets", "list").document["error"]

"""Secrets in the system's keychain, and nowhere else: no file, no environment, no plain-text fallback.

A secret is an entry of the service ``quantai-trad``, named as ``binanceusdm.key``. The names are kept beside them under
an entry without a dot, because no keychain can list what it holds. Values are never shown, logged or audited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from data.errors import UserError

if TYPE_CHECKING:
    from database.audit import Audit

SERVICE = "quantai-trad"
INDEX = "names"  # has no dot, so that it is no secret's name
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}(\.[a-z0-9][a-z0-9_-]{0,31}){1,3}")
LONGEST = 16_000  # characters; a private key has some 3,000
SET, DELETED = "secret_set", "secret_deleted"  # audit kinds; the body holds the name

NO_KEYCHAIN = (
    "No keychain on this machine, so secrets cannot be stored: install or unlock one (on Linux a Secret Service such "
    "as gnome-keyring or KWallet); they are never written to a file. Paper trading needs none."
)


def usable_backend() -> Any:
    """The keychain that ``keyring`` has chosen, or the first of its chain that keeps no plain text.

    Raises:
        UserError: there is none.
    """
    import keyring
    from keyring.backends.chainer import ChainerBackend

    found = keyring.get_keyring()
    chain = found.backends if isinstance(found, ChainerBackend) else [found]
    for backend in chain:
        if not _refused(backend):
            return backend
    raise UserError(NO_KEYCHAIN)


def _refused(backend: object) -> bool:
    from keyring.backends import fail, null

    kind = type(backend)
    return isinstance(backend, fail.Keyring | null.Keyring) or any(
        base.__module__.split(".")[0] == "keyrings" and "alt" in base.__module__.split(".") for base in kind.__mro__
    )


class Keychain:
    """The program's secrets. ``backend`` is the person's keychain where none is given.

    Raises:
        UserError: this machine has no keychain.
    """

    def __init__(self, backend: Any = None) -> None:
        self._backend = usable_backend() if backend is None else backend

    def names(self) -> list[str]:
        """Names of the secrets, sorted.

        Raises:
            UserError: the keychain is locked, cannot be reached, or its list of names is damaged.
        """
        with _asked():
            text = self._backend.get_password(SERVICE, INDEX)
        if text is None:
            return []
        try:
            names = json.loads(text)
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise UserError(
                f"The list of names in the keychain is damaged: remove the entry '{INDEX}' of '{SERVICE}' with the "
                "system's own keychain program, then set the secrets again."
            )
        return sorted(names)

    def get(self, name: str) -> str | None:
        """A secret's value, ``None`` where there is none of that name.

        Raises:
            UserError: no possible name, or the keychain is locked or cannot be reached.
        """
        check_name(name)
        with _asked():
            value: str | None = self._backend.get_password(SERVICE, name)
        return value

    def set(self, name: str, value: str) -> bool:
        """Store a secret; whether it replaced one.

        Raises:
            UserError: no possible name or value, or the keychain refused it.
        """
        check_name(name)
        check_value(value)
        names = self.names()
        if name in names:
            self._store(name, value)
            return True
        self._store(INDEX, json.dumps([*names, name]))  # first: a secret that no list shows could not be found again
        try:
            self._store(name, value)
        except UserError:
            self._store(INDEX, json.dumps(names))
            raise
        return False

    def delete(self, name: str) -> None:
        """Remove a secret.

        Raises:
            UserError: there is none of that name, or the keychain refused.
        """
        check_name(name)
        names = self.names()
        if name not in names:
            raise UserError("The keychain holds no secret of that name: 'secrets list' shows the names.")
        with _asked():
            if self._backend.get_password(SERVICE, name) is not None:
                self._backend.delete_password(SERVICE, name)
        self._store(INDEX, json.dumps([n for n in names if n != name]))

    def _store(self, entry: str, text: str) -> None:
        with _asked():
            self._backend.set_password(SERVICE, entry, text)


@contextmanager
def _asked() -> Iterator[None]:
    """Run a block that asks the keychain; whatever it raises becomes a sentence without the backend's own words,
    which might repeat the value."""
    from keyring.errors import KeyringLocked, NoKeyringError

    try:
        yield
    except NoKeyringError:
        raise UserError(NO_KEYCHAIN) from None
    except KeyringLocked:
        raise UserError("The keychain is locked: unlock it, then run the command again.") from None
    except Exception as error:
        raise UserError(
            f"The keychain refused ({type(error).__name__}): check that it is unlocked and open to this program."
        ) from None


def check_name(name: str) -> None:
    """Refuse what is no name; it is not repeated, since it may be a value in the wrong place.

    Raises:
        UserError: no possible name.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            "A secret's name has two to four parts of lower-case letters, digits, '-' and '_' with dots between, "
            "as binanceusdm.key."
        )


def check_value(value: str) -> None:
    """Refuse what is no value.

    Raises:
        UserError: empty, too long, or with control characters.
    """
    if not value:
        raise UserError("The value is empty: nothing was stored.")
    if len(value) > LONGEST:
        raise UserError(f"The value is longer than {LONGEST:,} characters: nothing was stored.")
    if any(ord(c) < 32 and c not in "\n\r\t" for c in value):
        raise UserError("The value holds control characters, perhaps from pasting: nothing was stored.")


def audited(audit: Audit, kind: str, name: str) -> None:
    """Write to the audit that a secret of this name was set or deleted."""
    audit.append(None, kind, {"name": name})

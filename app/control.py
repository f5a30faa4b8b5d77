"""The control channel of a running service: one JSON line asks, one JSON line answers.

A Unix socket in the home folder where its path fits, else a loopback port; either way the file ``control.json`` in the
home folder (readable by the user alone) says where it is and holds a token that every request must carry.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from data.errors import QuantError, UserError

CONTROL_FILE = "control.json"
_SOCKET_FILE = "control.sock"
_LONGEST_SOCKET_PATH = 100  # the limit of sun_path is 104 to 108 bytes, by system
_LONGEST_LINE = 1 << 22
_ASK_WITHIN_S = 10.0  # from connecting to the end of the request

log = logging.getLogger(__name__)

COMMANDS = ("status", "pause", "resume", "halt", "flatten", "loosen", "stop")
Handler = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlServer:
    """Listens for commands while a service runs; ``handler(command, args)`` answers with a JSON document."""

    def __init__(self, home: Path, handler: Handler) -> None:
        self._home = home
        self._handler = handler
        self._token = secrets.token_urlsafe(24)
        self._server: asyncio.AbstractServer | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Open the channel and write ``control.json``, whole from the first moment that it is there.

        Raises:
            UserError: the home cannot be written to.
        """
        try:
            await self._start()
        except OSError as error:
            why = error.strerror or str(error)
            raise UserError(f"The control channel in {self._home} cannot be opened ({why}).") from error

    async def _start(self) -> None:
        path = self._home / _SOCKET_FILE
        if sys.platform != "win32" and len(os.fsencode(path)) < _LONGEST_SOCKET_PATH:
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path=path, limit=_LONGEST_LINE)
            path.chmod(0o600)
            address: dict[str, Any] = {"socket": _SOCKET_FILE}
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_LINE)
            address = {"port": self._server.sockets[0].getsockname()[1]}
        document = json.dumps({**address, "token": self._token, "pid": os.getpid()})
        fresh = self._home / f"{CONTROL_FILE}.new"
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(document)
        fresh.replace(self._home / CONTROL_FILE)

    async def stop(self) -> None:
        """Close the channel and remove its files."""
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.close()
            await self._server.wait_closed()
            self._server = None
        (self._home / CONTROL_FILE).unlink(missing_ok=True)
        (self._home / _SOCKET_FILE).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.timeout(_ASK_WITHIN_S):
                line = await reader.readline()
            writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            return  # the asker went away, said nothing or sent an endless line; nothing was done
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            token, command, args = request["token"], request["command"], dict(request.get("args", {}))
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": "The request is no valid JSON command."}
        if not isinstance(token, str) or not secrets.compare_digest(token.encode(), self._token.encode()):
            return {"error": "The request carries no valid token."}
        if command not in COMMANDS:
            return {"error": f"Unknown command '{command}'."}
        try:
            return await self._handler(command, args)
        except QuantError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("the command %s failed", command)
            return {"error": f"The service could not do '{command}'; its log says more."}


def send(home: Path, command: str, args: Mapping[str, Any] | None = None, timeout_s: float = 10.0) -> dict[str, Any]:
    """Send one command to the service that runs on this home folder and return its answer.

    Raises:
        UserError: no service runs there, it does not answer, or it refused the command.
    """
    try:
        where = json.loads((home / CONTROL_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"No service is running on {home}: start one with 'run'.") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{home / CONTROL_FILE} cannot be read ({error}): stop the service and start it again."
        ) from None
    request = json.dumps({"token": where.get("token"), "command": command, "args": dict(args or {})})
    try:
        with _connect(home, where, timeout_s) as link:
            link.sendall(request.encode() + b"\n")
            with link.makefile("rb") as stream:
                line = stream.readline()
    except OSError:
        raise UserError(f"No service answers on {home}: it has ended or hangs; start it again with 'run'.") from None
    if not line:
        raise UserError(f"The service on {home} ended before it answered '{command}'.")
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        raise UserError(f"What answers on {home} is no service of this program: start one with 'run'.") from None
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return answer


def _connect(home: Path, where: Mapping[str, Any], timeout_s: float) -> socket.socket:
    if "socket" in where:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(timeout_s)
        link.connect(str(home / str(where["socket"])))
        return link
    return socket.create_connection(("127.0.0.1", int(where["port"])), timeout_s)

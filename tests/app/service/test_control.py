"""The control channel: commands reach the service, strangers do not."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.control import CONTROL_FILE, ControlServer, send
from data.errors import UserError


async def echo(command, args):
    if command == "halt":
        raise UserError("It is halted already.")
    return {"command": command, "args": dict(args)}


@pytest.fixture
async def server(tmp_path):
    made = ControlServer(tmp_path, echo)
    await made.start()
    yield made
    await made.stop()


async def test_a_command_is_answered(server, tmp_path):
    answer = await asyncio.to_thread(send, tmp_path, "status", {"x": 1})
    assert answer == {"command": "status", "args": {"x": 1}}


async def test_a_refusal_comes_back_as_its_sentence(server, tmp_path):
    with pytest.raises(UserError, match="halted already"):
        await asyncio.to_thread(send, tmp_path, "halt")


async def test_a_wrong_token_is_refused(server, tmp_path):
    where = json.loads((tmp_path / CONTROL_FILE).read_text())
    (tmp_path / CONTROL_FILE).write_text(json.dumps({**where, "token": "guess"}))
    with pytest.raises(UserError, match="no valid token"):
        await asyncio.to_thread(send, tmp_path, "status")


async def test_the_control_file_is_for_the_user_alone(server, tmp_path):
    assert (tmp_path / CONTROL_FILE).stat().st_mode & 0o077 == 0


async def test_a_long_home_path_falls_back_to_loopback(tmp_path):
    home = tmp_path / ("long" * 30)
    home.mkdir()
    server = ControlServer(home, echo)
    await server.start()
    assert "port" in json.loads((home / CONTROL_FILE).read_text())
    assert (await asyncio.to_thread(send, home, "pause"))["command"] == "pause"
    await server.stop()


def test_no_service_is_said_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="No service is running"):
        send(tmp_path, "status")


def test_a_dead_service_is_said_in_one_sentence(tmp_path):
    (tmp_path / CONTROL_FILE).write_text(json.dumps({"port": 1, "token": "t"}))
    with pytest.raises(UserError, match="No service answers"):
        send(tmp_path, "status")


async def ask_raw(home, line: bytes) -> dict[str, object]:
    reader, writer = await asyncio.open_unix_connection(home / "control.sock")
    writer.write(line + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


NO_REQUESTS = (b"", b"nonsense", b"[]", b'{"token": 1}', b'{"token": "x", "command": "halt", "args": 3}')


@pytest.mark.parametrize("line", NO_REQUESTS)
async def test_a_line_that_is_no_request_is_refused(server, tmp_path, line):
    assert "valid" in str((await ask_raw(tmp_path, line))["error"])


async def test_an_unknown_command_is_refused(server, tmp_path):
    with pytest.raises(UserError, match="Unknown command 'dance'"):
        await asyncio.to_thread(send, tmp_path, "dance")


async def test_a_failing_command_is_answered_and_the_channel_stays_open(tmp_path, caplog):
    async def broken(command, args):
        return {} if command == "status" else {}["planted"]

    server = ControlServer(tmp_path, broken)
    await server.start()
    with pytest.raises(UserError, match="could not do 'pause'"):
        await asyncio.to_thread(send, tmp_path, "pause")
    assert "planted" in caplog.text
    assert await asyncio.to_thread(send, tmp_path, "status") == {}
    await server.stop()


async def test_someone_who_connects_and_says_nothing_does_not_hold_up_the_end(server, tmp_path):
    reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
    await asyncio.to_thread(send, tmp_path, "status")
    await asyncio.wait_for(server.stop(), 2.0)
    assert await reader.read() == b""
    writer.close()
    assert not list(tmp_path.iterdir())

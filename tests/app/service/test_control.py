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

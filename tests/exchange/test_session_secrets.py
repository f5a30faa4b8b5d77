"""An account's key goes with signed requests and shows itself nowhere else: a planted one is looked for."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import QuantError
from data.exchange.credentials import Credentials
from data.exchange.session import ExchangeSession
from data.settings import DataSettings
from tests.exchange.binance_server import BinanceServer, error_body

CANARIES = ("canary-key-7f3a", "canary-secret-91bc", "canary-password-55de")


def found(text: str) -> bool:
    return any(canary in text for canary in CANARIES)


def test_credentials_show_nothing_and_are_not_written_anywhere() -> None:
    held = Credentials(*CANARIES)
    assert repr(held) == str(held) == f"{held}" == "Credentials()"
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            write(held)
    with pytest.raises(AttributeError):
        held.key = "other"  # type: ignore[misc]
    with pytest.raises(TypeError) as caught:
        Credentials(*CANARIES, "one too many")  # type: ignore[call-arg]
    assert not found(str(caught.value))


async def test_a_planted_key_appears_in_no_error_log_or_figure(
    server: BinanceServer, clock: ManualClock, sleeper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = DataSettings(base_url=server.url, request_attempts=2)
    session = ExchangeSession(
        settings, clock, sleep=sleeper, rng=np.random.default_rng(1), credentials=Credentials(*CANARIES)
    )
    shown: list[str] = [repr(session), str(settings)]
    async with session:
        faults = (
            {"status": 500}, {"status": 401, "body": error_body(-2015, "Invalid API-key, IP, or permissions.")},
            {"cut": True}, {"body": "[]"}, {"body": "<html>"}, {"status": 429, "headers": {"Retry-After": "1"}},
            {"status": 400, "body": error_body(-1022, "Signature for this request is not valid.")},
        )  # fmt: skip
        for fault in faults:
            server.misbehave("/balance", times=2, **fault)
            try:
                await session.ask("read the balance", lambda exchange: exchange.fapiPrivateV3GetBalance())
            except QuantError as error:
                shown += [str(error), repr(error), *traceback.format_exception(error)]
        shown += [repr(session.health), repr(session.pace), repr(session)]
        signed = server.asked("/balance")
        client = session.stream_client()
        assert client.apiKey != CANARIES[0]
        await client.close()
    assert signed[0].headers["X-MBX-APIKEY"] == CANARIES[0]
    assert len(signed) >= 10
    assert all("signature" in request.query for request in signed)
    assert not any(found(str(request.query)) for request in signed)
    assert not any(found(text) for text in [*shown, *(record.getMessage() for record in caplog.records)])


async def test_public_questions_are_asked_without_the_key(server: BinanceServer, clock: ManualClock, sleeper) -> None:
    settings = DataSettings(base_url=server.url)
    async with ExchangeSession(settings, clock, sleep=sleeper, credentials=Credentials(*CANARIES)) as session:
        await session.premium("BTCUSDT")
        await session.server_time()
    assert not any(found(str(request.headers)) for request in server.requests)

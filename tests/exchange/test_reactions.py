"""ccxt's real error classes, sorted by what the caller does next: the table of the design, row by row."""

from __future__ import annotations

import aiohttp
import ccxt
import pytest

from data.errors import Rejected, Retryable, Unknown, UserError
from data.exchange.reactions import translate

UNCLEAR = (
    ccxt.RequestTimeout, ccxt.ExchangeNotAvailable, ccxt.OnMaintenance, ccxt.OperationFailed, ccxt.BadResponse,
    ccxt.NullResponse, ccxt.ExchangeError, ccxt.NetworkError,
)  # fmt: skip
REFUSED = (
    ccxt.AuthenticationError, ccxt.PermissionDenied, ccxt.AccountSuspended, ccxt.ArgumentsRequired, ccxt.BadRequest,
    ccxt.BadSymbol, ccxt.NotSupported, ccxt.InvalidOrder, ccxt.OrderNotFound, ccxt.OrderImmediatelyFillable,
    ccxt.InsufficientFunds, ccxt.OperationRejected, ccxt.MarginModeAlreadySet, ccxt.ContractUnavailable,
)  # fmt: skip
TEXT = 'binanceusdm {"code":-1000,"msg":"Something."}'


@pytest.mark.parametrize("kind", UNCLEAR)
def test_an_unclear_outcome_is_repeated_when_reading_and_unknown_when_writing(kind: type[Exception]) -> None:
    assert isinstance(translate(kind(TEXT), "binanceusdm", "read"), Retryable)
    assert isinstance(translate(kind(TEXT), "binanceusdm", "place", writing=True), Unknown)


@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_is_final(kind: type[Exception], writing: bool) -> None:
    assert isinstance(translate(kind(TEXT), "binanceusdm", "act", writing), Rejected)


@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize("kind", [ccxt.RateLimitExceeded, ccxt.DDoSProtection])
def test_a_limit_is_surely_refused_and_waits(kind: type[Exception], writing: bool) -> None:
    error = kind("binanceusdm 429 Too Many Requests")
    error.retry_after = 12.0  # type: ignore[attr-defined]
    got = translate(error, "binanceusdm", "act", writing)
    assert isinstance(got, Retryable)
    assert got.retry_after_s == 12.0
    plain = translate(kind("binanceusdm 429"), "binanceusdm", "act", writing)
    assert isinstance(plain, Retryable)
    assert plain.retry_after_s == 30.0


@pytest.mark.parametrize("writing", [False, True])
def test_a_wrong_clock_was_surely_refused(writing: bool) -> None:
    assert isinstance(translate(ccxt.InvalidNonce(TEXT), "binanceusdm", "act", writing), Retryable)


@pytest.mark.parametrize("writing", [False, True])
def test_a_refused_connection_was_never_sent(writing: bool) -> None:
    error = ccxt.ExchangeNotAvailable("binanceusdm GET https://fapi.binance.com/fapi/v1/ping")
    error.__cause__ = ConnectionRefusedError()
    got = translate(error, "binanceusdm", "answer a ping", writing)
    assert isinstance(got, Retryable)
    assert str(got).startswith("binanceusdm can not be reached to answer a ping")


@pytest.mark.parametrize("cause", [aiohttp.ClientPayloadError(), aiohttp.ServerDisconnectedError(), TimeoutError()])
@pytest.mark.parametrize("kind", [ccxt.ExchangeError, ccxt.ExchangeNotAvailable, ccxt.InvalidOrder])
def test_an_answer_cut_short_is_never_taken_for_a_refusal(kind: type[Exception], cause: Exception) -> None:
    error = kind("binanceusdm POST https://fapi.binance.com/fapi/v1/order")
    error.__cause__ = cause
    assert isinstance(translate(error, "binanceusdm", "place", writing=True), Unknown)
    assert isinstance(translate(error, "binanceusdm", "read"), Retryable)


def test_an_error_that_is_already_ours_stays() -> None:
    error = UserError("A sentence.")
    assert translate(error, "binanceusdm", "read") is error


def test_the_sentence_holds_no_address_key_or_markup() -> None:
    error = ccxt.ExchangeNotAvailable(
        "binanceusdm GET https://fapi.binance.com/x?apiKey=SECRET&signature=abc 502 Bad Gateway <b>Oops</b>\n"
    )
    text = str(translate(error, "binanceusdm", "read candles"))
    assert text == "binanceusdm could not read candles: ExchangeNotAvailable (502 Bad Gateway Oops)."

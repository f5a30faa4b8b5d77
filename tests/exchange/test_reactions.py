"""ccxt's real error classes, sorted by what the caller does next: the table of the design, row by row."""

from __future__ import annotations

import aiohttp
import ccxt
import pytest

from data.errors import Rejected, Retryable, Unknown, UserError
from data.exchange.catalogue import CLASSES, quirks_of
from data.exchange.reactions import ClockRefused, Reaction, banned_until_ms, reaction_to, translate

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
    assert str(got).startswith("binanceusdm cannot be reached to answer a ping")


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


def with_status(kind: type[Exception], text: str, status: int) -> Exception:
    error = kind(text)
    error.status = status  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "reaction"),
    [
        (with_status(ccxt.DDoSProtection, "binanceusdm 418 I am a teapot {}", 418), Reaction.BANNED),
        (with_status(ccxt.DDoSProtection, "binanceusdm 429 Too Many Requests {}", 429), Reaction.LIMITED),
        (ccxt.DDoSProtection("binanceusdm 418 I am a teapot {}"), Reaction.BANNED),
        (with_status(ccxt.ExchangeError, 'weex {"code":429,"msg":"too frequent"}', 429), Reaction.LIMITED),
        (with_status(ccxt.RateLimitExceeded, 'binanceusdm {"code":-1003}', 400), Reaction.LIMITED),
        (with_status(ccxt.OperationFailed, 'binanceusdm {"code":-1001}', 503), Reaction.MAINTENANCE),
        (ccxt.ExchangeNotAvailable("okx GET https://okx.com/x 503 Unavailable <html>"), Reaction.MAINTENANCE),
        (ccxt.OnMaintenance('okx {"code":"50001"}'), Reaction.MAINTENANCE),
        (ccxt.ExchangeNotAvailable("bybit GET https://api.bybit.com/x 502 Bad Gateway"), Reaction.UNCLEAR),
        (ccxt.ExchangeError('bybit {"retCode":10016,"retMsg":"Server error."}'), Reaction.UNCLEAR),
        (ccxt.InvalidNonce('bybit {"retCode":10002}'), Reaction.CLOCK),
        (ccxt.BadSymbol('binanceusdm {"code":-1121}'), Reaction.REFUSED),
        (KeyError("x"), Reaction.UNCLEAR),
    ],
)  # fmt: skip
def test_an_error_is_sorted_by_status_and_class(error: Exception, reaction: Reaction) -> None:
    assert reaction_to(error) is reaction


@pytest.mark.parametrize(
    ("exchange", "error", "reaction"),
    [
        ("binanceusdm", ccxt.BadRequest('binanceusdm {"code":-5028,"msg":"Timestamp."}'), Reaction.CLOCK),
        ("okx", ccxt.ExchangeError('okx {"code":"50061","msg":"Too fast","data":[]}'), Reaction.LIMITED),
        ("weex", ccxt.BadRequest('weex {"code":-1046,"msg":"Invalid timestamp"}'), Reaction.CLOCK),
    ],
)
def test_codes_that_the_library_misjudges_are_judged_by_the_exchange_s_own_table(
    exchange: str, error: Exception, reaction: Reaction
) -> None:
    assert reaction_to(error) is not reaction
    assert reaction_to(error, quirks_of(exchange).codes) is reaction


@pytest.mark.parametrize("exchange", CLASSES)
def test_the_classes_of_own_codes_exist_in_the_library(exchange: str) -> None:
    assert all(issubclass(getattr(ccxt, name), ccxt.BaseError) for name in quirks_of(exchange).codes.values())


def test_maintenance_is_named_when_reading_and_unknown_when_writing() -> None:
    error = with_status(ccxt.ExchangeNotAvailable, "binanceusdm GET https://x/y 503 Service Unavailable", 503)
    assert "is under maintenance, so it could not read" in str(translate(error, "binanceusdm", "read"))
    assert isinstance(translate(error, "binanceusdm", "place", writing=True), Unknown)


def test_a_refused_time_is_told_apart() -> None:
    assert isinstance(translate(ccxt.InvalidNonce(TEXT), "binanceusdm", "act"), ClockRefused)


def test_the_end_of_a_ban_is_read_from_the_words_of_the_exchange() -> None:
    words = 'binanceusdm 418 {"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until 1573122135000."}'
    assert banned_until_ms(ccxt.DDoSProtection(words)) == 1_573_122_135_000
    assert banned_until_ms(ccxt.DDoSProtection("binanceusdm 429")) is None

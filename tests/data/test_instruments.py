"""Instrument rules: the table of the eight symbols and inference from decimals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from data.errors import UserError
from data.instruments import INSTRUMENTS, instrument_for, step_of
from data.market import Frame, SeriesKey
from data.synthetic import synthetic_market


def frame_of(prices: list[float], volumes: list[float]) -> Frame:
    key = SeriesKey("binanceusdm", "AVAX/USDT:USDT", "1m")
    p, v = np.array(prices), np.array(volumes)
    return Frame.of(key, np.arange(len(p), dtype=np.int64) * 60_000, p, p, p, p, v)


@pytest.mark.parametrize(
    ("symbol", "tick", "lot", "least"),
    [
        ("BTCUSDT", "0.1", "0.001", 100.0),
        ("ETHUSDT", "0.01", "0.001", 5.0),
        ("SOLUSDT", "0.001", "0.01", 5.0),
        ("XRPUSDT", "0.0001", "0.1", 5.0),
        ("BNBUSDT", "0.01", "0.01", 5.0),
        ("ADAUSDT", "0.0001", "1", 5.0),
        ("DOGEUSDT", "0.00001", "1", 5.0),
        ("LTCUSDT", "0.01", "0.001", 5.0),
    ],
)
def test_the_eight_symbols_have_the_defined_steps(symbol: str, tick: str, lot: str, least: float) -> None:
    rules = instrument_for(symbol)
    assert (rules.tick, rules.lot, rules.min_notional) == (Decimal(tick), Decimal(lot), least)
    assert rules.maintenance_rate == (0.004 if symbol == "BTCUSDT" else 0.01)
    assert rules.liquidation_fee == 0.0125
    assert not rules.inferred
    assert len(INSTRUMENTS) == 8


def test_any_spelling_of_a_symbol_finds_its_rules() -> None:
    assert instrument_for("btc/usdt") == instrument_for("BTC/USDT:USDT") == instrument_for("BTCUSDT")


def test_other_symbols_are_inferred_from_their_decimals_and_marked() -> None:
    rules = instrument_for("AVAXUSDT", frame_of([20.13, 20.1, 20.125, 21.0], [13.0, 7.0, 0.0, 22.0]))
    assert rules.inferred
    assert (rules.tick, rules.lot) == (Decimal("0.001"), Decimal("1"))


def test_a_rare_odd_price_does_not_refine_the_tick() -> None:
    assert step_of(np.array([1.23] * 5000 + [1.2345678])) == Decimal("0.01")
    assert step_of(np.array([1.23, 1.2345678])) == Decimal("1E-7")


def test_an_unknown_symbol_with_an_empty_series_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="AVAXUSDT are not known"):
        instrument_for("AVAXUSDT", frame_of([], []))


def test_without_any_series_another_symbol_gets_the_steps_of_its_synthetic_market() -> None:
    rules = instrument_for("AVAXUSDT")
    frame, _ = synthetic_market("AVAXUSDT", "1m", 500, 7)
    assert rules.inferred
    assert (rules.tick, rules.lot) == (step_of(frame.close), step_of(frame.volume))

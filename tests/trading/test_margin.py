"""Maintenance margin and liquidation prices against the exchanges' own published examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data.errors import UserError
from data.instruments import LeverageTier
from tests.trading.cases import config_of, instrument
from trading.instrument_rules import TIERS, instrument_records
from trading.margin import liquidation_price, maintenance_of

# Binance, "Leverage and Margin of USDⓈ-M Futures", brackets of 2021: floor, cap, leverage, rate, maintenance amount
BINANCE_BTC = (
    (0, 50_000, 125, 0.004, 0), (50_000, 250_000, 100, 0.005, 50), (250_000, 1_000_000, 50, 0.01, 1300),
    (1_000_000, 10_000_000, 20, 0.025, 16_300), (10_000_000, 20_000_000, 10, 0.05, 266_300),
)  # fmt: skip
BINANCE_ETH = (
    (0, 10_000, 100, 0.005, 0), (10_000, 100_000, 75, 0.0065, 15), (100_000, 500_000, 50, 0.01, 365),
    (500_000, 1_000_000, 25, 0.02, 5365), (1_000_000, 2_000_000, 10, 0.05, 35_365),
    (2_000_000, 5_000_000, 5, 0.1, 135_365), (5_000_000, 10_000_000, 4, 0.125, 260_365),
)  # fmt: skip
# Bybit, "Maintenance Margin (USDT Contract)": the deduction of a tier makes the margin grow without steps
BYBIT_BTC = ((0, 2e6, 100, 0.005, 0), (2e6, 1e7, 50, 0.01, 10_000), (1e7, 2e7, 25, 0.02, 110_000))


def record(rows: Any, told: bool = True, **changes: Any) -> Any:
    tiers = tuple(LeverageTier(f, c, lev, rate, amount if told else 0.0) for f, c, lev, rate, amount in rows)
    return instrument_records(config_of(instruments=[instrument(tiers=tiers, **changes)]))[0]


def test_maintenance_amounts_follow_from_the_rates_as_binance_says() -> None:
    """ "Maintenance Amount": floor × (rate - rate below) + amount below."""
    for rows in (BINANCE_BTC, BINANCE_ETH, BYBIT_BTC):
        made = record(rows, told=False)
        assert made["tier_amount"][: len(rows)] == pytest.approx([row[4] for row in rows])


def test_maintenance_margins_of_the_binance_example() -> None:
    """ETHUSDT: 4,918,775.081 × 10 % - 135,365 = 356,512.508; BTCUSDT: 3,500,032.458 × 2.5 % - 16,300 = 71,200.811."""
    assert maintenance_of(4_918_775.081, record(BINANCE_ETH)) == pytest.approx(356_512.508, abs=0.001)
    assert maintenance_of(3_500_032.458, record(BINANCE_BTC)) == pytest.approx(71_200.81144, abs=0.0001)


def test_maintenance_margin_has_no_steps() -> None:
    for rows in (BINANCE_BTC, BINANCE_ETH, BYBIT_BTC):
        made = record(rows)
        for floor, *_ in rows[1:]:
            assert maintenance_of(floor + 1e-6, made) == pytest.approx(maintenance_of(floor - 1e-6, made), abs=1e-6)


def test_cross_liquidation_prices_of_the_binance_example() -> None:
    """Binance, "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts": 1,153.26 and 26,316.89.

    The wallet is the balance with the profit of the other position and without the margin that one must keep.
    """
    balance = 1_535_443.01
    eth = liquidation_price(1, 3683.979 * 1456.84, 3683.979, balance - 71_200.81144 - 56_354.57, record(BINANCE_ETH))
    btc = liquidation_price(1, 109.488 * 32_481.98, 109.488, balance - 356_512.508 - 448_192.89, record(BINANCE_BTC))
    assert eth == pytest.approx(1153.26, abs=0.005)
    assert btc == pytest.approx(26_316.89, abs=0.005)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("rows", [BINANCE_BTC, BINANCE_ETH, BYBIT_BTC])
def test_at_the_liquidation_price_equity_is_the_maintenance_margin(side: int, rows: Any) -> None:
    """The tier is that of the value at the price of liquidation, not at the entry."""
    made = record(rows)
    for notional in (900.0, 49_000.0, 51_000.0, 260_000.0, 1_100_000.0, 9_900_000.0):
        for leverage in (2.0, 5.0, 20.0):
            quantity, wallet = notional / 100.0, notional / leverage
            if maintenance_of(notional, made) >= wallet:
                continue
            price = liquidation_price(side, notional, quantity, wallet, made)
            left = wallet + side * quantity * (price - 100.0)
            assert left == pytest.approx(maintenance_of(quantity * price, made), rel=1e-9)


def test_an_isolated_position_without_tiers_has_the_price_of_the_definition() -> None:
    made = record((), maintenance_rate=0.02)
    price = liquidation_price(1, 100.0 * 7, 7.0, 35.0, made)
    assert price == pytest.approx((35.0 - 700.0) / (7.0 * (0.02 - 1.0)))


def test_more_tiers_than_there_is_room_for_cap_the_position() -> None:
    rows = [(1000.0 * k, 1000.0 * (k + 1), 20, 0.01 + 0.001 * k, 0.0) for k in range(TIERS + 5)]
    assert record(rows)["max_notional"] == 1000.0 * TIERS
    assert np.all(np.diff(record(rows)["tier_amount"]) > 0)


def test_steps_too_fine_for_whole_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="too fine"):
        instrument_records(config_of(instruments=[instrument(tick="0.0000000001", lot="0.0000000001")]))

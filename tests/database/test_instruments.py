"""Trading rules as an exchange gave them, and as they were known."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

from data.clock import ManualClock
from data.instruments import INSTRUMENTS, Instrument, LeverageTier
from database.home import Home
from database.migrations.runner import MIGRATIONS, migrate, schema_version
from database.repositories import Repositories

BTC = INSTRUMENTS["BTC/USDT:USDT"]
EVERYTHING = replace(
    BTC, status="settling", min_quantity=Decimal("0.002"), max_quantity=Decimal(1000), market_max_quantity=Decimal(120),
    taker_fee=0.0005, maker_fee=0.0002, inferred=True, contract_size=0.01,
    tiers=(LeverageTier(0.0, 5e4, 125.0, 0.004), LeverageTier(5e4, 6e5, 100.0, 0.005, 50.0)),
)  # fmt: skip


def test_rules_come_back_whole(db: Repositories) -> None:
    assert db.instruments.newest("okx", "BTCUSDT") is None
    for rules in (BTC, EVERYTHING):
        assert db.instruments.write("okx", rules, 5 if rules is BTC else 9)
        assert db.instruments.newest("okx", "btc/usdt") == rules
    assert db.instruments.newest("bybit", "BTCUSDT") is None


def test_equal_rules_are_stored_once_however_they_are_written(db: Repositories) -> None:
    assert db.instruments.write("okx", BTC, 5)
    assert not db.instruments.write("okx", replace(BTC, tick=Decimal("0.1000"), min_quantity=Decimal("0.0")), 6)
    assert not db.instruments.write("okx", BTC, 7)
    assert [known.known_at for known in db.instruments.all()] == [5]


def test_every_version_stays_and_is_found_by_what_was_known(db: Repositories) -> None:
    versions: list[Instrument] = [replace(BTC, tick=Decimal(tick)) for tick in ("0.1", "0.5", "0.1")]
    for known_at, rules in zip((10, 20, 30), versions, strict=True):
        assert db.instruments.write("okx", rules, known_at)
    db.instruments.write("okx", INSTRUMENTS["ETH/USDT:USDT"], 15)
    seen = [db.instruments.newest("okx", BTC.symbol, moment) for moment in (9, 10, 19, 20, 29, 30, 10**15)]
    assert seen == [None, versions[0], versions[0], versions[1], versions[1], versions[2], versions[2]]
    assert [(k.exchange, k.known_at, k.instrument.symbol) for k in db.instruments.all()] == [
        ("okx", 10, BTC.symbol), ("okx", 20, BTC.symbol), ("okx", 30, BTC.symbol), ("okx", 15, "ETH/USDT:USDT"),
    ]  # fmt: skip


def test_a_home_of_schema_3_opens_and_takes_rules(home: Home, clock: ManualClock) -> None:
    path = home.database_path
    migrate(path, clock, MIGRATIONS[:3])
    with closing(sqlite3.connect(path)) as old:
        old.execute("INSERT INTO series VALUES (1, 'okx', 'BTC/USDT:USDT', '1h', 'ohlcv', 'exchange', 0, 0, 0)")
        old.execute("INSERT INTO data_checks VALUES (1, 7, 0, '[]')")
        old.commit()
    with home.open() as db:
        assert home.migration is not None and "instrument rules" in home.migration.applied
        assert home.migration.backup is not None and schema_version(home.migration.backup) == 3
        assert [check.checked_ms for check in db.checks.all().values()] == [7]
        assert db.instruments.all() == ()
        assert db.instruments.write("okx", EVERYTHING, 1)
        assert db.integrity() == "ok"

"""What stands beside the bars in runs: replays, runs in pieces and on an exchange read what the back-test reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.wiring import Workplace, extras_for, feature_cube, market_for, run_warmup
from data.beside import BESIDE
from data.clock import iso
from data.market import TICK, Frame, SeriesKey
from data.observations import COLUMNS, Observations
from data.synthetic import synthetic_market
from database.home import Home
from tests.app.service.conftest import REPLAY, SPAN, SYMBOL, plain_trades
from tests.app.service.running import running
from tests.app.service.test_exchange_run import BEFORE, BTC, KEY, START, STEP, Exchange, exchange, stored

__all__ = ["exchange"]  # the fixture

ETH = "ETH/USDT:USDT"
NAMES = ("oi_zscore_96", "basis_index", "cross_1_correlation_96", "cross_1_strength_24", "account_skew",
         "taker_imbalance_12", "higher_4_rsi_14", "oi_change_1")  # fmt: skip


def strategy(folder: Path, long: list[tuple[str, str, float]], short: list[tuple[str, str, float]]) -> str:
    """A file of a strategy whose conditions are named features against numbers."""
    document = {
        "name": "beside",
        "meaning": "Conditions on what stands beside the candles.",
        "source": "a test",
        "long": {"all": [{"left": a, "op": o, "right": b} for a, o, b in long]},
        "short": {"all": [{"left": a, "op": o, "right": b} for a, o, b in short]},
    }
    path = folder / "beside.json"
    path.write_text(json.dumps(document))
    return str(path)


def stock(home: Path) -> None:
    """Observations beside the synthetic bars of a home: often late, some revised, with holes; and a second symbol."""
    generator = np.random.default_rng(4)
    with Home(home).open() as database:
        info = next(i for i in database.candles.series() if i.key.kind == "ohlcv")
        frame = database.candles.read(info.key)
        other, _ = synthetic_market(ETH, "15m", len(frame), 8, exchange=info.key.exchange)
        database.candles.write(other)
        for kind, apart in (("metrics", 300_000), ("premium", 60_000)):
            time = np.arange(int(frame.open_time[0]), int(frame.open_time[-1]), apart, dtype=np.int64)
            time = time[generator.random(len(time)) > 0.1]
            known = time + generator.choice([0, 500, 400_000], len(time), p=[0.6, 0.3, 0.1])
            values = np.exp(np.cumsum(generator.normal(0, 2e-3, (len(time), len(COLUMNS[kind]))), axis=0))
            key = SeriesKey(info.key.exchange, info.key.symbol, TICK, kind, info.key.source)
            database.candles.write_observations(Observations.of(key, time, values, known))
            again = Observations.of(key, time[::50], 1.01 * values[::50], known[::50] + 900_000)
            database.candles.write_observations(again)
        seconds = np.arange(int(frame.open_time[4_700]), int(frame.open_time[5_400]), 7_000, dtype=np.int64)
        table = np.column_stack(
            [np.ones(len(seconds)), np.full(len(seconds), 1e6), generator.choice([-1.0, 1.0], len(seconds))]
        )
        key = SeriesKey(info.key.exchange, info.key.symbol, TICK, "trades", info.key.source)
        database.candles.write_observations(Observations.of(key, seconds, table, seconds + 40, np.arange(len(seconds))))


@pytest.fixture(scope="module")
def seen(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic home with observations; copied, never written to."""
    home = Path(shutil.copytree(market, tmp_path_factory.mktemp("beside") / "home"))
    stock(home)
    return home


def test_a_replay_and_a_run_in_pieces_trade_as_the_back_test_on_what_was_recorded(seen, tmp_path, ask):
    rule = ("--strategy", strategy(
        tmp_path, [("oi_zscore_96", "<", -0.5), ("cross_1_correlation_96", "<", 0.2)],
        [("oi_zscore_96", ">", 0.5), ("basis_index", ">", 0.0)],
    ))  # fmt: skip
    whole, pieces = (Path(shutil.copytree(seen, tmp_path / name)) for name in ("whole", "pieces"))
    run = ask(whole, "run", *REPLAY, *rule)
    test = ask(whole, "backtest", *SYMBOL, *rule, *SPAN)
    assert len(run["trades"]) >= 10
    assert plain_trades(run) == plain_trades(test)
    for bars in (1, 499, 801):
        ask(pieces, "run", *REPLAY, *rule, "--bars", bars)
    assert plain_trades(ask(pieces, "run", *REPLAY, *rule)) == plain_trades(run)


async def test_every_bar_of_a_replay_sees_the_features_of_research_to_the_last_bit(seen, tmp_path):
    home = Path(shutil.copytree(seen, tmp_path / "home"))
    rule = strategy(tmp_path, [(name, ">", 1e9) for name in NAMES], [(name, "<", -1e9) for name in NAMES])
    rows: list[tuple[int, np.ndarray]] = []

    def note(service) -> None:
        if service.trader is not None and service.progress.bars:
            rows.append((service.progress.last_bar_ms, service.trader.features[0].copy()))

    span = (1_708_387_200_000, 1_708_387_200_000 + 700 * STEP)  # 2024-02-20
    words = {"symbols": (BTC,), "timeframe": "15m", "source": "replay", "replay": span, "strategy": rule}
    async with running(home, at_bar=note, speed=float("inf"), **words) as here:
        await here.document()
        schema = here.service.trader.schema
    with Workplace.opened(home) as place:
        grid, frames, fundings = market_for(place.database.candles, [BTC], "15m", span, None, run_warmup("15m"))
        beside = extras_for(place.database, frames[0], place.settings.values.ai, schema.names).beside
        cube = feature_cube(schema, grid, frames, fundings, [beside])[0]
    assert set(NAMES) <= set(schema.names) and len(rows) >= 700
    at = np.searchsorted(grid.open_time, [time for time, _ in rows])
    assert np.array_equal(np.array([x for _, x in rows]), cube[:, at].T, equal_nan=True)
    for name in NAMES:
        assert np.isfinite(cube[schema.index(name), at]).any(), f"{name} was never there"


def test_only_what_a_run_reads_is_looked_for(seen):
    with Workplace.opened(seen) as place:
        _, frames, _ = market_for(place.database.candles, [BTC], "15m")
        ai = place.settings.values.ai
        assert extras_for(place.database, frames[0], ai, ["rsi_14", "close"]).beside is None
        beside = extras_for(place.database, frames[0], ai, ["oi_change_1"]).beside
        everything = extras_for(place.database, frames[0], ai).beside
    assert beside is not None and everything is not None
    there = {name for name, row in zip(BESIDE, beside.values, strict=True) if np.isfinite(row).any()}
    assert there == {"open_interest"}
    there = {name for name, row in zip(BESIDE, everything.values, strict=True) if np.isfinite(row).any()}
    assert {"open_interest", "mark_price", "taker_buy", "cross_1_close"} <= there


async def test_a_run_on_an_exchange_waits_for_the_symbol_that_its_features_look_at(tmp_path, exchange: Exchange, ask):
    exchange.server.market.add(*synthetic_market("ETHUSDT", "15m", BEFORE + 700, 3))
    served, key = exchange.server.market.candles, SeriesKey("binanceusdm", ETH, "15m")
    whole = served["ETHUSDT", "15m"]

    def slow() -> None:
        """Bars of the other symbol are shown 12 s after their close."""
        served["ETHUSDT", "15m"] = whole.between(0, exchange.clock.ms - STEP - 12_000)

    exchange.moved = slow
    with Home(tmp_path).open() as database:
        one = np.ones(1)
        old = np.array([START + 100 * STEP], dtype=np.int64)
        database.candles.write(Frame.of(key, old, one, one, one, one, one))
    rule = strategy(
        tmp_path, [("cross_1_strength_24", "<", -0.002), ("cross_1_return_1", ">", 0.0)],
        [("cross_1_strength_24", ">", 0.002), ("cross_1_return_1", "<", 0.0)],
    )  # fmt: skip
    async with exchange.run(tmp_path, bars=70, strategy=rule) as run:
        document = await run.document()
    first = stored(tmp_path, lambda d, a: a.about["from_ms"])
    others = stored(tmp_path, lambda d, _: d.candles.read(key)).open_time
    assert set(range(first - 100 * STEP, first + 70 * STEP, STEP)) <= set(others.tolist())
    assert len(document["trades"]) >= 1
    span = ("--from", iso(first)[:19], "--to", iso(first + 70 * STEP)[:19])
    test = ask(tmp_path, "backtest", "--symbols", "BTCUSDT", "--timeframe", "15m", "--strategy", rule, *span)
    assert plain_trades(document) == plain_trades(test)
    assert KEY.symbol == BTC

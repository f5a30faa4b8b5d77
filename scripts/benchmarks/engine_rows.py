"""P1 back-test, P2 sweep, P17 the service's own loop."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scripts.benchmarks.bench import Bench, Pair, against
from scripts.benchmarks.environments import PeerMissing
from scripts.benchmarks.rows import Goal, Row, absent, measured
from scripts.benchmarks.timing import in_turn, timed

if TYPE_CHECKING:
    from ai.exits import ExitProfile
    from ai.schema import FeatureSchema
    from data.grid import Grid
    from trading.backtest import RunResult
    from trading.config import TradingConfig

ROOT = Path(__file__).resolve().parent.parent.parent
STOP, RATIO, LIMIT = 0.006, 2.0, 240
EQUITY, SHARE = 1_000_000.0, 0.02
PEER_OPTIONS: dict[str, object] = {
    "fee": 0.0005, "slippage": 0.00005, "notional": EQUITY * SHARE, "share_of_equity": SHARE, "equity": EQUITY,
    "limit_bars": LIMIT,
}  # fmt: skip
NAUTILUS_WITHIN_S = 60
YEAR_BARS = 525_600
SWEEP_SETS = 40

# The gates are evaluated on every plan; their limits stand wide, so that no halt ends the work the peers go on with.
WIDE = {
    "limits": {
        "drawdown": 1.0, "daily_loss": 1.0, "daily_trades": 100_000, "loss_streak": 1000, "sharpe": -10.0,
        "black_swan": 100.0,
    },
    "sizing": {"margin_share": SHARE, "leverage": 1.0, "volatility_target": 5.0, "risk_share": 0.5},
    "paper": {"start_equity": EQUITY},
}  # fmt: skip


def crossing_config(stop: float = STOP) -> TradingConfig:
    """EMA 20 against EMA 100 as a declared strategy; stop, twice the stop as target, 240 bars."""
    from ai.exits import DistanceUnit, ExitProfile
    from data.instruments import instrument_for
    from data.market import unified_symbol
    from trading.config import TradingConfig
    from trading.settings import TradingSettings
    from trading.strategy.spec import parse_strategy

    rules = {"name": "ema-cross", "meaning": "EMA 20 crosses EMA 100."}
    conditions = {
        side: {"left": "ema_20", "op": op, "right": "ema_100"}
        for side, op in (("long", "crosses_above"), ("short", "crosses_below"))
    }
    profile: ExitProfile = ExitProfile("bench", DistanceUnit.PERCENT, stop, RATIO, LIMIT, stop, RATIO * stop, False)
    symbol = unified_symbol("BTCUSDT")
    return TradingConfig(
        (symbol,), "1m", parse_strategy({**rules, **conditions}, "bench"), profile, (instrument_for(symbol),),
        TradingSettings.model_validate(WIDE),
    )  # fmt: skip


@cache
def crossing_inputs(bench: Bench) -> tuple[Grid, npt.NDArray[np.float64], FeatureSchema]:
    """Grid and features ``[1, F, T]``; the averages are given to both sides."""
    import talib

    from ai.features.engine import FeatureEngine
    from ai.features.registry import schema_of
    from ai.schema import FeatureSchema
    from data.grid import align

    frame, funding = bench.market
    names = crossing_config().features()
    known = [name for name in names if name != "ema_100"]
    values = FeatureEngine(schema_of(known), "1m").batch(frame, funding)
    rows = {**dict(zip(known, values, strict=True)), "ema_100": talib.EMA(frame.close, 100)}
    return align([frame], [funding]), np.stack([rows[name] for name in names])[None], FeatureSchema(names)


def peer_columns(bench: Bench) -> dict[str, Any]:
    """What the peers get: bars and both averages."""
    frame, _ = bench.market
    _, X, schema = crossing_inputs(bench)
    return {
        "time": frame.open_time, "open": frame.open, "high": frame.high, "low": frame.low, "close": frame.close,
        "volume": frame.volume, "fast": X[0, schema.index("ema_20")], "slow": X[0, schema.index("ema_100")],
    }  # fmt: skip


def backtest(bench: Bench) -> list[Row]:
    """P1."""
    from trading.backtest import run_fast

    config = crossing_config()
    grid, X, schema = crossing_inputs(bench)
    result: list[RunResult] = []

    def work() -> None:
        result[:] = [run_fast(config, grid, X, None, schema)]

    what = f"back-test, {bench.bars:,} 1m bars, EMA 20/100, gates on, limits wide"
    peers = (
        ("vectorbt", "with_vectorbt", 10.0, False, 300, "no time exit, no funding"),
        ("backtesting", "with_backtesting", 500.0, False, 300, "no funding"),
        ("nautilus_trader", "with_nautilus", 3000.0, True, NAUTILUS_WITHIN_S, "no funding"),
    )
    rows: list[Row] = []
    columns = peer_columns(bench)
    for name, job, ratio, slow, within, differs in peers:

        def opened(share: float, name: str = name, job: str = job, within: int = within) -> Any:
            return bench.peers.opened(name, (name,), job, columns, within, stops=[STOP], share=share, **PEER_OPTIONS)

        pair = against(timed(work), name, opened, slow=slow)
        row = _backtest_row(what, pair, ratio, differs, len(result[0].trades))
        rows.append(row if rows else replace(row, note="; ".join(filter(None, (row.note, _parts(work))))))
    reason = "a run needs a user folder and the exchange's own market list"
    return [*rows, absent("P1", what, "ms", "–", reason, "freqtrade")]


def _parts(work: Callable[[], None]) -> str:
    """Where the time goes: the kernel, and the statistics that the peers do not all compute."""
    from unittest.mock import patch

    import trading.backtest

    words = []
    for name in ("run_bars", "metrics"):
        whole, spent = getattr(trading.backtest, name), list[float]()

        def watched(*arguments: Any, whole: Callable[..., Any] = whole, spent: list[float] = spent) -> Any:
            began = perf_counter()
            out = whole(*arguments)
            spent.append(perf_counter() - began)
            return out

        with patch.object(trading.backtest, name, watched):
            for _ in range(3):
                work()
        words.append(f"{name} {1e3 * sum(spent) / 3:.3g}")
    return f"of it {', '.join(words)} ms"


def _backtest_row(what: str, pair: Pair, ratio: float, differs: str, trades: int) -> Row:
    note = pair.note
    if pair.theirs is not None:
        note = "; ".join(filter(None, (pair.note, f"{trades:,} trades, peer {pair.said['trades']:,} ({differs})")))
    theirs = None if pair.theirs is None else 1e3 * pair.theirs
    goal = Goal(f"≥ {ratio:,.0f}×", ratio=ratio)
    return measured("P1", what, 1e3 * pair.ours, "ms", goal, pair.title, theirs, note)


def sweep(bench: Bench) -> list[Row]:
    """P2: stops of a sweep one after the other through the same ``run_bars``, as ``sweep`` runs them."""
    from trading.backtest import run_fast

    stops = [float(stop) for stop in np.linspace(0.004, 0.02, SWEEP_SETS)]
    grid, X, schema = crossing_inputs(bench)
    configs = [crossing_config(stop) for stop in stops]

    def work() -> None:
        for config in configs:
            run_fast(config, grid, X, None, schema)

    columns = peer_columns(bench)

    def opened(share: float) -> Any:
        options: dict[str, Any] = {**PEER_OPTIONS, "stops": stops, "share": share}
        return bench.peers.opened("vectorbt", ("vectorbt",), "with_vectorbt", columns, **options)

    pair = against(timed(work), "vectorbt", opened, rounds=3)
    work_done = bench.bars * SWEEP_SETS / 1e6
    note = "; ".join(filter(None, (pair.note, f"{SWEEP_SETS} stops; indicators shared; memory is not measured")))
    theirs = None if pair.theirs is None else work_done / pair.theirs
    what = f"sweep of {SWEEP_SETS} parameter sets over those bars"
    goal = Goal("≥ 20×", ratio=20.0)
    return [measured("P2", what, work_done / pair.ours, "M bar·sets/s", goal, pair.title, theirs, note,
                     more_is_better=True)]  # fmt: skip


def service(bench: Bench) -> list[Row]:
    """P17: stored bars through ``run`` at full speed, once; the peer's engine on the same market, without a ledger."""
    from data.clock import iso
    from database.home import Home

    bars = min(bench.bars, YEAR_BARS)
    frame, funding = bench.market
    first, last = int(frame.open_time[0]), int(frame.open_time[bars - 1]) + frame.key.step_ms
    with tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder:
        with Home(Path(folder)).open() as database:
            database.candles.write(frame.slice(0, bars))
            database.candles.write_funding(funding)
        command = [
            sys.executable, "-m", "app.main", "--home", folder, "--json", "run", "--source", "replay", "--data-source",
            "synthetic", "--replay", f"{iso(first)}..{iso(last)}", "--symbols", "BTCUSDT", "--timeframe", "1m",
            "--strategy", "rsi-oversold", "--speed", "max", "--bars", str(bars),
        ]  # fmt: skip
        seconds: list[float] = []
        said: list[str] = []

        def work() -> None:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            said[:] = [done.stdout, done.stderr]
            if done.returncode:
                raise RuntimeError(f"run failed: {done.stderr.strip()[-300:]}")

        seconds += in_turn(timed(work), rounds=1, warm=False)
    document = json.loads(said[0])
    taken = int(document.get("bars", bars))
    what = f"{taken:,} 1m bars through the service's loop, decisions stored"
    note = "one run of the command, its start included"
    title, theirs = None, None
    try:
        opened = partial(bench.peers.opened, "nautilus_trader", ("nautilus_trader",), "with_nautilus")
        with opened(peer_columns(bench), NAUTILUS_WITHIN_S, stops=[STOP], share=0.1, **PEER_OPTIONS) as peer:
            answer = peer.run()
            title, theirs = peer.title, answer["bars"] / answer["seconds"]
            note += "; peer: EMA 20/100 on a tenth of the bars, nothing stored"
    except PeerMissing as missing:
        note += f"; {missing}"
    goal = Goal("≥ 20,000 bars/s", at_least=20_000.0)
    return [measured("P17", what, taken / seconds[0], "bars/s", goal, title, theirs, note, more_is_better=True)]

"""P9 prediction, P14 lateness while a model trains, P6 the decision cycle."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import threading
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.feature_rows import training_rows
from scripts.benchmarks.members import members
from scripts.benchmarks.rows import Goal, Row, absent, measured
from scripts.benchmarks.timing import in_turn, quantile, repeated

if TYPE_CHECKING:
    from ai.ensemble import EnsembleModel
    from trading.journal import AccountKey, Batch, Checkpoint
    from trading.strategy.spec import StrategySpec

TRAINING_BARS = 20_000
TICK_S = 0.01
LONGEST_S = 60.0
WATCH_S = 6.0


class NoJournal:
    """A journal that keeps nothing: the cycle is measured without I/O."""

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        return 1

    def commit(self, batch: Batch) -> None:
        return

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        return None

    def forget(self, account_id: int) -> None:
        return


def prediction(bench: Bench) -> list[Row]:
    """P9: a member as it is trained by default, one row, through the decision path's predictor."""
    from ai.models.predictor import IDENTITY, pack, predict_rows

    x, y, weight = training_rows(bench, TRAINING_BARS)
    row = np.ascontiguousarray(x[-1:])
    goal = Goal("≤ 25 µs", at_most=25.0)
    rows = []
    for member in members(x, y, weight):
        packed = pack([member.model.table()], [[IDENTITY] * 3], x.shape[1])
        gap = float(np.max(np.abs(predict_rows(packed, x[-2000:], False)[0] - member.oracle(x[-2000:]))))
        ours = repeated(lambda packed=packed: predict_rows(packed, row), 5000)  # type: ignore[misc]
        mine, other = in_turn(ours, repeated(lambda member=member: member.peer(row), member.calls))  # type: ignore[misc]
        note = f"{member.note}; differs from the library by {gap:.0e} at most (2,000 rows)"
        rows.append(
            measured("P9", f"one-row prediction, {member.model.kind}", 1e6 * mine, "µs", goal, member.title,
                     1e6 * other, note)
        )  # fmt: skip
    if importlib.util.find_spec("catboost") is None:
        rows.append(absent("P9", "one-row prediction, catboost", "µs", "≤ 25 µs", "CatBoost is not installed"))
    return rows


def decision_cycle(bench: Bench) -> list[Row]:
    """P6: from a closed bar to its decision, of a rule, and of one on which Monte-Carlo paths and models must agree."""
    from trading.strategy.library import load_strategy
    from trading.strategy.spec import parse_strategy

    rule = _cycle_times(bench, load_strategy("rsi-oversold"), 12_000)
    paths: dict[str, object] = {
        "name": "agreed", "meaning": "Monte-Carlo paths and the ensemble take the same side.", "kind": "combined",
        "combine": "agree", "threshold": 0.3,
        "long": {"left": "mc_up_24", "op": ">", "right": 0.5}, "short": {"left": "mc_up_24", "op": "<", "right": 0.5},
    }  # fmt: skip
    models = _cycle_times(bench, parse_strategy(paths, "bench"), 6_000)
    note = "median {:.0f} µs; journal batches without I/O included"
    together = "; every bar draws 1,000 paths, forecasts by XGBoost, LightGBM and histogram boosting, and passes gates"
    return [
        measured("P6", "decision cycle of a rule, without Monte-Carlo, p99", quantile(rule, 0.99), "µs",
                 Goal("≤ 250 µs", at_most=250.0), note=note.format(quantile(rule, 0.5))),
        measured("P6", "decision cycle with Monte-Carlo and three boosted members, p99", quantile(models, 0.99), "µs",
                 Goal("≤ 1 ms", at_most=1000.0), note=note.format(quantile(models, 0.5)) + together),
    ]  # fmt: skip


def _cycle_times(bench: Bench, strategy: StrategySpec, bars: int) -> list[float]:
    """Microseconds of each cycle over the first ``bars``; a strategy of models trains them on as many before."""
    from app.trader import Trader
    from app.wiring import run_schema
    from data.grid import align
    from scripts.benchmarks.engine_rows import crossing_config
    from trading.config import TradingConfig

    frame, funding = bench.market
    first = TRAINING_BARS if strategy.kind != "rule" else 0
    part = frame.slice(first, min(len(frame), first + bars))
    grid = align([part], [funding])
    base = crossing_config()
    config = TradingConfig(base.symbols, "1m", strategy, strategy.profile("1m"), base.instruments, base.settings)
    trader = Trader(config, run_schema(config), NoJournal(), 1)
    if first:
        trader.add_model(0, "bench", _boosted(bench, first), int(part.open_time[0]))
    times = []
    for t in range(grid.bars):
        began = perf_counter()
        trader.step(grid, t)
        times.append(1e6 * (perf_counter() - began))
    return times[2000:] or times


def _boosted(bench: Bench, bars: int) -> EnsembleModel:
    from ai.ensemble import train_ensemble
    from ai.training import training_data

    frame, funding = bench.market
    data = training_data(frame.slice(0, bars), funding, "scalp")
    rows = np.arange(data.warmup, bars)
    return train_ensemble(data.x, data.labels, rows, data.context, ("xgboost", "lightgbm", "hist_boosting"), SEED)


def training_load(report: Callable[[int, int, str], None], npz: bytes, seconds: float) -> int:
    """Fit boosted members until the time is up; how many. Runs in a worker process or in a thread."""
    from ai.models.boosting import LightgbmModel

    with np.load(io.BytesIO(npz)) as stored:
        x, y, weight = stored["x"], stored["y"], stored["weight"]
    began, fits = perf_counter(), 0
    report(0, 1, "fitting")
    while perf_counter() - began < seconds:
        LightgbmModel().fit(x, y, weight)
        fits += 1
    return fits


async def _lateness(running: Callable[[], bool]) -> list[float]:
    """How late a 10 ms timer of this loop fires, in ms, while ``running``."""
    loop = asyncio.get_running_loop()
    late: list[float] = []
    end = loop.time() + LONGEST_S
    due = loop.time() + TICK_S
    while running() and loop.time() < end:
        fired: asyncio.Future[float] = loop.create_future()
        loop.call_at(due, lambda fired=fired: fired.set_result(loop.time()))  # type: ignore[misc]
        at = await fired
        late.append(1e3 * (at - due))
        due = max(due, at) + TICK_S
    return late


def lateness(bench: Bench) -> list[Row]:
    """P14: the program's worker process, then the same training in a thread."""
    from app.jobs import Jobs

    x, y, weight = training_rows(bench, TRAINING_BARS)
    held = io.BytesIO()
    np.savez(held, x=x, y=y, weight=weight)
    seconds = WATCH_S if bench.bars >= TRAINING_BARS else 1.0
    arguments = {"npz": held.getvalue(), "seconds": seconds}
    jobs = Jobs()
    try:
        _, future = jobs.start("benchmark", "scripts.benchmarks.model_rows:training_load", arguments)
        ours = asyncio.run(_lateness(lambda: not future.done()))
        future.result(LONGEST_S)
    finally:
        jobs.close()
    thread = threading.Thread(target=training_load, args=(lambda *_: None, held.getvalue(), seconds), daemon=True)
    thread.start()
    theirs = asyncio.run(_lateness(thread.is_alive))
    thread.join()
    title = "training in a thread"
    return [
        measured("P14", "lateness of a 10 ms timer while a model trains, p99", quantile(ours, 0.99), "ms",
                 Goal("≤ 5 ms", at_most=5.0), title, quantile(theirs, 0.99), f"{len(ours)} ticks, seed {SEED}"),
        measured("P14", "the same, longest", max(ours), "ms", Goal("≤ 50 ms", at_most=50.0), title, max(theirs)),
    ]  # fmt: skip

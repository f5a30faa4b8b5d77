"""Years of recorded quarter hours through the whole walk-forward: all members, costs, the report as it is."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ai.models.members import MEMBERS
from ai.regime_control import flipped_market
from app.walk_forward import Request, perform
from app.wiring import Workplace
from data.market import unified_symbol
from scripts.soaks.markets import recorded_market

Document = dict[str, Any]
TIMEFRAME = "15m"
THREE_YEARS = 3 * 365 * 96  # bars
REPORTED = (
    "auc", "auc_low", "auc_high", "auc_within", "auc_within_low", "auc_within_high", "log_loss", "base_log_loss",
    "brier", "ece", "n", "folds", "verdict",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Study:
    """What is walked. ``None``: all members that are installed, a process for each core, three years."""

    symbols: tuple[str, ...]
    members: tuple[str, ...] | None = None
    workers: int | None = None
    bars: int | None = None
    coin: int | None = None  # seed of the coin that draws the directions of the bars, as a control


def installed_members() -> tuple[str, ...]:
    """All kinds of model whose library is there."""
    return tuple(name for name in MEMBERS if name != "catboost" or importlib.util.find_spec("catboost") is not None)


def research(study: Study, folder: Path, out: Path | None, tell: Callable[[str], None]) -> Document:
    """Walk every symbol in a home of its own; sound if each ran to its end.

    Args:
        study: what is walked.
        folder: recorded series.
        out: where each symbol's whole report goes, as JSON.
        tell: is told how far it is.
    """
    members, workers = study.members or installed_members(), study.workers or os.cpu_count() or 1
    rows = [_one(symbol, study, members, workers, folder, out, tell) for symbol in study.symbols]
    return {
        "rows": rows, "members": list(members), "workers": workers,
        **{str(row["symbol"]): {name: value for name, value in row.items() if name != "symbol"} for row in rows},
        "sound": all(not row["skipped"] for row in rows),
    }  # fmt: skip


def _one(
    symbol: str, study: Study, members: tuple[str, ...], workers: int, folder: Path, out: Path | None,
    tell: Callable[[str], None],
) -> Document:  # fmt: skip
    frame, funding = recorded_market(folder, symbol, TIMEFRAME)
    frame = frame.slice(max(0, len(frame) - (study.bars or THREE_YEARS)), len(frame))
    name = f"{symbol}-{TIMEFRAME}"
    if study.coin is not None:
        frame, name = flipped_market(frame, np.random.default_rng(study.coin)), f"{name}-coin-{study.coin}"
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as home, Workplace.opened(Path(home)) as place:
        place.database.candles.write(frame)
        place.database.candles.write_funding(funding)
        request = Request(unified_symbol(symbol), TIMEFRAME, members=members, workers=workers)
        report = perform(
            place, request, lambda done, total, words: tell(f"{symbol} {_since(began)} {done}/{total} {words}")
        )
    seconds = round(time.perf_counter() - began, 1)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.json").write_text(json.dumps(report, indent=1))
    trading = report["trading"]
    return {
        "symbol": symbol, "coin": study.coin, "bars": len(frame), "wall_s": seconds, "skipped": len(report["skipped"]),
        **{name: report["overall"].get(name) for name in REPORTED}, "says": report["verdict"],
        "trades": trading.get("trades"), "net_return": trading.get("net_return"),
        "deflated_sharpe": trading.get("deflated_sharpe"),
        "member_auc": {name: scores.get("auc") for name, scores in report["members"].items()},
    }  # fmt: skip


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:.0f} s"

"""The back-test tab's commands: checked while the form is in sight, done in a process of their own."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.backtest_jobs import BACKTEST, SWEEP
from app.backtest_requests import check, grid_text
from app.contract import commands as c
from app.contract.forms import BacktestForm
from app.wiring import Workplace
from data.errors import UserError
from data.market import short_symbol

Start = Callable[[str, str, Mapping[str, object]], c.Outcome]  # name, work, arguments
Asked = c.RunBacktest | c.RunSweep | c.RemoveBacktest | c.ExportBacktest


class BacktestCommands:
    """Does them on an opened home."""

    def __init__(self, place: Workplace, start: Start) -> None:
        self._place = place
        self._start = start

    async def do(self, command: Asked) -> c.Outcome:
        """Do one command.

        Raises:
            UserError: it is refused, with the sentence for the person.
            OSError: a file cannot be written.
        """
        match command:
            case c.RunBacktest(form, parameters):
                await asyncio.to_thread(check, self._place, form)
                return self._run("Back-test", BACKTEST, form, parameters=[list(pair) for pair in parameters])
            case c.RunSweep(form, grid):
                if len(form.symbols) != 1:
                    raise UserError("A sweep trades one symbol: choose one.")
                grid_text(grid, form.overrides)
                await asyncio.to_thread(check, self._place, form)
                return self._run("Sweep", SWEEP, form, grid=[list(pair) for pair in grid])
            case c.RemoveBacktest(number):
                await asyncio.to_thread(self._place.database.backtests.remove, number)
                return c.Outcome(True, f"Run {number} was put away.")
            case c.ExportBacktest(number, path):
                rows = await asyncio.to_thread(self._export, number, Path(path))
                return c.Outcome(True, f"{rows:,} rows of run {number} written to {path}.")

    def _run(self, name: str, work: str, form: BacktestForm, **more: object) -> c.Outcome:
        symbols = " ".join(short_symbol(symbol) for symbol in form.symbols)
        about = f"{Path(form.strategy).stem} {symbols} {form.timeframe}"
        return self._start(f"{name} {about}", work, {"home": str(self._place.home.path), "form": asdict(form), **more})

    def _export(self, number: int, path: Path) -> int:
        if path.suffix != ".csv":
            raise UserError(f"'{path.name}' is no CSV file: give a name that ends with .csv.")
        body = self._place.database.backtests.body(number)
        rows = trades_table(body) if "curve" in body else sweep_table(body)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        return len(rows) - 1


def trades_table(body: Mapping[str, Any]) -> list[Sequence[Any]]:
    """Every trade with the names of ``backtest --json``; times in UTC, money in the quote currency."""
    trades = body["document"]["trades"]
    names = ("id", "symbol", "side", "qty", "entry_time", "entry_price", "exit_time", "exit_price", "exit_reason",
             "fees", "funding", "slippage", "pnl", "risk_amount", "stop", "target", "mfe", "mae")  # fmt: skip
    return [names, *([trade[name] for name in names] for trade in trades)]


def sweep_table(body: Mapping[str, Any]) -> list[Sequence[Any]]:
    """Every combination with its figures."""
    document = body["document"]
    keys = list(document["grid"])
    names = ("trades", "net_return", "sharpe", "max_drawdown", "equity_end", "halted_at", "error")
    return [
        [*keys, *names],
        *([*(row["parameters"].get(key) for key in keys), *(row[name] for name in names)] for row in document["runs"]),
    ]  # fmt: skip

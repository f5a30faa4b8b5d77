"""What the window asks the service to do, done: commands for the run, the house, and work in processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.backtest_commands import BacktestCommands
from app.backtest_jobs import BACKTEST, SWEEP, backtest_words, sweep_words
from app.contract import commands as c
from app.projections_data import series_of
from app.service import FINISHED, HALTED, PAUSED, STOPPED, TradingService
from app.workers import CHECK, DOWNLOAD, IMPORT, TUNE, WALK_FORWARD
from data.errors import UserError
from data.market import SeriesKey, short_symbol, unified_symbol
from data.timeframes import parse_time

if TYPE_CHECKING:
    from app.runtime import Runtime

NOT_OPEN = "The service is not open."


class RuntimeCommands:
    """Does the commands of ``app.contract.commands`` on a :class:`~app.runtime.Runtime`, on its loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def do(self, command: c.Command) -> c.Outcome:
        """Do one command.

        Raises:
            QuantError: it is refused, with the sentence for the person.
            OSError: a file cannot be written.
        """
        self._runtime.opened()
        match command:
            case c.Start():
                return self._start()
            case c.Pause():
                return self._running().act("pause")
            case c.Resume():
                return self._running().act("resume")
            case c.LoosenLimits(reason):
                return self._running().act("loosen", reason or "by the operator")
            case c.Stop():
                self._running().stop()
                return c.Outcome(True, "Stopping: open positions stay open.")
            case c.EmergencyStop(reason):
                return self._running().emergency_stop(reason)
            case c.ClosePosition(symbol):
                return self._running().close_position(unified_symbol(symbol))
            case _:
                return await self._do_house(command)

    def _running(self) -> TradingService:
        service = self._runtime.service
        if service is None or service.progress.state in (STOPPED, FINISHED):
            raise UserError("The service is stopped: start it first.")
        return service

    def _start(self) -> c.Outcome:
        service = self._runtime.service
        if service is not None and service.progress.state in (HALTED, PAUSED):
            return service.act("resume")
        if self._runtime.busy:
            return c.Outcome(False, "The service runs already.")
        self._runtime.begin()
        return c.Outcome(True, "Starting.")

    async def _do_house(self, command: c.Command) -> c.Outcome:
        from app import settings

        place = self._runtime.opened()
        match command:
            case c.SetSetting(key, value):
                await asyncio.to_thread(settings.change, place.database, place.home.path, key, value)
                return c.Outcome(True, f"{key} is now {value}; a run that goes on takes it at its next start.")
            case c.ResetSetting(key):
                await asyncio.to_thread(settings.reset, place.database, place.home.path, key)
                return c.Outcome(True, f"{key} is back to its default.")
            case c.UseExchangeData():
                await asyncio.to_thread(settings.change, place.database, place.home.path, "run.source", "exchange")
                self._runtime.options = replace(self._runtime.options, source=None)
                return c.Outcome(True, "From the next start on the bars come from the exchange: Stop, then Start.")
            case c.VerifyAudit():
                report = await asyncio.to_thread(place.database.audit.verify)
                self._runtime.audit = (report, place.clock.now_ms())
                words = "The audit chain is whole" if report.ok else f"The audit chain is broken: {report.problem}"
                return c.Outcome(report.ok, f"{words} ({report.entries:,} entries).")
            case c.ExportTable(table, path):
                service = self._runtime.service
                account = service.account.id if service is not None and service.account is not None else None
                rows = await asyncio.to_thread(place.database.export.write, table, Path(path), account)
                return c.Outcome(True, f"{rows:,} rows of {table} written to {path}.")
            case _:
                return await self._do_research(command)

    async def _do_research(self, command: c.Command) -> c.Outcome:
        tray = self._runtime.tray
        if tray is None:
            raise UserError(NOT_OPEN)
        match command:
            case c.RunWalkForward(symbol, timeframe):
                return self._walk_forward(symbol, timeframe)
            case c.TuneModels(symbol, timeframe):
                return self._tune(symbol, timeframe)
            case c.RunBacktest() | c.RunSweep() | c.RemoveBacktest() | c.ExportBacktest():
                return await BacktestCommands(self._runtime.opened(), self._job).do(command)
            case c.ImportFiles(paths, symbol, timeframe, kind):
                return self._import(paths, symbol, timeframe, kind)
            case c.ExportSeries(key, path):
                export = self._runtime.opened().database.export
                rows = await asyncio.to_thread(export.write_series, series_of(key), Path(path))
                return c.Outcome(True, f"{rows:,} rows of {series_of(key)} written to {path}.")
            case c.DownloadSeries():
                return self._download(command)
            case c.CheckSeries(key, repair):
                return await self._check(key, repair)
            case c.PromoteModel(model_id):
                return await self._promote(model_id)
            case c.RollbackModel():
                return await self._roll_back()
            case c.CancelJob(job_id):
                done = tray.jobs.cancel(_number(job_id))
                return c.Outcome(done, "Cancelled." if done else "That job has ended already.")
            case c.DismissJob(job_id):
                tray.dismiss(_number(job_id))
                return c.Outcome(True, "")
            case _:
                return c.Outcome(False, f"{type(command).__name__} is not known.")

    async def _promote(self, model_id: str) -> c.Outcome:
        """A model that does not fit the run that trains is refused before anything is changed."""
        models, service = self._runtime.opened().database.models, self._runtime.service
        switching = service.switching if service is not None else None
        if switching is not None:
            switching.want(await asyncio.to_thread(models.get, model_id))
        await asyncio.to_thread(models.promote, model_id)
        when = "takes over at the next bar" if switching else "is promoted; the next run that reads forecasts uses it"
        return c.Outcome(True, f"Model {model_id} {when}.")

    async def _roll_back(self) -> c.Outcome:
        service = self._runtime.service
        switching = service.switching if service is not None else None
        row = await asyncio.to_thread(self._runtime.opened().database.models.rollback)
        sentence = f"Back to model {row.model_id}."
        if switching is not None:
            try:
                switching.want(row)
            except UserError as error:
                sentence += f" The present run goes on without it: {error}"
        return c.Outcome(True, sentence)

    def _walk_forward(self, symbol: str, timeframe: str) -> c.Outcome:
        key = self._key(symbol, timeframe)
        arguments = {
            "home": str(self._runtime.home), "symbol": key.symbol, "timeframe": key.timeframe,
            "exchange": key.exchange, "source": key.source, "seed": self._runtime.options.seed,
        }  # fmt: skip
        return self._job(f"Walk-forward {short_symbol(key.symbol)} {key.timeframe}", WALK_FORWARD, arguments)

    def _tune(self, symbol: str, timeframe: str) -> c.Outcome:
        key = self._key(symbol, timeframe)
        arguments = {
            "home": str(self._runtime.home), "symbol": key.symbol, "timeframe": key.timeframe,
            "exchange": key.exchange, "source": key.source, "seed": self._runtime.options.seed,
        }  # fmt: skip
        return self._job(f"Hyper-parameters {short_symbol(key.symbol)} {key.timeframe}", TUNE, arguments)

    def _import(self, paths: Sequence[str], symbol: str, timeframe: str, kind: str) -> c.Outcome:
        arguments = {
            "home": str(self._runtime.home), "paths": list(paths), "symbol": unified_symbol(symbol),
            "timeframe": timeframe or None, "kind": kind,
        }  # fmt: skip
        return self._job(f"Import {symbol}", IMPORT, arguments)

    def _download(self, wish: c.DownloadSeries) -> c.Outcome:
        """Dates are read here, so that a wrong one is refused in the dialog."""
        symbol = unified_symbol(wish.symbol)
        start, end = parse_time(wish.since), parse_time(wish.until) if wish.until else None
        if end is not None and end <= start:
            raise UserError("The download ends before it starts: give an earlier first day.")
        arguments = {
            "home": str(self._runtime.home), "symbol": symbol, "timeframe": wish.timeframe, "start_ms": start,
            "end_ms": end, "kind": wish.kind,
            "exchange": wish.exchange or str(self._runtime.opened().settings.values.data.exchange),
        }  # fmt: skip
        return self._job(f"Download {short_symbol(symbol)} {wish.timeframe} {wish.kind}", DOWNLOAD, arguments)

    async def _check(self, text: str, repair: bool) -> c.Outcome:
        place = self._runtime.opened()
        stored = await asyncio.to_thread(place.database.candles.series)
        keys = [series_of(text)] if text else [info.key for info in stored]
        if not keys:
            raise UserError("Nothing is stored yet: import or download some data first.")
        about = f"{short_symbol(keys[0].symbol)} {keys[0].timeframe}" if text else f"of {len(keys)} series"
        arguments = {
            "home": str(self._runtime.home), "repair": repair,
            "series": [[k.exchange, k.symbol, k.timeframe, k.kind, k.source] for k in keys],
        }  # fmt: skip
        return self._job(f"Repair {about}" if repair else f"Data check {about}", CHECK, arguments)

    def _job(self, name: str, work: str, arguments: Mapping[str, object]) -> c.Outcome:
        tray = self._runtime.tray
        assert tray is not None
        tray.start(name, work, arguments, _RESULTS[work])
        return c.Outcome(True, f"{name} has started.")

    def _key(self, symbol: str, timeframe: str) -> SeriesKey:
        context = self._runtime.context()
        return context.key_of(unified_symbol(symbol) if symbol else context.symbols[0], timeframe)


def _number(job_id: str) -> int:
    if not job_id.isdigit():
        raise UserError(f"There is no job '{job_id}'.")
    return int(job_id)


_RESULTS = {
    WALK_FORWARD: lambda r: (str(r["verdict"]), "models"),
    TUNE: lambda r: (f"{r['tried']:,} configurations tried, {r['failed']:,} failed", "models"),
    IMPORT: lambda r: (f"{r['inserted']:,} new rows, {r['revised']:,} revised, {r['gaps']} gaps", "data"),
    DOWNLOAD: lambda r: (f"{r['inserted']:,} new rows, {r['revised']:,} revised, {r['gaps']} gaps", "data"),
    CHECK: lambda r: (str(r["sentence"]), "data"),
    BACKTEST: backtest_words,
    SWEEP: sweep_words,
}

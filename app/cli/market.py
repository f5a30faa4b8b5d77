"""Bringing market data in and looking at it: ``import``, ``download``, ``synthetic``, ``quality``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import (
    ExchangeOption,
    MaybeSymbolOption,
    MaybeTimeframeOption,
    SeedOption,
    SourceOption,
    SymbolOption,
    TimeframeOption,
    invocation,
    moment,
)
from app.output import Column, plain, show_table

if TYPE_CHECKING:
    from rich.console import Console

FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Parquet, CSV, feather or ZIP files of one series, or folders.")
]
MaybeTimeframe = Annotated[
    str | None,
    typer.Option("--timeframe", metavar="TF",
                 help="Length of a bar: 1m 5m 15m 1h 4h 8h 1d (default: from the files)."),
]  # fmt: skip
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="ohlcv, mark, index, funding, premium, metrics, trades, book, liquidations (default: by name).",
    ),
]
DownloadKind = Annotated[str, typer.Option("--kind", help="ohlcv, mark, index, funding, premium or metrics.")]
ZoneOption = Annotated[
    str | None, typer.Option("--tz", help="Time zone of times without one, as Europe/Berlin (default: UTC).")
]
UnitOption = Annotated[
    str | None, typer.Option("--unit", help="Unit of integer times: s, ms, us or ns (default: by their size).")
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Read and check everything, store nothing.")]
SinceOption = Annotated[str, typer.Option("--since", help="First open time, UTC, as 2024-05-01.", metavar="D")]
UntilOption = Annotated[str | None, typer.Option("--until", help="End, UTC, not included (default: now).", metavar="D")]
BarsOption = Annotated[int, typer.Option("--bars", help="Number of bars.", min=1, max=20_000_000)]
RepairOption = Annotated[
    bool,
    typer.Option("--repair", help="Ask the exchange again for what is missing or wrong, else make it of finer bars."),
]

SHOWN_FINDINGS = 20  # of a series, the worst first
LEVELS = ("bad", "warn", "info")


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("import", help="Read files into the store.")(import_files)
    app.command("download", help="Back-fill candles, prices, funding or metrics from the exchange.")(download)
    app.command("synthetic", help="Make and store a seeded, regime-switching market.")(synthetic)
    app.command("quality", help="What is stored and what is wrong with it.")(quality)


def import_files(
    context: typer.Context, files: FilesArgument, symbol: SymbolOption, timeframe: MaybeTimeframe = None,
    exchange: ExchangeOption = None, kind: KindOption = None, tz: ZoneOption = None, unit: UnitOption = None,
    dry_run: DryOption = False,
) -> None:  # fmt: skip
    """Files into the store."""
    from app.market_data import import_into_store

    given = invocation(context)
    with given.workplace() as place:
        document = import_into_store(
            place, files, symbol=symbol, timeframe=timeframe, exchange=exchange, kind=kind, zone=tz, unit=unit,
            dry_run=dry_run,
        )  # fmt: skip
    given.out.document(document, lambda console: show_report(console, document))


def download(
    context: typer.Context, symbol: SymbolOption, timeframe: TimeframeOption, since: SinceOption,
    until: UntilOption = None, kind: DownloadKind = "ohlcv", exchange: ExchangeOption = None,
) -> None:  # fmt: skip
    """Back-fill from the exchange."""
    from app.downloads import download_into_store

    given = invocation(context)
    start, end = moment(since), moment(until)
    assert start is not None
    with given.workplace() as place, given.out.progress("download") as progress:
        document = download_into_store(
            place, symbol=symbol, timeframe=timeframe, start_ms=start, end_ms=end, kind=kind, exchange=exchange,
            progress=progress,
        )  # fmt: skip
    given.out.document(document, lambda console: show_report(console, document))


def synthetic(
    context: typer.Context, symbol: SymbolOption, timeframe: TimeframeOption, bars: BarsOption, seed: SeedOption = None
) -> None:
    """A synthetic series."""
    from app.market_data import synthesise_into_store

    given = invocation(context)
    with given.workplace() as place:
        document = synthesise_into_store(place, symbol=symbol, timeframe=timeframe, bars=bars, seed=seed)
    given.out.document(document, lambda console: show_report(console, document))


def quality(
    context: typer.Context, symbol: MaybeSymbolOption = None, timeframe: MaybeTimeframeOption = None,
    exchange: ExchangeOption = None, source: SourceOption = None, repair: RepairOption = False,
) -> None:  # fmt: skip
    """The data report."""
    from app.data_report import quality_report

    given = invocation(context)
    with given.workplace() as place, given.out.progress("quality") as progress:
        document = quality_report(
            place, symbol=symbol, timeframe=timeframe, exchange=exchange, source=source, repair=repair,
            progress=progress,
        )  # fmt: skip
    given.out.document(document, lambda console: show_quality(console, document))


def _series_words(series: Mapping[str, str]) -> str:
    return " ".join(series[key] for key in ("exchange", "symbol", "timeframe", "kind")) + f" ({series['source']})"


def show_report(console: Console, document: Mapping[str, Any]) -> None:
    """What an import did."""
    span = document.get("span") or [None, None]
    first, last = (span["from"], span["to"]) if isinstance(span, Mapping) else span
    console.print(
        f"{_series_words(document['series'])}: {document['rows']:,} rows read, {document['inserted']:,} inserted, "
        f"{document['revised']:,} revised, {document['duplicates']:,} already there, "
        f"{document['rejected']:,} rejected, {document['gaps']:,} gaps; {plain(first)} to {plain(last)} UTC.",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    for key, title in (("rejections", "Rejected rows"), ("gap_list", "Gaps")):
        rows = document.get(key) or []
        if rows:
            show_table(console, rows[:20], [Column(name) for name in rows[0]], title=title)
            if len(rows) > 20:
                console.print(f"… and {len(rows) - 20:,} more (all of them with --json).", markup=False)


def show_quality(console: Console, document: Mapping[str, Any]) -> None:
    """The stored series and their findings."""
    columns = [
        Column("exchange"), Column("symbol"), Column("timeframe"), Column("kind"), Column("source"),
        Column("rows", form=",d"), Column("from"), Column("to"), Column("n_findings", "findings", ",d"),
    ]  # fmt: skip
    rows = [{**row, "n_findings": len(row["findings"])} for row in document["series"]]
    show_table(
        console, rows, columns, none="Nothing is stored yet: 'import', 'download' or 'synthetic' brings data in."
    )
    for row in document["series"]:
        name = f"{row['symbol']} {row['timeframe']} {row['kind']}"
        told = sorted(row["findings"], key=lambda f: LEVELS.index(f["level"]))[:SHOWN_FINDINGS]
        for finding in sorted(told, key=lambda f: str(f["from"])):
            words = f"{name}: {finding['level']} {finding['kind']}, {finding['words']}"
            console.print(words, markup=False, soft_wrap=True)
        if len(row["findings"]) > SHOWN_FINDINGS:
            more = len(row["findings"]) - SHOWN_FINDINGS
            console.print(f"{name}: … and {more:,} more (all of them with --json).", markup=False)
        for span in row["repairs"]:
            console.print(f"{name}: repair, {span['words']}", markup=False, soft_wrap=True)

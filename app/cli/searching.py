"""``sweep``: many back-tests over a grid of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import (
    ClusterOption,
    ExchangeOption,
    FromOption,
    SeedOption,
    SourceOption,
    SymbolOption,
    TimeframeOption,
    ToOption,
    WorkersOption,
    invocation,
    span,
    symbols,
)
from app.output import Column, plain, show_table
from data.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_RUNS = 20
HELP = """Back-test every combination of a grid of parameters and say how much of the best result may be luck.

The grid is a TOML file with a list of values for each key; quoted keys and nested tables both do:

\b
  "long.all.0.right" = [25, 30, 35]               a number of the strategy's conditions, by its path
  "trading.sizing.risk_share" = [0.01, 0.02]      any setting under 'trading.' ('settings get trading')
  exit_profile = ["scalp", "swing"]               scalp, swing or even; for rules
  "exits.swing.stop" = [1.5, 2.0]                 stop, target or time_limit of a rule's exits (scalp up to 5m)
  "management.trailing" = [2.0, 3.0]              what the strategy carries itself of entry, management or size
  threshold = [0.30, 0.35]                        least probability of a forecast, 0 to 1; for ensemble and auto
  strategy = ["macd-cross", "turtle"]             several strategies beside one another; --strategy is not needed

At most 1,000 combinations. Ctrl+C ends it with the back-tests finished so far. Every combination counts as a try: it
is written to the audit, and 'deflated_sharpe' counts those of earlier sweeps of the series too. With two lists of
several values the result is a heat map as well."""

StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy", metavar="NAME|FILE",
        help="Library name, strategy file, or 'ensemble' (default: the first that the grid names).",
    ),
]  # fmt: skip
SaveOption = Annotated[
    str | None,
    typer.Option("--save", metavar="FILE", help="Write the result to a file too: .csv (a row a run) or .json (all)."),
]
GridOption = Annotated[str, typer.Option("--grid", metavar="FILE", help="TOML file: a list of values for each key.")]
ScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", metavar="walk-forward|RUN_ID",
                 help="Stored forecasts that an ensemble trades (default: the newest)."),
]  # fmt: skip
GatesOption = Annotated[str, typer.Option("--gates", help="enforce, or observe: gates are evaluated, not obeyed.")]
HaltOption = Annotated[str, typer.Option("--on-halt", help="After a halt: stop, next-day or next-month.")]
ProfileOption = Annotated[
    str | None,
    typer.Option("--exit-profile", help="Exits where the grid has none: scalp, swing or even (default: by timeframe)."),
]


def register(app: typer.Typer) -> None:
    """Add this room's command."""
    app.command("sweep", help=HELP, short_help="Back-test every combination of a grid of parameters.")(sweep)


def sweep(
    context: typer.Context, symbol: SymbolOption, timeframe: TimeframeOption, grid: GridOption,
    strategy: StrategyOption = None, start: FromOption = None, end: ToOption = None, schedule: ScheduleOption = None,
    gates: GatesOption = "enforce", on_halt: HaltOption = "stop", exit_profile: ProfileOption = None,
    exchange: ExchangeOption = None, source: SourceOption = None, seed: SeedOption = None,
    workers: WorkersOption = None, cluster: ClusterOption = None, save: SaveOption = None,
) -> None:  # fmt: skip
    """Back-test a grid."""
    for option, value, choices in (
        ("--gates", gates, ("enforce", "observe")),
        ("--on-halt", on_halt, ("stop", "next-day", "next-month")),
    ):
        if value not in choices:
            raise UserError(f"{option} {value} is not known: use {', '.join(choices)}.")
    from app.sweep_tables import save as write
    from app.sweep_tables import target
    from app.sweeps import Request, perform

    given = invocation(context)
    file = None if save is None else target(save)
    first, last = span(start, end)
    traded = symbols(symbol)
    if len(traded) > 1:
        raise UserError(f"A sweep trades one symbol, not {len(traded)}: start one for each.")
    request = Request(
        symbol=traded[0], timeframe=timeframe, strategy=strategy, grid=Path(grid).expanduser(),
        schedule=schedule, start_ms=first, end_ms=last, enforce=gates == "enforce", on_halt=on_halt,
        exchange=exchange, source=source, exit_profile=exit_profile, seed=seed, workers=workers, cluster=cluster,
    )  # fmt: skip
    with given.workplace() as place, given.out.progress("sweep") as progress:
        document = perform(place, request, progress)
    if file is not None:
        write(document, file)
        given.out.note(f"The {len(document['runs']):,} runs are in {file}.")
    given.out.document(document, lambda console: show_sweep(console, document))


def show_sweep(console: Console, document: Mapping[str, Any]) -> None:
    """The best runs, the map over two parameters, and what they are worth."""
    from app.sweep_tables import ranked_rows

    names = list(document["grid"])
    rows = [
        {**row, **row["parameters"], "place": "best" if row == document["best"] else str(k)}
        for k, row in enumerate(ranked_rows(document)[:SHOWN_RUNS], 1)
    ]
    columns = [
        Column("place", " "), *(Column(name, name) for name in names), Column("trades"),
        Column("net_return", "return", "+.2%"), Column("sharpe", form=".2f"), Column("max_drawdown", "drawdown", ".2%"),
        Column("equity_end", "equity", ",.2f"), Column("halted_at", "halted"),
    ]  # fmt: skip
    show_table(console, rows, columns, title="Best first" if len(rows) > 1 else "")
    if len(document["runs"]) > SHOWN_RUNS:
        console.print(f"{len(document['runs']) - SHOWN_RUNS:,} more are in the JSON document.", markup=False)
    show_heat_map(console, document["heat_map"])
    failed = [row for row in document["runs"] if row["error"] is not None]
    if failed:
        console.print(f"{len(failed):,} could not be run; the first: {failed[0]['error']}", markup=False)
    console.print(verdict(document), markup=False)


def show_heat_map(console: Console, found: Mapping[str, Any] | None) -> None:
    """Sharpe ratios over two parameters, the best marked; nothing where the grid has not two."""
    if found is None:
        return
    rows = []
    for i, (value, line) in enumerate(zip(found["row_values"], found["sharpe"], strict=True)):
        said = [plain(sharpe, ".2f") + (" *" if found["best"] == [i, j] else "") for j, sharpe in enumerate(line)]
        rows.append({"value": plain(value), **{str(j): text for j, text in enumerate(said)}})
    columns = [
        Column("value", f"{found['rows']} / {found['columns']}"),
        *(Column(str(j), plain(value)) for j, value in enumerate(found["column_values"])),
    ]  # fmt: skip
    show_table(console, rows, columns, title="Sharpe ratio (* the best)")


def verdict(document: Mapping[str, Any]) -> str:
    """What the search says, in words."""
    text = f"{document['trials']:,} of {document['planned']:,} configurations in {document['elapsed_s']:.1f} s"
    if not document["complete"]:
        text += " (stopped before the end)"
    best = document["best"]
    if best is None:
        return f"{text}; none has a Sharpe ratio, so there is no best one."
    chosen = ", ".join(f"{name} = {plain(value)}" for name, value in best["parameters"].items())
    text += f"; the best is {chosen}, with a Sharpe ratio of {document['best']['sharpe']:.2f}."
    tries = document["trials"] + document["earlier_trials"]
    if document["sharpe_by_luck"] is not None:
        text += (
            f" What the search costs: the best of {tries:,} worthless configurations would be expected to show "
            f"{document['sharpe_by_luck']:.2f}."
        )
    if document["deflated_sharpe"] is not None:
        text += f" The chance that its Sharpe ratio is more than luck after {tries:,} tries on this series is "
        text += f"{document['deflated_sharpe']:.0%}."
    if document["superior_ability"] is not None:
        text += (
            f" If none of {document['trials_compared']:,} compared configurations were better than no trade, one as "
        )
        text += f"good as the best of them would be seen with a chance of {document['superior_ability']:.0%}."
    if document["pbo"] is not None:
        text += f" The chance that the best of the past is below the median afterwards is {document['pbo']:.0%}."
    needed, days = document["minimum_track_record_days"], document["track_record_days"]
    if needed is not None and needed > days:
        text += (
            f" {days:,} days are too few to call its Sharpe ratio positive even if it were the only try: {needed:,.0f}"
        )
        text += " would do."
    return text

"""``tune``: a search for the members' hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import (
    ExchangeOption,
    FromOption,
    ModelsOption,
    SeedOption,
    SourceOption,
    SymbolOption,
    TimeframeOption,
    invocation,
    names,
    span,
    symbols,
)
from app.output import Column, show_table

if TYPE_CHECKING:
    from rich.console import Console

HELP = """Search for better hyper-parameters of the models, on inner folds of the bars that are given.

Each model's own parameters are tried first, then others (Optuna's TPE), each by its mean log loss over three folds that
lie behind one another and are purged by the labels' ends. Later trainings, retrainings and walk-forwards of the series
use what was found, but only for tests that begin after the last bar of the search. The least of many losses is too
good: what the parameters are worth, a walk-forward says. Every configuration counts as a try.

Ctrl+C leaves a search that the same command goes on with."""

EndOption = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="D",
        help="End, UTC, not included (default: without the newest 15 % of the bars, where models are scored).",
    ),
]  # fmt: skip
TrialsOption = Annotated[
    int | None,
    typer.Option(
        "--trials", min=1, max=10_000, metavar="N",
        help="Configurations of each model, those of an interrupted search included (default: the setting, 40).",
    ),
]  # fmt: skip
LimitOption = Annotated[
    float | None,
    typer.Option("--time-limit", min=1.0, metavar="S", help="Seconds after which it ends with what is known."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--exit-profile", help="Exits: scalp, swing or even (default: scalp to 5m, swing from 15m on)."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes (default: every core where there are many bars).")
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="ADDRESS", help="A Dask scheduler that does the work instead.")
]


def register(app: typer.Typer) -> None:
    """Add this room's command."""
    app.command("tune", help=HELP, short_help="Search for better hyper-parameters of the models.")(tune)


def tune(
    context: typer.Context, symbol: SymbolOption, timeframe: TimeframeOption, models: ModelsOption = None,
    trials: TrialsOption = None, start: FromOption = None, end: EndOption = None, time_limit: LimitOption = None,
    seed: SeedOption = None, exit_profile: ProfileOption = None, exchange: ExchangeOption = None,
    source: SourceOption = None, workers: WorkersOption = None, cluster: ClusterOption = None,
) -> None:  # fmt: skip
    """Search on stored bars."""
    from app.tuning import Request, perform

    given = invocation(context)
    first, last = span(start, end)
    request = Request(
        symbol=symbols(symbol)[0], timeframe=timeframe, members=names(models), trials=trials, seed=seed,
        start_ms=first, end_ms=last, time_limit_s=time_limit, exchange=exchange, source=source,
        exit_profile=exit_profile, workers=workers, cluster=cluster,
    )  # fmt: skip
    with given.workplace() as place, given.out.progress("tune") as progress:
        document = perform(place, request, progress)
    given.out.document(document, lambda console: show_tuning(console, document))


def show_tuning(console: Console, document: Mapping[str, Any]) -> None:
    """The best of each model, and what it is worth."""
    rows = [
        {**found, "member": name, "best": ", ".join(f"{k} {v:.4g}" for k, v in found["parameters"].items())}
        for name, found in document["members"].items()
    ]
    columns = [
        Column("member", "model"), Column("tried"), Column("failed"), Column("plain_loss", "own loss", ".4f"),
        Column("loss", "best loss", ".4f"), Column("base_loss", "base rate", ".4f"), Column("best", "parameters"),
    ]  # fmt: skip
    show_table(console, rows, columns)
    console.print(verdict(document), markup=False)


def verdict(document: Mapping[str, Any]) -> str:
    """What the search came to, in words."""
    text = f"{document['tried']:,} of {document['planned']:,} configurations"
    if document["failed"]:
        text += f" ({document['failed']:,} failed)"
    if document["resumed"]:
        text += f", {document['resumed']:,} of them from before"
    text += f", on {document['bars']:,} bars to {document['to'][:10]}."
    if not document["stored"]:
        return f"{text} Stopped before the end; nothing is used yet. The same command goes on where it stopped."
    if not document["complete"]:
        text += " The time was up; the same command goes on where it stopped."
    return f"{text} Trainings whose test begins after that day use the best; a walk-forward says what they are worth."

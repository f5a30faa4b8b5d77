"""Research: ``features``, ``train``, ``backtest``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.parameters import (
    CheckOption,
    ExchangeOption,
    FromOption,
    ModelsOption,
    SeedOption,
    SourceOption,
    SymbolOption,
    SymbolsOption,
    TimeframeOption,
    ToOption,
    invocation,
    names,
    span,
    symbols,
)
from app.cli.reports import show_backtest, show_train
from app.output import Column, show_table
from data.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

StrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", metavar="NAME|FILE",
                 help="Library name, strategy file or 'ensemble' (default: the stored walk-forward schedule)."),
]  # fmt: skip
ModelOption = Annotated[str | None, typer.Option("--model", help="One registered model for all bars.", metavar="ID")]
ScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", metavar="walk-forward|RUN_ID", help="Stored forecasts to trade (default: the newest)."),
]
EngineOption = Annotated[str, typer.Option("--engine", help="fast (compiled) or service (bar by bar, with journal).")]
GatesOption = Annotated[str, typer.Option("--gates", help="enforce, or observe: gates are evaluated, not obeyed.")]
HaltOption = Annotated[str, typer.Option("--on-halt", help="After a halt: stop, next-day or next-month.")]
AllowOption = Annotated[
    bool, typer.Option("--allow-in-sample", help="Trade bars that the model was trained on too; they are counted.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--exit-profile", help="Exits: scalp, swing or even (default: scalp to 5m, swing from 15m on)."),
]
MaybeSymbol = Annotated[
    str | None, typer.Option("--symbol", help="Stored series to audit (default: a synthetic market).", metavar="S")
]
MaybeTimeframe = Annotated[
    str | None, typer.Option("--timeframe", help="Length of a bar, as 1h (default: 1h).", metavar="TF")
]
AuditedOption = Annotated[
    str | None, typer.Option("--model", help="Audit a registered model, as 'models audit' does.", metavar="ID")
]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    features = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    features.command("list", help="The registry: every feature with group, look-back, unit and meaning.")(feature_list)
    features.command("audit", help="Look for values that know the future.")(feature_audit)
    app.add_typer(features, name="features", help="The features that models and rules read.")
    app.command("train", help="Train one model on stored bars and register it.")(train)
    app.command("backtest", help="Trade stored bars.")(backtest)


def feature_list(context: typer.Context) -> None:
    """The registry."""
    from app.features import registry

    given = invocation(context)
    document = registry()
    columns = [
        Column("name"),
        Column("group"),
        Column("lookback", "look-back, bars"),
        Column("unit"),
        Column("meaning"),
    ]
    given.out.document(document, lambda console: show_table(console, document["features"], columns))


def feature_audit(
    context: typer.Context, symbol: MaybeSymbol = None, timeframe: MaybeTimeframe = None,
    exchange: ExchangeOption = None, source: SourceOption = None, model: AuditedOption = None,
    check: CheckOption = False,
) -> None:  # fmt: skip
    """The leak audit."""
    if model is not None:
        from app.cli.models import audit as audit_model

        audit_model(context, model, check)
        return
    from app.features import audit

    given = invocation(context)
    with given.workplace() as place:
        document = audit(place, symbol, timeframe, exchange, source)
    leaks = document["leaks"]

    def human(console: Console) -> None:
        if leaks:
            show_table(console, leaks, [Column(key) for key in leaks[0]], title="Leaks")
        else:
            console.print(f"No leak found in {document['checked']} values checks over {document['bars']:,} bars.")

    given.out.document(document, human)
    if check and leaks:
        raise typer.Exit(1)


def train(
    context: typer.Context, symbol: SymbolOption, timeframe: TimeframeOption, start: FromOption = None,
    end: ToOption = None, models: ModelsOption = None, seed: SeedOption = None, exchange: ExchangeOption = None,
    source: SourceOption = None, exit_profile: ProfileOption = None,
) -> None:  # fmt: skip
    """Train one model."""
    from app.training import Request, perform

    given = invocation(context)
    first, last = span(start, end)
    request = Request(
        symbol=symbols(symbol)[0], timeframe=timeframe, members=names(models), seed=seed, start_ms=first, end_ms=last,
        exchange=exchange, source=source, exit_profile=exit_profile,
    )  # fmt: skip
    with given.workplace() as place, given.out.progress("train") as progress:
        document = perform(place, request, progress)
    given.out.document(document, lambda console: show_train(console, document))


def backtest(
    context: typer.Context, symbols_text: SymbolsOption, timeframe: TimeframeOption, strategy: StrategyOption = None,
    model: ModelOption = None, schedule: ScheduleOption = None, start: FromOption = None, end: ToOption = None,
    engine: EngineOption = "fast", gates: GatesOption = "enforce", on_halt: HaltOption = "stop",
    allow_in_sample: AllowOption = False, exchange: ExchangeOption = None, source: SourceOption = None,
    exit_profile: ProfileOption = None, seed: SeedOption = None,
) -> None:  # fmt: skip
    """Trade stored bars."""
    for option, value, choices in (
        ("--engine", engine, ("fast", "service")),
        ("--gates", gates, ("enforce", "observe")),
        ("--on-halt", on_halt, ("stop", "next-day", "next-month")),
    ):
        if value not in choices:
            raise UserError(f"{option} {value} is not known: use {', '.join(choices)}.")
    from app.backtests import Request, perform

    given = invocation(context)
    first, last = span(start, end)
    request = Request(
        symbols=symbols(symbols_text), timeframe=timeframe, strategy=strategy, model=model, schedule=schedule,
        start_ms=first, end_ms=last, engine=engine, enforce=gates == "enforce", on_halt=on_halt,
        allow_in_sample=allow_in_sample, exchange=exchange, source=source, exit_profile=exit_profile, seed=seed,
    )  # fmt: skip
    with given.workplace() as place:
        document, note = perform(place, request)
    if note:
        given.out.note(note)
    given.out.document(document, lambda console: show_backtest(console, document))

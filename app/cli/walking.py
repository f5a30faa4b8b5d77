"""``walk-forward``: train and score out of sample."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.parameters import (
    ClusterOption,
    ExchangeOption,
    FromOption,
    ModelsOption,
    SeedOption,
    SourceOption,
    SymbolsOption,
    TimeframeOption,
    ToOption,
    WorkersOption,
    invocation,
    names,
    span,
    symbols,
)
from app.cli.walk_report import show_portfolio, show_walk_forward

HELP = """Train on one window, forecast the next, never the other way round; store the forecasts.

The report gives every score with its 95 % band, the baselines on the same rows, the result after costs, and what the
search for it costs: 'deflated_sharpe' counts every configuration ever tried on the series.

Of several symbols each has models of its own, by the same folds over the bars that all of them have; then all are
traded in one account, portfolio gates and all. Ctrl+C keeps the symbols that are finished."""

TrainOption = Annotated[
    str | None,
    typer.Option("--train", help="Length of a training window: 6mo, 12w, 90d or 5000b (bars; default: the setting)."),
]
TestOption = Annotated[
    str | None, typer.Option("--test", help="Length of a test window: 1mo, 2w, 14d or 500b (default: the setting).")
]
StepOption = Annotated[
    str | None, typer.Option("--step", help="From one fold to the next, as 1mo (default: the test window).")
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--exit-profile", help="Exits: scalp, swing or even (default: scalp to 5m, swing from 15m on)."),
]
AnchoredOption = Annotated[
    bool | None,
    typer.Option("--anchored/--rolling", help="Train from the first bar on, or on the newest window (the setting)."),
]
EmbargoOption = Annotated[
    int | None,
    typer.Option("--embargo", help="Bars left out between training and test (default: the setting, 0).", min=0),
]
GroupsOption = Annotated[
    int | None,
    typer.Option("--cpcv", metavar="K", min=0, max=20,
                 help="Besides, cut the bars into K groups and test every two of them while the others train: shows "
                      "how steady the result is. 0: no (default: the setting, 0)."),
]  # fmt: skip
TuneOption = Annotated[
    int | None,
    typer.Option("--tune", metavar="N", min=0,
                 help="Search N configurations of every member on each training window; 0: no (default: the setting)."),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this room's command."""
    app.command("walk-forward", help=HELP, short_help="Train and score out of sample; store the forecasts.")(
        walk_forward
    )


def walk_forward(
    context: typer.Context, symbols_text: SymbolsOption, timeframe: TimeframeOption, train: TrainOption = None,
    test: TestOption = None, step: StepOption = None, models: ModelsOption = None, seed: SeedOption = None,
    start: FromOption = None, end: ToOption = None, exchange: ExchangeOption = None, source: SourceOption = None,
    exit_profile: ProfileOption = None, anchored: AnchoredOption = None, embargo: EmbargoOption = None,
    cpcv: GroupsOption = None, tune: TuneOption = None, workers: WorkersOption = None, cluster: ClusterOption = None,
) -> None:  # fmt: skip
    """Train and score out of sample."""
    from app.portfolio_walk import perform_all
    from app.walk_forward import Request, perform

    given = invocation(context)
    first, last = span(start, end)
    asked = symbols(symbols_text)
    request = Request(
        symbol=asked[0], timeframe=timeframe, train=train, test=test, step=step,
        members=names(models), seed=seed, start_ms=first, end_ms=last, exchange=exchange, source=source,
        exit_profile=exit_profile, workers=workers, anchored=anchored, embargo_bars=embargo, cpcv_groups=cpcv,
        tune=tune, cluster=cluster,
    )  # fmt: skip
    with given.workplace() as place, given.out.progress("walk-forward") as progress:
        document = (
            perform(place, request, progress) if len(asked) == 1 else perform_all(place, asked, request, progress)
        )
    show = show_walk_forward if len(asked) == 1 else show_portfolio
    given.out.document(document, lambda console: show(console, document))

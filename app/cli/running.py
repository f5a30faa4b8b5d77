"""``run`` and the commands that reach a running service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import ExchangeOption, SeedOption, invocation, symbols
from app.options import MAX_SPEED, RUN_SOURCES, RunOptions
from app.output import Column, plain, show_table
from data.errors import UserError
from data.timeframes import parse_span, timeframe_ms

if TYPE_CHECKING:
    from rich.console import Console

PROFILE_NAMES = ("scalp", "swing", "even")

ModeOption = Annotated[str, typer.Option("--mode", help="paper (default); live is not part of this version.")]
SymbolsOption = Annotated[
    str | None,
    typer.Option("--symbols", "--symbol", help="Symbols, by commas (default: BTCUSDT).", metavar="A,B"),
]
TimeframeOption = Annotated[
    str | None, typer.Option("--timeframe", help="Length of a bar: 1m 5m 15m 1h 4h 8h 1d (default: 1m).", metavar="TF")
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy", metavar="S",
        help="Name in the library, a strategy file, or 'ensemble' (default: rsi-oversold until a model is promoted).",
    ),
]  # fmt: skip
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source", help="exchange, synthetic or replay (default: the setting, else synthetic; replay with --replay)."
    ),
]
ReplayOption = Annotated[
    str | None,
    typer.Option("--replay", help="Span of stored bars, UTC, end not included: 2024-05-01..2024-06-01.",
                 metavar="FROM..TO"),
]  # fmt: skip
DataSourceOption = Annotated[
    str | None,
    typer.Option("--data-source", help="Replay bars of 'exchange' or 'synthetic', where both are stored."),
]
ScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", metavar="walk-forward|RUN_ID",
                 help="Trade the stored walk-forward forecasts and do not retrain."),
]  # fmt: skip
SpeedOption = Annotated[
    str | None,
    typer.Option("--speed", help="Bars per second and symbol, or 'max' (default: by source).", metavar="max|N"),
]
ForOption = Annotated[
    float | None, typer.Option("--for", help="Stop after this many seconds (default: never).", metavar="SECONDS")
]
BarsOption = Annotated[
    int | None, typer.Option("--bars", help="Stop after this many bars per symbol (default: never).", metavar="N")
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Start the account anew instead of continuing it.")]
ProfileOption = Annotated[
    str | None,
    typer.Option("--exit-profile", help="Exits: scalp, swing or even (default: scalp to 5m, swing from 15m on)."),
]
BundleOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="P",
                 help="Named bundle of settings, as sigma ('profile list'); other options go before it."),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("run", help="Run the service: paper trading on exchange, synthetic or replayed bars.")(run)
    for name, words in (
        ("status", "State, positions, equity and feeds of the running service."),
        ("pause", "No new positions; exits and protection go on."),
        ("resume", "Trade again after a pause or a halt (the new base is written to the audit)."),
        ("halt", "Emergency stop: cancel entries, keep stops; only a person resumes."),
        ("flatten", "Close every position at once, reduce-only."),
        ("loosen", "Set limits that tightened by themselves back to the settings (written to the audit)."),
    ):
        app.command(name, help=words)(_control(name))


def run(
    context: typer.Context, mode: ModeOption = "paper", symbols: SymbolsOption = None,
    timeframe: TimeframeOption = None, strategy: StrategyOption = None, source: SourceOption = None,
    exchange: ExchangeOption = None, replay: ReplayOption = None, data_source: DataSourceOption = None,
    schedule: ScheduleOption = None, speed: SpeedOption = None, for_seconds: ForOption = None,
    bars: BarsOption = None, fresh: FreshOption = False, exit_profile: ProfileOption = None, seed: SeedOption = None,
    profile: BundleOption = None,
) -> None:  # fmt: skip
    """The headless service."""
    given = invocation(context)
    _check_mode(mode)
    span = parse_span(replay) if replay else None
    if source is None and span is not None:
        source = "replay"
    _check_choice("--source", source, RUN_SOURCES)
    _check_choice("--data-source", data_source, ("exchange", "synthetic"))
    _check_choice("--exit-profile", exit_profile, PROFILE_NAMES)
    if span is not None and source != "replay":
        raise UserError(f"--replay goes with --source replay, not with --source {source}.")
    if timeframe is not None:
        timeframe_ms(timeframe)
    _check_positive("--for", for_seconds, "seconds")
    _check_positive("--bars", bars, "bars")
    options = RunOptions(
        home=given.home, mode=mode, symbols=_symbols(symbols), timeframe=timeframe, strategy=strategy, source=source,
        exchange=exchange, data_source=data_source, replay=span, schedule=schedule, speed=parse_speed(speed),
        for_seconds=for_seconds, bars=bars, fresh=fresh, exit_profile=exit_profile, seed=seed, json=given.out.json,
        debug=given.out.debug,
    )  # fmt: skip
    if profile is not None:
        from app.profiles import profile as named

        options = named(profile).options(options)
    if given.run is not None:
        given.run(options)
        return
    from app.headless import run_headless

    document = run_headless(options, given.out)
    given.out.document(document, lambda console: show_run(console, document))


def parse_speed(text: str | None) -> float | None:
    """``max`` or a number of bars per second.

    Raises:
        UserError: neither.
    """
    if text is None:
        return None
    if text == "max":
        return MAX_SPEED
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"--speed {text} is no speed: give bars per second above 0, or 'max'.")
    return value


def _symbols(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else symbols(text)


def _check_mode(mode: str) -> None:
    if mode == "live":
        raise UserError("Live execution is not part of this version: run with --mode paper.")
    _check_choice("--mode", mode, ("paper",))


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise UserError(f"{option} {value} is not known: use {' or '.join(choices)}.")


def _check_positive(option: str, value: float | None, unit: str) -> None:
    if value is not None and not value > 0:
        raise UserError(f"{option} {value:g} is too small: give a number of {unit} above 0.")


def _control(name: str) -> Any:
    def command(context: typer.Context) -> None:
        from app.control import send

        given = invocation(context)
        document = send(given.home, name, {})
        given.out.document(document, lambda console: show_status(console, document))

    command.__name__ = name
    return command


def show_run(console: Console, document: Mapping[str, Any]) -> None:
    """The summary of a run."""
    from app.run_report import summary_lines

    for line in summary_lines(document):
        console.print(line, markup=False, soft_wrap=True)


def show_status(console: Console, document: Mapping[str, Any]) -> None:
    """A running service at one glance."""
    console.print(
        f"State {document.get('state')}, equity {plain(document.get('equity'), ',.2f')} USDT, "
        f"today {plain(document.get('day_pnl'), '+,.2f')} USDT, protected {plain(document.get('protected'))}.",
        markup=False,
    )
    positions = document.get("positions") or []
    if positions:
        show_table(console, positions, [Column(key) for key in positions[0]], title="Positions")
    feeds = document.get("feeds") or []
    if feeds:
        show_table(console, feeds, [Column(key) for key in feeds[0]], title="Feeds")

"""The registry of models: ``models list|audit|promote|rollback``, and ``calibrate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import CheckOption, FromOption, SourceOption, ToOption, invocation, span, symbols
from app.output import Column, show_table

if TYPE_CHECKING:
    from rich.console import Console

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A model's id, or its unique beginning.")]

ToExchangeOption = Annotated[str, typer.Option("--exchange", help="Exchange whose stored bars it is calibrated to.")]
MaybeSymbol = Annotated[str | None, typer.Option("--symbol", help="Its market there (default: the model's).")]
MaybeTimeframe = Annotated[str | None, typer.Option("--timeframe", help="Length of a bar (the model's).", metavar="TF")]
RegisterOption = Annotated[bool, typer.Option("--register", help="Register the result as a candidate of its own.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    models = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    models.command("list", help="Registered models, the promoted one marked.")(model_list)
    models.command("audit", help="Audit a registered model for leaks; the verdict is kept with it.")(audit)
    models.command("promote", help="Let this model make the forecasts from the next bar on.")(promote)
    models.command("rollback", help="Go back to the model promoted before.")(rollback)
    app.add_typer(models, name="models", help="The registry of models.")
    app.command("calibrate", help="Bring a registered model to another exchange; report before and after.")(calibrate)


def model_list(context: typer.Context) -> None:
    """The registry of models."""
    from app.training import listed

    given = invocation(context)
    with given.workplace() as place:
        document = listed(place)
    given.out.document(document, lambda console: _show_models(console, document))


def audit(context: typer.Context, model_id: IdArgument, check: CheckOption = False) -> None:
    """Audit a model."""
    from app.training import audit as perform

    given = invocation(context)
    with given.workplace() as place:
        document = perform(place, model_id)
    found = document["models"][0]["audit"]
    given.out.document(document, lambda console: console.print(f"{found['sentence'].capitalize()}."))
    if check and not found["passed"]:
        raise typer.Exit(1)


def promote(context: typer.Context, model_id: IdArgument) -> None:
    """Promote a model."""
    from app.training import promote as perform

    given = invocation(context)
    with given.workplace() as place:
        document = perform(place, model_id)
    given.out.document(document, lambda console: _show_models(console, document))


def rollback(context: typer.Context) -> None:
    """Go back one promotion."""
    from app.training import rollback as perform

    given = invocation(context)
    with given.workplace() as place:
        document = perform(place)
    given.out.document(document, lambda console: _show_models(console, document))


def calibrate(
    context: typer.Context, model_id: IdArgument, exchange: ToExchangeOption, symbol: MaybeSymbol = None,
    timeframe: MaybeTimeframe = None, start: FromOption = None, end: ToOption = None, source: SourceOption = None,
    register: RegisterOption = False,
) -> None:  # fmt: skip
    """Calibrate a model to another exchange."""
    from app.transfer import Request, perform

    given = invocation(context)
    first, last = span(start, end)
    request = Request(
        model_id, exchange, None if symbol is None else symbols(symbol)[0], timeframe, source, first, last, register
    )
    with given.workplace() as place:
        document = perform(place, request)
    given.out.document(document, lambda console: _show_calibration(console, document))


def _show_calibration(console: Console, document: Mapping[str, Any]) -> None:
    rows = [
        {"score": words, "before": document["before"][name], "after": document["after"][name],
         "low": document["after"][f"{name}_low"], "high": document["after"][f"{name}_high"]}
        for name, words in (("log_loss", "log loss"), ("skill", "saved of the base rate's"), ("brier", "Brier"),
                            ("auc", "direction AUC"), ("ece", "calibration error"))
    ]  # fmt: skip
    columns = [Column("score"), Column("before"), Column("after"), Column("low", "95 % from"), Column("high", "to")]
    judged = document["judged_on"]
    title = f"{document['model']} on {document['series']}, {judged['n']:,} labels from {judged['from'][:10]} on"
    show_table(console, rows, columns, title=title)
    moved = len(document["moved"])
    console.print(
        f"{len(document['differ'])} features have another scale there, {moved} are mapped. {document['verdict']}"
    )
    if document["registered"]:
        console.print(f"Registered as candidate {document['model_id']}, parent {document['model']}.")


def _show_models(console: Console, document: Mapping[str, Any]) -> None:
    columns = [
        Column("model_id", "id"), Column("state"), Column("symbol"), Column("timeframe"), Column("members"),
        Column("train_from"), Column("train_to"), Column("created"), Column("audit", "leak audit"),
        Column("live"),
    ]  # fmt: skip
    rows = [
        {
            **row,
            "members": ", ".join(row["members"]),
            "audit": _audit_words(row["audit"]),
            "live": _live_words(row.get("live")),
        }
        for row in document["models"]
    ]
    show_table(console, rows, columns, none="No model yet: 'train' makes one.")


def _audit_words(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not made"
    return "passed" if found["passed"] else str(found["sentence"])


def _live_words(found: Mapping[str, Any] | None) -> str:
    if found is None or not found["n"]:
        return ""
    loss = found["log_loss"]
    fold = "" if loss["fold"] is None else f", {loss['fold']:.3f} in its fold"
    return f"log loss {loss['value']:.3f} of {found['n']:,}{fold}{': worse' if found['worse'] else ''}"

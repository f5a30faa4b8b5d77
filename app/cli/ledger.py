"""What happened and why: the read commands over the ledger, ``export``, ``audit verify``, ``reconcile``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import (
    AccountOption,
    CheckOption,
    FromOption,
    LimitOption,
    MaybeSymbolOption,
    account_number,
    invocation,
    span,
)
from app.cli.reports import metric_rows
from app.output import Column, plain, show_table
from data.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

Rows = Sequence[Mapping[str, Any]]
UntilOption = Annotated[
    str | None, typer.Option("--to", help="End, UTC, not included, as 2024-06-01 (default: now).", metavar="D")
]
IdOption = Annotated[
    str | None, typer.Option("--id", help="One decision with everything that led to it, by its id.", metavar="ID")
]
TableArgument = Annotated[
    str, typer.Argument(metavar="TABLE", help="Name of a table, as trades or market_data (a wrong one lists them).")
]
FileOption = Annotated[
    str, typer.Option("--to", metavar="FILE", help="The file to write; .csv or .parquet says the form.")
]
HeadOption = Annotated[
    str | None, typer.Option("--head", metavar="HASH", help="A head noted earlier that the chain must still contain.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Flat positions of earlier times too.")]

PRICE, MONEY = ",.10g", ",.2f"
COLUMNS: dict[str, list[Column]] = {
    "trades": [
        Column("id"), Column("symbol"), Column("side"), Column("qty", form=PRICE), Column("entry_time"),
        Column("entry_price", form=PRICE), Column("exit_time"), Column("exit_price", form=PRICE),
        Column("exit_reason"), Column("fees", form=MONEY), Column("funding", form=MONEY), Column("pnl", form=MONEY),
    ],
    "orders": [
        Column("client_id"), Column("symbol"), Column("purpose"), Column("side"), Column("kind"), Column("quantity"),
        Column("price"), Column("status"), Column("created"), Column("updated"),
    ],
    "fills": [
        Column("id"), Column("time"), Column("symbol"), Column("side"), Column("purpose"), Column("qty", form=PRICE),
        Column("price", form=PRICE), Column("fee", form=",.4f"), Column("slippage", form=",.4f"), Column("liquidity"),
        Column("reason"),
    ],
    "positions": [
        Column("symbol"), Column("side"), Column("qty", form=PRICE), Column("entry_price", form=PRICE),
        Column("entry_time"), Column("stop", form=PRICE), Column("target", form=PRICE),
        Column("last_price", form=PRICE), Column("unrealised", form=MONEY), Column("protected"),
    ],
    "decisions": [
        Column("id"), Column("time"), Column("symbol"), Column("action"), Column("why"), Column("p_long", form=".3f"),
        Column("p_short", form=".3f"), Column("threshold", form=".3f"), Column("qty", form=PRICE),
        Column("blocked_by"),
    ],
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    for table, words in (
        ("trades", "Closed trades, flat to flat."),
        ("orders", "Orders with their state."),
        ("fills", "Every fill."),
    ):
        app.command(table, help=words)(_rows_command(table))
    app.command("positions", help="Open positions at the last committed bar.")(positions)
    app.command("performance", help="What an account made, by the ledger.")(performance)
    app.command("decisions", help="What was decided on each bar, and why.")(decisions)
    app.command("export", help="Write a table to a file.")(export)
    audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    audit.command("verify", help="Check the hash chain of the audit.")(audit_verify)
    app.add_typer(audit, name="audit", help="The tamper-evident record.")
    app.command("reconcile", help="Hold account and positions against what the fills say.")(reconcile)


def _rows_command(table: str) -> Any:
    def command(
        context: typer.Context, account: AccountOption = None, symbol: MaybeSymbolOption = None,
        start: FromOption = None, end: UntilOption = None, limit: LimitOption = 200,
    ) -> None:  # fmt: skip
        from app.ledger import rows

        given = invocation(context)
        first, last = span(start, end)
        with given.workplace() as place:
            document = rows(place, table, account_number(account), symbol, first, last, limit)
        given.out.document(document, lambda console: show_rows(console, table, document))

    command.__name__ = table
    return command


def positions(context: typer.Context, account: AccountOption = None, symbol: MaybeSymbolOption = None) -> None:
    """Open positions."""
    from app.ledger import positions as read

    given = invocation(context)
    with given.workplace() as place:
        document = read(place, account_number(account), symbol)
    given.out.document(document, lambda console: show_rows(console, "positions", document, "No open position."))


def performance(
    context: typer.Context, account: AccountOption = None, start: FromOption = None, end: UntilOption = None
) -> None:
    """Performance."""
    from app.ledger import performance as read

    given = invocation(context)
    first, last = span(start, end)
    with given.workplace() as place:
        document = read(place, account_number(account), first, last)
    given.out.document(document, lambda console: show_performance(console, document))


def decisions(
    context: typer.Context, account: AccountOption = None, symbol: MaybeSymbolOption = None,
    start: FromOption = None, end: UntilOption = None, limit: LimitOption = 200, id: IdOption = None,
) -> None:  # fmt: skip
    """Decisions."""
    from app.ledger import decision, rows

    given = invocation(context)
    first, last = span(start, end)
    with given.workplace() as place:
        if id is None:
            document = rows(place, "decisions", account_number(account), symbol, first, last, limit)
        else:
            document = decision(place, account_number(account), id)
    if id is None:
        given.out.document(document, lambda console: show_rows(console, "decisions", document))
    else:
        given.out.document(document, lambda console: show_decision(console, document))


def export(context: typer.Context, table: TableArgument, to: FileOption) -> None:
    """A table to a file."""
    from app.ledger import export as write

    given = invocation(context)
    with given.workplace() as place:
        document = write(place, table, to)
    given.out.document(
        document, lambda console: console.print(f"{document['rows']:,} rows of {table} written to {to}.", markup=False)
    )


def audit_verify(context: typer.Context, head: HeadOption = None, check: CheckOption = False) -> None:
    """The hash chain."""
    from app.ledger import verify_audit

    given = invocation(context)
    with given.workplace() as place:
        document = verify_audit(place, head)

    def human(console: Console) -> None:
        verdict = "whole" if document["ok"] else f"broken at entry {document['first_bad']}"
        console.print(f"The audit chain of {document['entries']:,} entries is {verdict}.", markup=False)
        console.print(f"Head: {plain(document['head'])}", markup=False)

    given.out.document(document, human)
    if check and not document["ok"]:
        raise typer.Exit(1)


def reconcile(context: typer.Context, account: AccountOption = None, check: CheckOption = False) -> None:
    """Ledger against checkpoint and venue."""
    from app.ledger import reconcile as compare

    given = invocation(context)
    with given.workplace() as place:
        document = compare(place, account_number(account))
    differences = document["differences"]
    if not isinstance(differences, list):
        raise UserError("The comparison gave no list of differences.")

    def human(console: Console) -> None:
        if differences:
            show_table(console, differences, [Column(key) for key in differences[0]], title="Differences")
        else:
            console.print("Fills, trades, checkpoint and equity agree.", markup=False)

    given.out.document(document, human)
    if check and differences:
        raise typer.Exit(1)


def show_rows(console: Console, table: str, document: Mapping[str, Any], none: str = "") -> None:
    """Rows of a read command."""
    words = none or f"No {table} yet: 'run' or 'backtest' makes some."
    show_table(console, document[table], COLUMNS[table], none=words)
    if document.get("more"):
        console.print(f"Only the newest {len(document[table]):,} are shown; --limit shows more.", markup=False)


def show_performance(console: Console, document: Mapping[str, Any]) -> None:
    """Performance of each account."""
    for row in document["performance"]:
        console.print(
            f"Account {row['account']} ({row['mode']}, {row['source']}): equity {plain(row['equity_start'], MONEY)} → "
            f"{plain(row['equity_end'], MONEY)} USDT, {row['trades']} trades, fees {plain(row['fees'], MONEY)}, "
            f"funding {plain(row['funding'], '+,.2f')}.",
            markup=False,
        )
        metrics = metric_rows(row["metrics"])
        columns = [Column("metric"), Column("value", form="figure"), Column("unit")]
        show_table(console, metrics, columns, none="No metric yet.")
    if not document["performance"]:
        console.print("No account yet: 'run' makes one.", markup=False)


def show_decision(console: Console, document: Mapping[str, Any]) -> None:
    """One decision with its gates."""
    row = document["decision"]
    for key, value in row.items():
        if key not in ("gates", "members", "features"):
            console.print(f"{key.replace('_', ' ')}: {plain(value)}", markup=False)
    show_table(
        console, row["gates"],
        [Column("gate"), Column("value", form=",.4g"), Column("limit", form=",.4g"), Column("unit"),
         Column("verdict"), Column("words")],
        title="Gates", none="No gate was asked: there was no plan.",
    )  # fmt: skip

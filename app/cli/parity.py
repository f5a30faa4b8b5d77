"""``parity``: why a session made another profit than the back-test of the same bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import AccountOption, CheckOption, account_number, invocation
from app.output import Column, show_table

if TYPE_CHECKING:
    from rich.console import Console

CENT = 0.005  # quote units: less than half a cent is no difference to a person
StrategyOption = Annotated[
    str | None, typer.Option("--strategy", metavar="FILE", help="The strategy's file, where the run traded one.")
]
MONEY = "+,.2f"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("parity", help="Split a session's difference from the back-test of its bars into named parts.")(parity)


def parity(
    context: typer.Context, account: AccountOption = None, strategy: StrategyOption = None, check: CheckOption = False
) -> None:
    """A session held against the back-test of the same bars."""
    from app.parity import Request, perform

    given = invocation(context)
    with given.workplace() as place:
        document = perform(place, Request(account_number(account), strategy))
    given.out.document(document, lambda console: show(console, document))
    if check and any(abs(money) >= CENT for money in document["parts"].values()):
        raise typer.Exit(1)


def show(console: Console, document: Mapping[str, Any]) -> None:
    """The two profits in one sentence, the parts, and the trades that differ."""
    console.print(
        f"Account {document['account']}, {document['bars']:,} bars: {document['trades_session']:,} closed trades made "
        f"{document['pnl_session']:+,.2f} USDT; the back-test made {document['pnl_backtest']:+,.2f} with "
        f"{document['trades_backtest']:,}. Difference {document['difference']:+,.2f}.",
        markup=False,
    )
    rows = [{"part": p, "money": m, "meaning": document["meaning"][p]} for p, m in document["parts"].items()]
    show_table(console, rows, [Column("part"), Column("money", form=MONEY), Column("meaning")])
    differing = [
        {**row, **row["parts"]} for row in document["trades"] if any(abs(m) >= CENT for m in row["parts"].values())
    ]
    if differing:
        columns = [Column(name) for name in ("symbol", "side", "decided")]
        money = ("pnl_session", "pnl_backtest", *(p for p in document["parts"] if any(p in row for row in differing)))
        show_table(console, differing, [*columns, *(Column(name, form=MONEY) for name in money)], title="By trade")
    if document["open"]:
        console.print(f"{document['open']} trades still open on one side at the end are left out.", markup=False)
    for note in document["notes"]:
        console.print(note, markup=False)

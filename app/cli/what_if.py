"""``what-if``: what a trade would come to, before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.parameters import AccountOption, SymbolOption, account_number, invocation
from app.output import Column, plain, show_table

if TYPE_CHECKING:
    from rich.console import Console

SideOption = Annotated[str, typer.Option("--side", help="long or short.", metavar="long|short")]
QuantityOption = Annotated[
    float | None, typer.Option("--quantity", help="Base units (default: what sizing gives).", metavar="Q")
]
StopOption = Annotated[
    float | None, typer.Option("--stop", help="Price of the stop (default: by the exit profile).", metavar="P")
]
MONEY, PRICE, SHARE = ",.2f", ",.10g", ".2%"
KEYS = (
    "JSON keys: symbol side account time entry stop target quantity notional leverage margin liquidation loss_at_stop "
    "fees_at_stop fees_at_target expected_funding time_limit before after (each var es open_risk exposure) correlated "
    "(symbol rho) fails gates (gate tier value limit unit verdict words)."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "what-if",
        help="What a trade would come to at the newest bar: liquidation price, loss, costs, expected funding, risk "
        f"before and after, and the gates that would fail. Nothing is ordered. {KEYS}",
    )(what_if)


def what_if(
    context: typer.Context, symbol: SymbolOption, side: SideOption, quantity: QuantityOption = None,
    stop: StopOption = None, account: AccountOption = None,
) -> None:  # fmt: skip
    """A plan judged by the desk's own kernels."""
    from app.what_if import Request, perform

    given = invocation(context)
    with given.workplace() as place:
        document = perform(place, Request(symbol, side, quantity, stop, account_number(account)))
    given.out.document(document, lambda console: show(console, document))


def show(console: Console, document: Mapping[str, Any]) -> None:
    """The plan, the risk before and after, and the gates that fail or are not measured."""
    d = document
    console.print(
        f"{d['quantity']:g} {d['symbol']} {d['side']} at {d['entry']:,.10g}, stop {d['stop']:,.10g}, target "
        f"{d['target']:,.10g}, until {plain(d['time_limit'])}.",
        markup=False,
    )
    names = ("notional", "margin", "loss_at_stop", "fees_at_stop", "fees_at_target", "expected_funding")
    rows = [{"what": name.replace("_", " "), "money": d[name]} for name in names]
    rows.append({"what": "liquidation price", "money": d["liquidation"]})
    show_table(console, rows, [Column("what"), Column("money", form=MONEY)])
    risk = [{"risk": name, "before": d["before"][name], "after": d["after"][name]} for name in d["before"]]
    show_table(console, risk, [Column("risk"), Column("before", form=SHARE), Column("after", form=SHARE)])
    if d["correlated"]:
        told = ", ".join(f"{row['symbol']} (ρ {row['rho']:.2f})" for row in d["correlated"])
        console.print(f"Moves together with {told}: they share one margin limit.", markup=False)
    for gate in d["gates"]:
        if gate["verdict"] != "passed":
            console.print(f"{gate['verdict']}: {gate['words']}", markup=False)
    console.print(f"Blocked by {', '.join(d['fails'])}." if d["fails"] else "No gate would block it.", markup=False)

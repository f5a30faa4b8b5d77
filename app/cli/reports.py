"""What research commands show a person: verdicts in plain words above the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.output import Column, plain, show_table

if TYPE_CHECKING:
    from rich.console import Console

MONEY, FIGURE = ",.2f", "figure"
TRADES = [
    Column("id"), Column("symbol"), Column("side"), Column("qty", form=",.6g"), Column("entry_time"),
    Column("entry_price", form=",.8g"), Column("exit_time"), Column("exit_price", form=",.8g"), Column("exit_reason"),
    Column("fees", form=MONEY), Column("funding", form="+,.2f"), Column("pnl", form="+,.2f"),
]  # fmt: skip
SHOWN_TRADES, SHOWN_HALTS = 30, 12
HALTS = [Column("at"), Column("gate"), Column("why"), Column("resumed_at", "entries again")]
PARTS = (
    ("By exit", "by_exit"), ("By regime at entry", "by_regime"), ("By symbol", "by_symbol"), ("By side", "by_side"),
    ("By hour of entry, UTC", "by_hour"),
)  # fmt: skip
REACHED = (
    ("best, of the entry price", "mfe"), ("worst, of the entry price", "mae"), ("worst of winners", "mae_of_winners"),
    ("best of losers", "mfe_of_losers"), ("best, in stop distances", "mfe_r"),
)  # fmt: skip
TAKEN = ("gross", "fees", "slippage", "funding", "net")
PART = [
    Column("name"), Column("trades"), Column("wins"), Column("gross", form="+,.2f"), Column("fees", form=MONEY),
    Column("slippage", form=MONEY), Column("funding", form="+,.2f"), Column("net", form="+,.2f"),
]  # fmt: skip


def show_train(console: Console, document: Mapping[str, Any]) -> None:
    """What was trained, and how to use it."""
    console.print(
        f"Model {document['model_id']} is trained on bars up to {plain(document['train_to'])} UTC and registered; "
        f"'models promote {document['model_id']}' lets it trade.",
        markup=False,
    )
    rows = [{"score": k.replace("_", " "), "value": v} for k, v in document["scores"].items()]
    show_table(
        console,
        rows,
        [Column("score"), Column("value", form=FIGURE)],
        title="Scores of a probe on the newest 15 % of the bars, which it had not seen",
    )


def show_backtest(console: Console, document: Mapping[str, Any]) -> None:
    """The result in one sentence, the metrics and the newest trades."""
    trades = document["trades"]
    if document["in_sample_bars"]:
        console.print(
            f"{document['in_sample_bars']:,} of {document['bars']:,} bars were seen in training: "
            "this says nothing about the future.",
            markup=False,
        )
    if document["repaired_bars"]:
        console.print(
            f"{document['repaired_bars']:,} of {document['bars']:,} bars were repaired later: "
            "at the time nobody could have decided on them.",
            markup=False,
        )
    net = document["equity_end"] - document["equity_start"]
    console.print(
        f"{document['bars']:,} bars in {document['elapsed_s']:.2f} s: {len(trades):,} trades, "
        f"{plain(document['equity_start'], MONEY)} → {plain(document['equity_end'], MONEY)} USDT "
        f"(net {net:+,.2f}, fees {plain(document['fees'], MONEY)}, funding {plain(document['funding'], '+,.2f')}).",
        markup=False,
    )
    show_halts(console, document["halts"])
    metrics = metric_rows(document["metrics"])
    show_table(
        console,
        metrics,
        [Column("metric"), Column("value", form=FIGURE), Column("unit")],
        none="No metric: there was no trade.",
    )
    for title, key in PARTS:
        show_table(console, document["analysis"][key], PART, title=title, none=f"{title}: no trade.")
    _show_costs(console, document["analysis"]["costs"])
    _show_excursions(console, document["analysis"]["excursions"])
    shown = trades[-SHOWN_TRADES:]
    title = f"Trades (the last {len(shown)} of {len(trades)})" if len(shown) < len(trades) else "Trades"
    show_table(console, shown, TRADES, title=title, none="No trade.")


def _show_costs(console: Console, taken: Mapping[str, float]) -> None:
    """What the moves of the price made, what was taken off, and each part as a share of it."""
    whole = abs(taken["gross"])
    rows = [
        {"part": name, "money": taken[name], "of gross": taken[name] / whole if whole else None} for name in TAKEN
    ]  # fmt: skip
    columns = [Column("part"), Column("money", "USDT", "+,.2f"), Column("of gross", form="+.1%")]
    show_table(console, rows, columns, title="Where the money went")


def _show_excursions(console: Console, found: Mapping[str, Any]) -> None:
    """How far prices went for and against the trades while they were held, by quantiles."""
    titles = [f"{share:.0%}" for share in found["quantiles"]]
    rows = [
        {"while held": words, **dict(zip(titles, found[key], strict=True))} for words, key in REACHED if found[key]
    ]  # fmt: skip
    columns = [Column("while held"), *(Column(title, title, ".4f") for title in titles)]
    show_table(console, rows, columns, title="Excursions (quantiles over trades)", none="Excursions: no trade.")


def show_halts(console: Console, halts: Sequence[Mapping[str, Any]]) -> None:
    """When gates halted the account, why, and from when on it went on."""
    if len(halts) == 1 and not halts[0]["resumed_at"]:
        console.print(f"A gate halted the account at {plain(halts[0]['at'])} UTC: {halts[0]['why']}.", markup=False)
    elif halts:
        title = f"{len(halts):,} halts{f', the first {SHOWN_HALTS}' if len(halts) > SHOWN_HALTS else ''} (UTC)"
        show_table(console, halts[:SHOWN_HALTS], HALTS, title=title)


def metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of a run with their units."""
    from trading.metrics_meaning import MEASURES

    return [
        {"metric": key.replace("_", " "), "value": value, "unit": MEASURES[key].unit if key in MEASURES else ""}
        for key, value in metrics.items()
    ]


def show_strategy(console: Console, document: Mapping[str, Any]) -> None:
    """A strategy as TOML-like lines; how its positions are handled in words."""
    for key, value in document.items():
        if key in ("entry", "management") or value == {}:
            continue  # "handling" says them
        if isinstance(value, Mapping):
            console.print(f"[{key}]", markup=False)
            for name, inner in value.items():
                console.print(f"  {name}: {inner}", markup=False)
        elif isinstance(value, list):
            console.print(f"{key}:", markup=False)
            for inner in value:
                console.print(f"  {inner}", markup=False)
        else:
            console.print(f"{key}: {value}", markup=False)

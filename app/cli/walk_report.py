"""What a walk-forward shows a person: every score with its band, the baselines beside it, and the verdict last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from app.cli.reports import show_halts
from app.output import Column, plain, show_table

if TYPE_CHECKING:
    from rich.console import Console

FIGURE = "figure"
SCORES = ("log_loss", "base_log_loss", "skill", "brier", "brier_skill", "auc", "auc_within", "auc_touch", "ece")
FOLDS = [
    Column("train_from"), Column("test_from"), Column("test_to"), Column("n", form=",d"),
    Column("log_loss", form=".4f"), Column("base_log_loss", "base", ".4f"), Column("skill", form="+.2%"),
    Column("brier", form=".4f"), Column("auc", form=".3f"), Column("auc_band", "95 % band"),
    Column("auc_touch", form=".3f"), Column("ece", form=".3f"),
]  # fmt: skip
BESIDE = [
    Column("name", "forecaster"), Column("log_loss", form=".4f"), Column("skill", form="+.2%"),
    Column("skill_band", "95 % band"), Column("brier", form=".4f"), Column("auc", form=".3f"),
    Column("auc_band", "95 % band"), Column("auc_touch", form=".3f"), Column("ece", form=".3f"),
    Column("mean_weight", "weight", ".3f"),
]  # fmt: skip
SEARCHED = (  # of the trading, shown last
    "probabilistic_sharpe", "deflated_sharpe", "track_record_days", "minimum_track_record_days", "pbo",
    "reality_check", "superior_ability", "trials", "trials_with_returns", "trials_compared",
)  # fmt: skip


def show_walk_forward(console: Console, document: Mapping[str, Any]) -> None:
    """Folds, pooled scores, members and baselines, trading, and the verdict."""
    overall = document["overall"]
    show_table(console, [_banded(fold) for fold in document["folds"]], FOLDS, title="Folds, out of sample")
    rows = [{"score": name.replace("_", " "), "value": overall[name], "band": _band(overall, name)} for name in SCORES]
    columns = [Column("score"), Column("value", form=".4f"), Column("band", "95 % band")]
    show_table(console, rows, columns, title=f"Pooled, {overall['n']:,} forecasts of {overall['folds']} folds")
    show_table(console, list(_forecasters(document)), BESIDE, title="Members and baselines on the same bars")
    _show_trading(console, document)
    for sentence in sentences(document):
        console.print(sentence, markup=False)
    console.print(document["verdict"], markup=False)


WALKS = [
    Column("symbol"), Column("folds"), Column("n", form=",d"), Column("log_loss", form=".4f"),
    Column("skill", form="+.2%"), Column("skill_band", "95 % band"), Column("auc", form=".3f"),
    Column("auc_band", "95 % band"), Column("trades", form=",d"), Column("net_return", "alone", "+.2%"),
]  # fmt: skip
SHARES = [
    Column("name"), Column("trades"), Column("wins"), Column("gross", form="+,.2f"), Column("fees", form=",.2f"),
    Column("slippage", form=",.2f"), Column("funding", form="+,.2f"), Column("net", form="+,.2f"),
]  # fmt: skip


def show_portfolio(console: Console, document: Mapping[str, Any]) -> None:
    """Each symbol's scores, then the one account that trades them all."""
    rows = [
        {"symbol": symbol, **_banded(walk["overall"]), **{k: walk["trading"][k] for k in ("trades", "net_return")}}
        for symbol, walk in zip(document["symbols"], document["walks"], strict=False)
    ]
    show_table(console, rows, WALKS, title="Symbols, out of sample")
    if document["trading"] is not None:
        _show_trading(console, document)
        show_halts(console, document["halts"]["account"])
        for name, title in (("edge", "By symbol, gates observed"), ("account", "By symbol, gates enforced")):
            groups = document["analysis"][name]["by_symbol"]
            show_table(console, groups, SHARES, title=title, none=f"{title}: no trade.")
    for symbol, walk in zip(document["symbols"], document["walks"], strict=False):
        for sentence in sentences(walk):
            console.print(f"{symbol}: {sentence}", markup=False)
    console.print(document["verdict"], markup=False)


def sentences(document: Mapping[str, Any]) -> Iterator[str]:
    """What the tables do not say."""
    advice = document["advice"]
    if advice["advised_against"]:
        why = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in advice["reasons"].items())
        auc = plain(advice["acted_on"]["auc"], ".3f")
        yield f"The models advise against acting on {advice['advised_against']:,} ({why}); AUC of the rest {auc}."
    if document["finer"]:
        yield (
            f"{document['both_touched']:,} sides of labels ended in a bar that reached both barriers; "
            f"{document['finer']} bars decided {document['decided_by_finer']:,} of them."
        )
    if document.get("paths"):
        yield document["paths"]["words"]
    yield from document["skipped"]


def _show_trading(console: Console, document: Mapping[str, Any]) -> None:
    trading = document["trading"]
    edge, account = trading["edge"], trading["account"]
    names = [k for k in edge if not isinstance(edge[k], Mapping | list) and k not in SEARCHED]
    rows = [_beside(name, edge, account) for name in (*names, *SEARCHED) if name in edge]
    held = {name: b for name, b in document["baselines"].items() if "net_return" in b}
    for row in rows:
        row.update({name: figures.get(row["key"]) for name, figures in held.items()})
    columns = [Column(""), *(Column(name, form=FIGURE) for name in ("edge", "account", *held))]
    show_table(console, rows, columns, title="Trading after costs")


def _beside(name: str, edge: Mapping[str, Any], account: Mapping[str, Any]) -> dict[str, Any]:
    return {"": name.replace("_", " "), "key": name, "edge": edge[name], "account": account.get(name)}


def _forecasters(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"name": "ensemble", **_banded(document["overall"])}
    for name, scores in document["members"].items():
        yield {"name": name, **_banded(scores)}
    for name, scores in document["baselines"].items():
        if "log_loss" in scores:
            title = "logistic of six features" if name == "logistic" else name
            yield {"name": title, **_banded(scores)}


def _banded(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {**scores, "auc_band": _band(scores, "auc"), "skill_band": _band(scores, "skill", "+.2%")}


def _band(scores: Mapping[str, Any], name: str, form: str = ".4f") -> str:
    return f"{plain(scores[f'{name}_low'], form)} to {plain(scores[f'{name}_high'], form)}"

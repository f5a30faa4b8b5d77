"""Where a year of real trades came from: known regimes, and sums that pandas finds in the trades again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from ai.regime import REGIME_NAMES, regime_labels
from app.backtests import Request, perform
from app.cli.reports import show_backtest
from app.wiring import Workplace
from data.timeframes import parse_time
from tests.app.real_series import key_of, store_bars, store_funding

pytestmark = pytest.mark.data

KEY = key_of("BTC", "15m")
ASKED = Request(
    (KEY.symbol,), "15m", "momentum", start_ms=parse_time("2023-01-01"), end_ms=parse_time("2024-01-01"), enforce=False
)
MONEY = ["gross", "fees", "slippage", "funding", "net"]


@pytest.fixture(scope="module")
def stocked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bitcoin by the quarter of an hour from seven months before the year on, with its settlements."""
    home = tmp_path_factory.mktemp("analysis") / "home"
    home.mkdir()
    with Workplace.opened(home) as place:
        store_bars(place, shared_data, "BTC", "15m", ("2022-06-01", "2024-01-02"))
        store_funding(place, shared_data, "BTC", ("2022-06-01", "2024-01-02"))
    return home


@pytest.fixture(scope="module")
def document(stocked: Path) -> dict[str, Any]:
    with Workplace.opened(stocked) as place:
        return perform(place, ASKED)[0]


@pytest.fixture(scope="module")
def trades(document: dict[str, Any]) -> pd.DataFrame:
    found = pd.DataFrame(document["trades"]).rename(columns={"pnl": "net"})
    found["gross"] = found.net + found.fees + found.slippage - found.funding
    found["hour"] = pd.to_datetime(found.entry_time).dt.strftime("%H")
    return found


def test_no_bar_of_a_year_is_of_an_unknown_regime(
    stocked: Path, document: dict[str, Any], trades: pd.DataFrame
) -> None:
    """The names are those of the whole stored series: what is read before the first bar is enough."""
    rows = document["analysis"]["by_regime"]
    assert {row["name"] for row in rows} <= set(REGIME_NAMES) and sum(row["trades"] for row in rows) == len(trades)
    with Workplace.opened(stocked) as place:
        frame = place.database.candles.read(KEY)
    states = pd.Series(regime_labels(frame), index=pd.to_datetime(frame.open_time, unit="ms", utc=True))
    decided = pd.DatetimeIndex(pd.to_datetime(trades.entry_time)) - pd.Timedelta(KEY.step_ms, "ms")
    named = trades.assign(regime=[REGIME_NAMES[code] for code in states.reindex(decided)])
    expected = named.groupby("regime")[MONEY].sum()
    assert len(trades) > 1_000 and len(expected) >= 6
    for row in rows:
        assert [row[part] for part in MONEY] == pytest.approx(expected.loc[row["name"]].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("group", "column"), [("by_exit", "exit_reason"), ("by_symbol", "symbol"), ("by_side", "side"), ("by_hour", "hour")]
)
def test_groups_are_those_that_pandas_makes_of_the_trades(
    document: dict[str, Any], trades: pd.DataFrame, group: str, column: str
) -> None:
    grouped = trades.groupby(column)
    expected = grouped[MONEY].sum().assign(trades=grouped.size(), wins=grouped.net.agg(lambda net: (net > 0).sum()))
    rows = document["analysis"][group]
    assert [row["name"] for row in rows] == list(expected.index)
    for row in rows:
        names = [*MONEY, "trades", "wins"]
        assert [row[name] for name in names] == pytest.approx(expected.loc[row["name"], names].tolist(), abs=1e-6)


def test_costs_and_excursions_are_those_of_the_trades(document: dict[str, Any], trades: pd.DataFrame) -> None:
    found = document["analysis"]
    assert [found["costs"][part] for part in MONEY] == pytest.approx(trades[MONEY].sum().tolist(), abs=1e-6)
    assert found["costs"]["net"] == pytest.approx(document["equity_end"] - document["equity_start"], abs=1e-6)
    reached, at = found["excursions"], found["excursions"]["quantiles"]
    won, stop = trades.net > 0, (trades.entry_price - trades.stop).abs() / trades.entry_price
    for name, values in {
        "mfe": trades.mfe, "mae": trades.mae, "mae_of_winners": trades.mae[won], "mfe_of_losers": trades.mfe[~won],
        "mfe_r": trades.mfe / stop,
    }.items():  # fmt: skip
        assert reached[name] == pytest.approx(values.quantile(at).tolist(), rel=1e-9), name


def test_a_person_sees_every_part(document: dict[str, Any]) -> None:
    page = io.StringIO()
    show_backtest(Console(file=page, width=200), document)
    for title in ("By exit", "By regime at entry", "By symbol", "By side", "By hour of entry, UTC",
                  "Where the money went", "Excursions (quantiles over trades)", "worst of winners"):  # fmt: skip
        assert title in page.getvalue(), title

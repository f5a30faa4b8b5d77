"""Everything on over recorded bars of three symbols: both engines are one, and every halt is told with its reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ai.forecast import ModelSwitch
from app.backtests import Inputs, Request, by_fast, chosen, inputs_of, perform, series_of
from app.cli.reports import show_backtest
from app.wiring import Workplace
from data.clock import iso
from data.timeframes import DAY_MS
from tests.app.real_series import key_of, store_bars, store_funding
from tests.app.test_finer_everywhere import coins
from tests.trading.cases import MemoryJournal
from tests.trading.test_engines import assert_bitwise
from trading.backtest import run_service
from trading.halts import Halt
from trading.records import Action, ExitReason, Purpose

pytestmark = pytest.mark.data

NAMES = ("BTC", "ETH", "SOL")
SPAN = ("2023-03-01", "2023-08-10")
EVERYTHING = {
    "MATCHING__BOTH_TOUCHED": "finer", "MATCHING__ENTRY_REST": "work", "MATCHING__ENTRY_BARS": "3",
    "MATCHING__EXIT_FILL": "volume", "MATCHING__MARGIN_MODE": "cross",
    "MANAGEMENT__TARGET_AT": "[0.5, 1.0]", "MANAGEMENT__TARGET_SHARE": "[0.3, 0.3]", "MANAGEMENT__TRAILING": "1.0",
    "MANAGEMENT__BREAK_EVEN_AFTER": "0.8", "MANAGEMENT__GIVE_BACK": "0.5", "MANAGEMENT__ADDS": "2",
    "MANAGEMENT__ADD_AFTER": "0.3",
    "LIMITS__VALUE_AT_RISK": "0.03", "LIMITS__EXPOSURE": "0.8", "LIMITS__CONCENTRATION": "0.4",
    "LIMITS__OPEN_RISK": "0.04", "LIMITS__VAR_MIN_DAYS": "20", "LIMITS__DAILY_LOSS": "0.2", "LIMITS__LOSS_STREAK": "99",
    "LIMITS__DRAWDOWN": "0.012", "LIMITS__SHARPE": "8", "LIMITS__SHARPE_MIN_DAYS": "5",
    "LIMITS__SHARPE_MIN_TRADES": "1",
    "LIMITS__BLACK_SWAN": "6", "LIMITS__BLACK_SWAN_ACTION": "flatten",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three symbols with settlements, finer bars of two, and forecasts of two models one after the other for each."""
    folder = tmp_path_factory.mktemp("halts") / "home"
    folder.mkdir()
    with Workplace.opened(folder) as place:
        for k, name in enumerate(NAMES):
            key = key_of(name, "1h")
            store_bars(place, shared_data, name, "1h", SPAN)
            store_funding(place, shared_data, name, SPAN)
            times = place.database.candles.read(key).open_time[-1000:]
            switches = (ModelSwitch(int(times[0]), f"m-{name}-1"), ModelSwitch(int(times[400]), f"m-{name}-2"))
            rows = coins(len(times), 4 + k)
            place.database.forecasts.save(f"wf-{name}", key, 0, times, rows, switches, (), {"profile": "swing"}, {})
        for name in NAMES[:2]:
            store_bars(place, shared_data, name, "5m", ("2023-07-01", SPAN[1]))
    return folder


@pytest.fixture(params=["next-day", "next-month", "stop"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Request:
    for name, value in EVERYTHING.items():
        monkeypatch.setenv(f"QUANTAI_TRADING__{name}", value)
    symbols = tuple(key_of(name, "1h").symbol for name in NAMES)
    return Request(symbols, "1h", "ensemble", schedule="walk-forward", on_halt=request.param)


def test_both_engines_tell_the_same_halts_with_reasons_and_times(home: Path, asked: Request) -> None:
    with Workplace.opened(home) as place:
        inputs = ready(place, asked)
        document = perform(place, asked)[0]
    fast, journal = by_fast(inputs), MemoryJournal()
    service = run_service(
        inputs.config, inputs.grid, inputs.features, inputs.forecasts, journal, 1, inputs.schema, inputs.finer,
        inputs.history,
    )  # fmt: skip
    assert_bitwise(fast, service)
    events = [(event.at_ms, event.kind) for batch in journal.batches for event in batch.events]
    assert [halt.at for halt in fast.halts] == [at for at, kind in events if kind == "halt"]
    assert [halt.resumed for halt in fast.halts if halt.resumed] == [at for at, kind in events if kind == "resume"]
    assert document["halts"] == [
        {"at": iso(h.at), "gate": h.gate, "why": h.words, "resumed_at": iso(h.resumed)} for h in fast.halts
    ]
    assert document["halts"][0]["at"] == document["halted_at"]
    assert (fast.codes & 3 == Action.BLOCKED).any() and fast.decisions["failed"].any()
    for halt in fast.halts:
        quiet(inputs, halt, fast.fills)
    if asked.on_halt == "next-day":
        assert {halt.gate for halt in fast.halts} == {"Drawdown", "Sharpe", "Black swan"}
        assert all(h.resumed == (h.at // DAY_MS + 1) * DAY_MS for h in fast.halts[:-1])
        assert {ExitReason.EMERGENCY, ExitReason.TRAILING, ExitReason.TARGET} <= set(fast.trades["exit_reason"])
    elif asked.on_halt == "next-month":
        assert len(fast.halts) == 3 and all(str(h["resumed_at"])[8:13] == "01T00" for h in document["halts"][:-1])
    else:
        assert len(fast.halts) == 1 and fast.halts[0].resumed is None
    page = io.StringIO()
    show_backtest(Console(file=page, width=200), document)
    assert document["halts"][0]["why"] in page.getvalue()


def ready(place: Workplace, asked: Request) -> Inputs:
    keys = series_of(place, asked)
    return inputs_of(place, asked, keys, *chosen(place, asked, keys)[:2])


def quiet(inputs: Inputs, halt: Halt, fills: np.ndarray) -> None:
    """Nothing is entered while a halt lasts."""
    end = halt.resumed or int(inputs.grid.open_time[-1]) + inputs.grid.step_ms
    entered = fills["time"][fills["purpose"] == Purpose.ENTRY]
    assert not ((entered >= halt.at) & (entered < end)).any()

"""Each profile replayed through the service over recorded bars: its own numbers are the ones in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai.ensemble import EnsembleOptions
from ai.exits import DistanceUnit
from ai.features.engine import FeatureEngine
from ai.forecast import WIDTH, Abstain, Col, Extra, ModelSwitch
from ai.regime import Regime
from ai.schema import FeatureSchema
from app.main import main
from app.options import MAX_SPEED, RunOptions
from app.profiles import profile
from app.run_plan import RunPlan, plan_run
from app.wiring import Workplace, load_settings
from data.market import Frame, Record, SeriesKey
from data.timeframes import DAY_MS, HOUR_MS, parse_span, timeframe_ms
from database.accounts import Account
from database.trading import Filter
from trading.records import Action, ExitReason, Purpose
from trading.risk.gates import GATES
from trading.settings import ManagementSettings

pytestmark = pytest.mark.data

FIVE = ("logistic", "random_forest", "hist_boosting", "xgboost", "lightgbm")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
EIGHT = (BTC, ETH, *(f"{coin}/USDT:USDT" for coin in ("SOL", "XRP", "BNB", "ADA", "DOGE", "LTC")))
HISTORY = 3_000  # bars before the replayed ones
SWING = {"unit": DistanceUnit.ATR, "stop": 1.5, "ratio": 2.5, "bars": 24, "max_stop": 0.06, "min_target": 2.5}
SCALP = {"unit": DistanceUnit.PERCENT, "stop": 0.005, "ratio": 3.0, "bars": 60, "max_stop": 0.005, "min_target": 0.015}
EVEN = {"unit": DistanceUnit.VOLATILITY, "stop": 2.0, "ratio": 1.0, "bars": 4, "max_stop": 1.0, "min_target": 1.0}

Values = Mapping[str, Any]
RSI, PATHS, TREND = ("rsi_14", "close", "ema_200"), ("mc_up_24", "slope_10"), ("close", "ema_200")


def oversold(x: Values) -> tuple[Any, Any]:
    return (x["rsi_14"] < 30) & (x["close"] > x["ema_200"]), (x["rsi_14"] > 70) & (x["close"] < x["ema_200"])


def by_paths(x: Values) -> tuple[Any, Any]:
    up, slope = x["mc_up_24"], x["slope_10"]
    return (up > 0.65) | ((up > 0.55) & (slope > 0.5)), (up < 0.35) | ((up < 0.45) & (slope < -0.5))


def with_the_trend(x: Values) -> tuple[Any, Any]:
    return x["close"] > x["ema_200"], x["close"] < x["ema_200"]


@dataclass(frozen=True)
class Design:
    """What a design says, and bars on which to see it."""

    timeframe: str
    symbols: tuple[str, ...]
    strategy: str
    exits: dict[str, Any]
    span: str
    reads: set[str]  # indicators among the features that the run computes
    says: Callable[[Values], tuple[Any, Any]]  # where its own thresholds on its own indicators let it go long, short
    on: tuple[str, ...]  # the indicators that this reads
    threshold: float = 0.30  # least probability of a forecast; no rule has one
    sizing: dict[str, Any] = field(default_factory=dict)  # what makes a size smaller, where not as everywhere
    swan: str = "block"
    training: dict[str, Any] = field(default_factory=dict)  # what stands over a forecast, where not off
    management: dict[str, Any] = field(default_factory=dict)  # of open positions, where not off


DESIGNS = {
    "quantai": Design(
        "15m", (BTC,), "auto", SWING, "2024-03-01..2024-05-01", {"rsi_14", "ema_200", "atr_14"}, oversold, RSI
    ),
    "weex": Design(
        "15m", (BTC, ETH), "auto", EVEN, "2024-03-01..2024-05-01", {"rsi_14", "ema_200", "volatility_96"}, oversold,
        RSI, training={"meta_model": True, "regime_filter": True, "adaptive_threshold": True},
    ),
    "sigma": Design(
        "5m", (BTC,), "monte-carlo", SWING, "2024-03-01..2024-03-04", {"mc_up_24", "slope_10", "atr_14"}, by_paths,
        PATHS, threshold=0.0,
        management={"target_at": (1.0,), "target_share": (0.5,), "trailing": 1.0, "break_even_after": 1.0},
    ),
    "four-layer": Design(
        "1m", (BTC, ETH), "auto", SCALP, "2025-05-10..2025-05-12", {"taker_imbalance_12", "book_imbalance_5"},
        oversold, RSI, swan="flatten", training={"meta_model": True, "regime_filter": True},
        management={"break_even_after": 2.0, "give_back": 0.5, "give_back_after": 2.0},
    ),
    "hierarchical": Design(
        "1h", EIGHT, "ensemble-with-trend", SWING, "2024-03-01..2024-03-05", {"ema_200", "atr_14"}, with_the_trend,
        TREND, sizing={"drawdown_floor": 0.5, "regime_factors": (1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0)},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stocked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the recorded bars that the designs are shown on, and forecasts for the one that needs some."""
    home = tmp_path_factory.mktemp("designs") / "home"
    with Workplace.opened(home) as place:
        for design in DESIGNS.values():
            start, end = parse_span(design.span)
            for symbol in design.symbols:
                key = SeriesKey("binanceusdm", symbol, design.timeframe)
                place.database.candles.write(bars(shared_data, key, start, end))
        start, end = parse_span(DESIGNS["hierarchical"].span)
        for symbol in EIGHT:
            store_forecasts(place, SeriesKey("binanceusdm", symbol, "1h"), start, end)
    return home


def bars(folder: Path, key: SeriesKey, start: int, end: int) -> Frame:
    """Recorded bars of the span with the history before it."""
    pandas = pytest.importorskip("pandas")
    first = start - HISTORY * key.step_ms
    for path in sorted((folder / "ohlcv/binance_um" / key.timeframe).glob(f"{key.symbol.split('/')[0]}USDT-*")):
        table = pandas.read_parquet(path)
        times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
        inside = (times >= first) & (times < end)
        if inside.any() and times[-1] >= end - key.step_ms:
            columns = (table[name].to_numpy()[inside] for name in ("open", "high", "low", "close", "volume"))
            return Frame.of(key, times[inside], *columns)
    raise AssertionError(f"no recorded bars of {key}")


def store_forecasts(place: Workplace, key: SeriesKey, start: int, end: int) -> None:
    """A walk-forward's rows in which either side's target is likelier than its stop: the trend filter chooses."""
    times = np.arange(start, end, key.step_ms, dtype=np.int64)
    rows = np.full((len(times), WIDTH), np.nan)
    rows[:, [Col.P_LONG, Col.P_SHORT, Col.P_NEUTRAL]] = 0.45, 0.45, 0.1
    rows[:, [Col.L_TARGET, Col.L_STOP, Col.L_TIME]] = rows[:, [Col.S_TARGET, Col.S_STOP, Col.S_TIME]] = 0.5, 0.4, 0.1
    rows[:, [Col.L_TIME_RETURN, Col.S_TIME_RETURN, Col.MODEL, Col.MEMBERS]] = 0.0
    rows[:, Col.ABSTAIN] = Abstain.NO
    rows[:, Extra.REGIME] = np.where(np.arange(len(times)) % 3 == 0, Regime.HIGH_VOLATILITY, Regime.UP)
    place.database.forecasts.save(
        f"given-{key.symbol}", key, 1, times, rows, (ModelSwitch(int(times[0]), "given"),), (), {"profile": "swing"}, {}
    )


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment goes before a profile: a minute's training is another test's business."""
    monkeypatch.setenv("QUANTAI_AI__ENABLE_TRAINING", "false")


@pytest.mark.parametrize("name", DESIGNS)
def test_a_profile_runs_over_recorded_bars_with_its_own_numbers(
    stocked: Path, name: str, without_training: None
) -> None:
    design = DESIGNS[name]
    words = ["run", "--profile", name, "--source", "replay", "--replay", design.span, "--speed", "max"]
    if name == "hierarchical":
        words += ["--schedule", "walk-forward"]
    assert main(["--home", str(stocked), "--json", *words]) == 0
    with Workplace.opened(stocked) as place:
        place = replace(place, settings=load_settings(place.home, place.database, name))
        plan = check_plan(place, name, design)
        account = place.database.accounts.newest()
        assert account is not None and account.finished
        rows = check_decisions(place, account, design)
        check_signals(place, plan, rows, design)
        if name == "hierarchical":
            check_portfolio(place, plan, account, rows)


def check_plan(place: Workplace, name: str, design: Design) -> RunPlan:
    """What the run was made of, before its first bar."""
    schedule = "walk-forward" if name == "hierarchical" else None
    options = RunOptions(
        place.home.path, source="replay", replay=parse_span(design.span), speed=MAX_SPEED, schedule=schedule
    )
    plan = plan_run(place, profile(name).options(options))
    config, exits = plan.config, plan.config.profile
    assert (plan.timeframe, config.symbols, config.strategy.name) == (design.timeframe, design.symbols, design.strategy)
    assert {
        "unit": exits.unit, "stop": exits.stop, "ratio": exits.target_ratio, "bars": exits.limit_bars,
        "max_stop": exits.max_stop, "min_target": exits.min_target,
    } == design.exits  # fmt: skip
    assert design.reads <= set(plan.schema.names)
    assert config.settings.limits.black_swan_action == design.swan and config.enforce
    assert set(design.symbols) <= set(config.settings.limits.allowed_symbols) == set(EIGHT)
    held, still = config.settings.management, ManagementSettings()
    moved = {
        name: getattr(held, name) for name in type(held).model_fields if getattr(held, name) != getattr(still, name)
    }
    assert {name: value for name, value in moved.items() if not name.endswith("_after")} == {
        name: value for name, value in design.management.items() if not name.endswith("_after")
    }
    assert moved.get("break_even_after", 0.0) == design.management.get("break_even_after", 0.0)
    sizing = config.settings.sizing
    assert (sizing.risk_share, sizing.margin_share, sizing.leverage) == (0.02, 0.08, 5.0)
    scaled = {"correlation_above": 0.5, "drawdown_floor": 1.0, "regime_factors": (1.0,) * 7, **design.sizing}
    assert {name: getattr(sizing, name) for name in scaled} == scaled
    ai = place.settings.values.ai
    assert (ai.members, ai.walk_forward_train, ai.walk_forward_test) == (FIVE, "6mo", "1mo")
    over = EnsembleOptions.of(ai)
    off = {"meta_model": False, "regime_filter": False, "adaptive_threshold": False, "conformal_coverage": 0.0}
    assert {key: getattr(over, key) for key in off} == {**off, **design.training}
    account = place.database.accounts.newest()
    assert account is not None and account.key == plan.account_key(ai.model_dump(mode="json"))
    return plan


def test_sigma_takes_half_at_one_stop_distance_and_trails(stocked: Path, without_training: None) -> None:
    """Seen in the fills of a month: parts, moved stops, and exits that close what was held and no more."""
    words = ["run", "--profile", "sigma", "--source", "replay", "--replay", DESIGNS["sigma"].span, "--speed", "max"]
    assert main(["--home", str(stocked), "--json", *words]) == 0
    with Workplace.opened(stocked) as place:
        place = replace(place, settings=load_settings(place.home, place.database, "sigma"))
        options = RunOptions(place.home.path, source="replay", replay=parse_span(DESIGNS["sigma"].span))
        plan = plan_run(place, profile("sigma").options(options))
        account = place.database.accounts.find(plan.account_key({}))
        assert account is not None
        fills, trades = place.database.trading.fills(account.id), place.database.trading.trades(account.id)
    parts = 0
    for trade in trades:
        own = fills[fills["plan_id"] == trade["plan_id"]]
        entered = own["quantity"][own["purpose"] == Purpose.ENTRY].sum()
        out = own[own["purpose"] == Purpose.EXIT]
        assert out["quantity"].sum() == pytest.approx(entered)
        if len(out) > 1:
            parts += 1
            assert out["reason"][0] == ExitReason.TARGET
            assert out["quantity"][0] == pytest.approx(entered / 2, abs=0.001)
    assert parts > 0 and (trades["exit_reason"] == ExitReason.TRAILING).any()


def check_decisions(place: Workplace, account: Account, design: Design) -> Record:
    """What the desk held its plans against, bar by bar; the plans."""
    found = place.database.trading.decisions(account.id, Filter(), actions=(Action.LONG, Action.SHORT, Action.BLOCKED))
    assert len(found) >= 3
    limits = found.rows["gate_limits"]
    assert (limits == limits[0]).all(where=~np.isnan(limits))
    said = {gate.name: float(limits[0, g]) for g, gate in enumerate(GATES)}
    wanted = {
        "Margin": 0.08, "Leverage": 5.0, "Stop distance": design.exits["max_stop"],
        "Target distance": design.exits["min_target"], "Loss at stop": 0.02, "Daily loss": 0.02, "Daily trades": 15.0,
        "Loss streak": 8.0, "Drawdown": 0.05, "Sharpe": 0.5, "Black swan": 3.0, "Symbol": 1.0,
        "Exchange leverage": 20.0, "VaR": 0.02, "Expected shortfall": 0.025, "Open risk": 0.02, "Exposure": 1.0,
        "Concentration": 0.5, "Correlation": 0.08, "Order size": 0.10, "Spread": 0.10, "Quote age": 5.0,
    }  # fmt: skip
    assert set(wanted) == set(said)
    assert (found.rows["threshold"] == design.threshold).all()
    assert {gate: said[gate] for gate in wanted} == wanted
    rows = found.rows
    shares = np.abs(rows["stop"] - rows["entry"]) / rows["entry"]
    ratios = np.abs(rows["target"] - rows["entry"]) / np.abs(rows["stop"] - rows["entry"])
    assert ratios == pytest.approx(design.exits["ratio"], rel=0.02)
    if design.exits["unit"] is DistanceUnit.PERCENT:
        assert shares == pytest.approx(design.exits["stop"], rel=0.01)
    else:
        assert len(np.unique(shares.round(9))) >= 3  # they follow the market
    step = timeframe_ms(design.timeframe)
    assert (rows["time_limit"] - rows["open_time"] == (1 + design.exits["bars"]) * step).all()
    assert (rows["leverage"] == 5.0).all()
    assert (rows["risk_amount"] <= 0.02 * account.start_equity * 1.05).all()
    return rows


def check_signals(place: Workplace, plan: RunPlan, rows: Record, design: Design) -> None:
    """Every plan stands where the design's thresholds on its indicators say so."""
    for s, key in enumerate(plan.keys):
        own, frame = rows[rows["symbol"] == s], place.database.candles.read(key)
        values = FeatureEngine(FeatureSchema(design.on), plan.timeframe).batch(frame)
        at = np.searchsorted(frame.open_time, own["open_time"])
        long, short = design.says(dict(zip(design.on, values[:, at], strict=True)))
        assert np.where(own["signal"] > 0, long, short).all(), key


def check_portfolio(place: Workplace, plan: RunPlan, account: Account, rows: Record) -> None:
    """Sizes by volatility, drawdown, regime and correlation, reckoned again by pandas; everything within its limits."""
    ledger = place.database.trading
    closes = pd.DataFrame(
        {s: pd.Series(f.close, f.open_time) for s, f in enumerate(map(place.database.candles.read, plan.keys))}
    )
    sigma = np.log(closes).diff().rolling(96).std()
    daily = closes.groupby(closes.index // DAY_MS).last().pct_change(fill_method=None)
    equity = pd.DataFrame(ledger.equity(account.id)).set_index("open_time")
    trades, held = pd.DataFrame(ledger.trades(account.id)), ledger.positions(account.id)
    scaled = 0
    for k, row in enumerate(rows):
        s, moment = int(row["symbol"]), int(row["open_time"]) + HOUR_MS
        if (trades["exit_time"] == moment).any():
            continue  # within this bar or at the next open: the times do not tell
        side = row["signal"]
        together = set(trades.loc[
            (trades["entry_time"] < moment) & (trades["exit_time"] > moment) & (trades["side"] == side), "symbol"
        ])  # fmt: skip
        together |= {p.symbol for p in held if p.entry_time < moment and p.side == side}
        before = rows[:k][rows["open_time"][:k] == row["open_time"]]  # sent at the same close
        together |= set(before["symbol"][(before["action"] != Action.BLOCKED) & (before["signal"] == side)].tolist())
        rho = daily.loc[: moment // DAY_MS - 1].tail(90).corr()[s].abs()
        others = sum(rho[other] for other in together - {s} if rho[other] > 0.5)
        now = equity.loc[row["open_time"]]
        share = min(0.4, 0.2 / (sigma.loc[row["open_time"], s] * np.sqrt(8760)))
        share *= (1.0 - 0.5 * min(1.0, now["drawdown"] / 0.05)) / (1.0 + others)
        share *= 0.5 if (row["open_time"] - parse_span(DESIGNS["hierarchical"].span)[0]) // HOUR_MS % 3 == 0 else 1.0
        notional, most = row["quantity"] * row["entry"], share * now["equity"]
        lot = float(plan.config.instruments[s].lot) * row["entry"]
        assert notional <= most * (1 + 1e-9)
        scaled += bool(others > 0.0 and notional > most - 2 * lot)
    assert scaled >= 10
    values = pd.DataFrame(rows["gate_values"][:, : len(GATES)], columns=[gate.name for gate in GATES])
    tier = [gate.name for gate in GATES if gate.tier == "portfolio"]
    assert (values[tier].notna().mean() > 0.5).all()  # one symbol has 59 daily returns before the run, one too few
    assert (values[tier[:-1]].max() > 0.0).all() and (
        ledger.trades(account.id)["exit_reason"] == ExitReason.LIMIT
    ).any()
    passed = rows["action"] != Action.BLOCKED
    for name, limit in {"VaR": 0.02, "Expected shortfall": 0.025, "Open risk": 0.02, "Exposure": 1.0}.items():
        assert values[name][passed].max() <= limit * (1 + 1e-9)

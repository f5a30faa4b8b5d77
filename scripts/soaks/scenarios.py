"""``scripts/soak scenarios``: random markets, orders and settings through both engines, held against the invariants.

A scenario is small and drawn from a seed; the features of matching and position management that are on are named, so
that a failing one can be shrunk. What is checked is in :func:`violations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from time import perf_counter
from typing import Any

import numpy as np

from ai.exits import DistanceUnit, ExitProfile
from ai.schema import FeatureSchema
from data.grid import Grid, align
from data.instruments import Instrument, LeverageTier
from data.market import Float64Array, Frame, FundingFrame, Record, SeriesKey
from trading.backtest import RunResult, run_fast
from trading.bar import bar_at
from trading.config import TradingConfig
from trading.execution.orders import IllegalMove, Order, Status
from trading.finer import FinerGrid
from trading.journal import AccountKey, Batch, Checkpoint
from trading.records import ExitReason, Purpose
from trading.session import TradingSession
from trading.settings import TradingSettings
from trading.strategy.spec import parse_strategy

START_MS = 1_704_067_200_000
HOUR = 3_600_000
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
PARTS = 4  # finer bars in a bar
CENT = 0.005
TINY = Fraction(1, 10**6)  # of the quote currency: fees and funding are floats

FEATURES = (
    "targets", "trailing", "atr_trailing", "break_even", "give_back", "adds", "limit", "stop_entry", "rest", "volume",
    "cross", "finer", "tiers", "high_leverage", "thin", "observe", "costs",
    "tight",
)  # fmt: skip
_SETTINGS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "targets": {"management": {"target_at": (0.5, 1.0, 1.6), "target_share": (0.3, 0.3, 0.3)}},
    "trailing": {"management": {"trailing": 0.8, "trailing_after": 0.5}},
    "atr_trailing": {"management": {"trailing": 1.5, "trailing_unit": "atr", "trailing_after": 0.7}},
    "break_even": {"management": {"break_even_after": 0.6}},
    "give_back": {"management": {"give_back": 0.4, "give_back_after": 0.8}},
    "adds": {
        "management": {"adds": 2, "add_after": 0.4, "add_share": 0.5},
        "sizing": {"volatility_target": 5.0, "margin_share": 0.04},
    },
    "limit": {"matching": {"entry": "limit", "entry_distance": 0.2, "entry_bars": 3}},
    "stop_entry": {"matching": {"entry": "stop", "entry_distance": 0.2, "entry_bars": 2}},
    "rest": {"matching": {"entry_rest": "work", "entry_bars": 4}},
    "volume": {"matching": {"exit_fill": "volume"}},
    "cross": {"matching": {"margin_mode": "cross"}},
    "finer": {"matching": {"both_touched": "finer"}},
    "high_leverage": {
        "sizing": {"leverage": 20.0, "margin_share": 0.3, "risk_share": 0.5},
        "limits": {"max_leverage": 20.0, "margin_share": 0.9, "loss_at_stop": 1.0, "drawdown": 1.0, "daily_loss": 1.0},
    },
    "costs": {"costs": {"spread": 0.0004, "impact": 0.3}},
    "tight": {
        "limits": {
            "drawdown": 0.5,
            "tighten_drawdown": 0.01,
            "tighten_day": 0.01,
            "held_room": 0.0,
            "open_risk": 0.01,
            "exposure": 0.5,
            "concentration": 0.4,
            "var_min_days": 20,
        }
    },
}
_STRATEGY = parse_strategy(
    {
        "name": "go", "meaning": "Does what its column says.",
        "long": {"left": "go", "op": ">", "right": 0.5}, "short": {"left": "go", "op": "<", "right": -0.5},
        "exit_long": {"left": "go", "op": "<", "right": -1.5}, "exit_short": {"left": "go", "op": ">", "right": 1.5},
    },
    "scenario",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """One random run."""

    config: TradingConfig
    grid: Grid
    X: Float64Array
    finer: FinerGrid


class _Forgetful:
    """A journal that keeps nothing."""

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        return 1

    def commit(self, batch: Batch) -> None:
        return

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        return None

    def forget(self, account_id: int) -> None:
        return


def _merged(features: Iterable[str]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "limits": {"daily_trades": 100, "loss_streak": 50, "drawdown": 0.5, "daily_loss": 0.5, "sharpe": -10.0},
        "sizing": {"volatility_target": 5.0}, "paper": {"batch_bars": 16},
    }  # fmt: skip
    for name in features:
        for group, values in _SETTINGS.get(name, {}).items():
            out[group] = {**out.get(group, {}), **values}
    return out


def _instrument(symbol: str, tiers: bool, rng: np.random.Generator) -> Instrument:
    rules = Instrument(symbol, Decimal("0.01"), Decimal("0.01"), min_notional=5.0, max_leverage=50.0)
    if not tiers:
        return rules
    return Instrument(
        symbol, Decimal("0.01"), Decimal("0.01"), min_notional=5.0, max_leverage=50.0, taker_fee=0.0004,
        maker_fee=float(rng.choice([0.0, 0.0001])), min_quantity=Decimal("0.1"), max_quantity=Decimal(400),
        tiers=(
            LeverageTier(0.0, 2000.0, 50.0, 0.01), LeverageTier(2000.0, 8000.0, 25.0, 0.02, 20.0),
            LeverageTier(8000.0, 50_000.0, 5.0, 0.1, 660.0),
        ),
    )  # fmt: skip


def _market(rng: np.random.Generator, symbol: str, bars: int, thin: bool) -> tuple[Frame, FundingFrame, Float64Array]:
    """Bars of four finer ones, so that the order within them is known: ``[bars, 4]`` lows over highs."""
    scale = float(rng.choice([0.001, 0.004, 0.02]))
    moves = np.round(rng.standard_t(3, bars * PARTS) * scale * 100.0) / 100.0
    closes = np.maximum(5.0, np.round(100.0 * np.exp(np.clip(np.cumsum(moves / 2.0), -2.0, 2.0)), 2))
    opens = np.maximum(
        5.0, np.round(np.concatenate([[100.0], closes[:-1]]) * (1 + rng.normal(0, scale / 4, len(closes))), 2)
    )
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    shape = (bars, PARTS)
    times = START_MS + HOUR * np.arange(bars, dtype=np.int64)
    volume = np.round(rng.exponential(60.0 if thin else 5000.0, bars), 2)
    frame = Frame.of(
        SeriesKey("soak", symbol, "1h"), times, opens.reshape(shape)[:, 0], high.reshape(shape).max(axis=1),
        low.reshape(shape).min(axis=1), closes.reshape(shape)[:, -1], volume,
    )  # fmt: skip
    due = np.arange(START_MS, START_MS + HOUR * bars, 8 * HOUR, dtype=np.int64)
    funding = FundingFrame("soak", symbol, "exchange", due, rng.normal(0, 1e-3, len(due)), np.full(len(due), np.nan))
    return frame, funding, np.stack([high, low])


def scenario(seed: int, bars: int, symbols: int, features: Iterable[str]) -> Scenario:
    """The scenario of a seed; equal arguments give equal scenarios."""
    on = set(features)
    rng = np.random.default_rng(seed)
    names = SYMBOLS[:symbols]
    made = [_market(rng, symbol, bars, "thin" in on) for symbol in names]
    grid = align([frame for frame, _, _ in made], [funding for _, funding, _ in made])
    inside = np.concatenate([fine for _, _, fine in made], axis=1)
    begin = (np.arange(symbols * bars, dtype=np.int64) * PARTS).reshape(symbols, bars)
    stop = float(rng.choice([0.003, 0.01, 0.03]))
    profile = ExitProfile(
        "soak",
        DistanceUnit.PERCENT,
        stop,
        float(rng.choice([1.0, 2.0, 3.0])),
        int(rng.integers(1, 15)),
        0.1,
        0.0,
        False,
    )
    config = TradingConfig(
        names, "1h", _STRATEGY, profile, tuple(_instrument(symbol, "tiers" in on, rng) for symbol in names),
        TradingSettings.model_validate(_merged(name for name in FEATURES if name in on)), "observe" not in on,
        "next-day",
    )  # fmt: skip
    X = np.zeros((symbols, len(config.features()), bars))
    columns = {
        "go": rng.choice([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0], (symbols, bars)), "close": grid.close,
        "atr_14": rng.uniform(0.1, 2.0, (symbols, bars)), "volatility_96": rng.uniform(0.0005, 0.01, (symbols, bars)),
        "black_swan_ratio": rng.uniform(0.5, 3.05, (symbols, bars)),
    }  # fmt: skip
    for f, name in enumerate(config.features()):
        X[:, f] = columns[name]
    return Scenario(config, grid, X, FinerGrid(inside[0], inside[1], begin, PARTS))


def violations(s: Scenario) -> list[str]:
    """What broke: I1-I5 after every bar, and the equality of the engines; empty where all held."""
    try:
        return _run(s)
    except IllegalMove as error:
        return [str(error)]


def _run(s: Scenario) -> list[str]:
    session = TradingSession(s.config, FeatureSchema(s.config.features()), _Forgetful(), 1)
    finer = s.finer if s.config.settings.matching.both_touched == "finer" else None
    window = np.full((*s.X.shape[:2], 2), np.nan)
    found: list[str] = []
    books = _Books(s)
    fills, trades, equity, planned = [], [], [], []
    for t in range(s.grid.bars):
        window[:, :, 0], window[:, :, 1] = window[:, :, 1], s.X[:, :, t]
        outcome = session.on_bar(bar_at(s.grid, t, finer), window)
        fills.append(outcome.fills)
        trades.append(outcome.trades)
        equity.append(outcome.equity)
        planned.append(outcome.decisions[outcome.decisions["plan_id"] > 0])
        found += [f"bar {t}: {words}" for words in _protection(session)]
        found += [f"bar {t}: {words}" for words in books.differences(session, outcome.fills, outcome.equity[0])]
    closing = session.close_all(s.grid.volume[:, -1])
    all_fills = np.concatenate([*fills, closing.fills])
    all_trades = np.concatenate([*trades, closing.trades])
    all_equity = np.concatenate([*equity[:-1], closing.equity])
    found += _orders_of_fills(all_fills, np.concatenate(planned), all_trades)
    fast = run_fast(s.config, s.grid, s.X, None, None, s.finer)
    found += _engines(fast, all_fills, all_trades, all_equity, np.concatenate(planned))
    return found


def _protection(session: TradingSession) -> list[str]:
    """I2, I3: what protects is exactly what is held, and only reduces it; where nothing is held nothing protects."""
    found: list[str] = []
    orders = session.open_orders()
    for k, symbol in enumerate(session.config.symbols):
        p, lot = session.state.positions[k], session.config.instruments[k].lot
        mine = [o for o in orders if o.symbol == symbol]
        found += [f"{o.client_id} is open as {o.status}" for o in mine if o.status is not Status.RESTING]
        held, closing = int(p["lots"]) * lot, [o for o in mine if o.purpose != "entry"]
        if int(p["side"]) == 0:
            found += [f"{o.client_id} protects nothing" for o in closing]
            if int(p["lots"]) or int(p["cost"]):
                found.append(f"{symbol} is flat with lots")
            continue
        found += _levels(p, symbol, held, session.config.instruments[k].tick, closing)
        away = "sell" if int(p["side"]) > 0 else "buy"
        found += [f"{o.client_id} would turn the position" for o in closing if not o.reduce_only or o.side != away]
    return found


def _levels(p: Record, symbol: str, held: object, tick: Any, closing: list[Order]) -> list[str]:
    stops = [o for o in closing if o.purpose == "stop"]
    targets = [o for o in closing if o.purpose == "target"]
    found = []
    if [(o.quantity, o.price) for o in stops] != [(held, int(p["stop"]) * tick)]:
        found.append(f"{symbol}: stop {[(o.quantity, o.price) for o in stops]} for {held} at {int(p['stop']) * tick}")
    if (targets or not int(p["exit_at_open"])) and sum(o.quantity for o in targets) != held:
        found.append(f"{symbol}: targets {[o.quantity for o in targets]} for {held}")
    return found


class _Books:
    """The account kept a second time, in fractions, from nothing but the fills."""

    def __init__(self, s: Scenario) -> None:
        self._s = s
        self._money = Fraction(s.config.start_equity)
        self._held = [Fraction(0)] * len(s.config.symbols)

    def differences(self, session: TradingSession, fills: Record, row: Record) -> list[str]:
        """I4: equity = start + realised - fees + funding + unrealised, and held = bought - sold."""
        for fill in fills:
            rules = self._s.config.instruments[int(fill["symbol"])]
            lots = round(float(fill["quantity"]) / float(rules.lot)) * Fraction(rules.lot)
            ticks = round(float(fill["price"]) / float(rules.tick)) * Fraction(rules.tick)
            self._money -= int(fill["side"]) * lots * ticks + Fraction(float(fill["fee"]))
            self._held[int(fill["symbol"])] += int(fill["side"]) * lots
        account = session.state.account[0]
        exact = self._money + Fraction(float(account["funding"]))
        for k, quantity in enumerate(self._held):
            rules, p = self._s.config.instruments[k], session.state.positions[k]
            exact += quantity * int(p["last"]) * Fraction(rules.tick)
            if quantity != int(p["side"]) * int(p["lots"]) * Fraction(rules.lot):
                return [f"{rules.symbol}: the fills leave {float(quantity)}, held are {int(p['lots'])} lots"]
        if abs(exact - Fraction(float(row["equity"]))) > TINY:
            return [f"equity {float(row['equity'])!r}, the fills say {float(exact)!r}"]
        parts = account["start"] + account["realised"] - account["fees"] + account["funding"]
        if float(row["equity"]) != float(parts + account["unrealised"]):
            return ["equity is not the sum of its parts"]
        return []


def _orders_of_fills(fills: Record, planned: Record, trades: Record) -> list[str]:
    """I1, I5: entries belong to plans and fill no more than asked; no number repeats; trades are what fills made."""
    found: list[str] = []
    if len(set(fills["fill_id"].tolist())) != len(fills):
        found.append("a fill counts twice")
    asked = {int(row["plan_id"]): float(row["quantity"]) for row in planned}
    if len(asked) != len(planned):
        found.append("two plans have one number")
    entries = fills[fills["purpose"] == Purpose.ENTRY]
    for plan in set(entries["plan_id"].tolist()):
        filled = float(entries["quantity"][entries["plan_id"] == plan].sum())
        if filled > asked.get(plan, 0.0) * (1.0 + 1e-12):
            found.append(f"plan {plan} asked for {asked.get(plan)} and filled {filled}")
    net = float(trades["pnl"].sum())
    want = float(fills["realised"].sum() - fills["fee"].sum() + trades["funding"].sum())
    if abs(net - want) > CENT:
        found.append(f"trades made {net}, fills and funding {want}")
    return found


def _engines(fast: RunResult, fills: Record, trades: Record, equity: Record, planned: Record) -> list[str]:
    pairs = (("fills", fills), ("trades", trades), ("equity", equity), ("decisions", planned))
    return [f"the engines differ in {name}" for name, rows in pairs if getattr(fast, name).tobytes() != rows.tobytes()]


def drawn(seed: int) -> tuple[int, int, int, tuple[str, ...]]:
    """Arguments of :func:`scenario` from one number."""
    rng = np.random.default_rng([seed, 1])
    chance = float(rng.choice([0.15, 0.4, 0.7]))
    features = tuple(name for name in FEATURES if rng.random() < chance)
    return seed, int(rng.integers(2, 60)), int(rng.integers(1, 4)), features


def scenarios(count: int, first: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Scenarios ``first`` to ``first + count``; the document of figures."""
    began = perf_counter()
    broken: list[dict[str, Any]] = []
    seen = {reason.name: 0 for reason in ExitReason}
    parts = adds = 0
    for seed in range(first, first + count):
        arguments = drawn(seed)
        case = scenario(*arguments)
        words = violations(case)
        if words:
            broken.append({"seed": seed, "arguments": arguments, "first": words[0], "count": len(words)})
            tell(f"seed {seed}: {words[0]}")
        result = run_fast(case.config, case.grid, case.X, None, None, case.finer)
        for reason in result.trades["exit_reason"].tolist():
            seen[ExitReason(reason).name] += 1
        entries = int((result.fills["purpose"] == Purpose.ENTRY).sum())
        parts += len(result.fills) - entries - len(result.trades)
        adds += entries - len(result.trades)
        if (seed - first + 1) % 500 == 0:
            tell(f"{seed - first + 1} scenarios, {len(broken)} broken")
    return {
        "scenarios": count, "first_seed": first, "broken": broken, "partial_exits": parts, "further_entries": adds,
        "exits": seen, "seconds": round(perf_counter() - began, 1), "sound": not broken,
    }  # fmt: skip

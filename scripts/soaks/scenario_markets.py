"""Random runs for the soak of scenarios: bars, settlements, signals, forecasts and settings drawn from one seed.

What is on is named, so that a failing scenario can be shrunk to the features that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ai.exits import DistanceUnit, ExitProfile
from ai.forecast import REGIMES, WIDTH, Abstain, Col, Extra
from data.grid import Grid, align
from data.instruments import Instrument, LeverageTier
from data.market import BarMark, Float64Array, Frame, FundingFrame, Int64Array, SeriesKey
from data.timeframes import timeframe_ms
from trading.config import OnHalt, TradingConfig
from trading.finer import FinerGrid
from trading.settings import TradingSettings
from trading.strategy.library import ENSEMBLE
from trading.strategy.spec import StrategySpec, parse_strategy

START_MS = 1_704_067_200_000
MINUTE, HOUR = 60_000, 3_600_000
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
PARTS = 4  # finer bars in a bar
HISTORY = 130  # daily closes before the first bar

Settings = Mapping[str, Mapping[str, object]]
_SETTINGS: Mapping[str, Settings] = {
    "targets": {"management": {"target_at": (0.5, 1.0, 1.6), "target_share": (0.3, 0.3, 0.3)}},
    "trailing": {"management": {"trailing": 0.8, "trailing_after": 0.5}},
    "atr_trailing": {"management": {"trailing": 1.5, "trailing_unit": "atr", "trailing_after": 0.7}},
    "break_even": {"management": {"break_even_after": 0.6}},
    "give_back": {"management": {"give_back": 0.4, "give_back_after": 0.8}},
    "adds": {
        "management": {"adds": 2, "add_after": 0.4, "add_share": 0.5}, "sizing": {"margin_share": 0.04},
    },
    "limit": {"matching": {"entry": "limit", "entry_distance": 0.2, "entry_bars": 3}},
    "stop_entry": {"matching": {"entry": "stop", "entry_distance": 0.2, "entry_bars": 2}},
    "rest": {"matching": {"entry_rest": "work", "entry_bars": 4}},
    "volume": {"matching": {"exit_fill": "volume"}},
    "cross": {"matching": {"margin_mode": "cross"}},
    "finer": {"matching": {"both_touched": "finer"}},
    "on_mark": {"matching": {"stop_trigger": "mark"}},
    "take_market": {"matching": {"target_order": "market"}},
    "high_leverage": {
        "sizing": {"leverage": 40.0, "margin_share": 0.3, "risk_share": 0.5},
        "limits": {
            "max_leverage": 50.0, "exchange_leverage": 50.0, "margin_share": 0.9, "loss_at_stop": 1.0,
            "drawdown": 1.0, "daily_loss": 1.0,
            "open_risk": 1.0, "exposure": 20.0, "concentration": 10.0, "value_at_risk": 1.0, "shortfall": 1.0,
        },
    },
    "costs": {"costs": {"spread": 0.0004, "impact": 0.3}},
    "tight": {
        "limits": {
            "tighten_drawdown": 0.002, "tighten_day": 0.002, "tighten_factor": 0.4, "held_room": 0.0,
            "open_risk": 0.01, "exposure": 0.5, "concentration": 0.4,
        }
    },
    "portfolio": {"limits": {"var_min_days": 20, "held_room": 0.02, "value_at_risk": 0.015, "shortfall": 0.016}},
    "bent_risk": {"limits": {"var_method": "cornish-fisher", "var_min_days": 20, "var_days": 100}},
    "normal_risk": {"limits": {"var_method": "normal", "var_min_days": 20, "var_days": 60}},
    "swan_halt": {"limits": {"black_swan_action": "halt"}},
    "swan_flatten": {"limits": {"black_swan_action": "flatten"}},
    "daily": {"limits": {"daily_loss": 0.004, "daily_trades": 3, "loss_streak": 1}},
    "halts": {"limits": {"drawdown": 0.02}},
    "factors": {
        "sizing": {"drawdown_floor": 0.3, "correlation_above": 0.3, "regime_factors": (0.5, 1, 0.2, 1, 0.8, 0, 1)}
    },
    "block": {"sizing": {"beyond_limits": "block"}},
}  # fmt: skip
MARKETS = (
    "thin", "holes", "suspect", "spikes", "together", "odd_funding", "long_bars", "coarse", "tiers", "forecasts",
    "marks",
)  # fmt: skip
RUNS = ("observe", "stays_halted", "next_month", "kills")
FEATURES = (*_SETTINGS, *MARKETS, *RUNS)
MILD = tuple(name for name in FEATURES if name not in ("observe", "high_leverage"))  # with these the gates act
_ONE_OF = (
    ("limit", "stop_entry"), ("trailing", "atr_trailing"), ("bent_risk", "normal_risk"),
    ("swan_halt", "swan_flatten"), ("stays_halted", "next_month"),
)  # fmt: skip

_GO: dict[str, Any] = {
    "name": "go", "meaning": "Does what its column says.",
    "long": {"left": "go", "op": ">", "right": 0.5}, "short": {"left": "go", "op": "<", "right": -0.5},
    "exit_long": {"left": "go", "op": "<", "right": -1.5}, "exit_short": {"left": "go", "op": ">", "right": 1.5},
}  # fmt: skip
_RULE = parse_strategy(_GO, "scenario")
_MODELLED: tuple[StrategySpec, ...] = (
    ENSEMBLE.model_copy(update={"threshold": 0.3}), _RULE.model_copy(update={"kind": "auto", "threshold": 0.2}),
    *(
        parse_strategy({**_GO, "kind": "combined", "combine": how, "threshold": 0.2}, "scenario")
        for how in ("agree", "probability", "filter")
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """One random run. ``kills``: bars before which the service dies, and whether it had committed all it knew."""

    config: TradingConfig
    grid: Grid
    X: Float64Array
    finer: FinerGrid
    forecasts: Float64Array | None = None
    history: Float64Array | None = None
    kills: tuple[tuple[int, bool], ...] = ()


def _merged(features: Iterable[str]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "limits": {"daily_trades": 100, "loss_streak": 50, "drawdown": 0.5, "daily_loss": 0.5, "sharpe": -10.0},
        "sizing": {"volatility_target": 5.0},
    }
    for name in features:
        for group, values in _SETTINGS.get(name, {}).items():
            out[group] = {**out.get(group, {}), **values}
    return out


def _instrument(symbol: str, on: set[str], rng: np.random.Generator) -> Instrument:
    lot = Decimal(1) if "coarse" in on else Decimal("0.01")
    changes: dict[str, Any] = {"min_notional": 100.0, "contract_size": 10.0} if "coarse" in on else {}
    if "tiers" in on:
        changes |= {
            "taker_fee": 0.0004, "maker_fee": float(rng.choice([0.0, 0.0001])), "max_quantity": Decimal(400),
            "min_quantity": 2 * lot if "coarse" in on else Decimal("0.1"),
            "tiers": (
                LeverageTier(0.0, 2000.0, 50.0, 0.01), LeverageTier(2000.0, 8000.0, 25.0, 0.02, 20.0),
                LeverageTier(8000.0, 50_000.0, 5.0, 0.1, 660.0),
            ),
        }  # fmt: skip
    return Instrument(symbol, Decimal("0.01"), lot, **{"min_notional": 5.0, "max_leverage": 50.0, **changes})


def _moves(rng: np.random.Generator, count: int, symbols: int, on: set[str]) -> Float64Array:
    """Log moves ``[S, count]`` in hundredths; some symbols go together."""
    scale = rng.choice([0.001, 0.004, 0.02], symbols)[:, None]
    own = rng.standard_t(3, (symbols, count))
    moves = 0.97 * own[:1] + 0.25 * own if "together" in on else own
    jumps = rng.random((symbols, count)) < 0.02 if "spikes" in on else np.zeros((symbols, count), dtype=bool)
    made: Float64Array = np.round(moves * scale * 50.0) / 100.0 + jumps * rng.choice([-0.12, 0.12], (symbols, count))
    return made


def _frame(
    rng: np.random.Generator, key: SeriesKey, moves: Float64Array, on: set[str]
) -> tuple[Frame, Float64Array, Int64Array]:
    """Bars of four finer ones, so that the order within them is known: bars, ``[2, N]`` highs over lows, their bars."""
    bars = len(moves) // PARTS
    closes = np.maximum(5.0, np.round(100.0 * np.exp(np.clip(np.cumsum(moves), -2.0, 2.0)), 2))
    apart = float(rng.choice([0.0002, 0.001, 0.005]))
    opens = np.concatenate([[100.0], closes[:-1]]) * (1 + rng.normal(0, apart, len(closes)))
    opens = np.maximum(5.0, np.round(opens, 2))
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    shape = (bars, PARTS)
    volume = np.round(rng.exponential(60.0 if "thin" in on else 5000.0, bars), 2)
    volume[rng.random(bars) < (0.1 if "thin" in on else 0.0)] = 0.0
    mark = np.where(rng.random(bars) < (0.08 if "suspect" in on else 0.0), BarMark.SUSPECT, BarMark.REAL)
    kept = np.flatnonzero(rng.random(bars) >= (0.12 if "holes" in on else 0.0))
    kept = kept if len(kept) else np.array([0])
    times = START_MS + key.step_ms * np.arange(bars, dtype=np.int64)
    frame = Frame.of(
        key, times, opens.reshape(shape)[:, 0], high.reshape(shape).max(axis=1), low.reshape(shape).min(axis=1),
        closes.reshape(shape)[:, -1], volume, None, mark.astype(np.uint8),
    )  # fmt: skip
    return frame.take(kept), np.stack([high, low]), kept


def _marks(rng: np.random.Generator, frame: Frame) -> Frame:
    """Candles of the mark price beside those of the last price: near at times, far away at others, some missing."""
    basis = rng.choice([0.0, 0.003, 0.06]) * np.cumsum(rng.normal(0, 1.0, len(frame))) / 3.0
    prices = [
        np.maximum(5.0, np.round(column * np.exp(np.clip(basis, -0.3, 0.3)), 2))
        for column in (frame.open, frame.high, frame.low, frame.close)
    ]
    key = SeriesKey(frame.key.exchange, frame.key.symbol, frame.key.timeframe)
    made = Frame.of(key, frame.open_time, prices[0], prices[1], prices[2], prices[3], frame.volume)
    return made.take(rng.random(len(frame)) >= 0.15)


def _funding(rng: np.random.Generator, key: SeriesKey, bars: int, on: set[str]) -> FundingFrame:
    """Every eight hours; or at odd intervals, several within a bar, some with mark prices."""
    end = START_MS + key.step_ms * bars
    if "odd_funding" in on:
        gaps = rng.choice([17 * MINUTE, HOUR, 4 * HOUR, 8 * HOUR, 26 * HOUR], 4 + end // HOUR % 97)
        due = (START_MS + np.cumsum(gaps)).astype(np.int64)
        due = due[due <= end]
    else:
        due = np.arange(START_MS, end, 8 * HOUR, dtype=np.int64)
    marks = np.where(rng.random(len(due)) < 0.5, np.nan, np.round(rng.uniform(60.0, 150.0, len(due)), 2))
    marks = marks if "odd_funding" in on else np.full(len(due), np.nan)
    return FundingFrame(key.exchange, key.symbol, key.source, due, rng.normal(0, 1e-3, len(due)), marks)


def _finer(grid: Grid, inside: list[tuple[Float64Array, Int64Array]], bars: int) -> FinerGrid:
    begin = np.full((len(inside), grid.bars), -1, dtype=np.int64)
    for s, (_, kept) in enumerate(inside):
        times = START_MS + grid.step_ms * kept
        begin[s, np.searchsorted(grid.open_time, times)] = (s * bars + kept) * PARTS
    both = np.concatenate([fine for fine, _ in inside], axis=1)
    return FinerGrid(both[0], both[1], np.where(grid.present, begin, -1), PARTS)


def _forecasts(rng: np.random.Generator, shape: tuple[int, int]) -> Float64Array:
    """Rows of a schedule of models: none at first, a new one now and then; some abstain, advise or are broken."""
    rows = np.full((*shape, WIDTH), np.nan)
    for first, width in ((Col.P_LONG, 3), (Col.L_TARGET, 3), (Col.S_TARGET, 3)):
        rows[..., first : first + width] = rng.dirichlet([3.0, 1.5, 1.0], shape)
    swap = rng.random(shape) < 0.5
    rows[swap, Col.P_LONG], rows[swap, Col.P_SHORT] = rows[swap, Col.P_SHORT], rows[swap, Col.P_LONG]
    for column in (Col.L_TIME_RETURN, Col.S_TIME_RETURN):
        rows[..., column] = rng.normal(0, 0.002, shape)
    why = (Abstain.NO, Abstain.NO, Abstain.NO, Abstain.NO, Abstain.WARMING_UP, Abstain.INVALID, Abstain.UNDECIDED)
    rows[..., Col.ABSTAIN] = rng.choice([float(w) for w in why], shape)
    rows[..., Col.MODEL] = np.cumsum(rng.random(shape[1]) < 0.1) - 1
    rows[rows[..., Col.MODEL] < 0, Col.ABSTAIN] = Abstain.NO_MODEL
    rows[..., Col.LOWER_LONG] = rows[..., Col.L_TARGET] * 0.95
    rows[..., Col.LOWER_SHORT] = np.where(rng.random(shape) < 0.5, np.nan, rows[..., Col.S_TARGET] * 0.95)
    rows[..., Col.MEMBERS] = 0
    for extra, value in (
        (Extra.THRESHOLD, rng.uniform(0.1, 0.6, shape)), (Extra.SIZE, rng.uniform(-0.1, 1.2, shape)),
        (Extra.REGIME, rng.integers(-1, REGIMES, shape)),
    ):  # fmt: skip
        rows[..., extra] = np.where(rng.random(shape) < 0.5, np.nan, value)
    rows[rng.random(shape) < 0.05, Col.P_LONG] = np.nan
    return rows


def _history(rng: np.random.Generator, symbols: int, on: set[str]) -> Float64Array:
    """Daily closes, a few of them missing."""
    own = rng.standard_t(5, (symbols, HISTORY)) * rng.choice([0.01, 0.04], symbols)[:, None]
    closes = 100.0 * np.exp(np.cumsum(0.95 * own[:1] + 0.3 * own if "together" in on else own, axis=1))
    made: Float64Array = np.where(rng.random(closes.shape) < 0.02, np.nan, closes)
    return made


def _chosen(features: Iterable[str], rng: np.random.Generator) -> set[str]:
    """The features, one of each group that excludes one another."""
    on = set(features)
    for group in _ONE_OF:
        both = [name for name in group if name in on]
        on -= set(both)
        on |= {both[int(rng.integers(len(both)))]} if both else set()
    return on


def _config(rng: np.random.Generator, names: tuple[str, ...], timeframe: str, on: set[str]) -> TradingConfig:
    stop, target = float(rng.choice([0.003, 0.01, 0.03])), float(rng.choice([1.0, 2.0, 3.0]))
    profile = ExitProfile("soak", DistanceUnit.PERCENT, stop, target, int(rng.integers(1, 15)), 0.1, 0.0, False)
    settings = _merged(name for name in FEATURES if name in on)
    settings["paper"] = {"batch_bars": int(rng.integers(1, 17))}
    on_halt: OnHalt = "stop" if "stays_halted" in on else "next-month" if "next_month" in on else "next-day"
    strategy = _MODELLED[int(rng.integers(len(_MODELLED)))] if "forecasts" in on else _RULE
    return TradingConfig(
        names, timeframe, strategy, profile, tuple(_instrument(symbol, on, rng) for symbol in names),
        TradingSettings.model_validate(settings), "observe" not in on, on_halt,
    )  # fmt: skip


def scenario(seed: int, bars: int, symbols: int, features: Iterable[str]) -> Scenario:
    """The scenario of a seed; equal arguments give equal scenarios."""
    rng = np.random.default_rng(seed)
    on = _chosen(features, rng)
    names = SYMBOLS[:symbols]
    timeframe = str(rng.choice(["4h", "1d"])) if "long_bars" in on else "1h"
    keys = [SeriesKey("soak", symbol, timeframe) for symbol in names]
    moves = _moves(rng, bars * PARTS, symbols, on)
    made = [_frame(rng, key, moves[s], on) for s, key in enumerate(keys)]
    marks = [_marks(rng, frame) for frame, _, _ in made] if "marks" in on else []
    grid = align([frame for frame, _, _ in made], [_funding(rng, key, bars, on) for key in keys], marks)
    assert grid.step_ms == timeframe_ms(timeframe)
    config = _config(rng, names, timeframe, on)
    shape = grid.open.shape
    X = np.zeros((symbols, len(config.features()), grid.bars))
    columns = {
        "go": rng.choice([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0], shape), "close": grid.close,
        "atr_14": rng.uniform(0.1, 2.0, shape), "volatility_96": rng.uniform(0.0005, 0.01, shape),
        "black_swan_ratio": rng.uniform(0.5, 3.05, shape),
    }  # fmt: skip
    for f, name in enumerate(config.features()):
        X[:, f] = columns[name]
    kills = rng.random(grid.bars) < (0.12 if "kills" in on else 0.0)
    return Scenario(
        config, grid, X, _finer(grid, [(fine, kept) for _, fine, kept in made], bars),
        _forecasts(rng, shape) if "forecasts" in on else None,
        _history(rng, symbols, on) if {"portfolio", "bent_risk", "normal_risk"} & on else None,
        tuple((int(t), bool(rng.random() < 0.5)) for t in np.flatnonzero(kills)),
    )  # fmt: skip

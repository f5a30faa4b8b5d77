"""Small markets, configurations and a journal in memory for the tests of the trading floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from ai.exits import DistanceUnit, ExitProfile
from ai.forecast import WIDTH, Col
from ai.schema import FeatureSchema
from data.grid import Grid, align
from data.instruments import Instrument
from data.market import Float64Array, Frame, FundingFrame, SeriesKey
from trading.bar import bar_at
from trading.config import TradingConfig
from trading.journal import AccountKey, Batch, Checkpoint
from trading.outcome import BarOutcome
from trading.session import TradingSession
from trading.settings import TradingSettings
from trading.strategy.library import ENSEMBLE
from trading.strategy.spec import StrategySpec, parse_strategy

START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
MINUTE = 60_000
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")

GO = parse_strategy(
    {
        "name": "go",
        "meaning": "Does what the column says: 1 long, -1 short, 2 leave.",
        "long": {"all": [{"left": "go", "op": ">", "right": 0.5}, {"left": "go", "op": "<", "right": 1.5}]},
        "short": {"left": "go", "op": "<", "right": -0.5},
        "exit_long": {"left": "go", "op": ">", "right": 1.5},
        "exit_short": {"left": "go", "op": ">", "right": 1.5},
    },
    "test",
)  # fmt: skip
GO_OR_MODEL = GO.model_copy(update={"kind": "auto", "threshold": 0.2})
_GO = GO.model_dump(exclude_none=True, mode="json")
GO_LATER = parse_strategy(
    {
        **_GO,
        "name": "go-later",
        "long": {
            "at_least": 2,
            "of": [
                _GO["long"],
                {"before": 2, "of": _GO["long"]},
                {"left": "close", "op": "crosses_above", "right": 100.0},
            ],
        },
        "short": {"within": 3, "of": _GO["short"]},
        "size": {"risk_share": 0.01, "volatility_target": 0.5},
    },
    "test",
)
GO_AND_MODEL = tuple(
    parse_strategy({**_GO, "kind": "combined", "combine": how, "threshold": 0.2}, "test")
    for how in ("agree", "probability", "filter")
)
FREE = {"costs": {"taker_fee": 0.0, "maker_fee": 0.0, "spread": 0.0, "impact": 0.0}}
LOOSE = {"sizing": {"volatility_target": 5.0}}


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, later ones winning."""
    out: dict[str, Any] = {}
    for part in parts:
        for group, values in part.items():
            out[group] = {**out.get(group, {}), **values}
    return out


def profile(stop: float = 0.01, ratio: float = 2.0, bars: int = 10, **changes: Any) -> ExitProfile:
    """A percent profile whose gates are as wide as its own distances."""
    values = {"max_stop": stop, "min_target": ratio * stop, "target_in_stops": False, **changes}
    return ExitProfile("test", DistanceUnit.PERCENT, stop, ratio, bars, **values)


def instrument(symbol: str = SYMBOLS[0], tick: str = "0.1", lot: str = "0.001", **changes: Any) -> Instrument:
    """Round rules without a least order value."""
    return Instrument(symbol, Decimal(tick), Decimal(lot), **{"min_notional": 0.0, **changes})


def config_of(
    strategy: StrategySpec = GO, exits: ExitProfile | None = None, settings: Mapping[str, Any] | None = None,
    symbols: Sequence[str] = SYMBOLS[:1], timeframe: str = "1m", instruments: Sequence[Instrument] = (), **changes: Any,
) -> TradingConfig:  # fmt: skip
    """A configuration for tests."""
    return TradingConfig(
        tuple(symbols), timeframe, strategy, exits or profile(),
        tuple(instruments) or tuple(instrument(symbol) for symbol in symbols),
        TradingSettings.model_validate(settings or {}), **changes,
    )  # fmt: skip


Bars = Sequence[tuple[float, float, float, float]]


def grid_of(
    bars: Mapping[str, Bars] | Bars, volume: float | Sequence[float] = 1000.0, step: int = MINUTE,
    funding: Sequence[tuple[int, float, float]] = (), timeframe: str = "1m", start: int = START_MS,
    marks: Sequence[tuple[float, float, float, float] | None] = (),
) -> Grid:  # fmt: skip
    """A grid from (open, high, low, close) rows; ``funding`` = (ms after the start, rate, mark price) of symbol 0,
    ``marks`` the candles of its mark price, None where there is none."""
    tables = bars if isinstance(bars, Mapping) else {SYMBOLS[0]: bars}
    frames, fundings = [], []
    for k, (symbol, rows) in enumerate(tables.items()):
        o, h, lo, c = np.array(rows, dtype=float).T
        times = start + step * np.arange(len(o), dtype=np.int64)
        key = SeriesKey("test", symbol, timeframe)
        frames.append(Frame.of(key, times, o, h, lo, c, np.broadcast_to(np.asarray(volume, float), o.shape).copy()))
        events = funding if k == 0 else ()
        fundings.append(
            FundingFrame(
                "test", symbol, "exchange", np.array([start + e[0] for e in events], dtype=np.int64),
                np.array([e[1] for e in events], dtype=float), np.array([e[2] for e in events], dtype=float),
            )
        )  # fmt: skip
    return align(frames, fundings, [mark_frame(frame, marks if k == 0 else ()) for k, frame in enumerate(frames)])


def mark_frame(frame: Frame, rows: Sequence[tuple[float, float, float, float] | None]) -> Frame:
    """Candles of the mark price beside the first bars of ``frame``."""
    known = [k for k, row in enumerate(rows) if row is not None]
    o, h, lo, c = np.array([rows[k] for k in known], dtype=float).reshape(-1, 4).T.copy()
    return Frame.of(replace(frame.key, kind="mark"), frame.open_time[known], o, h, lo, c, np.zeros(len(known)))


def features_of(config: TradingConfig, grid: Grid, **columns: Any) -> Float64Array:
    """``X[S, F, T]``: the grid's closes, given columns, and calm defaults."""
    defaults = {"go": 0.0, "atr_14": 1.0, "volatility_96": 0.0, "black_swan_ratio": 1.0}
    X = np.zeros((len(config.symbols), len(config.features()), grid.bars))
    for f, name in enumerate(config.features()):
        X[:, f] = grid.close if name == "close" else np.asarray(columns.get(name, defaults.get(name, 0.0)))
    return X


@dataclass
class MemoryJournal:
    """Keeps what is committed."""

    batches: list[Batch] = field(default_factory=list)

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        return 1

    def commit(self, batch: Batch) -> None:
        self.batches.append(batch)

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        if not self.batches:
            return None
        last = self.batches[-1]
        return Checkpoint(last.account_id, last.last_bar_ms, last.checkpoint)

    def forget(self, account_id: int) -> None:
        self.batches.clear()


def session_of(config: TradingConfig, journal: MemoryJournal | None = None, **changes: Any) -> TradingSession:
    """A session over the configuration's own features."""
    return TradingSession(config, FeatureSchema(config.features()), journal or MemoryJournal(), 1, **changes)


def feed(
    session: TradingSession, grid: Grid, X: Float64Array, start: int = 0, stop: int | None = None,
    forecasts: Float64Array | None = None,
) -> list[BarOutcome]:  # fmt: skip
    """Bars ``start:stop`` of a grid into a session."""
    outcomes = []
    for t in range(start, grid.bars if stop is None else stop):
        before = X[:, :, t - 1] if t else np.full(X.shape[:2], np.nan)
        rows = None if forecasts is None else np.ascontiguousarray(forecasts[:, t])
        outcomes.append(session.on_bar(bar_at(grid, t), np.stack([before, X[:, :, t]], axis=2), rows))
    return outcomes


@dataclass(frozen=True)
class Market:
    """A random market with everything a run reads."""

    config: TradingConfig
    grid: Grid
    X: Float64Array
    forecasts: Float64Array | None


def random_market(
    seed: int, bars: int = 400, symbols: int = 1, modelled: bool = False, enforce: bool = True, gaps: bool = True,
    settings: Mapping[str, Any] | None = None, step_name: str = "1h", on_halt: Any = "next-day", marks: bool = False,
) -> Market:  # fmt: skip
    """Jumpy prices, missing bars, funding every 8 h (some with mark prices), random signals, NaN features at first.

    ``marks``: there are candles of a mark price that strays from the last price, with holes.
    """
    rng = np.random.default_rng(seed)
    step = {"1m": MINUTE, "1h": 60 * MINUTE, "1d": 1440 * MINUTE}[step_name]
    frames, fundings = [], []
    for symbol in SYMBOLS[:symbols]:
        scale = float(rng.choice([0.002, 0.01]))
        closes = 100.0 * np.exp(np.cumsum(rng.standard_t(3, bars) * scale))
        opens = np.concatenate([[100.0], closes[:-1]]) * np.exp(rng.normal(0, scale / 3, bars))
        high = np.maximum(opens, closes) * (1 + rng.exponential(scale / 2, bars))
        low = np.minimum(opens, closes) * (1 - rng.exponential(scale / 2, bars))
        keep = rng.random(bars) > (0.03 if gaps else 0.0)
        keep[0] = keep[-1] = True
        times = (START_MS + step * np.arange(bars, dtype=np.int64))[keep]
        columns = (np.round(c[keep], 2) for c in (opens, high, low, closes))
        key = SeriesKey("test", symbol, step_name)
        frames.append(Frame.of(key, times, *columns, np.round(rng.exponential(500, int(keep.sum())), 3)))
        due = np.arange(START_MS, START_MS + step * bars, 8 * 60 * MINUTE, dtype=np.int64)
        paid_on = np.where(rng.random(len(due)) < 0.5, np.nan, 100.0)
        fundings.append(FundingFrame("test", symbol, "exchange", due, rng.normal(0, 1e-3, len(due)), paid_on))
    grid = align(frames, fundings, [stray_marks(frame, seed) for frame in frames] if marks else ())
    chosen = SYMBOLS[:symbols]
    action = ("halt", "block", "flatten")[seed % 3]
    config = config_of(
        (ENSEMBLE, GO_OR_MODEL, *GO_AND_MODEL)[seed % 5] if modelled else (GO, GO_LATER)[seed // 2 % 2],
        ExitProfile("test", DistanceUnit(int(rng.integers(0, 3))), 1.5, 2.0, int(rng.integers(1, 12)), 0.06, 1.9, True)
        if rng.random() < 0.7 else profile(0.01, 2.0, 6),
        merged(
            {"limits": {"drawdown": 0.03, "daily_trades": 6, "black_swan": 4.0, "black_swan_action": action}}, LOOSE,
            settings or {},
        ),
        symbols=chosen, timeframe=step_name, enforce=enforce, on_halt=on_halt,
        instruments=tuple(instrument(s, "0.01", "0.001") for s in chosen),
    )  # fmt: skip
    if config.profile.unit is DistanceUnit.PERCENT and config.profile.stop > 1:
        config = config_of(
            config.strategy, profile(0.008, 2.5, 5), config.settings.model_dump(), symbols=chosen,
            timeframe=step_name, enforce=enforce, on_halt=on_halt, instruments=config.instruments,
        )  # fmt: skip
    shape = grid.open.shape
    X = features_of(
        config, grid, go=rng.choice([-1.0, 0.0, 0.0, 1.0, 2.0], shape), atr_14=rng.uniform(0.2, 2.0, shape),
        volatility_96=rng.uniform(0.001, 0.01, shape), black_swan_ratio=rng.uniform(0.5, 4.01, shape),
    )  # fmt: skip
    X[:, :, :5] = np.nan
    X[rng.random(X.shape) < 0.01] = np.nan
    return Market(config, grid, X, random_forecasts(rng, shape) if modelled else None)


def stray_marks(frame: Frame, seed: int, stray: float = 0.02, missing: float = 0.2) -> Frame:
    """A mark price that wanders up to a few times ``stray`` away from the last price; a share ``missing`` is not known.

    Some of its candles are far from their bars, and ticks mean nothing to it.
    """
    rng = np.random.default_rng([seed, 11])
    away = 1.0 + stray * np.tanh(np.cumsum(rng.normal(0.0, 0.5, len(frame)))) * rng.choice([0.05, 1.0], len(frame))
    o, c = frame.open * away, frame.close * away * (1.0 + rng.normal(0.0, stray / 4, len(frame)))
    h = np.maximum(o, c) * (1.0 + rng.exponential(stray / 4, len(frame)))
    lo = np.minimum(o, c) * (1.0 - rng.exponential(stray / 4, len(frame)))
    marked = Frame.of(replace(frame.key, kind="mark"), frame.open_time, o, h, lo, c, np.zeros(len(frame)))
    return marked.take(rng.random(len(frame)) >= missing)


def random_forecasts(rng: np.random.Generator, shape: tuple[int, ...]) -> Float64Array:
    """``[S, T, WIDTH]`` rows that agree with themselves, some abstaining, some broken."""
    rows = np.full((*shape, WIDTH), np.nan)
    for first, width in ((Col.P_LONG, 3), (Col.L_TARGET, 3), (Col.S_TARGET, 3)):
        rows[..., first : first + width] = rng.dirichlet([2.0, 2.0, 1.0], shape)
    rows[..., Col.L_TIME_RETURN] = rng.normal(0, 0.002, shape)
    rows[..., Col.S_TIME_RETURN] = rng.normal(0, 0.002, shape)
    rows[..., Col.ABSTAIN] = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0], shape)
    rows[..., Col.MODEL] = rng.integers(-1, 3, shape)
    rows[..., Col.LOWER_LONG] = rows[..., Col.L_TARGET] * 0.95
    rows[..., Col.LOWER_SHORT] = np.where(rng.random(shape) < 0.5, np.nan, rows[..., Col.S_TARGET] * 0.95)
    rows[..., Col.MEMBERS] = 0
    rows[rng.random(shape) < 0.05, Col.P_LONG] = np.nan
    return rows

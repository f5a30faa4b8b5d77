"""Puts the floors together: home, database and settings; stored series into grids; what a run trades."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from app.settings import Loaded, load
from data.clock import Clock, SystemClock, iso
from data.errors import UserError
from data.market import Frame, FundingFrame, SeriesInfo, SeriesKey, short_symbol
from data.timeframes import timeframe_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ai.schema import FeatureSchema
    from ai.settings import AiSettings
    from data.beside import Beside
    from data.grid import Grid
    from data.instruments import Instrument
    from data.store import CandleStore
    from database.home import Home
    from database.repositories import Repositories
    from trading.config import TradingConfig
    from trading.strategy.spec import StrategySpec

DEFAULT_RULE, ENSEMBLE = "rsi-oversold", "ensemble"
HOME_VARIABLE = "QUANTAI_HOME"
Span = tuple[int | None, int | None]
BesideSource = Callable[[int, "npt.NDArray[np.int64]"], "Beside | None"]  # symbol's number, open times [T] ms UTC


def home_path(text: str | None) -> Path:
    """``--home``, else ``QUANTAI_HOME``, else the platform's user-data folder."""
    named = text or os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("quantai-trad", appauthor=False))


@dataclass(frozen=True, slots=True)
class Workplace:
    """An opened home: what every command works with."""

    home: Home
    database: Repositories
    settings: Loaded
    clock: Clock

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, clock: Clock | None = None, *, alone: bool = False) -> Iterator[Self]:
        """Open the home, read the settings of all places, and close the database at the end.

        ``alone``: hold the home's lock from before the opening on, as a running service does.

        Raises:
            UserError: the home cannot be used or another service runs on it, or a setting is wrong.
        """
        from database.home import Home

        clock = clock or SystemClock()
        home = Home(path, clock, load(path, {}).values.storage)
        with home.lock() if alone else contextlib.nullcontext(), home.open() as database:
            yield cls(home, database, load_settings(home, database), clock)


def load_settings(home: Home, database: Repositories, profile: str | None = None) -> Loaded:
    """The settings in force: environment, the named profile, stored changes, settings.toml, defaults.

    Raises:
        UserError: an unknown key or profile, or a value out of range.
    """
    from app.profiles import overlay

    return load(home.path, database.settings.all(), None, overlay(profile))


# ---- stored series ---------------------------------------------------------------------------------------------------


def choose_series(
    store: CandleStore, symbol: str, timeframe: str, exchange: str | None = None, source: str | None = None,
    kind: str = "ohlcv", default_exchange: str = "binanceusdm",
) -> SeriesInfo:  # fmt: skip
    """The one stored series that is meant.

    Raises:
        UserError: none is stored (how to bring one in), or several are (which options tell them apart).
    """
    timeframe_ms(timeframe)
    stored = [i for i in store.series() if i.key.symbol == symbol and i.key.kind == kind and i.rows]
    found = [
        i for i in stored
        if i.key.timeframe == timeframe and exchange in (None, i.key.exchange) and source in (None, i.key.source)
    ]  # fmt: skip
    if exchange is None and len({i.key.exchange for i in found}) > 1:
        found = [i for i in found if i.key.exchange == default_exchange] or found
    if len(found) == 1:
        return found[0]
    if found:
        listed = "; ".join(str(i.key) for i in found)
        option = "--source" if len({i.key.source for i in found}) > 1 else "--exchange"
        raise UserError(f"Several series fit {short_symbol(symbol)} {timeframe}: {listed}; choose one with {option}.")
    raise UserError(_missing(symbol, timeframe, exchange, source, stored))


def _missing(
    symbol: str, timeframe: str, exchange: str | None, source: str | None, stored: Sequence[SeriesInfo]
) -> str:
    name = short_symbol(symbol)
    wanted = " ".join(part for part in (name, timeframe, exchange, f"({source})" if source else None) if part)
    others = ", ".join(sorted({f"{i.key.timeframe} {i.key.exchange} ({i.key.source})" for i in stored}))
    return (
        f"No bars of {wanted} are stored{f' (stored of {name}: {others})' if others else ''}: bring them in with "
        f"'import FILE --symbol {name} --timeframe {timeframe}' or 'download', or make some with 'synthetic'."
    )


def market_for(
    store: CandleStore, symbols: Sequence[str], timeframe: str, span: Span = (None, None), source: str | None = None,
    warmup: int = 0, exchange: str | None = None,
) -> tuple[Grid, list[Frame], list[FundingFrame]]:  # fmt: skip
    """Stored bars of ``symbols`` in the half-open span, with up to ``warmup`` bars' time before it.

    The grid and the frames begin with the warm-up; :func:`first_bar` says where the span starts in the grid.
    Settlements without a mark price take it from a stored ``mark`` series, and bars have its candle beside them.

    Raises:
        UserError: a series is missing or ambiguous, the symbols come from different sources, or the span is empty.
    """
    from data.grid import align

    infos = [choose_series(store, symbol, timeframe, exchange, source) for symbol in symbols]
    if len({i.key.source for i in infos}) > 1:
        raise UserError("Synthetic and recorded bars are never mixed: give --source synthetic or --source exchange.")
    start, end = span
    begin = None if start is None else start - warmup * timeframe_ms(timeframe)
    frames = [store.read(i.key, begin, end) for i in infos]
    if not any(len(f.between(start if start is not None else 0, 1 << 62)) for f in frames):
        first, last = min(i.first_ms for i in infos), max(i.last_ms for i in infos)
        raise UserError(
            f"No bar of {', '.join(map(short_symbol, symbols))} {timeframe} lies in the span "
            f"{iso(start) or 'start'} to {iso(end) or 'end'}: stored are {iso(first)} to {iso(last)}."
        )
    fundings = [with_marks(store, i.key, read_funding(store, i.key, begin, end)) for i in infos]
    marks = [mark_frame(store, i.key, begin, end) for i in infos]
    return align(frames, fundings, marks), frames, fundings


def read_funding(store: CandleStore, key: SeriesKey, start: int | None, end: int | None) -> FundingFrame:
    """Settlements that bars with open times in the span can meet: up to the last bar's close, included."""
    return store.read_funding(key.exchange, key.symbol, key.source, start, None if end is None else end + key.step_ms)


def mark_frame(store: CandleStore, key: SeriesKey, start: int | None, end: int | None) -> Frame:
    """Candles of the mark price on the bars of ``key`` in the half-open span; empty where none are stored.

    Those of its own timeframe, else of the longest shorter one whose candles make up its bars.
    """
    from data.market import Frame
    from data.resample import resample

    own = [k for k in _mark_keys(store, key) if key.step_ms % k.step_ms == 0]
    if not own:
        return Frame.empty(replace(key, kind="mark"))
    return resample(store.read(own[-1], start, end), key.timeframe)


def _mark_keys(store: CandleStore, key: SeriesKey) -> list[SeriesKey]:
    """Stored series of the mark price of the same market, the shortest timeframe first."""
    same = (key.exchange, key.symbol, key.source)
    found = (i.key for i in store.series() if i.key.kind == "mark" and i.rows)
    return sorted((k for k in found if (k.exchange, k.symbol, k.source) == same), key=lambda k: k.step_ms)


def with_marks(store: CandleStore, key: SeriesKey, funding: FundingFrame) -> FundingFrame:
    """Fill unknown mark prices from the stored mark series: the open at T, else the close of the candle ending at T."""
    import numpy as np

    mark_price = funding.mark_price.copy()
    for mark_key in _mark_keys(store, key):
        unknown = np.flatnonzero(np.isnan(mark_price))
        if not len(unknown):
            break
        times = funding.time[unknown]
        frame = store.read(mark_key, int(times[0]) - mark_key.step_ms, int(times[-1]) + 1)
        for moments, prices in ((frame.open_time + mark_key.step_ms, frame.close), (frame.open_time, frame.open)):
            at = np.searchsorted(moments, times)
            inside = np.flatnonzero(at < len(moments))
            hit = inside[moments[at[inside]] == times[inside]]
            mark_price[unknown[hit]] = prices[at[hit]]  # the open comes second: where both are, it stands
    return replace(funding, mark_price=mark_price)


def first_bar(grid: Grid, span: Span) -> int:
    """Index of the first bar of the span in a grid that begins with the warm-up."""
    import numpy as np

    return 0 if span[0] is None else int(np.searchsorted(grid.open_time, span[0]))


def cut(grid: Grid, first: int, stop: int | None = None) -> Grid:
    """Columns ``first:stop`` of a grid, contiguous for the kernels; the flat funding arrays stay whole."""
    import numpy as np

    part = slice(first, grid.bars if stop is None else stop)
    whole = np.ascontiguousarray
    marks = grid.mark_price[:, :, part] if grid.mark_price.shape[2] else grid.mark_price
    return replace(
        grid, open_time=grid.open_time[part], open=whole(grid.open[:, part]), high=whole(grid.high[:, part]),
        low=whole(grid.low[:, part]), close=whole(grid.close[:, part]), volume=whole(grid.volume[:, part]),
        present=whole(grid.present[:, part]), mark=whole(grid.mark[:, part]), mark_price=whole(marks),
        funding_start=whole(grid.funding_start[:, part.start : part.stop + 1]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extras:
    """What a training reads besides the bars and their settlements."""

    beside: Beside | None = None  # what else was known at each close
    finer: Frame | None = None  # bars of a shorter timeframe over the whole span, for first touches


def extras_for(
    database: Repositories, frame: Frame, ai: AiSettings, features: Iterable[str] | None = None
) -> Extras:  # fmt: skip
    """What is stored beside the bars of ``frame``; the one place where research and the desk get it from.

    Only what ``features`` read is looked for. Without names it is for a training: whatever a feature reads, and the
    finer bars that decide its labels.
    """
    from ai.features.registry import rows_beside
    from app.finer_bars import finer_frame
    from data.beside_rows import beside_of

    finer = finer_frame(database.candles, frame) if features is None and ai.finer_labels else None
    rows = rows_beside(features)
    if not rows or not len(frame):
        return Extras(finer=finer)
    return Extras(beside_of(database.candles, frame.key, frame.open_time, ai.cross_asset_symbols, rows), finer)


def beside_source(
    database: Repositories, keys: Sequence[SeriesKey], schema: FeatureSchema, ai: AiSettings
) -> BesideSource | None:  # fmt: skip
    """Where a run of these series looks for what stands beside its bars; ``None`` where no feature reads any.

    The same reading as :func:`extras_for`: what was known at a close does not depend on when it is asked for.
    """
    from ai.features.registry import rows_beside
    from data.beside_rows import beside_of

    rows = rows_beside(schema.names)
    if not rows:
        return None
    store, cross = database.candles, ai.cross_asset_symbols
    return lambda s, open_time: beside_of(store, keys[s], open_time, cross, rows)


def feature_cube(
    schema: FeatureSchema, grid: Grid, frames: Sequence[Frame], fundings: Sequence[FundingFrame],
    besides: Sequence[Beside | None] | None = None,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """``X[S, F, T]`` on the grid's axis, each symbol from a fresh engine over its whole frame; NaN where absent."""
    import numpy as np

    from ai.features.engine import FeatureEngine

    cube: npt.NDArray[np.float64] = np.full((len(frames), len(schema), grid.bars), np.nan)
    for s, (frame, funding) in enumerate(zip(frames, fundings, strict=True)):
        at = np.searchsorted(grid.open_time, frame.open_time)
        beside = None if besides is None else besides[s]
        cube[s][:, at] = FeatureEngine(schema, grid.timeframe).batch(frame, funding, beside)
    return cube


# ---- what a run trades -----------------------------------------------------------------------------------------------


def run_warmup(timeframe: str, history: int = 0) -> int:
    """Bars before a span that both engines read first: the whole registry's, whatever the strategy asks for.

    Args:
        timeframe: of the bars.
        history: where models forecast, bars that their training reads. The regime is ranked among 90 days: where a
            training reads as much, a run does so too; where it does not, no model knows a regime.
    """
    from ai.features.registry import warmup_bars
    from ai.regime import regime_warmup_bars

    regime = regime_warmup_bars(timeframe)
    return max(warmup_bars(None, timeframe), regime if regime <= history else 0)


def run_schema(config: TradingConfig) -> FeatureSchema:
    """The features of a run, in the order of its matrix: the desk's, and the models' for an ensemble."""
    from ai.features.registry import BESIDE_FEATURES, FUNDING_FEATURES, MODEL_FEATURES, schema_of
    from ai.overlay_market import TRACK_FEATURES

    read = (*MODEL_FEATURES, *FUNDING_FEATURES, *BESIDE_FEATURES, *TRACK_FEATURES)
    models = () if config.strategy.kind == "rule" else read
    return schema_of(dict.fromkeys([*config.features(), *models]))


def strategy_for(name: str, exit_profile: str | None = None) -> StrategySpec:
    """The named or declared strategy, its exits replaced where ``exit_profile`` is given.

    Raises:
        UserError: no such strategy or file, or the document breaks the grammar or names an unknown feature.
    """
    from trading.strategy.library import LIBRARY, load_strategy

    spec = load_strategy(name)
    if name not in LIBRARY:
        from ai.features.registry import BY_NAME
        from trading.strategy.spec import check_features

        check_features(spec, name, {feature.name: feature.unit for feature in BY_NAME.values()})
    return spec if exit_profile is None else with_exits(spec, exit_profile)


def with_exits(spec: StrategySpec, exit_profile: str) -> StrategySpec:
    """The strategy with one exit profile on every timeframe."""
    from trading.strategy.spec import Exits

    return spec.model_copy(update={"exits": Exits.model_validate({"scalp": exit_profile, "swing": exit_profile})})


def trading_config(
    settings: Loaded, symbols: Sequence[str], timeframe: str, strategy: StrategySpec,
    instruments: Sequence[Instrument], *, enforce: bool = True, on_halt: str = "stop", seed: int | None = None,
) -> TradingConfig:  # fmt: skip
    """What a run trades, from the settings in force."""
    from trading.config import TradingConfig

    return TradingConfig(
        symbols=tuple(symbols), timeframe=timeframe, strategy=strategy, profile=strategy.profile(timeframe),
        instruments=tuple(instruments), settings=settings.values.trading, enforce=enforce,
        on_halt=on_halt,  # type: ignore[arg-type]  # TradingConfig checks it
        seed=settings.values.ai.seed if seed is None else seed,
    )  # fmt: skip

"""P3 and P4 indicators, P7 labels, P8 features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.benchmarks.bench import Bench, against
from scripts.benchmarks.environments import PeerMissing
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import in_turn, repeated, timed

if TYPE_CHECKING:
    from data.market import Frame

# Sixteen calls of TA-Lib, and the registry's names for the same.
SIXTEEN = (
    "ema_9", "ema_20", "ema_50", "ema_200", "sma_20", "macd", "macd_signal", "macd_hist", "bollinger_upper",
    "bollinger_lower", "rsi_14", "stochastic_k", "stochastic_d", "cci_20", "mfi_14", "atr_14", "adx_14", "plus_di_14",
    "minus_di_14", "obv_20", "volatility_96", "momentum_24",
)  # fmt: skip
RECENT = 500  # bars that TA-Lib is given for one new bar
LABEL_STOP, LABEL_LIMIT = 0.005, 240


def talib_sixteen() -> Callable[[Any, Any, Any, Any], None]:
    """Sixteen calls over high, low, close, volume."""
    import talib

    ta: Any = talib

    def run(h: Any, low: Any, c: Any, v: Any) -> None:
        for bars in (9, 20, 50, 200):
            ta.EMA(c, bars)
        ta.SMA(c, 20)
        ta.MACD(c, 12, 26, 9)
        ta.BBANDS(c, 20)
        ta.RSI(c, 14)
        ta.STOCH(h, low, c, 14, 3, ta.MA_Type.SMA, 3, ta.MA_Type.SMA)
        ta.CCI(h, low, c, 20)
        ta.MFI(h, low, c, v, 14)
        ta.ATR(h, low, c, 14)
        ta.ADX(h, low, c, 14)
        ta.OBV(c, v)
        ta.STDDEV(c, 96)
        ta.MOM(c, 24)

    return run


def _columns(frame: Frame) -> dict[str, Any]:
    return {
        "time": frame.open_time, "open": frame.open, "high": frame.high, "low": frame.low, "close": frame.close,
        "volume": frame.volume,
    }  # fmt: skip


def indicators(bench: Bench) -> list[Row]:
    """P3."""
    import talib

    from ai.features.engine import FeatureEngine
    from ai.features.registry import schema_of
    from data.compiled import threads

    frame, _ = bench.market
    engine, peer = FeatureEngine(schema_of(SIXTEEN), "1m"), talib_sixteen()
    columns = (frame.high, frame.low, frame.close, frame.volume)
    ours, theirs = in_turn(timed(lambda: engine.batch(frame)), timed(lambda: peer(*columns)))
    what, goal = f"sixteen indicators, {bench.bars:,} bars", Goal("≥ 1× (goal 4×)", ratio=1.0)
    note = f"TA-Lib on one thread, here two where there are two cores ({threads()} here)"
    return [measured("P3", what, 1e3 * ours, "ms", goal, f"TA-Lib {talib.__version__}", 1e3 * theirs, note)]


def one_bar(bench: Bench) -> list[Row]:
    """P4."""
    import talib

    from ai.features.engine import FeatureEngine
    from ai.features.registry import schema_of

    frame, _ = bench.market
    engine, peer = FeatureEngine(schema_of(SIXTEEN), "1m"), talib_sixteen()
    engine.extend(frame.slice(0, min(RECENT, len(frame) - 1)))
    at = [len(frame)]
    o, h, low, c, v = (float(column[-1]) for column in (frame.open, frame.high, frame.low, frame.close, frame.volume))
    recent = tuple(column[-RECENT:] for column in (frame.high, frame.low, frame.close, frame.volume))
    start, step = int(frame.open_time[0]), frame.key.step_ms

    def take() -> None:
        at[0] += 1
        engine.step(start + at[0] * step, o, h, low, c + at[0] % 7, v)

    sides = (repeated(take, 20_000), repeated(lambda: peer(*recent), 500))
    ours, theirs = in_turn(*sides)
    what = "the same, one new bar"
    title = f"TA-Lib {talib.__version__}, last {RECENT} bars"
    rows = [measured("P4", what, 1e6 * ours, "µs", Goal("≥ 25×", ratio=25.0), title, 1e6 * theirs)]
    data = _columns(frame.slice(0, 20_000))

    def opened(_share: float) -> Any:
        return bench.peers.opened("talipp", ("talipp", "numpy"), "with_talipp", data, calls=2000)

    pair = against(sides[0], "talipp", opened)
    other = None if pair.theirs is None else 1e6 * pair.theirs
    return [*rows, measured("P4", what, 1e6 * pair.ours, "µs", Goal("–"), pair.title, other, pair.note)]


def labels(bench: Bench) -> list[Row]:
    """P7."""
    from ai.exits import DistanceUnit, ExitProfile
    from ai.labels import stop_distances, triple_barrier

    frame, _ = bench.market
    profile = ExitProfile("bench", DistanceUnit.PERCENT, LABEL_STOP, 3.0, LABEL_LIMIT, 1.0, 0.0, False)
    distance = stop_distances(profile, frame.close)
    work = timed(lambda: triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile))
    data = {"time": frame.open_time, "close": frame.close}

    def opened(share: float) -> Any:
        return bench.peers.opened(
            "mlfinpy", ("mlfinpy", "scikit-learn"), "with_mlfinpy", data, share=share, stop=LABEL_STOP, ratio=3.0,
            limit_bars=LABEL_LIMIT, threads=1,
        )  # fmt: skip

    pair = against(work, "mlfinpy", opened, slow=bench.bars >= 50_000)
    what = f"triple-barrier labels of {bench.bars:,} bars, horizon {LABEL_LIMIT}"
    theirs = None if pair.theirs is None else 1e3 * pair.theirs
    note = "; ".join(filter(None, (pair.note, "one thread a side; both sides' barriers here, one side's in the peer")))
    goal = Goal("≥ 5,000×", ratio=5000.0)
    return [measured("P7", what, 1e3 * pair.ours, "ms", goal, pair.title, theirs, note)]


def features(bench: Bench) -> list[Row]:
    """P8."""
    from ai.features.engine import FeatureEngine
    from ai.features.registry import MODEL_FEATURES, schema_of

    frame, _ = bench.market
    engine = FeatureEngine(schema_of(MODEL_FEATURES), "1m")
    note, title, theirs = "", "polars", None
    work = timed(lambda: engine.batch(frame))
    try:
        with bench.peers.opened("polars", ("polars", "numpy"), "with_polars", _columns(frame)) as peer:
            ours, other = in_turn(work, peer.seconds)
            title, theirs = peer.title, 1e3 * other
            note = f"peer: {peer.run()['features']} features, all its threads; here two at most"
    except PeerMissing as missing:
        (ours,) = in_turn(work)
        note = str(missing)
    what = f"{len(MODEL_FEATURES)} features over {bench.bars:,} bars"
    return [measured("P8", what, 1e3 * ours, "ms", Goal("≥ 3×", ratio=3.0), title, theirs, note)]


def training_rows(bench: Bench, bars: int) -> tuple[Any, Any, Any]:
    """Features ``[n, F]``, labels and weights to fit a member on."""
    from ai.features.registry import MODEL_FEATURES
    from ai.training import training_data

    frame, funding = bench.market
    data = training_data(frame.slice(0, min(bars, len(frame))), funding, "scalp")
    rows = np.flatnonzero(data.labels.complete & np.isfinite(data.x[: len(MODEL_FEATURES)]).all(axis=0))
    x = np.ascontiguousarray(data.x[:, rows].T)
    return x, data.labels.label[rows], np.ones(len(rows))

"""polars: sixty features like the program's own, as lazy expressions over all its threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

DISTRIBUTION = "polars"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """Every expression over the frame, collected."""
    import polars as pl  # type: ignore[import-not-found, unused-ignore]

    frame = pl.DataFrame({name: data[name] for name in ("open", "high", "low", "close", "volume", "time")})
    o, h, low, c, v = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
    change = c.log().diff()
    before = c.shift(1)
    true_range = pl.max_horizontal(h - low, (h - before).abs(), (low - before).abs())
    typical = (h + low + c) / 3
    out: dict[str, Any] = {}
    for n in (9, 20, 50):
        out[f"ema_{n}"] = c / c.ewm_mean(span=n, adjust=False) - 1
    out["sma_20"] = c / c.rolling_mean(20) - 1
    macd = c.ewm_mean(span=12, adjust=False) - c.ewm_mean(span=26, adjust=False)
    signal = macd.ewm_mean(span=9, adjust=False)
    out |= {
        "spread": out["ema_20"] - out["ema_50"],
        "macd": macd / c,
        "signal": signal / c,
        "hist": (macd - signal) / c,
    }
    mean, sd = c.rolling_mean(20), c.rolling_std(20)
    out |= {"width": 4 * sd / mean, "z": (c - mean) / sd}
    gain, loss = c.diff().clip(lower_bound=0), (-c.diff()).clip(lower_bound=0)
    up, down = gain.ewm_mean(alpha=1 / 14, adjust=False), loss.ewm_mean(alpha=1 / 14, adjust=False)
    out["rsi"] = 100 * up / (up + down)
    fast_k = (c - low.rolling_min(14)) / (h.rolling_max(14) - low.rolling_min(14))
    out |= {"k": fast_k.rolling_mean(3), "d": fast_k.rolling_mean(3).rolling_mean(3)}
    out["cci"] = (typical - typical.rolling_mean(20)) / typical.rolling_std(20)
    money = typical * v
    risen = pl.when(typical.diff() > 0).then(money).otherwise(0.0).rolling_sum(14)
    out["mfi"] = risen / money.rolling_sum(14)
    atr = true_range.ewm_mean(alpha=1 / 14, adjust=False)
    plus = pl.when(h.diff() > -low.diff()).then(h.diff().clip(lower_bound=0)).otherwise(0.0)
    minus = pl.when(-low.diff() > h.diff()).then((-low.diff()).clip(lower_bound=0)).otherwise(0.0)
    pdi, mdi = (part.ewm_mean(alpha=1 / 14, adjust=False) / atr for part in (plus, minus))
    dx = (pdi - mdi).abs() / (pdi + mdi)
    out |= {
        "atr": atr / c,
        "tr": true_range / c,
        "pdi": pdi,
        "mdi": mdi,
        "adx": dx.ewm_mean(alpha=1 / 14, adjust=False),
    }
    out["efficiency"] = (c - c.shift(24)).abs() / c.diff().abs().rolling_sum(24)
    out["up_share"] = (c.diff() > 0).cast(pl.Float64).rolling_mean(24)
    for n in (20, 96):
        top, bottom = h.rolling_max(n), low.rolling_min(n)
        out |= {f"place_{n}": (c - bottom) / (top - bottom), f"top_{n}": c / top - 1, f"bottom_{n}": c / bottom - 1}
    for n in (1, 2, 3, 6, 12, 24, 48, 96):
        out[f"return_{n}"] = c.log().diff(n)
    for n in (6, 24, 96):
        out[f"momentum_{n}"] = c.log().diff(n) / change.rolling_std(96)
    for n in (12, 24, 96):
        out[f"volatility_{n}"] = change.rolling_std(n)
    out["parkinson"] = ((h / low).log() ** 2).rolling_mean(20).sqrt()
    out["garman"] = (0.5 * (h / low).log() ** 2 - 0.386 * (c / o).log() ** 2).rolling_mean(20).sqrt()
    out |= {"ratio": out["volatility_12"] / out["volatility_96"], "skew": change.rolling_skew(96)}
    out |= {"body": (c - o) / c, "range": (h - low) / c}
    out |= {"upper": (h - pl.max_horizontal(o, c)) / c, "lower": (pl.min_horizontal(o, c) - low) / c}
    out["obv"] = (c.diff().sign() * v).rolling_sum(20) / v.rolling_sum(20)
    out["vwap"] = c / ((typical * v).rolling_sum(20) / v.rolling_sum(20)) - 1
    out["volume_z"] = (v - v.rolling_mean(20)) / v.rolling_std(20)
    for n in (20, 96):
        out[f"volume_{n}"] = v / v.rolling_mean(n)
    out["volume_trend"] = v.rolling_mean(20) / v.rolling_mean(96)
    pressure = (2 * c - h - low) / (h - low)
    out |= {"pressure": pressure, "pressure_20": pressure.rolling_mean(20)}
    turn = pl.col("time").cast(pl.Float64) * (6.283185307179586 / 86_400_000)
    out |= {"hour_sin": turn.sin(), "hour_cos": turn.cos(), "week_sin": (turn / 7).sin(), "week_cos": (turn / 7).cos()}
    expressions = [expression.alias(name) for name, expression in out.items()]

    def run() -> dict[str, Any]:
        began = perf_counter()
        table = frame.lazy().select(expressions).collect()
        return {"seconds": perf_counter() - began, "features": table.width}

    return run

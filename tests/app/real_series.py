"""Parts of the recorded series in a home of a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from app.wiring import Workplace
from data.market import Frame, FundingFrame, SeriesKey

EXCHANGE = "binanceusdm"


def key_of(name: str, timeframe: str) -> SeriesKey:
    """``key_of("BTC", "1h")``."""
    return SeriesKey(EXCHANGE, f"{name}/USDT:USDT", timeframe)


def store_bars(
    place: Workplace, data: Path, name: str, timeframe: str, span: tuple[str, str], known_ms: int | None = None
) -> None:  # fmt: skip
    """Recorded candles of the half-open span, known at their closes or at ``known_ms``."""
    file = next(f for f in _files(data / "ohlcv/binance_um" / timeframe, name) if _covers(f, span))
    table = _part(file, span)
    columns = (table[c].to_numpy(dtype=float) for c in ("open", "high", "low", "close", "volume"))
    frame = Frame.of(key_of(name, timeframe), _ms(table.timestamp), *columns)
    known = frame.known_at if known_ms is None else np.full(len(frame), known_ms, dtype=np.int64)
    place.database.candles.write(replace(frame, known_at=known))


def store_funding(place: Workplace, data: Path, name: str, span: tuple[str, str]) -> None:
    """Recorded settlements of the half-open span, at whole minutes as an import has them."""
    file = next(f for f in _files(data / "funding/binance_um", name) if _covers(f, span))
    table = _part(file, span)
    due, rates = _ms(table.timestamp.dt.round("min")), table.funding_rate.to_numpy(dtype=float)
    none = np.full(len(due), np.nan)
    place.database.candles.write_funding(FundingFrame(EXCHANGE, f"{name}/USDT:USDT", "exchange", due, rates, none))


def _files(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}USDT-*.parquet"))


def _covers(file: Path, span: tuple[str, str]) -> bool:
    """Whether the days in the file's name hold the span's."""
    first, last = file.stem.rsplit("-", 1)[1].split("_")
    return first <= span[0].replace("-", "") and span[1].replace("-", "") <= last


def _part(file: Path, span: tuple[str, str]) -> pd.DataFrame:
    table = pd.read_parquet(file)
    return table[(table.timestamp >= span[0]) & (table.timestamp < span[1])]


def _ms(stamps: pd.Series) -> np.ndarray:
    return stamps.astype("datetime64[ms, UTC]").astype("int64").to_numpy()

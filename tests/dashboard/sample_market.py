"""Sample answers of the data tab."""

from __future__ import annotations

import numpy as np

from app.contract import market_views as m

DAY = 86_400_000
FROM, TO = 1_656_115_200_000, 1_753_920_000_000  # 25 Jun 2022 … 31 Jul 2025
BINS = 120


def coverage(first: float, last: float, *holes: tuple[int, float]) -> np.ndarray:
    shares = np.full(BINS, np.nan)
    shares[int(first * BINS) : int(last * BINS)] = 1.0
    for at, share in holes:
        shares[at] = share
    return shares


def series_row(symbol: str, timeframe: str, kind: str = "ohlcv", **changes: object) -> m.SeriesRow:
    values: dict[str, object] = {
        "key": f"binanceusdm|{symbol}|{timeframe}|{kind}|exchange", "exchange": "binanceusdm", "symbol": symbol,
        "timeframe": timeframe, "kind": kind, "source": "exchange", "rows": 108_701, "first_ms": FROM, "last_ms": TO,
        "missing": 0, "coverage": coverage(0, 1),
    }  # fmt: skip
    return m.SeriesRow(**{**values, **changes})  # type: ignore[arg-type]


def data_view() -> m.DataView:
    btc, eth, sol = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"
    checked = TO + DAY
    rows = (
        series_row(btc, "15m", findings=9, worst="warn", checked_ms=checked),
        series_row(btc, "1m", rows=73_139, first_ms=FROM + 1000 * DAY, coverage=coverage(0.92, 0.97)),
        series_row(btc, "1h", rows=51_000, findings=0, worst="ok", checked_ms=checked),
        series_row(btc, "8h", "funding", rows=3_396, findings=0, worst="ok", checked_ms=checked),
        series_row(btc, "5m", "metrics", rows=8_640, coverage=coverage(0.95, 1.0, (116, 0.4))),
        series_row(btc, "tick", "book", rows=412_000, missing=None, coverage=coverage(0.98, 1.0)),
        series_row(btc, "tick", "trades", rows=21_313, missing=None, coverage=coverage(0.98, 1.0)),
        series_row(eth, "15m", findings=7, worst="warn", checked_ms=checked),
        series_row(sol, "15m", rows=108_000, missing=701, coverage=coverage(0, 1, (40, 0.2), (41, 0.0), (42, 0.5)),
                   findings=3, worst="bad", checked_ms=checked),
        series_row(sol, "8h", "funding", rows=3_396, missing=75, coverage=coverage(0, 1, (33, 0.0), (34, 0.0)),
                   findings=2, worst="bad", checked_ms=checked),
        series_row("DOGE/USDT:USDT", "1m", source="synthetic", rows=20_000, coverage=coverage(0.1, 0.12)),
    )  # fmt: skip
    feeds = (
        m.FeedRow("Requests", "Live", "ok", TO, 0.4, "412 of 1,200 weight this minute · clock +12 ms"),
        m.FeedRow("Stream", "Live", "ok", TO, 0.1, "2 sockets · 0 reconnects"),
        m.FeedRow("BTCUSDT 1m", "Live", "ok", TO, 21.0, "last bar 07:12"),
        m.FeedRow("SOLUSDT 1m", "Stale", "bad", TO, 131.0, "no bar since 07:10: no entries"),
    )
    quotes = tuple(
        m.QuoteRow(
            symbol, price, price - 0.1, price, 0.1 / price, 0.31, price - 0.03, -0.12, 0.44, price - 4.2, price + 11.0,
            -0.00013, 0.0001, TO + DAY // 3, DAY // 3, 84_211.4, 1.84, 0.93, 0.3,
        )
        for symbol, price in ((btc, 118_342.1), (eth, 3_812.4))
    )  # fmt: skip
    return m.DataView(rows, FROM, TO, feeds, quotes, "binanceusdm", 412_000_000, "", (btc, eth, sol))


def findings_view() -> m.FindingsView:
    at = FROM + 500 * DAY
    rows = (
        m.FindingRow(0, "partial_volume", "warn", at, at + 900_000, 1,
                     "volume of 1 bar is 0.4 % of its neighbours'; repair fetches it again"),
        m.FindingRow(1, "gap", "bad", at + 40 * DAY, at + 40 * DAY + 9_000_000, 10, "10 bars are missing"),
        m.FindingRow(2, "outlier", "info", at + 90 * DAY, at + 90 * DAY + 900_000, 1, "1 bar far outside its moves"),
    )  # fmt: skip
    return m.FindingsView("binanceusdm|BTC/USDT:USDT|15m|ohlcv|exchange", rows, TO)


def no_data() -> m.DataView:
    return m.DataView((), None, None, exchange="binanceusdm")

"""The report over a store: every kind of series, told with the series that is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.market import Frame, SeriesKey
from data.observations import Observations
from data.quality_survey import survey
from data.resample import resample
from data.synthetic import synthetic_market
from tests.data.frame_store import FrameStore

HOUR = 3_600_000


def test_every_series_is_told_what_is_wrong_with_it_and_nothing_else() -> None:
    fine, funding = synthetic_market("BTCUSDT", "15m", 2_000, 3)
    hours = resample(fine, "1h")
    volume = hours.volume.copy()
    volume[100] *= 0.9
    mark = Frame.of(replace(hours.key, kind="mark"), hours.open_time, hours.open, hours.high, hours.low, hours.close,
                    np.zeros(len(hours)))  # fmt: skip
    high = hours.high.copy()
    high[200] *= 1.3
    book = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "trades", "synthetic")
    trades = Observations.of(book, np.arange(9) * 1_000, np.tile([1.0, 2.0, 1.0], (9, 1)), id=np.arange(9) * 2 // 2)
    store = FrameStore().add(fine, replace(hours, volume=volume, high=high), mark)
    store.write_funding(replace(funding, rate=np.where(np.arange(len(funding)) == 5, 0.03, funding.rate)))
    store.rows[book] = trades.take(np.arange(9) != 4)
    now = int(hours.open_time[-1]) + 9 * HOUR
    found = dict(survey(store, store.series(), now_ms=now, followed={hours.key}))
    told = {
        (info.key.timeframe, info.key.kind): [(f.kind, f.start_ms) for f in findings if f.level != "info"]
        for info, findings in found.items()
    }
    assert told["15m", "ohlcv"] == []
    t = hours.open_time
    assert set(told["1h", "ohlcv"]) >= {
        ("partial_volume", t[100]), ("disagreement", t[200]), ("mark_disagreement", t[200]), ("stale", t[-1] + HOUR),
    }  # fmt: skip
    assert {start for _, start in told["1h", "ohlcv"]} == {t[100], t[200], t[-1] + HOUR}
    assert told["1h", "mark"] == []
    assert told["8h", "funding"] == [("funding_spike", int(funding.time[5]))]
    assert told["tick", "trades"] == [("id_gap", 3_000)]
    assert all(f.series == info.key for info, findings in found.items() for f in findings)
    limited = dict(survey(store, store.series()[:2], spike_limit=0.5))
    levels = {f.level for findings in limited.values() for f in findings if f.kind == "mark_disagreement"}
    assert levels == {"warn"}

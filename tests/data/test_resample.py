"""Longer bars made of finer ones are the exchange's own longer bars."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from data.clock import iso
from data.errors import UserError
from data.market import BarMark, Frame
from data.resample import resample
from data.synthetic import random_walk
from tests.data.recorded_series import names, recorded

MINUTE = 60_000
TIMEFRAMES = ("1m", "5m", "15m", "1h")

# Every recorded bar that its finer bars do not add up to: one of the two files was written by an exchange that had not
# yet told all trades. By symbol, open time of the longer bar.
EXCEPTIONS: dict[tuple[str, str], dict[str, str]] = {
    ("1m", "5m"): {"BTC": "2023-08-16T15:40", "ETH": "2023-08-16T15:40"},
    ("1m", "15m"): {"BTC": "2023-08-16T15:30", "ETH": "2023-08-16T15:30"},
    ("1m", "1h"): {"ADA": "2023-08-16T15:00", "BTC": "2023-08-16T15:00", "ETH": "2023-08-16T15:00"},
    ("5m", "15m"): {
        "BNB": "2025-01-14T13:30 2025-01-14T15:00 2025-01-29T01:15 2025-01-29T01:30 2025-01-29T02:30",
        "BTC": "2023-11-10T15:00 2023-11-10T16:30 2025-01-29T01:30",
        "ETH": "2023-11-10T15:00 2023-11-10T16:30 2025-01-29T01:30",
        "LTC": "2023-09-12T08:45 2023-11-10T15:00 2023-11-10T16:30",
        "SOL": "2025-01-14T13:30 2025-01-14T15:00 2025-01-29T01:15 2025-01-29T01:30 2025-01-29T02:30",
    },
    ("5m", "1h"): {
        "BNB": "2025-01-14T13:00 2025-01-14T15:00 2025-01-29T01:00 2025-01-29T02:00",
        "BTC": "2023-11-10T15:00 2025-01-14T13:00 2025-01-14T15:00 2025-01-29T01:00 2025-01-29T02:00",
        "ETH": "2023-11-10T15:00 2025-01-29T01:00 2025-01-29T02:00",
        "LTC": "2023-11-10T15:00",
        "SOL": "2025-01-14T13:00 2025-01-14T15:00 2025-01-29T01:00 2025-01-29T02:00",
        "XRP": "2025-01-14T13:00 2025-01-14T15:00 2025-01-29T01:00 2025-01-29T02:00",
    },
    ("15m", "1h"): {
        "ADA": "2023-08-16T15:00 2023-11-10T15:00 2023-11-10T16:00 2024-10-28T20:00 2024-10-28T21:00",
        "BNB": "2023-11-10T08:00 2023-11-10T15:00 2023-11-10T16:00 2024-10-28T20:00 2024-10-28T21:00",
        "BTC": "2023-11-10T15:00 2023-11-10T16:00 2024-10-28T20:00 2024-10-28T21:00 2025-01-14T13:00 "
        "2025-01-14T15:00 2025-01-29T01:00 2025-01-29T02:00",
        "DOGE": "2023-11-10T15:00 2023-11-10T16:00",
        "ETH": "2023-11-10T15:00 2023-11-10T16:00 2025-01-29T01:00 2025-01-29T02:00",
        "LTC": "2023-11-10T15:00 2023-11-10T16:00",
        "SOL": "2023-11-10T08:00 2023-11-10T15:00 2023-11-10T16:00",
        "XRP": "2024-03-27T12:00 2024-03-28T10:00 2024-03-28T11:00 2024-10-28T20:00 2024-10-28T21:00",
    },
}


def unlike(made: Frame, stored: Frame) -> tuple[set[str], int]:
    """Open times at which the two differ, and how many they share."""
    _, i, j = np.intersect1d(made.open_time, stored.open_time, return_indices=True)
    other = ~np.isclose(made.volume[i], stored.volume[j], rtol=1e-9, atol=0)  # sums of decimals, last bits aside
    for name in ("open", "high", "low", "close"):
        other |= getattr(made, name)[i] != getattr(stored, name)[j]
    return {str(iso(int(t)))[:16] for t in made.open_time[i[other]]}, len(i)


@pytest.mark.data
@pytest.mark.parametrize(("fine", "coarse"), list(combinations(TIMEFRAMES, 2)))
def test_finer_bars_make_the_recorded_longer_ones_but_for_the_named_exceptions(
    shared_data: Path, fine: str, coarse: str
) -> None:
    found: dict[str, set[str]] = {}
    compared = 0
    for name in names(shared_data, fine):
        symbol = name.split("-")[0]
        made = resample(recorded(shared_data, name), coarse)
        for other in names(shared_data, coarse):
            if other.startswith(f"{symbol}-"):
                times, shared = unlike(made, recorded(shared_data, other))
                compared += shared
                if times:
                    found.setdefault(symbol.removesuffix("USDT"), set()).update(times)
    assert found == {symbol: set(times.split()) for symbol, times in EXCEPTIONS[fine, coarse].items()}
    assert compared > 10_000


@pytest.fixture
def minutes() -> Frame:
    return random_walk("BTCUSDT", "1m", 600, 7)[0]


def test_resampling_in_steps_gives_what_one_step_gives(minutes: Frame) -> None:
    at_once, in_steps = resample(minutes, "1h"), resample(resample(resample(minutes, "5m"), "15m"), "1h")
    assert len(at_once) == 10
    for name in ("open_time", "open", "high", "low", "close", "known_at", "mark"):
        assert (getattr(at_once, name) == getattr(in_steps, name)).all()
    np.testing.assert_allclose(at_once.volume, in_steps.volume, rtol=1e-12)
    assert at_once.key.timeframe == "1h"


def test_buckets_with_missing_parts_are_left_out_or_marked_suspect(minutes: Frame) -> None:
    holed = minutes.take(~np.isin(np.arange(600), [0, 7, 8, 59, 600]))
    whole = resample(holed, "5m")
    first = int(minutes.open_time[0])
    assert sorted(set(resample(minutes, "5m").open_time) - set(whole.open_time)) == [
        first, first + 5 * MINUTE, first + 55 * MINUTE,
    ]  # fmt: skip
    kept = resample(holed, "5m", keep_incomplete=True)
    assert len(kept) == 120
    assert kept.open_time[kept.mark == BarMark.SUSPECT].tolist() == [first, first + 5 * MINUTE, first + 55 * MINUTE]
    assert kept.open[1] == minutes.open[5]
    assert kept.close[1] == minutes.close[9]


def test_a_part_at_the_wrong_moment_does_not_complete_a_bucket(minutes: Frame) -> None:
    times = minutes.open_time.copy()
    times[7] += 1
    assert len(resample(replace(minutes, open_time=times), "5m")) == 119


def test_a_longer_bar_is_known_with_its_last_part_and_marked_as_its_worst(minutes: Frame) -> None:
    known, mark = minutes.known_at.copy(), np.zeros(600, dtype=np.uint8)
    known[12] += 3_600_000
    mark[12], mark[20], mark[21], mark[40] = BarMark.REPAIRED, BarMark.REPAIRED, BarMark.SUSPECT, BarMark.SYNTHETIC
    made = resample(replace(minutes, known_at=known, mark=mark), "5m")
    assert made.known_at[2] == minutes.known_at[12] + 3_600_000
    assert made.known_at[3] == minutes.known_at[19]
    assert made.mark[[2, 3, 4, 8]].tolist() == [BarMark.REPAIRED, BarMark.REAL, BarMark.SUSPECT, BarMark.SYNTHETIC]


def test_what_does_not_fit_is_refused(minutes: Frame) -> None:
    assert resample(minutes, "1m") is minutes
    assert len(resample(Frame.empty(minutes.key), "1h")) == 0
    with pytest.raises(UserError, match="Bars of 1h do not make bars of 5m"):
        resample(resample(minutes, "1h"), "5m")
    with pytest.raises(UserError, match="Unknown timeframe '2h'"):
        resample(minutes, "2h")

"""The day of a live market in short: the same soak as ``scripts/soak live-day``, faults on."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.soaks.live_day import Plan, live_day


@pytest.mark.parametrize("streams", [True, False])
async def test_an_hour_with_faults_loses_and_repeats_nothing(streams: bool, tmp_path: Path) -> None:
    document = await live_day(Plan(hours=0.6, symbols=3, streams=streams), tmp_path)
    assert document["stored_bars_wrong"] == []
    assert document["repeated"] == 0 and document["untold_gaps"] == 0
    assert document["bars_given"]["1m"] >= 3 * 34
    assert document["revisions"] > 0 and document["holes_told"] > 0, "the faults were there"

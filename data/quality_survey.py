"""The quality report over stored series: each by itself, against its other timeframes, its mark price and its peers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from data.errors import UserError
from data.market import Frame, SeriesInfo, SeriesKey
from data.observations import COLUMNS
from data.quality import inspect
from data.quality_agreement import LEAST_PEERS, MARK_LIMIT, compare, compare_mark, compare_symbols
from data.quality_findings import Finding
from data.quality_observations import inspect_funding, inspect_observations
from data.store import CandleStore, MarketStore


def survey(
    store: MarketStore,
    series: Sequence[SeriesInfo],
    *,
    now_ms: int | None = None,
    followed: Collection[SeriesKey] = (),
    spike_limit: float = MARK_LIMIT,
) -> Iterator[tuple[SeriesInfo, list[Finding]]]:
    """The findings of each series of ``series``, in order of time.

    Other stored series serve as witnesses: every finer and coarser timeframe of the symbol, its mark price, the same
    timeframe of other symbols. A finding names the series that is wrong, and is told with that series only.

    Args:
        now_ms: the present moment; with it those of ``followed`` that have nothing new are stale.
        spike_limit: a bar so far from the mark price (a fraction) is not to be believed.
    """
    every = [info.key for info in store.series()]
    peers: dict[SeriesKey, list[Finding]] = {}
    for info in series:
        found = [replace(f, series=info.key) for f in _alone(store, info.key, now_ms if info.key in followed else None)]
        if info.key.holds_bars:
            found += _with_witnesses(store, info.key, every, spike_limit)
            if info.key.kind == "ohlcv":
                found += _among_peers(store, info.key, every, peers)
        yield info, sorted(set(found), key=lambda f: (f.start_ms, f.kind, f.end_ms, f.detail))


def _alone(store: MarketStore, key: SeriesKey, now_ms: int | None) -> list[Finding]:
    if key.kind == "funding":
        return inspect_funding(store.read_funding(key.exchange, key.symbol, key.source), now_ms=now_ms)
    if key.kind in COLUMNS:
        return inspect_observations(store.read_observations(key), now_ms=now_ms)
    if key.holds_bars:
        return inspect(store.read(key), now_ms=now_ms)
    raise UserError(f"Series of kind '{key.kind}' cannot be checked.")


def _with_witnesses(
    store: CandleStore, key: SeriesKey, every: Sequence[SeriesKey], spike_limit: float
) -> list[Finding]:
    """What other timeframes and the mark price say of one series."""
    frame = store.read(key)
    found: list[Finding] = []
    for other in every:
        if (other.exchange, other.symbol, other.source) != (key.exchange, key.symbol, key.source):
            continue
        if other.kind == key.kind and other.step_ms != key.step_ms:
            fine, coarse = sorted((key, other), key=lambda k: k.step_ms)
            if coarse.step_ms % fine.step_ms == 0:
                witness = _overlap(store, other, frame)
                pair = (frame, witness) if fine == key else (witness, frame)
                found += [f for f in compare(*pair) if f.series == key]
        elif other.kind == "mark" and key.kind == "ohlcv":
            found += compare_mark(frame, _overlap(store, other, frame), limit=spike_limit)
    return found


def _overlap(store: CandleStore, key: SeriesKey, frame: Frame) -> Frame:
    if not len(frame):
        return Frame.empty(key)
    start, end = int(frame.open_time[0]), int(frame.open_time[-1]) + frame.key.step_ms
    return store.read(key, start // key.step_ms * key.step_ms, end)


def _among_peers(
    store: CandleStore, key: SeriesKey, every: Sequence[SeriesKey], known: dict[SeriesKey, list[Finding]]
) -> list[Finding]:
    """What the same timeframe of other symbols says; computed once for all symbols of a timeframe."""
    group = replace(key, symbol="")
    if group not in known:
        keys = [k for k in every if replace(k, symbol="") == group]
        known[group] = compare_symbols([store.read(k) for k in keys]) if len(keys) >= LEAST_PEERS else []
    return [f for f in known[group] if f.series == key]

"""The report on stored market data, and its repair: asked for again from the exchange, or made of finer series."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.wiring import Workplace
from data.clock import iso
from data.errors import UserError
from data.market import SeriesInfo, SeriesKey, unified_symbol
from data.timeframes import timeframe_ms

if TYPE_CHECKING:
    from data.quality_findings import Finding
    from data.repair import RepairReport

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]


def series_document(key: SeriesKey) -> Document:
    """The five names of a series."""
    return {
        "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "kind": key.kind,
        "source": key.source,
    }  # fmt: skip


def quality_report(
    place: Workplace, *, symbol: str | None, timeframe: str | None, exchange: str | None, source: str | None,
    repair: bool, progress: Progress | None = None,
) -> Document:  # fmt: skip
    """Every stored series that fits, with its findings; ``repair`` mends first what can be mended.

    Raises:
        UserError: nothing stored fits what was named.
    """
    unified = None if symbol is None else unified_symbol(symbol)
    if timeframe is not None:
        timeframe_ms(timeframe)
    every = place.database.candles.series()
    chosen = [
        i for i in every
        if unified in (None, i.key.symbol) and timeframe in (None, i.key.timeframe)
        and exchange in (None, i.key.exchange) and source in (None, i.key.source)
    ]  # fmt: skip
    if not chosen and (symbol or timeframe or exchange or source):
        stored = "; ".join(str(i.key) for i in every) or "nothing"
        raise UserError(f"No stored series fits: stored are {stored}.")
    return {"series": _report(place, chosen, repair, progress or _silent)}


def check_series(place: Workplace, keys: Sequence[SeriesKey], repair: bool, progress: Progress) -> Document:
    """The same for named series, as sums and one sentence (the window's job)."""
    chosen = [i for i in place.database.candles.series() if i.key in set(keys)]
    rows = _report(place, chosen, repair, progress)
    sums = {level: sum(f["level"] == level for row in rows for f in row["findings"]) for level in ("bad", "warn")}
    repaired, unrepaired = (sum(row[name] for row in rows) for name in ("repaired", "unrepaired"))
    done = f", {repaired:,} bars repaired, {unrepaired:,} stay missing" if repair else ""
    sentence = f"{len(rows)} series checked: {sums['bad']:,} bad and {sums['warn']:,} doubtful findings{done}."
    return {"sentence": sentence, "series": rows, "repaired": repaired, "unrepaired": unrepaired, **sums}


def _silent(_done: int, _total: int, _words: str) -> None:
    return


def _report(place: Workplace, chosen: Sequence[SeriesInfo], repair: bool, progress: Progress) -> list[Document]:
    """The rows of the report, kept as the newest check of each series."""
    before = _findings(place, chosen, progress)
    repairs: Mapping[SeriesKey, RepairReport] = {}
    if repair:
        repairs = asyncio.run(_repair(place, before, progress))
        if any(r.repaired for r in repairs.values()):  # one series' repair can settle what another was told
            names = {i.key for i in chosen}
            chosen = [i for i in place.database.candles.series() if i.key in names]
            before = _findings(place, chosen, progress)
    rows = [_row(info, found, repairs.get(info.key)) for info, found in before]
    for (info, _), row in zip(before, rows, strict=True):
        place.database.checks.write(info.key, place.clock.now_ms(), row["repaired"], row["findings"])
    return rows


def _findings(
    place: Workplace, chosen: Sequence[SeriesInfo], progress: Progress
) -> list[tuple[SeriesInfo, list[Finding]]]:
    from data.quality_survey import survey

    data = place.settings.values.data
    followed = {SeriesKey(data.exchange, s, data.timeframe) for s in data.symbols}
    found = []
    for k, row in enumerate(
        survey(place.database.candles, chosen, now_ms=place.clock.now_ms(), followed=followed,
               spike_limit=data.spike_limit)
    ):  # fmt: skip
        found.append(row)
        progress(k + 1, len(chosen), f"{row[0].key}")
    return found


async def _repair(
    place: Workplace, found: Sequence[tuple[SeriesInfo, list[Finding]]], progress: Progress
) -> dict[SeriesKey, RepairReport]:
    """Finest series first: what is mended there can mend the longer ones."""
    from data.exchange.session import ExchangeSession
    from data.repair import repair, repair_funding

    store = place.database.candles
    done: dict[SeriesKey, RepairReport] = {}
    mendable = [(i.key, f) for i, f in found if i.key.holds_bars or i.key.kind == "funding"]
    async with ExchangeSession(place.settings.values.data, place.clock) as session:
        for k, (key, findings) in enumerate(sorted(mendable, key=lambda row: (row[0].step_ms, row[0]))):
            progress(k, len(mendable), f"repairing {key}")
            asked = session if key.exchange == place.settings.values.data.exchange else None
            if key.kind == "funding":
                done[key] = await repair_funding(asked, store, key, findings)
            else:
                done[key] = await repair(asked, store, key, findings, place.clock)
    return done


def _row(info: SeriesInfo, findings: Sequence[Finding], repaired: RepairReport | None) -> Document:
    key = info.key
    spans = repaired.spans if repaired is not None else ()
    return {
        **series_document(key), "rows": info.rows, "from": iso(info.first_ms),
        "to": iso(info.last_ms + (key.step_ms if key.holds_bars else 1)),
        "repaired": sum(s.repaired for s in spans), "unrepaired": sum(s.missing for s in spans),
        "findings": [
            {"kind": f.kind, "from": iso(f.start_ms), "to": iso(f.end_ms), "bars": f.bars, "level": f.level,
             "words": f.words}
            for f in findings
        ],
        "repairs": [
            {"from": iso(s.start_ms), "to": iso(s.end_ms), "repaired": s.repaired, "unchanged": s.unchanged,
             "missing": s.missing, "words": s.words}
            for s in spans
        ],
    }  # fmt: skip

"""The feature registry and the leak audit, for the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ai.features.registry import REGISTRY
from app.wiring import Workplace, extras_for, market_for
from data.clock import iso
from data.market import Frame, FundingFrame, unified_symbol
from data.timeframes import timeframe_ms

if TYPE_CHECKING:
    from ai.features.leak_audit import TransformCase

Document = dict[str, Any]

AUDIT_BARS = 6_000  # newest bars of a long series: enough for every look-back, quick enough to be run often
SYNTHETIC_SYMBOL = "BTC/USDT:USDT"
TRANSFORM_ROWS = 900


def registry() -> Document:
    """Every feature: name, group, look-back in bars, unit, meaning, inputs and source."""
    return {
        "features": [
            {
                "name": s.name, "group": s.group, "lookback": s.lookback, "unit": s.unit, "meaning": s.meaning,
                "inputs": list(s.inputs), "source": s.source, "optional": s.optional,
            }
            for s in REGISTRY
        ]
    }  # fmt: skip


def audit(
    place: Workplace, symbol: str | None, timeframe: str | None, exchange: str | None, source: str | None
) -> Document:
    """The leak audit over a stored series, or over a synthetic market where none is named.

    Raises:
        UserError: no such series, or too few bars.
    """
    from ai.features.leak_audit import audit_all

    frame, funding = _bars(place, symbol, timeframe or "1h", exchange, source)
    cases, ai = transforms(frame, funding), place.settings.values.ai
    beside = None if symbol is None else extras_for(place.database, frame, ai).beside
    leaks = audit_all(frame, funding, frame.key.timeframe, cases, seed=ai.seed, beside=beside)
    return {
        "leaks": [{"kind": k.kind, "name": k.name, "at": iso(k.at_ms), "detail": k.detail} for k in leaks],
        "bars": len(frame), "series": str(frame.key), "checked": len(REGISTRY) + len(cases),
    }  # fmt: skip


def _bars(
    place: Workplace, symbol: str | None, timeframe: str, exchange: str | None, source: str | None
) -> tuple[Frame, FundingFrame]:
    if symbol is None:
        from data.synthetic import synthetic_market

        timeframe_ms(timeframe)
        return synthetic_market(SYNTHETIC_SYMBOL, timeframe, AUDIT_BARS, place.settings.values.ai.seed)
    _, frames, fundings = market_for(
        place.database.candles, [unified_symbol(symbol)], timeframe, (None, None), source, 0, exchange
    )
    frame = frames[0]
    return frame.slice(max(0, len(frame) - AUDIT_BARS), len(frame)), fundings[0]


def transforms(frame: Frame, funding: FundingFrame) -> list[TransformCase]:
    """The scaler and the calibrators as training uses them, on rows of this series."""
    from ai.calibration import calibrated_values, scaler_values
    from ai.exits import default_profile
    from ai.features.leak_audit import TransformCase
    from ai.validation.walk_forward import training_data

    data = training_data(frame, funding, default_profile(frame.key.timeframe))
    columns = [data.schema.index(name) for name in data.context.features if name not in data.context.optional]
    usable = data.labels.complete & np.isfinite(data.x[columns]).all(axis=0)
    rows = np.flatnonzero(usable)[-TRANSFORM_ROWS:]
    if len(rows) < 100:
        return []
    x, y = np.ascontiguousarray(data.x[columns][:, rows].T), data.labels.label[rows]
    train = len(rows) * 2 // 3
    at = int(frame.open_time[rows[train]])

    return [
        TransformCase("scaler", "standard scaler", scaler_values, x, y, train, at),
        TransformCase("calibrator", "probability calibrator", calibrated_values, x, y, train, at),
    ]

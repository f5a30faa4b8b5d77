"""Distances, costs and expected value of a plan, before it is sized."""

from __future__ import annotations

import math

from ai.exits import DistanceUnit
from ai.forecast import Col
from data.compiled import kernel
from data.market import Float64Array
from trading.costs import quantity_of, slip_of, volume_share, whole_lots
from trading.records import Entry, Row

_PERCENT = int(DistanceUnit.PERCENT)
_ATR = int(DistanceUnit.ATR)
_L_TARGET, _L_STOP, _L_TIME, _L_RETURN = (int(c) for c in (Col.L_TARGET, Col.L_STOP, Col.L_TIME, Col.L_TIME_RETURN))
_S_TARGET, _S_STOP, _S_TIME, _S_RETURN = (int(c) for c in (Col.S_TARGET, Col.S_STOP, Col.S_TIME, Col.S_TIME_RETURN))
_MARKET, _LIMIT = int(Entry.MARKET), int(Entry.LIMIT)
_ROUNDING = 1e-9


@kernel
def distances(rules: Row, instrument: Row, price: float, feature: float) -> tuple[int, int]:
    """Stop and target distance in ticks by the exit profile: the stop rounded down, the target up, one at least."""
    if rules["unit"] == _PERCENT:
        raw = rules["stop"] * price
    elif rules["unit"] == _ATR:
        raw = rules["stop"] * feature
    else:
        raw = rules["stop"] * feature * price
    ticks = raw * instrument["tick_den"] / instrument["tick_num"]
    stop = max(1, math.floor(ticks + _ROUNDING))
    return stop, max(1, math.ceil(rules["target_ratio"] * ticks - _ROUNDING))


@kernel
def entry_level(rules: Row, side: int, last: int, stop: int) -> int:
    """Where an entry is expected to fill, in ticks: the close, or the level of a limit or stop entry."""
    kind = rules["entry"]
    if kind == _MARKET:
        return last
    away: float = rules["entry_distance"] * stop
    ticks = max(1, math.floor(away + 0.5))
    return max(1, last - side * ticks) if kind == _LIMIT else max(1, last + side * ticks)


@kernel
def most_lots(notional: float, price: float, instrument: Row) -> int:
    """Lots within ``notional`` (quote units) at ``price`` and within the symbol's rules; 0: no order is allowed."""
    lots = min(whole_lots(min(notional, instrument["max_notional"]) / price, instrument), instrument["max_lots"])
    if lots < instrument["min_lots"] or quantity_of(lots, instrument) * price < instrument["min_notional"]:
        return 0
    return int(lots)


@kernel
def expected_slip(rules: Row, equity: float, price: float, volume: float, sigma: float) -> float:
    """Half spread and impact of the largest position that sizing allows, by the last bar's volume."""
    most = rules["margin_share"] * rules["leverage"] * max(0.0, equity) / price
    share = min(volume_share(most, volume), rules["volume_share"])
    return slip_of(rules, sigma, share)


@kernel
def payoffs(rules: Row, instrument: Row, stop: float, target: float, slip: float) -> tuple[float, float]:
    """Net (win at the target, loss at the stop) as fractions of notional: fees, spread and impact taken off.

    The entry counts as a taker's, whatever order it is; the target as the maker or taker that its order is.
    """
    at_target = instrument["taker"] + slip if rules["take_market"] == 1 else instrument["maker"]
    win = target - instrument["taker"] - at_target * (1.0 + target) - slip
    loss = stop + (2.0 + stop) * (instrument["taker"] + slip)
    return win, loss


@kernel
def expected_funding(position: Row, rules: Row, side: int, entry_time: int) -> float:
    """Funding to be paid until the time limit at the last rate seen, as a fraction of notional (0 while unknown)."""
    step = position["funding_step"]
    if step <= 0:
        return 0.0
    end = entry_time + rules["limit_bars"] * rules["step"]
    first = (entry_time - position["funding_time"]) // step
    last = (end - position["funding_time"]) // step
    return float(side * position["funding_rate"] * max(0, last - first))


@kernel
def expected_value(
    row: Float64Array, side: int, taker: float, win: float, loss: float, slip: float, funding: float
) -> float:
    """Σ p·return after fees, spread, slippage and expected funding, as a fraction of notional."""
    if side > 0:
        target, stop, time, time_return = row[_L_TARGET], row[_L_STOP], row[_L_TIME], row[_L_RETURN]
    else:
        target, stop, time, time_return = row[_S_TARGET], row[_S_STOP], row[_S_TIME], row[_S_RETURN]
    timed = time * (time_return - 2.0 * (taker + slip)) if time > 0.0 else 0.0
    return float(target * win - stop * loss + timed - funding)

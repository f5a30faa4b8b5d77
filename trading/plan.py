"""Distances, costs and expected value of a plan, before it is sized."""

from __future__ import annotations

import math

from ai.exits import DistanceUnit
from ai.forecast import Col
from data.compiled import kernel
from data.market import Float64Array
from trading.costs import slip_of, volume_share
from trading.records import Row

_PERCENT = int(DistanceUnit.PERCENT)
_ATR = int(DistanceUnit.ATR)
_L_TARGET, _L_STOP, _L_TIME, _L_RETURN = (int(c) for c in (Col.L_TARGET, Col.L_STOP, Col.L_TIME, Col.L_TIME_RETURN))
_S_TARGET, _S_STOP, _S_TIME, _S_RETURN = (int(c) for c in (Col.S_TARGET, Col.S_STOP, Col.S_TIME, Col.S_TIME_RETURN))
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
def expected_slip(rules: Row, equity: float, price: float, volume: float, sigma: float) -> float:
    """Half spread and impact of the largest position that sizing allows, by the last bar's volume."""
    most = rules["margin_share"] * rules["leverage"] * max(0.0, equity) / price
    share = min(volume_share(most, volume), rules["volume_share"])
    return slip_of(rules, sigma, share)


@kernel
def payoffs(rules: Row, stop: float, target: float, slip: float) -> tuple[float, float]:
    """Net (win at the target, loss at the stop) as fractions of notional: fees, spread and impact taken off."""
    win = target - rules["taker"] - rules["maker"] * (1.0 + target) - slip
    loss = stop + (2.0 + stop) * (rules["taker"] + slip)
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
    row: Float64Array, side: int, rules: Row, win: float, loss: float, slip: float, funding: float
) -> float:
    """Σ p·return after fees, spread, slippage and expected funding, as a fraction of notional."""
    if side > 0:
        target, stop, time, time_return = row[_L_TARGET], row[_L_STOP], row[_L_TIME], row[_L_RETURN]
    else:
        target, stop, time, time_return = row[_S_TARGET], row[_S_STOP], row[_S_TIME], row[_S_RETURN]
    timed = time * (time_return - 2.0 * (rules["taker"] + slip)) if time > 0.0 else 0.0
    return float(target * win - stop * loss + timed - funding)

"""System tier: drawdown, Sharpe ratio and black swan. It blocks plans and halts the account by itself."""

from __future__ import annotations

import math

from data.compiled import kernel, kernel_part
from data.market import Float64Array, Record
from data.timeframes import DAY_MS
from trading.records import Row
from trading.risk.limits import Gate
from trading.risk.passing import passes
from trading.risk.tightening import loosen
from trading.state import MANUAL_HALT, RING_DAYS, Trading

DAYS_PER_YEAR = 365.0
Z_95 = 1.6448536269514722  # one-sided 95 % quantile of the normal distribution
_DRAWDOWN = int(Gate.DRAWDOWN)
_SHARPE = int(Gate.SHARPE)
_BLACK_SWAN = int(Gate.BLACK_SWAN)
_RUNNING = int(Trading.RUNNING)
_HALTED = int(Trading.HALTED)


@kernel
def system_values(values: Float64Array, account: Row, shock: float) -> None:
    """Write the tier's values; what cannot be measured is NaN."""
    values[_DRAWDOWN] = account["drawdown"]
    values[_SHARPE] = account["sharpe_upper"]
    values[_BLACK_SWAN] = shock


@kernel
def measure_sharpe(account: Row, ring: Float64Array, rules: Row) -> None:
    """Sharpe ratio of the daily returns in the ring (√365, ddof 1) and its 95 % upper bound; NaN while unmeasurable.

    With daily ratio S, skewness g3 and kurtosis g4 of n returns, the asymptotic variance of S is
    ``(1 + S²/2 - g3·S + (g4 - 3)/4·S²) / n`` (Mertens 2002, "Comments on variance of the IID estimator in Lo (2002)";
    Lo 2002, "The Statistics of Sharpe Ratios", is the case g3 = 0, g4 = 3). Upper bound = S + 1.645·√variance.
    """
    n = min(account["days"], RING_DAYS)
    closed = 0.0
    mean = 0.0
    for i in range(n):
        closed += ring[1, i]
        mean += ring[0, i]
    account["ring_trades"] = int(closed)
    account["sharpe"] = math.nan
    account["sharpe_upper"] = math.nan
    if n < rules["sharpe_min_days"] or closed < rules["sharpe_min_trades"]:
        return
    mean /= n
    second = 0.0
    third = 0.0
    fourth = 0.0
    for i in range(n):
        d = ring[0, i] - mean
        second += d * d
        third += d * d * d
        fourth += d * d * d * d
    if second <= 0.0:
        return
    ratio = mean / math.sqrt(second / (n - 1))
    spread = second / n
    skew = third / n / (spread * math.sqrt(spread))
    kurtosis = fourth / n / (spread * spread)
    variance = (1.0 + 0.5 * ratio * ratio - skew * ratio + 0.25 * (kurtosis - 3.0) * ratio * ratio) / n
    account["sharpe"] = ratio * math.sqrt(DAYS_PER_YEAR)
    account["sharpe_upper"] = (ratio + Z_95 * math.sqrt(max(0.0, variance))) * math.sqrt(DAYS_PER_YEAR)


@kernel
def cancel_entries(positions: Record) -> int:
    """Cancel every working entry; stops and targets stay. Returns how many there were."""
    cancelled = 0
    for s in range(positions.shape[0]):
        if positions[s]["work_side"] != 0:
            positions[s]["work_side"] = 0
            cancelled += 1
    return cancelled


@kernel
def halt(a: Row, positions: Record, reason: int, moment: int) -> None:
    """Stop opening positions: entries are cancelled, exits go on."""
    a["state"] = _HALTED
    a["halted_at"] = moment
    a["halt_reason"] = reason
    a["halts"] += 1
    if a["first_halt"] == 0:
        a["first_halt"] = moment
    cancel_entries(positions)


@kernel_part
def is_shock(shock: float, rules: Row) -> bool:
    """Whether the black-swan gate fails at a one-hour volatility of ``shock`` times its median."""
    return not passes(shock, rules["limit_black_swan"], False)


@kernel
def shocked(p: Row, rules: Row) -> bool:
    """Whether the black-swan gate fails for a symbol."""
    return is_shock(p["shock"], rules)


@kernel
def watch(a: Row, rules: Row, shock: bool) -> int:
    """The halt reason when a system gate fails now, else 0. With gates observed only, nothing halts."""
    if rules["enforce"] == 0 or a["state"] == _HALTED:
        return 0
    if not passes(a["drawdown"], rules["limit_drawdown"], False):
        return 1 + _DRAWDOWN
    if not passes(a["sharpe_upper"], rules["limit_sharpe"], True):
        return 1 + _SHARPE
    return 1 + _BLACK_SWAN if shock and rules["black_swan_action"] != 0 else 0


@kernel
def must_flatten(a: Row, rules: Row) -> bool:
    """Whether the present halt asks to close every position too."""
    return bool(a["halt_reason"] == 1 + _BLACK_SWAN) and bool(rules["black_swan_action"] == 2)


@kernel
def resume_trading(account: Row) -> None:
    """Open positions again, with a new base: the high-water mark and the Sharpe window start here."""
    account["state"] = _RUNNING
    account["halted_at"] = 0
    account["halt_reason"] = 0
    account["high_water"] = account["equity"]
    account["drawdown"] = 0.0
    account["loosened_high"] = 0.0
    account["loosened_drawdown"] = 0.0
    account["days"] = 0
    account["ring_trades"] = 0
    account["sharpe"] = math.nan
    account["sharpe_upper"] = math.nan


@kernel
def month_of(moment: int) -> int:
    """Months since year 0 of a UTC moment (ms); civil calendar by Hinnant's ``civil_from_days``."""
    z = moment // DAY_MS + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return int(year * 12 + month)


@kernel
def resume_by_rule(account: Row, rules: Row, moment: int) -> None:
    """Back-tests only (``--on-halt next-day | next-month``): go on at the first 00:00 UTC that the rule allows."""
    if account["state"] != _HALTED or rules["on_halt"] == 0 or account["halt_reason"] == MANUAL_HALT:
        return
    if rules["on_halt"] == 2 and month_of(moment) == month_of(account["halted_at"] - 1):
        return
    resume_trading(account)
    loosen(account)

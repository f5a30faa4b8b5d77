"""What a back-test or a sweep is worth as evidence, in words a person reads at night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.contract.backtest_views import Finding
from app.contract.results import Score

FEW_TRADES, FEW_DAYS = 50, 30
GOOD_CHANCE = 0.95  # deflated Sharpe ratio that is evidence
MORE_THAN_HALF = 0.5  # overfitting probability from which the best of the past says nothing
P_VALUE = 0.05

TIPS = {
    "deflated": "Probability that the true Sharpe ratio is above what the best of so many tries shows by luck alone. "
    "Bailey & López de Prado 2014.",
    "pbo": "Probability of backtest overfitting: how often the best of one half of the days is below the median in "
    "the other half (combinatorially symmetric cross-validation, Bailey et al. 2017).",
    "reality": "P-value of White's reality check 2000: how often configurations without any edge would show one as "
    "good as the best of those that were tried.",
    "tried": "Different configurations ever tried on the series: sweeps, walk-forwards and searches, failed ones too.",
    "record": "Days of daily returns, and how many are needed to call this Sharpe ratio positive at 95 % if it were "
    "the only try. Bailey & López de Prado 2012.",
}  # fmt: skip


def scores(evidence: Mapping[str, Any]) -> tuple[Score, ...]:
    """The numbers behind a verdict, each with what it would have to be."""
    deflated, pbo, check = evidence.get("deflated_sharpe"), evidence.get("pbo"), evidence.get("reality_check")
    days, needed = evidence.get("track_record_days"), evidence.get("minimum_track_record_days")
    return (
        Score("Deflated Sharpe", deflated, "fraction", passed=None if deflated is None else deflated > GOOD_CHANCE,
              words="want > 95 %", tip=TIPS["deflated"], digits=0, zone=(GOOD_CHANCE, 1.0)),
        Score("Overfitting", pbo, "fraction", passed=None if pbo is None else pbo < MORE_THAN_HALF,
              words="want < 50 %" if pbo is not None else "no try to compare", tip=TIPS["pbo"], digits=0,
              zone=(0.0, MORE_THAN_HALF)),
        Score("Reality check", check, "fraction", passed=None if check is None else check < P_VALUE,
              words="want < 5 %", tip=TIPS["reality"], digits=0, zone=(0.0, P_VALUE)),
        Score("Tried", _float(evidence.get("trials")), "count", words="on this series", tip=TIPS["tried"]),
        Score("Track record", _float(days), "days", passed=_long_enough(days, needed),
              words="no length is enough" if needed is None else f"needs {needed:,.0f}", tip=TIPS["record"]),
    )  # fmt: skip


def _long_enough(days: Any, needed: Any) -> bool | None:
    return None if days is None else needed is not None and days >= needed


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def finding(evidence: Mapping[str, Any], trades: int, net: float) -> Finding:
    """The verdict on one back-test. ``evidence`` as :func:`app.evaluation.search_document`, with the Sharpe band."""
    days = int(evidence.get("track_record_days") or 0)
    words = f"{trades:,} trades over {days:,} days made {net:+.1%} after costs."
    found = scores(evidence)
    if trades < FEW_TRADES or days < FEW_DAYS:
        reason = f"{words} At least {FEW_TRADES} trades and {FEW_DAYS} days are needed to judge."
        return Finding("Too little to judge", "idle", "", reason, found)
    if net <= 0.0:
        return Finding("It would have lost", "warn", "not for live", f"{words} {_search_words(evidence)}", found)
    title, level, badge = _weigh(evidence)
    return Finding(title, level, badge, f"{words} {_search_words(evidence)}", found)


def _weigh(evidence: Mapping[str, Any]) -> tuple[str, str, str]:
    deflated, pbo, check = evidence.get("deflated_sharpe"), evidence.get("pbo"), evidence.get("reality_check")
    if pbo is not None and pbo >= MORE_THAN_HALF:
        return "Likely over-fitted", "warn", "not for live"
    if deflated is None or deflated <= GOOD_CHANCE or not (evidence.get("sharpe_low") or 0.0) > 0.0:
        return "Luck could do that", "warn", "not for live"
    if check is not None and check >= P_VALUE:
        return "Luck could do that", "warn", "not for live"
    return "There may be an edge", "ok", "try it on paper"


def _search_words(evidence: Mapping[str, Any]) -> str:
    deflated, tried = evidence.get("deflated_sharpe"), int(evidence.get("trials") or 1)
    if deflated is None:
        return "Its daily returns do not vary enough to say what luck would do."
    tries = "as the only try" if tried == 1 else f"after {tried:,} tries on this series"
    text = f"The chance that its Sharpe ratio is more than luck {tries} is {deflated:.0%}"
    if evidence.get("sharpe_low") is not None and not evidence["sharpe_low"] > 0.0:
        below = (evidence.get("sharpe_high") or 0.0) < 0.0
        text += f", and the 95 % band of the ratio {'lies below' if below else 'holds'} zero"
    pbo = evidence.get("pbo")
    if pbo is not None:
        text += f"; the best of the past falls below the median afterwards in {pbo:.0%} of the splits"
    return f"{text}."


def sweep_finding(document: Mapping[str, Any]) -> Finding:
    """The verdict on a sweep (keys of COMMANDS): what its best is worth once the search is paid for."""
    done, planned = int(document["trials"]), int(document["planned"])
    tried = done + int(document["earlier_trials"])
    found = scores({**document, "trials": tried})
    words = f"{done:,} of {planned:,} combinations were run"
    words += "." if document["complete"] else "; it was stopped before the end."
    best = document["best"]
    if best is None:
        return Finding("No best one", "idle", "", f"{words} None has a Sharpe ratio.", found)
    if float(best["net_return"]) <= 0.0:
        return Finding("Even the best lost", "warn", "not for live", words, found)
    # A sweep has no band of its best one's Sharpe ratio: the deflated ratio is the stricter word on the same question.
    title, level, badge = _weigh({**document, "sharpe_low": 1.0})
    said = _search_words({**document, "trials": tried, "sharpe_low": None})
    return Finding(title, level, badge, f"{words} {said.replace('its Sharpe ratio', 'the best Sharpe ratio')}", found)

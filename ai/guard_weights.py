"""The members' weights: moved by what came true, with a regret bound, and faded where a member has decayed.

**The rule** is Hedge on the log score (Vovk 1990) with a fixed share (Herbster & Warmuth 1998). When a label ends after
d bars, every member's weight is multiplied by p(outcome)^(1/d), since d overlapping labels say what one independent
label says; then the share s/d of all weight is given out again in equal parts. Probabilities below FLOOR count as
FLOOR. A faded member is heard only by its voice v in [0, 1] (:func:`voice_of`): the ensemble says
Σ w v p / Σ w v, and in learning the member counts as having said v p + (1 - v) · ensemble (a specialist, Freund et al.
1997), so that what was not heard moves no weight.

**The bound.** Let N members have a say in every label, let label t have lived d_t bars, let e_t be the ensemble's log
loss with the weights on hand when the label ended, and l_t(g) and v_t(g) member g's log loss and voice. For *every*
sequence of outcomes and forecasts, and every sequence of members i_t that changes after the labels t in K:

    Σ (v_t(i_t) / d_t) (e_t - l_t(i_t))  ≤  ln N + Σ_{t in K} ln(N d_t / s) - Σ_{t not in K} ln(1 - (1 - 1/N) s / d_t)

Its parts: choosing among N; ln(N d/s) nats for each change; and some s nats for each independent label, the price of
being able to change. Reason: 1/d ≤ 1, so p^(1/d) is concave in p, and -ln of the mixture is at most d times the
-ln of Σ w p^(1/d), whose sum telescopes (:func:`regret_bound` is the right-hand side).

**What it does not say.** A forecast is made d bars before its label ends, with the weights of then; what that costs is
exactly Σ (1/d_t) ln(mixture on hand / mixture as said). Against an adversary who makes the members take turns in step
with the delay it grows with time, though never faster than the weights move meanwhile; on markets it is small (decision
0047). One set of weights for each bar of a label's life would have no such term, and would learn as much more slowly.

**Fading** is another question: not who is the best, but who is worse than knowing nothing. Each member keeps the mean
of (its log loss - the base rate's) over about its last MEMORY independent labels. Every label counts alike (weights of
1/life would favour touches, which end early); N labels that live m bars on average amount to N/m independent ones.
While the mean is above zero by less than FADE_FROM standard errors the member is heard whole, from FADE_TO on hardly
at all (QUIET). It goes on being scored, and is heard again as soon as the mean falls. If all have decayed, they stand
to each other as before: voices are relative to the loudest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data.compiled import kernel
from data.market import Float64Array, Int64Array

FIXED_SHARE = 0.02  # of the weight is shared out again per independent label
FLOOR = 1e-6  # smallest probability that counts
MEMORY = 100.0  # independent labels after which a member's score counts 1/e
FADE_LABELS = 20.0  # independent labels before a member can fade
FADE_FROM, FADE_TO = 2.0, 3.0  # standard errors worse than the base rate
QUIET = 1e-3  # voice of a member that has faded

RECORD = 5  # per member, fading sums over its labels: of 1, the weights' squares, lives, excess losses, their squares


@kernel
def learn(weights: Float64Array, said: Float64Array, column: int, life: int, share: float) -> None:
    """Move ``weights[G]`` by a label that ended in ``column`` after ``life`` bars.

    Args:
        said: ``[G, 4]``, probabilities (short, neutral, long) and voice of each member; NaN where it had no say.
    """
    mass = heard = mixed = 0.0
    voices = 0
    for g in range(len(weights)):
        if not np.isnan(said[g, column]):
            mass += weights[g]
            heard += weights[g] * said[g, 3]
            mixed += weights[g] * said[g, 3] * max(said[g, column], FLOOR)
            voices += 1
    if voices == 0 or not mixed > 0.0:
        return
    mixed /= heard
    kept = 0.0
    for g in range(len(weights)):
        if not np.isnan(said[g, column]):
            credited = said[g, 3] * max(said[g, column], FLOOR) + (1.0 - said[g, 3]) * mixed
            weights[g] *= credited ** (1.0 / life)
            kept += weights[g]
    part = share / life
    for g in range(len(weights)):
        if not np.isnan(said[g, column]):
            weights[g] = (1.0 - part) * weights[g] * mass / kept + part * mass / voices


@kernel
def remember(record: Float64Array, said: Float64Array, base: float, column: int, life: int) -> None:
    """Note in ``record[G, 5]`` how much worse than the base rate's probability ``base`` each member was."""
    for g in range(len(record)):
        if not np.isnan(said[g, column]):
            mean_life = (record[g, 2] + life) / (record[g, 0] + 1.0)
            fading = math.exp(-1.0 / (mean_life * MEMORY))
            excess = math.log(max(base, FLOOR)) - math.log(max(said[g, column], FLOOR))
            record[g, 0] = record[g, 0] * fading + 1.0
            record[g, 1] = record[g, 1] * fading * fading + 1.0
            record[g, 2] = record[g, 2] * fading + life
            record[g, 3] = record[g, 3] * fading + excess
            record[g, 4] = record[g, 4] * fading + excess * excess


@kernel
def voice_of(record: Float64Array) -> float:
    """How much a member with ``record[5]`` is heard, QUIET to 1."""
    if not record[0] > 0.0:
        return 1.0
    mean_life, mean = record[2] / record[0], record[3] / record[0]
    labels = record[0] * record[0] / (record[1] * mean_life)  # independent ones
    if labels < FADE_LABELS or mean <= 0.0:
        return 1.0
    error = math.sqrt(max(record[4] / record[0] - mean * mean, 0.0) / labels)
    return float(min(max((FADE_TO * error - mean) / ((FADE_TO - FADE_FROM) * error + 1e-12), QUIET), 1.0))


@kernel
def heard(weights: Float64Array, record: Float64Array, place: Int64Array, out: Float64Array) -> None:
    """Voice and weight as heard of the members ``place[M]`` into ``out[M, 2]``; the weights sum to one."""
    loudest = 0.0
    for m in range(len(place)):
        out[m, 0] = voice_of(record[place[m]])
        loudest = max(loudest, out[m, 0])
    total = 0.0
    for m in range(len(place)):
        out[m, 0] /= loudest
        out[m, 1] = weights[place[m]] * out[m, 0]
        total += out[m, 1]
    for m in range(len(place)):
        out[m, 1] /= total


def regret_bound(members: int, lives: Sequence[int], changes: Sequence[int], share: float = FIXED_SHARE) -> float:
    """Most that the ensemble can lose against any sequence of members, in nats weighed by voice / life.

    Args:
        members: how many have a say.
        lives: bars that each label lived, in the order of their ends.
        changes: positions in ``lives`` after which the sequence goes on with another member.
        share: given out again per independent label.
    """
    changed = set(changes)
    bound = math.log(members)
    for t, life in enumerate(lives):
        part = share / life
        bound -= math.log(part / members) if t in changed else math.log1p(-part * (1.0 - 1.0 / members))
    return bound


def warm() -> None:
    """Compile what is called from outside kernels."""
    record, out = np.zeros((1, RECORD)), np.empty((1, 2))
    voice_of(record[0])
    heard(np.ones(1), record, np.zeros(1, dtype=np.int64), out)

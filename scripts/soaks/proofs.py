"""Does research find nothing where there is nothing, and what is there where something is?

Three soaks on markets of which that is known: random walks, recorded markets whose directions are a coin's, and
markets with one planted edge. Each trains all its folds, scores them out of sample with their bands, and sends
candidates through the registry's own gate of promotion.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ai.exits import default_profile
from ai.regime_control import flipped_market
from ai.settings import AiSettings
from ai.validation.splits import Duration
from ai.validation.walk_forward import WalkForwardResult, WalkForwardSpec, walk_forward
from data.market import Frame, FundingFrame
from scripts.soaks.markets import knowing_auc, planted_market, random_walk, recorded_market

Document = dict[str, Any]
Tell = Callable[[str], None]

VOLATILITIES = (0.001, 0.003, 0.01)  # of a bar
HELD_OF_TEN = 8  # bands of ten that hold 0.5 at the least
RETRAININGS = (0.6, 0.8, 1.0)  # of a market, after which candidates are trained as the service does
SERIES = tuple((symbol, timeframe) for timeframe in ("15m", "1h") for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"))
LEANS = (0.03, -0.03, 0.06)  # of every bar's chance to go up, to the side of the rate
PROFILES = ("swing", "even")
KNOWING_DRAWS = 20


@dataclass(frozen=True, slots=True)
class Proof:
    """How a market is walked."""

    seeds: int = 10
    bars: int = 12_000
    train: int = 4000
    test: int = 1000
    members: tuple[str, ...] = AiSettings().members
    seed: int = 7
    draws: int = 1000
    promotions: bool = True

    def spec(self, profile: str | None = None) -> WalkForwardSpec:
        """Rolling windows of so many bars."""
        train, test = Duration(self.train, "bar"), Duration(self.test, "bar")
        return WalkForwardSpec(train, test, test, self.members, self.seed, profile, draws=self.draws)


def walks(proof: Proof, tell: Tell) -> Document:
    """Random walks, calm and wild, and one whose volatility is clustered: bands that hold 0.5, nothing promoted."""
    kinds: list[tuple[str, float, bool]] = [(f"{v:.1%} a bar", v, False) for v in VOLATILITIES]
    kinds.append(("clustered, 0.3% a bar", 0.003, True))
    rows = []
    for kind, (name, volatility, clustered) in enumerate(kinds):
        for seed in range(1 + 100 * kind, 1 + 100 * kind + proof.seeds):  # no two are the same walk, scaled
            frame = random_walk(proof.bars, seed, volatility, clustered=clustered)
            rows.append(_nothing_there(f"walk {name}", seed, frame, None, proof, tell))
    return _verdict(rows)


def flipped(proof: Proof, tell: Tell, folder: Path, series: Sequence[tuple[str, str]] = SERIES) -> Document:
    """Recorded markets with their volatility kept and their directions drawn by a coin, as many seeds as asked for."""
    rows = []
    for symbol, timeframe in series:
        market, funding = recorded_market(folder, symbol, timeframe)
        market = market.slice(max(0, len(market) - proof.bars), len(market))
        for seed in range(1, proof.seeds + 1):
            frame = flipped_market(market, np.random.default_rng(seed))
            rows.append(_nothing_there(f"{symbol} {timeframe}", seed, frame, funding, proof, tell))
    return _verdict(rows)


def planted(
    proof: Proof, tell: Tell, folder: Path | None, leans: Sequence[float] = LEANS, profiles: Sequence[str] = PROFILES
) -> Document:
    """One edge of a known size, under the bar sizes of a recorded market or, without a folder, of a clustered walk."""
    base = random_walk(proof.bars, proof.seed, 0.003, clustered=True)
    if folder is not None:
        market, _ = recorded_market(folder, "BTCUSDT", "15m")
        base = market.slice(max(0, len(market) - proof.bars), len(market))
    rows = []
    for profile in profiles:
        for lean in leans:
            for seed in range(1, proof.seeds + 1):
                rows.append(_planted(base, profile, lean, seed, proof))
                tell(_line(rows[-1]))
    found, held = (sum(bool(row[name]) for row in rows) for name in ("found", "held"))
    needed = HELD_OF_TEN / 10 * len(rows)
    return {"rows": rows, "markets": len(rows), "found": found, "held": held, "sound": min(found, held) >= needed}


def _planted(base: Frame, profile: str, lean: float, seed: int, proof: Proof) -> Document:
    began = time.perf_counter()
    here = planted_market(base, lean, seed)
    result = walk_forward(here.frame, here.funding, proof.spec(profile))
    first = result.folds[0].window.test_rows[0]
    truth = float(knowing_auc(base, lean, profile, seed, KNOWING_DRAWS, first).mean())
    return {
        "market": base.key.source, "profile": profile, "lean": lean, "seed": seed, **_scores(result),
        "knowing_auc": round(truth, 4), "found": result.auc.low > 0.5, "held": result.auc.holds(truth),
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def _nothing_there(
    name: str, seed: int, frame: Frame, funding: FundingFrame | None, proof: Proof, tell: Tell
) -> Document:
    began = time.perf_counter()
    result = walk_forward(frame, funding, proof.spec())
    row = {"market": name, "seed": seed, **_scores(result), "held": result.auc.holds(0.5)}
    row["held_within"] = result.pooled.bands.auc_within.holds(0.5)
    row |= promotions(frame, funding, proof) if proof.promotions else {}
    row["seconds"] = round(time.perf_counter() - began, 1)
    tell(_line(row))
    return row


def promotions(
    frame: Frame, funding: FundingFrame | None, proof: Proof, shares: Sequence[float] = RETRAININGS
) -> Document:
    """Candidates trained by the service's own worker after each share of the market, in a home of their own."""
    from app.retraining import RetrainRequest, register, train_candidate
    from data.clock import SystemClock
    from database.home import Home

    key, ai = frame.key, AiSettings(members=proof.members)  # type: ignore[arg-type]  # pydantic checks them
    profile = default_profile(key.timeframe)
    promoted, lucks, words = 0, [], []
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder), SystemClock())
        with home.open() as database:
            database.candles.write(frame)
            if funding is not None:
                database.candles.write_funding(funding)
        for share in shares:
            until = int(frame.open_time[0]) + round(len(frame) * share) * key.step_ms
            request = RetrainRequest(
                folder, key, until, round(len(frame) * share), profile, proof.members, proof.seed, 0.15, None, 0, ai
            )
            found = train_candidate(lambda _done, _total, _words: None, request)
            with home.open() as database:
                register(database, home, key, found)
            promoted += found.promote
            lucks.append(found.record.luck)
            words.append(found.words)
    return {"candidates": len(shares), "promoted": promoted, "least_luck": min(lucks), "words": words}


def _scores(result: WalkForwardResult) -> Document:
    scores, bands = result.overall, result.pooled.bands
    figures = {
        "auc": scores.auc, "auc_low": bands.auc.low, "auc_high": bands.auc.high, "auc_within": scores.auc_within,
        "within_low": bands.auc_within.low, "within_high": bands.auc_within.high,
    }  # fmt: skip
    return {
        "scored": scores.n, "folds": len(result.folds), **{name: round(v, 4) for name, v in figures.items()},
    }  # fmt: skip


def _verdict(rows: list[Document]) -> Document:
    """Sound: in every kind of market enough bands hold 0.5, and nothing was promoted anywhere."""
    kinds: dict[str, list[bool]] = {}
    for row in rows:
        kinds.setdefault(row["market"], []).append(row["held"])
    promoted = sum(row.get("promoted", 0) for row in rows)
    enough = all(sum(each) >= HELD_OF_TEN / 10 * len(each) for each in kinds.values())
    return {
        "rows": rows, "markets": len(rows), "held": sum(row["held"] for row in rows),
        "held_within": sum(row["held_within"] for row in rows),
        "held_by_kind": {kind: f"{sum(each)} of {len(each)}" for kind, each in kinds.items()},
        **{f"mean_{name}": round(float(np.mean([row[name] for row in rows])), 4) for name in ("auc", "auc_within")},
        "candidates": sum(row.get("candidates", 0) for row in rows), "promoted": promoted,
        "sound": enough and not promoted,
    }  # fmt: skip


def _line(row: Document) -> str:
    return "  ".join(f"{name} {value}" for name, value in row.items() if name != "words")

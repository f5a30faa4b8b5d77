"""A market as far as it is known, with its future cut away or replaced: what the leak audits compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from data.beside import Beside
from data.errors import UserError
from data.market import Frame, FundingFrame


@dataclass(frozen=True, slots=True, eq=False)
class KnownMarket:
    """Bars of one series with everything that is read beside them."""

    frame: Frame
    funding: FundingFrame | None = None
    beside: Beside | None = None
    finer: Frame | None = None  # bars of a shorter timeframe over the same span

    def __len__(self) -> int:
        return len(self.frame)

    def close_ms(self, bar: int) -> int:
        """When bar ``bar`` closes, ms UTC: the moment up to which everything may be known."""
        return int(self.frame.open_time[bar]) + self.frame.key.step_ms

    def until(self, bar: int) -> Self:
        """Without anything after the close of bar ``bar``."""
        known, funding, beside, finer = self.close_ms(bar), self.funding, self.beside, self.finer
        if funding is not None:
            keep = int(np.searchsorted(funding.time, known, side="right"))
            funding = replace(
                funding, time=funding.time[:keep], rate=funding.rate[:keep], mark_price=funding.mark_price[:keep]
            )
        if beside is not None:
            keep = int(np.searchsorted(beside.open_time, known))
            beside = Beside(beside.open_time[:keep], beside.values[:, :keep])
        if finer is not None:
            finer = finer.slice(0, int(np.searchsorted(finer.open_time, known)))
        return type(self)(self.frame.slice(0, bar + 1), funding, beside, finer)

    def with_other_future(self, bar: int, generator: np.random.Generator) -> Self:
        """The same up to the close of bar ``bar``; another market after it: level, noise, volumes, rates, the rest."""
        known, funding, beside, finer = self.close_ms(bar), self.funding, self.beside, self.finer
        frame = _other_bars(self.frame, bar + 1, generator)
        if funding is not None:
            keep = int(np.searchsorted(funding.time, known, side="right"))
            rate = funding.rate.copy()
            later = len(rate) - keep
            rate[keep:] += generator.choice([-1.0, 1.0], later) * generator.uniform(0.001, 0.01, later)
            funding = replace(funding, rate=rate)
        if beside is not None:
            beside = _other_values(beside, int(np.searchsorted(beside.open_time, known)), generator)
        if finer is not None:
            finer = _other_bars(finer, int(np.searchsorted(finer.open_time, known)), generator)
        return type(self)(frame, funding, beside, finer)


def chosen_cuts(cuts: int | Sequence[int], bars: int, generator: np.random.Generator) -> list[int]:
    """Bars after which the future is taken away: so many in the second half and the last that has one, or those named.

    Raises:
        UserError: too few bars, or a cut that leaves no future.
    """
    if bars < 4:
        raise UserError(f"The leak audit needs at least 4 bars and got {bars}: give it a longer span.")
    if isinstance(cuts, int):
        return sorted({int(c) for c in generator.integers(bars // 2, bars - 1, max(cuts - 1, 1))} | {bars - 2})
    outside = [c for c in cuts if not 0 <= c < bars - 1]
    if outside:
        raise UserError(f"The cut at bar {outside[0]} leaves no future to change: cut between 0 and {bars - 2}.")
    return sorted(cuts)


def _other_bars(frame: Frame, first: int, generator: np.random.Generator) -> Frame:
    tail = len(frame) - first
    scale = np.exp(generator.normal(0.0, 0.02, (1, tail)) + generator.choice([-0.7, 0.7]))
    noise = np.exp(generator.normal(0.0, 0.01, (4, tail)))
    prices = np.array([frame.open, frame.high, frame.low, frame.close])
    prices[:, first:] *= scale * noise
    volume = frame.volume.copy()
    volume[first:] = volume[first:] * np.exp(generator.normal(0.5, 1.0, tail)) + 1.0
    o, _, _, c = prices
    return replace(frame, open=o, high=prices.max(axis=0), low=prices.min(axis=0), close=c, volume=volume)


def _other_values(beside: Beside, first: int, generator: np.random.Generator) -> Beside:
    """Other numbers, and a tenth of them missing where they were there and there where they were missing."""
    values = beside.values.copy()
    tail = values[:, first:]
    changed = tail * np.exp(generator.normal(0.0, 0.2, tail.shape)) + generator.normal(0.0, 1e-3, tail.shape)
    turned = generator.random(tail.shape) < 0.1
    absent = np.isnan(tail)
    changed[turned & ~absent] = np.nan
    changed[turned & absent] = np.exp(generator.normal(0.0, 1.0, int((turned & absent).sum())))
    values[:, first:] = changed
    return Beside(beside.open_time, values)

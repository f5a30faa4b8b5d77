"""Inputs of the recorded answers: the same for the libraries that gave them and for the tests that compare."""

from __future__ import annotations

import numpy as np

SPLITS = (  # rows, groups, tested, purged on each side, embargo after
    (60, 6, 2, 3, 2),
    (100, 10, 3, 2, 1),
    (47, 5, 2, 4, 0),
    (83, 8, 4, 1, 3),
)
PURGES = ((0, 40, 80), (0, 0, 30), (7, 100, 120), (3, 150, 200))  # embargo, first tested row, row after the last
BLOCK = 5
PBO_BLOCKS = 10


def label_ends() -> np.ndarray:
    """Bars at which 200 labels of 1 to 12 bars end."""
    return np.arange(200) + np.random.default_rng(2018).integers(1, 13, 200)


def gains(edge: float) -> np.ndarray:
    """400 periods of 12 configurations with memory; the third may have an edge, the last three are poor."""
    rng = np.random.default_rng(2005)
    noise = rng.normal(size=(402, 12))
    memory = (noise[2:] + 0.5 * noise[1:-1] + 0.25 * noise[:-2]) * np.linspace(0.5, 2.0, 12)
    return memory + np.array([0.0, 0.0, edge, 0.05, 0.0, 0.0, 0.02, 0.0, 0.0, -0.5, -0.6, -0.7])


EDGES = (0.0, 0.3, 0.4)


def searched() -> np.ndarray:
    """300 periods of 25 configurations, one of which is a little better than chance."""
    returns = np.random.default_rng(2015).normal(0.0, 0.01, size=(300, 25))
    returns[:, 7] += 0.0012
    return returns

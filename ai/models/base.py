"""What every model of the house is: three classes in, three probabilities out, native files, one compiled table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from data.market import Float64Array

if TYPE_CHECKING:
    from ai.models.predictor import MemberTable

Int8Array = npt.NDArray[np.int8]

CLASSES = (-1, 0, 1)  # short, neutral, long: the columns of every P[n, 3]
SHORT, NEUTRAL, LONG = 0, 1, 2  # column numbers


class Model(Protocol):
    """One classifier. A class that is absent from training still has its column (probability zero)."""

    kind: ClassVar[str]

    def fit(self, x: Float64Array, y: Int8Array, weight: Float64Array) -> None:
        """Train on ``x[n, F]`` (NaN = missing), labels ``y[n]`` of −1, 0, +1 and ``weight[n]`` > 0."""
        ...

    def predict(self, x: Float64Array) -> Float64Array:
        """The library's own probabilities ``[n, 3]`` (short, neutral, long): for research and as the test oracle."""
        ...

    def table(self) -> MemberTable:
        """The flat form that the one predictor of the decision path walks."""
        ...

    def files(self) -> dict[str, bytes]:
        """Native files by name: text, JSON or arrays, nothing that executes code."""
        ...

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """A model from its native files."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files with a manifest of their hashes."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and verify.

        Raises:
            UserError: a file is missing, corrupt or of another kind.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Kind, parameters and sizes, ready for a table or JSON."""
        ...


def class_columns(y: Int8Array) -> npt.NDArray[np.int64]:
    """Columns of ``CLASSES`` that occur in ``y``, ascending."""
    return np.flatnonzero([np.any(y == c) for c in CLASSES]).astype(np.int64)


def spread_columns(p: Float64Array, columns: npt.NDArray[np.int64]) -> Float64Array:
    """Put ``p[n, K]`` of the present classes into ``[n, 3]``; absent ones are zero."""
    out = np.zeros((len(p), len(CLASSES)))
    out[:, columns] = p
    return out


def finite_or_missing(x: Float64Array) -> Float64Array:
    """``x`` with every infinity turned into NaN (missing), as the predictor does."""
    return np.where(np.isfinite(x), x, np.nan)

"""Features of another exchange brought to the scale that a model was trained on: x' = a·x + b for each feature.

The members' files stay as they are. Their tables are read with the map inside: a tree asks x ≤ (threshold − b)/a where
it asked a·x + b ≤ threshold, and a linear member's centre and scale move likewise, so that the predictor knows nothing
of it and a row costs what it did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ai.models.files import json_bytes
from ai.models.predictor import MemberTable
from data.market import Float64Array

MAP_FILE = "feature_map.json"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """``a[F]`` > 0 and ``b[F]`` in the order of the model's features; 1 and 0 where nothing changes."""

    a: Float64Array
    b: Float64Array

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self | None:
        """From a model's files; ``None`` where it has none."""
        if MAP_FILE not in files:
            return None
        stored = json.loads(files[MAP_FILE])
        return cls(np.array(stored["a"], dtype=np.float64), np.array(stored["b"], dtype=np.float64))

    def file(self) -> bytes:
        """As it is kept."""
        return json_bytes({"a": self.a.tolist(), "b": self.b.tolist()})

    def after(self, earlier: FeatureMap | None) -> FeatureMap:
        """This map first, then ``earlier``: what a model that has a map already is read with."""
        return self if earlier is None else FeatureMap(earlier.a * self.a, earlier.a * self.b + earlier.b)

    def inside(self, table: MemberTable) -> MemberTable:
        """The table that says of x what ``table`` says of a·x + b."""
        nodes = table.nodes.copy()
        inner = nodes["feature"] >= 0
        f = nodes["feature"][inner]
        nodes["value"][inner] = (nodes["value"][inner] - self.b[f]) / self.a[f]
        linear = table.linear.copy()
        if linear.shape[1]:
            linear[0], linear[1] = (linear[0] - self.b) / self.a, (linear[1] - self.b) / self.a
            linear[2] = linear[2] / self.a
        return replace(table, nodes=nodes, linear=linear)

"""An explanation: how much each pixel of what the network saw speaks for the score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pinflow.learning.dataset import Floats

GRID = 14  # cells a side in the JSON


@dataclass(frozen=True)
class Explanation:
    """`heat` float32 (s, s): positive speaks for the score, negative against it; its unit is the method's."""

    method: str
    score: float
    heat: Floats
    facts: dict[str, Any] = field(default_factory=dict)

    def cells(self, side: int) -> Floats:
        """The mean heat in each cell of a grid, float32 (side, side)."""
        edges = np.linspace(0, len(self.heat), side + 1).round().astype(np.int64)
        sums = np.add.reduceat(np.add.reduceat(self.heat, edges[:-1], axis=0), edges[:-1], axis=1)
        means: Floats = (sums / np.outer(np.diff(edges), np.diff(edges))).astype(np.float32)
        return means

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, strings and numbers: the heat as a coarse grid, rows from the top."""
        grid = [[round(float(value), 6) for value in row] for row in self.cells(GRID)]
        return {"method": self.method, "score": self.score, "heat": grid, **self.facts}

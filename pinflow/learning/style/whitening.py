"""From style statistics to style vectors: PCA-whitening, fitted on training pictures. Pure numpy.

Whatever all pictures of a collection share says nothing about a hand, and a few loud directions drown the
rest: centring and whitening (Jegou & Chum 2012, "Negative evidences and co-occurrences in image retrieval")
undo both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinflow.errors import CorruptError

Floats = npt.NDArray[np.float32]

WIDTH = 256
# Added to every variance, as a share of the largest: on folds of the emoji's training half 0.01 was best of
# 1e-5, 1e-4, 1e-3 and 1e-2 at 256 directions.
SHRINKAGE = 1e-2
LEAST = 3  # pictures, below which there is nothing to fit
MOST = 20_000  # pictures, evenly spread, that are enough for `WIDTH` directions


@dataclass(frozen=True, eq=False)
class Whitening:
    """`apply` maps statistics to unit vectors. `mean` (w,), `weight` (d, w)."""

    mean: Floats
    weight: Floats

    @property
    def width(self) -> int:
        """Numbers in a style vector."""
        return len(self.weight)

    @property
    def digest(self) -> str:
        """sha256 of what it does."""
        digest = hashlib.sha256(f"{self.weight.shape}".encode())
        digest.update(np.ascontiguousarray(self.mean).data)
        digest.update(np.ascontiguousarray(self.weight).data)
        return digest.hexdigest()

    def apply(self, statistics: Floats) -> Floats:
        """float32 (n, w) -> float32 (n, d), rows of length 1. Raises `ValueError` for another width."""
        if statistics.shape[1] != len(self.mean):
            raise ValueError(f"fitted to {len(self.mean)} statistics, not {statistics.shape[1]}")
        found = (statistics - self.mean) @ self.weight.T
        length = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.asarray(found / length, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """safetensors."""
        from safetensors.numpy import save

        data: bytes = save({"mean": self.mean, "weight": self.weight})
        return data

    @staticmethod
    def from_bytes(data: bytes) -> Whitening:
        """What `to_bytes` wrote. Raises `CorruptError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            stored = load(data)
            return Whitening(stored["mean"], stored["weight"])
        except (SafetensorError, KeyError) as error:
            raise CorruptError(f"no style map: {error}; fit the encoder again") from error


def fit_whitening(statistics: Floats) -> Whitening:
    """The map learned from training pictures' statistics (n, w). From too few to learn from, fixed random
    directions that keep distances about as they are (Johnson & Lindenstrauss 1984)."""
    statistics = statistics[:: max(1, -(-len(statistics) // MOST))]
    n, width = statistics.shape
    if n < LEAST:
        drawn = np.random.default_rng(0).normal(size=(min(WIDTH, width), width))
        return Whitening(np.zeros(width, np.float32), drawn.astype(np.float32))
    mean = statistics.mean(axis=0, dtype=np.float64)
    _, strength, directions = np.linalg.svd(statistics - mean, full_matrices=False)
    variance = strength**2 / n
    kept = min(WIDTH, n - 1, int((variance > 1e-9 * variance[0]).sum())) if variance[0] > 0 else 0
    if kept == 0:  # all alike
        return Whitening(np.zeros(width, np.float32), np.eye(min(WIDTH, width), width, dtype=np.float32))
    gains = 1 / np.sqrt(variance[:kept] + SHRINKAGE * variance[0])
    weight = gains[:, None] * directions[:kept]
    return Whitening(mean.astype(np.float32), np.ascontiguousarray(weight, dtype=np.float32))

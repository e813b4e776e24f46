"""Why two pictures match: their cosine, taken apart exactly into pairs of cells.

Where the trunk vector is the mean of a map of cells and the head an affine map, the cosine is a sum over
cells x cells (Zhu et al. 2019, "Visual Explanation for Deep Metric Learning", arXiv 1909.12977):
nothing is estimated, and the parts add up to the whole. For a head that reads the inner stages too, their
maps are first brought to the same cells, by area, and to the length that they have in the vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pinflow.errors import TrunkError
from pinflow.learning.dataset import Floats
from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.lens import Lens
from pinflow.learning.explaining.score import affine_map
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.tagging.probe import Doubles

PAIRS = 5  # strongest pairs of cells that are named
MEAN_TOLERANCE = 1e-4  # of the vector's length, between the mean of the cells and the pooled vector


@dataclass(frozen=True)
class Match:
    """`parts` float64 (h, h, h, h): what the cell (row, column) of the first picture and that of the second
    add to `cosine`, the sum of them all."""

    cosine: float
    parts: Doubles
    size: int  # px, side of what the network saw

    @property
    def heats(self) -> tuple[Explanation, Explanation]:
        """What each cell of the first picture adds, and each of the second."""
        sums = (self.parts.sum(axis=(2, 3)), self.parts.sum(axis=(0, 1)))
        first, second = (Explanation("match", self.cosine, _enlarged(heat, self.size)) for heat in sums)
        return first, second

    def pairs(self, count: int = PAIRS) -> list[tuple[tuple[int, int], tuple[int, int], float]]:
        """The pairs of cells that add most, each cell of either picture named once: places and share."""
        found: list[tuple[tuple[int, int], tuple[int, int], float]] = []
        side = len(self.parts)
        flat = self.parts.reshape(side**2, side**2).copy()
        for _ in range(min(count, side**2)):
            one, other = np.unravel_index(int(flat.argmax()), flat.shape)
            value = float(flat[one, other])
            if value <= 0:
                break
            places = [(int(at) // side, int(at) % side) for at in (one, other)]
            found.append((places[0], places[1], value))
            flat[one], flat[:, other] = -np.inf, -np.inf
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, strings and numbers: both maps, rows from the top, and the strongest pairs."""
        maps = (self.parts.sum(axis=(2, 3)), self.parts.sum(axis=(0, 1)))
        pairs = [{"first": a, "second": b, "adds": value} for a, b, value in self.pairs()]
        first, second = (heat.round(6).tolist() for heat in maps)
        return {"method": "match", "cosine": self.cosine, "first": first, "second": second, "pairs": pairs}


def why_match(lens: Lens, first: bytes, second: bytes, head: Head = IDENTITY) -> Match:
    """The cosine of two encoded pictures in the head's space, by cells.

    Raises `PictureError`, `TrunkError` for a trunk whose vector is not the mean of its cells, `ValueError`
    for a head that is no affine map.
    """
    import torch

    lens = lens.reading(head.reads)
    with torch.inference_mode():
        cells = lens.cells(lens.input(np.stack([lens.square(first), lens.square(second)])))
        vectors = lens.pool(cells).double().numpy()
        maps = lens.in_vector(cells.double()).flatten(2).numpy()  # (2, w, h * h)
    off = np.linalg.norm(maps.mean(axis=2) - vectors, axis=1) / np.linalg.norm(vectors, axis=1)
    if not (off < MEAN_TOLERANCE).all():
        raise TrunkError(f"the vector of {lens.name} is not the mean of its cells: it does not come apart")
    matrix, shift = (one.astype(np.float64) for one in affine_map(head, maps.shape[1]))
    lengths = np.linalg.norm(maps.mean(axis=2), axis=1)
    # A shift is the same for every cell, so each takes its part of it.
    ours, theirs = (
        matrix @ (one / max(length, 1e-300)) + shift[:, None]
        for one, length in zip(maps, lengths, strict=True)
    )  # (d, h * h)
    scale = np.prod([np.linalg.norm(one.mean(axis=1)) * one.shape[1] for one in (ours, theirs)])
    side = cells.shape[2]
    parts = (ours.T @ theirs / max(float(scale), 1e-300)).reshape(side, side, side, side)
    return Match(float(parts.sum()), parts, lens.preprocess.size)


def _enlarged(heat: Doubles, size: int) -> Floats:
    from PIL import Image

    small = Image.fromarray(heat.astype(np.float32))
    return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)

"""Whether an explanation is true of the network: take away what it names, and the score must drop, further
than where as much is taken away at random (deletion, Petsiuk et al. 2018, arXiv 1806.07421)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pinflow.learning.dataset import Mask
from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.lens import Lens, Pixels, Score

SIDE = 7  # cells a side that are taken away
SHARE = 0.2  # of them
DRAWS = 20


@dataclass(frozen=True)
class Deletion:
    """Drops of the score: `top` without the hottest cells, `random` the mean without as many others."""

    top: float
    random: float


def deletion(
    lens: Lens,
    picture: bytes,
    score: Score,
    explanation: Explanation,
    *,
    share: float = SHARE,
    draws: int = DRAWS,
    seed: int = 0,
) -> Deletion:
    """Cells are blurred away, not painted over: no method here blurs, so none is favoured."""
    pixels = lens.square(picture)
    count = max(1, round(share * SIDE**2))
    rng = np.random.default_rng(seed)
    hottest = np.argsort(-explanation.cells(SIDE).ravel(), kind="stable")[:count]
    chosen = [hottest, *(rng.choice(SIDE**2, count, replace=False) for _ in range(draws))]
    gone = np.zeros((len(chosen), SIDE**2), dtype=np.bool_)
    for row, cells in zip(gone, chosen, strict=True):
        row[cells] = True
    left = np.stack([pixels, *(without(pixels, row.reshape(SIDE, SIDE)) for row in gone)])
    scores = lens.scores(lens.input(left), score).double().numpy()
    drops = scores[0] - scores[1:]
    return Deletion(float(drops[0]), float(drops[1:].mean()))


def without(pixels: Pixels, cells: Mask) -> Pixels:
    """The picture uint8 (s, s, 3) with those cells (side, side) blurred beyond recognition."""
    from PIL import Image, ImageFilter

    size = (len(pixels), len(pixels))
    picture = Image.fromarray(pixels)
    mask = Image.fromarray(cells.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    return np.asarray(
        Image.composite(picture.filter(ImageFilter.GaussianBlur(len(pixels) / 8)), picture, mask)
    )

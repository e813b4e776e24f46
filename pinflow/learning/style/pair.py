"""Which two pictures of a collection show best what style transfer does: a clear shape on quiet ground, and a
manner that fills its picture."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# px of the longest side that is looked at, and of the cells in it: so small that sand is as plain as a wall.
SIDE, CELL = 96, 6
CANDIDATES = 200
SHARP, BUSY = 0.15, 0.03  # differences between neighbouring pixels, of 0..1: counted at most, counted as busy
QUIET = (0.05, 0.45)  # share of busy cells in a picture of one thing on quiet ground
FINE = 0.3  # differences inside a thing that is all leaves and hairs, of which nothing would be left
THIRDS = 3  # a manner is as strong as it is in the weakest of 3 x 3 parts
PALE = 0.3  # what a picture without colours counts, beside 1.3 for one of pure colours

Changes = npt.NDArray[np.float64]


class _Look(NamedTuple):
    busy: float  # share of cells in which neighbouring pixels differ
    shape: float  # how much a few large cells inside differ in colour from the border
    manner: float  # how much neighbouring pixels differ, wherever one looks


def choose_pair(pictures: Mapping[str, bytes]) -> tuple[str, str] | None:
    """The names of the picture that gives the content and the one that gives the style; None where there are
    no two, or no thing on quiet ground. Deterministic."""
    names = sorted(pictures)
    names = names[:: max(1, -(-len(names) // CANDIDATES))]
    looked = {name: _look(pictures[name]) for name in names}
    things = [name for name in names if QUIET[0] < looked[name].busy < QUIET[1]]
    if not things or len(names) < 2:
        return None
    content = max(things, key=lambda name: (looked[name].shape, name))
    return content, max((n for n in names if n != content), key=lambda name: (looked[name].manner, name))


def _look(picture: bytes) -> _Look:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        colours = opened.convert("RGB")
    scale = SIDE / max(colours.size)
    size = (max(3 * CELL, round(colours.width * scale)), max(3 * CELL, round(colours.height * scale)))
    seen = np.asarray(colours.resize(size, Image.Resampling.LANCZOS), dtype=np.float64) / 255
    light = seen.mean(axis=2)
    changes = np.abs(np.diff(light, axis=1))[:-1] + np.abs(np.diff(light, axis=0))[:, :-1]
    rows, columns = (length // CELL for length in changes.shape)
    cells = changes[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
    coarse = np.asarray(colours.resize((8, 8), Image.Resampling.BOX), dtype=np.float64) / 255
    border = np.concatenate([coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]])
    inside = np.abs(coarse[1:-1, 1:-1] - border.mean(axis=0)).sum(axis=2)
    shape = float(np.sort(inside, axis=None)[-9:].mean() - 2 * border.std(axis=0).sum())
    vivid = PALE + seen.max(axis=2).mean() - seen.min(axis=2).mean()
    busy = cells > BUSY
    plain = 1 - min(1.0, float(cells[busy].mean()) / FINE) if busy.any() else 0.0
    return _Look(float(busy.mean()), shape * vivid * plain, _everywhere(cells) * vivid)


def _everywhere(changes: Changes) -> float:
    parts = [
        part
        for band in np.array_split(np.minimum(changes, SHARP), THIRDS)
        for part in np.array_split(band, THIRDS, axis=1)
    ]
    return float(min(part.mean() for part in parts))

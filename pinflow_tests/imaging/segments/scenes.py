"""Scenes with known things: discs and squares on a wall that slowly changes its colour."""

from __future__ import annotations

import numpy as np


def wall(width=160, height=120):
    """From light grey to a little darker, with grain."""
    shade = np.linspace(225, 195, width)[None, :, None] * np.ones((height, 1, 3))
    grain = np.random.default_rng(0).normal(0, 3, (height, width, 1))
    return np.clip(shade + grain, 0, 255).astype(np.uint8)


def disc(picture, x, y, radius, colour):
    """The picture with a disc, and where it is."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    painted = picture.copy()
    painted[mask] = colour
    return painted, mask


def overlap(one, other):
    """Intersection over union."""
    return (one & other).sum() / (one | other).sum()

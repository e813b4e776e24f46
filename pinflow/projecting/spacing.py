"""Making room on a drawing: pictures take the nearest free place of a grid, names part from one another."""

from __future__ import annotations

import numpy as np

_ROUNDS = 200


def even_out(points: np.ndarray, strength: float) -> np.ndarray:
    """`points` (n, 2) within the unit square, pulled `strength` of the way to even coverage.

    Each axis is mixed with its ranks: empty oceans shrink and crowds get room, while the order along
    both axes stays.
    """
    if len(points) < 2:
        return np.full((len(points), 2), 0.5)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    unit = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    ranks = points.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") / (len(points) - 1)
    return np.asarray((1 - strength) * unit + strength * ranks)


def honeycomb(width: float, height: float, cell: tuple[float, float]) -> np.ndarray:
    """Centres (m, 2) of the cells that fit on the page, every other row shifted by half a cell."""
    across, down = (int(page // side) for page, side in zip((width, height), cell, strict=True))
    row, column = np.divmod(np.arange(across * down), max(1, across))
    left = (width - (across - 0.5) * cell[0]) / 2  # the shifted rows stick out by half a cell
    top = (height - down * cell[1]) / 2
    shifted = np.stack(
        [left + (column + 0.25 + row % 2 * 0.5) * cell[0], top + (row + 0.5) * cell[1]], axis=1
    )
    return np.asarray(shifted[shifted[:, 0] + cell[0] / 2 <= width + 1e-9])


def outside(
    places: np.ndarray, cell: tuple[float, float], centres: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """(m,) bool: which cells around `places` touch none of the boxes."""
    apart = np.abs(places[:, None] - centres[None])
    return np.asarray((apart >= (np.array(cell) + sizes[None]) / 2).any(axis=2).all(axis=1))


def snap(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A place (n, 2) of its own for each point: those that keep the sum of squared moves smallest.

    Raises `ValueError` for fewer places than points.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    if len(places) < len(points):
        raise ValueError(f"{len(points)} points need as many places; there are {len(places)}")
    _, chosen = linear_sum_assignment(cdist(points, places, "sqeuclidean"))
    return np.asarray(places[chosen])


def part(centres: np.ndarray, sizes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Centres (n, 2) moved until the boxes (n, 2) do not overlap, on the page; for a few boxes.

    Where the page is too full for that, some overlap is left.
    """
    page = np.array([width, height])
    low, high = sizes / 2, np.maximum(page - sizes / 2, sizes / 2)
    centres = np.clip(centres.astype(np.float64), low, high)
    for _ in range(_ROUNDS):
        one, two = np.triu_indices(len(centres), 1)
        apart = centres[two] - centres[one]
        overlap = (sizes[one] + sizes[two]) / 2 - np.abs(apart)
        touching = np.flatnonzero((overlap > 0.5).all(axis=1))
        if not len(touching):
            break
        for pair in touching:
            axis = int(overlap[pair].argmin())
            step = overlap[pair, axis] / 2 * (-1 if apart[pair, axis] < 0 else 1)
            centres[one[pair], axis] -= step
            centres[two[pair], axis] += step
        centres = np.clip(centres, low, high)
    return centres

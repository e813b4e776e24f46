"""Pictures and names on a drawing never cover one another, and the map keeps its shape."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.projecting.spacing import even_out, honeycomb, outside, part, snap


def overlaps(centres: np.ndarray, sizes: np.ndarray) -> int:
    one, two = np.triu_indices(len(centres), 1)
    apart = np.abs(centres[one] - centres[two])
    return int((apart < (sizes[one] + sizes[two]) / 2 - 0.6).all(axis=1).sum())


def test_evening_out_keeps_the_order_along_both_axes() -> None:
    points = np.random.default_rng(0).normal(size=(50, 2)) ** 3
    for strength in (0, 0.5, 1):
        even = even_out(points, strength)
        assert even.min() == 0
        assert even.max() == 1
        assert np.array_equal(even.argsort(axis=0), points.argsort(axis=0))


@pytest.mark.parametrize("points", [np.empty((0, 2)), np.zeros((1, 2)), np.ones((4, 2))])
def test_evening_out_of_nothing_much(points: np.ndarray) -> None:
    assert np.isfinite(even_out(points, 0.5)).all()


@pytest.mark.parametrize("cell", [(10.0, 10.0), (13.0, 7.5), (100.0, 90.0)])
def test_the_cells_of_a_honeycomb_are_on_the_page_and_apart(cell: tuple[float, float]) -> None:
    places = honeycomb(200, 100, cell)
    assert len(places) > 0
    assert (places >= np.array(cell) / 2 - 1e-6).all()
    assert (places <= np.array([200, 100]) - np.array(cell) / 2 + 1e-6).all()
    assert overlaps(places, np.tile(cell, (len(places), 1))) == 0


def test_snapping_moves_points_to_places_of_their_own() -> None:
    places = honeycomb(100, 100, (10, 10))
    points = np.random.default_rng(0).normal(50, 5, size=(60, 2))
    snapped = snap(points, places)
    assert len(np.unique(snapped, axis=0)) == 60
    assert np.array_equal(snap(places[::3], places), places[::3])
    with pytest.raises(ValueError, match="60 points"):
        snap(points, places[:59])


def test_cells_under_a_box_are_found() -> None:
    places = honeycomb(100, 100, (10, 10))
    free = outside(places, (10, 10), np.array([[50.0, 50.0]]), np.array([[40.0, 20.0]]))
    for (x, y), is_free in zip(places, free, strict=True):
        assert is_free == (abs(x - 50) >= 25 or abs(y - 50) >= 15)
    assert outside(places, (10, 10), np.empty((0, 2)), np.empty((0, 2))).all()


def test_names_part_from_one_another() -> None:
    sizes = np.tile([120.0, 30.0], (8, 1))
    parted = part(np.tile([100.0, 100.0], (8, 1)), sizes, 800, 600)
    assert overlaps(parted, sizes) == 0
    alone = np.array([[300.0, 300.0]])
    assert np.array_equal(part(alone, sizes[:1], 800, 600), alone)

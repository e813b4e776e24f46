"""Drawings: every picture is seen, names are written, sizes hold, and it is the same every time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pinflow.projecting.draw import draw_map, scatter
from pinflow.projecting.palette import DOT, WASH, colours, oklch
from pinflow_tests.imaging.pictures import encoded, scene


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def squares(count: int) -> list[bytes]:
    """Dark squares of one colour each: what is left of them on the page can be counted."""
    return [encoded(Image.new("RGB", (48, 48), (10 * (i % 8), 12 * (i // 8), 60))) for i in range(count)]


def test_every_picture_is_seen_whole() -> None:
    crowd = np.random.default_rng(0).normal(size=(40, 2)) * 0.01
    page = pixels(draw_map(crowd, squares(40), [""] * 40, size=600))
    for i in range(40):
        near = np.abs(page - (10 * (i % 8), 12 * (i // 8), 60)).max(axis=2) <= 4
        assert near.sum() > 800, i


def test_neighbours_on_the_map_are_neighbours_on_the_page() -> None:
    red, blue = (encoded(Image.new("RGB", (48, 48), c)) for c in ("#a01010", "#1010a0"))
    points = np.concatenate(
        [np.random.default_rng(0).normal((x, 0), (0.3, 3), size=(20, 2)) for x in (-3, 3)]
    )
    page = pixels(draw_map(points, [red] * 20 + [blue] * 20, ["r"] * 20 + ["b"] * 20, names=False, size=600))
    reds = np.nonzero((page[:, :, 0] > 120) & (page[:, :, 2] < 60))[1]
    blues = np.nonzero((page[:, :, 2] > 120) & (page[:, :, 0] < 60))[1]
    assert np.quantile(reds, 0.95) < np.quantile(blues, 0.05)


def test_names_are_written_where_no_picture_is() -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    arguments = (points, squares(60), ["spices"] * 60)
    plain, named = (pixels(draw_map(*arguments, names=names, size=800)) for names in (False, True))
    assert plain.shape == named.shape == (600, 800, 3)
    ink = np.abs(named - np.array(colours(["spices"], (0.47, 0.115))["spices"])).max(axis=2) <= 6
    assert ink.sum() > 100
    rows, columns = np.nonzero(ink)
    box = named[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert not (box.max(axis=2) < 100).any()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_pictures(count: int) -> None:
    pictures = [encoded(scene(i)) for i in range(count)]
    page = pixels(draw_map(np.zeros((count, 2)), pictures, ["a"] * count, size=400))
    assert page.shape == (300, 400, 3)
    assert (len(np.unique(page.reshape(-1, 3), axis=0)) > 1) == (count > 0)


def test_more_pictures_than_fit() -> None:
    points = np.random.default_rng(0).normal(size=(5000, 2))
    page = pixels(draw_map(points, [squares(1)[0]] * 5000, ["a"] * 5000, size=400))
    assert 0.2 < (page.max(axis=2) < 100).mean() < 0.7


def test_labels_of_any_kind() -> None:
    labels = ["café", "红色运动鞋", "a label that goes on " * 20, "", *(f"label {i}" for i in range(56))]
    points = np.random.default_rng(1).normal(size=(60, 2))
    assert pixels(draw_map(points, squares(60), labels, size=500)).shape == (375, 500, 3)
    assert pixels(scatter(points, labels)).shape == (420, 420, 3)


def test_the_same_bytes_again() -> None:
    points = np.random.default_rng(0).normal(size=(30, 2))
    pictures, labels = [encoded(scene(i)) for i in range(30)], ["a", "b", "c"] * 10
    assert draw_map(points, pictures, labels, size=400) == draw_map(points, pictures, labels, size=400)


def test_a_scatter_plot_shows_each_label_within_its_bytes() -> None:
    points = np.random.default_rng(0).normal(size=(20_000, 2))
    labels = [("one", "two")[i % 2] for i in range(20_000)]
    for cap in (40_000, 6_000):
        data = scatter(points, labels, max_bytes=cap)
        assert len(data) <= cap
    page = pixels(scatter(points[:50], labels[:50]))
    for colour in colours(labels, DOT).values():
        assert (np.abs(page - colour).max(axis=2) <= 12).any() == (colour != colours([], DOT)[""])
    with pytest.raises(ValueError, match="allow more"):
        scatter(points, labels, max_bytes=50)
    assert pixels(scatter(np.empty((0, 2)), [])).shape == (420, 420, 3)


def test_colours_differ() -> None:
    assert oklch(1.0, 0.0, 0.0) == (255, 255, 255)
    assert oklch(0.628, 0.2577, 29.23) == pytest.approx((255, 0, 0), abs=2)
    for count in (1, 2, 6, 9, 20):
        found = colours([f"l{i:02}" for i in range(count)], WASH)
        assert len(set(found.values())) == count + 1


@pytest.mark.parametrize("shape", [(48, 48), (64, 48), (48, 64), (120, 40)], ids=str)
def test_a_few_pictures_of_any_shape_find_room_on_a_small_page(shape: tuple[int, int]) -> None:
    for count in range(1, 14):
        points = np.random.default_rng(count).random((count, 2))
        tiles = [encoded(Image.new("RGB", shape, (120, 20, 60)))] * count
        assert draw_map(points, tiles, ["red"] * count, size=480)

"""Maps: any number of vectors, the same map every time, and old pictures stay where they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.projecting.layout import FEWEST, Layout, Placed, align, lay_out


def blobs(count: int, groups: int = 3, width: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around `groups` directions, and which one each belongs to."""
    rng = np.random.default_rng(seed)
    group = np.arange(count) % groups
    vectors = rng.normal(size=(groups, width))[group] + 0.35 * rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), group


def sound(layout: Layout, count: int, k: int = 15) -> None:
    shapes = {
        "coordinates2": ((count, 2), np.float32),
        "coordinates3": ((count, 3), np.float32),
        "clusters": ((count,), np.int32),
        "neighbours": ((count, k), np.int32),
        "similarities": ((count, k), np.float32),
    }
    for name, (shape, dtype) in shapes.items():
        values = getattr(layout, name)
        assert (values.shape, values.dtype) == (shape, dtype), name
        assert np.isfinite(values).all(), name
    assert np.linalg.norm(layout.coordinates2, axis=1).max(initial=0) <= 1 + 1e-5


@pytest.mark.parametrize("count", [*range(FEWEST + 3), 40])
def test_any_number_of_vectors(count: int) -> None:
    sound(lay_out(blobs(count)[0]), count)


@pytest.mark.parametrize("count", [1, 2, 14, 15, 16, 60])
def test_identical_vectors_all_show(count: int) -> None:
    layout = lay_out(np.tile(blobs(1)[0], (count, 1)))
    sound(layout, count)
    if count >= FEWEST:
        assert len(np.unique(layout.coordinates2.round(4), axis=0)) == count
        assert len(np.unique(layout.coordinates3.round(4), axis=0)) == count


def test_two_distinct_vectors_many_times() -> None:
    vectors = np.repeat(blobs(2, groups=2)[0], 20, axis=0)
    layout = lay_out(vectors)
    sound(layout, 40)
    one, two = layout.coordinates2[:20].mean(axis=0), layout.coordinates2[20:].mean(axis=0)
    assert np.linalg.norm(one - two) > 0.5


def test_vectors_on_a_line() -> None:
    angle = np.linspace(0, 1, 30, dtype=np.float32)
    sound(lay_out(np.stack([np.cos(angle), np.sin(angle)], axis=1)), 30)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_random_vectors_never_crash(count: int, width: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sound(lay_out(vectors.astype(np.float32)), count)


def test_the_same_seed_gives_the_same_bytes() -> None:
    vectors, _ = blobs(80)
    one, two = lay_out(vectors, seed=3), lay_out(vectors.copy(), seed=3)
    for field in dataclasses.fields(Layout):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name
    assert not np.array_equal(one.coordinates2, lay_out(vectors, seed=4).coordinates2)


def test_groups_become_clusters() -> None:
    vectors, group = blobs(90)
    layout = lay_out(vectors)
    assert set(layout.clusters[layout.clusters >= 0]) == {0, 1, 2}
    for cluster in range(3):
        assert len(set(group[layout.clusters == cluster])) == 1
    assert (layout.clusters >= 0).mean() > 0.9


def test_clusters_are_numbered_by_size() -> None:
    vectors = np.concatenate([blobs(60, 1, seed=1)[0], blobs(20, 1, seed=2)[0], blobs(40, 1, seed=3)[0]])
    clusters = lay_out(vectors).clusters
    sizes = np.bincount(clusters[clusters >= 0])
    assert len(sizes) >= 3
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("bad", [np.zeros(5), np.full((3, 2), np.nan)])
def test_vectors_that_cannot_be_laid_out_are_named(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite vectors"):
        lay_out(bad)


class TestAPreviousMap:
    def test_old_points_stay_and_new_ones_join_their_group(self) -> None:
        vectors, group = blobs(60)
        old = lay_out(vectors[:45])
        ids = [f"p{i}" for i in range(60)]
        layout = lay_out(vectors, previous=align(ids, ids[:45], old.coordinates2, old.coordinates3))
        assert not layout.refitted
        assert np.array_equal(layout.coordinates2[:45], old.coordinates2)
        assert np.array_equal(layout.coordinates3[:45], old.coordinates3)
        for row in range(45, 60):
            nearest = np.linalg.norm(old.coordinates2 - layout.coordinates2[row], axis=1).argmin()
            assert group[nearest] == group[row]

    def test_a_mostly_new_label_is_fitted_anew(self) -> None:
        vectors, _ = blobs(60)
        old = lay_out(vectors[:29])
        ids = [str(i) for i in range(60)]
        layout = lay_out(vectors, previous=align(ids, ids[:29], old.coordinates2, old.coordinates3))
        assert layout.refitted
        assert np.array_equal(layout.coordinates2, lay_out(vectors).coordinates2)

    def test_removed_and_reordered_pictures(self) -> None:
        vectors, _ = blobs(50)
        old = lay_out(vectors)
        ids = [str(i) for i in range(50)]
        order = np.random.default_rng(0).permutation(50)[:30]
        placed = align([ids[i] for i in order], ids, old.coordinates2, old.coordinates3)
        assert np.array_equal(lay_out(vectors[order], previous=placed).coordinates2, old.coordinates2[order])

    def test_nothing_in_common(self) -> None:
        empty = Placed(np.full((20, 2), np.nan), np.full((20, 3), np.nan))
        assert lay_out(blobs(20)[0], previous=empty).refitted
        assert len(lay_out(blobs(0)[0], previous=Placed(np.empty((0, 2)), np.empty((0, 3)))).clusters) == 0

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.learning.sampler import batches


def take(n: int, classes: list[int], **options: object) -> list[list[int]]:
    feed = batches(np.array(classes), np.random.default_rng(0), **options)  # type: ignore[arg-type]
    return [batch.tolist() for batch in islice(feed, n)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40),
    st.integers(1, 64),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=20),
)
def test_any_classes_give_batches_of_distinct_rows(
    classes: list[int], size: int, per_class: int, pairs: list[tuple[int, int]]
) -> None:
    partners = np.array([p for p in pairs if max(p) < len(classes) and p[0] != p[1]], dtype=np.int64)
    for batch in take(3, classes, size=size, per_class=per_class, partners=partners.reshape(-1, 2)):
        assert 1 <= len(batch) <= size
        assert len(set(batch)) == len(batch)
        assert set(batch) <= set(range(len(classes)))


def test_classes_are_balanced_however_unequal() -> None:
    classes = [0] * 500 + [1] * 20 + [2] * 20
    for batch in take(5, classes, size=30, per_class=4):
        assert np.bincount(np.array(classes)[batch]).tolist() == [10, 10, 10]


def test_many_classes_give_per_class_rows_each() -> None:
    classes = np.repeat(np.arange(50), 10).tolist()
    for batch in take(5, classes, size=32, per_class=4):
        assert sorted(np.bincount(np.array(classes)[batch], minlength=50))[-8:] == [4] * 8


def test_two_labels_of_two_and_one_pictures_are_enough() -> None:
    assert sorted(take(1, [0, 0, 1], size=128)[0]) == [0, 1, 2]


def test_partners_come_along() -> None:
    classes = [0] * 100 + [1] * 100
    pairs = np.array([[i, i + 100] for i in range(100)])
    together = [
        sum((i + 100) in batch for batch in [set(b)] for i in batch if i < 100)
        for b in take(20, classes, size=16, partners=pairs)
    ]
    alone = [sum((i + 100) in set(b) for i in b if i < 100) for b in take(20, classes, size=16)]
    assert np.mean(together) > np.mean(alone) + 2


def test_no_rows_give_no_batches() -> None:
    assert take(1, []) == []

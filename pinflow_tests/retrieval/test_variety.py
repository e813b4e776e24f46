"""A first page that is not one thing many times, and yet what was asked for."""

import numpy as np
import pytest

from pinflow.retrieval.variety import diverse, interleaved


def near(*towards: int, seed: int = 0) -> np.ndarray:
    """A unit vector for each axis named, a little off it."""
    vectors = np.eye(8)[list(towards)] + 0.05 * np.random.default_rng(seed).standard_normal((len(towards), 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS = near(0, 0, 0, 0, 1, 1, 2)
SCORES = np.array([0.9, 0.89, 0.88, 0.87, 0.8, 0.79, 0.7], np.float32)


def test_the_best_comes_first_and_its_copies_later():
    order = diverse(SCORES, VECTORS, 0.7).tolist()
    assert order[0] == 0
    assert {order[1], order[2]} in ({4, 6}, {5, 6})  # one of each kind
    assert sorted(order) == list(range(7))


def test_without_weight_the_scores_decide_and_with_all_of_it_only_unlikeness():
    assert diverse(SCORES, VECTORS, 0).tolist() == list(range(7))
    assert {0, 4, 6} & set(diverse(SCORES, VECTORS, 1).tolist()[1:3])


@pytest.mark.parametrize("m", [0, 1])
def test_few_rows_stay_as_they_are(m):
    assert diverse(SCORES[:m], VECTORS[:m], 0.5).tolist() == list(range(m))


def test_equal_rows_and_scores_keep_their_order():
    assert diverse(np.ones(4, np.float32), np.repeat(VECTORS[:1], 4, 0), 0.7).tolist() == [0, 1, 2, 3]


def test_moods_take_turns_and_nothing_is_shown_twice():
    first = (np.array([0.9, 0.8, 0.7], np.float32), np.array([5, 1, 2]))
    second = (np.array([0.5, 0.4], np.float32), np.array([1, 7]))
    scores, rows = interleaved([first, second])
    assert rows.tolist() == [5, 1, 7, 2]
    np.testing.assert_allclose(scores, [0.9, 0.5, 0.4, 0.7])


def test_a_longer_look_begins_the_same():
    rng = np.random.default_rng(1)
    both = [(np.sort(rng.random(50))[::-1], rng.permutation(60)[:50]) for _ in range(3)]
    whole = interleaved(both)[1]
    part = interleaved([(scores[:20], rows[:20]) for scores, rows in both])[1]
    assert part[:20].tolist() == whole[:20].tolist()

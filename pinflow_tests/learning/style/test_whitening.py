"""The map from statistics to styles."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.learning.style.whitening import WIDTH, Whitening, fit_whitening

RNG = np.random.default_rng(0)
# Three hands, told apart by two quiet directions under loud ones that say nothing of a hand.
HAND = np.repeat(np.arange(3), 60)
QUIET = np.array([[0.1, 0], [0, 0.1], [-0.1, -0.1]])[HAND] + RNG.normal(size=(180, 2)) * 0.02
STATISTICS = np.concatenate([5 + RNG.normal(size=(180, 3)), QUIET], axis=1).astype(np.float32)


def same_hand(vectors: np.ndarray) -> float:
    near = vectors @ vectors.T
    np.fill_diagonal(near, -9)
    return float((HAND[near.argmax(axis=1)] == HAND).mean())


def test_quiet_directions_are_heard() -> None:
    unit = STATISTICS / np.linalg.norm(STATISTICS, axis=1, keepdims=True)
    assert same_hand(fit_whitening(STATISTICS).apply(STATISTICS)) > same_hand(unit) + 0.1


def test_styles_are_unit_vectors_of_at_most_so_many_numbers() -> None:
    wide = RNG.normal(size=(400, 600)).astype(np.float32)
    found = fit_whitening(wide)
    assert found.width == WIDTH
    np.testing.assert_allclose(np.linalg.norm(found.apply(wide), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_pictures_keep_their_distances(n: int) -> None:
    found = fit_whitening(STATISTICS[:n])
    vectors = found.apply(STATISTICS)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_pictures_that_are_all_alike_are_no_error() -> None:
    same = np.ones((9, 4), np.float32)
    assert np.isfinite(fit_whitening(same).apply(same)).all()


def test_it_is_kept_as_safetensors() -> None:
    fitted = fit_whitening(STATISTICS)
    again = Whitening.from_bytes(fitted.to_bytes())
    assert again.digest == fitted.digest
    np.testing.assert_array_equal(again.apply(STATISTICS), fitted.apply(STATISTICS))
    with pytest.raises(CorruptError, match="fit the encoder again"):
        Whitening.from_bytes(b"nothing")


def test_statistics_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 statistics, not 4"):
        fit_whitening(STATISTICS).apply(STATISTICS[:, :4])

"""The neighbour graph is exact, without self, best first."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.projecting import neighbours
from pinflow.projecting.neighbours import neighbour_graph


def unit(count: int, width: int = 24, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("chunk", [64 * 2**20, 2000])
def test_exact(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_CHUNK_BYTES", chunk)
    vectors = unit(100)
    indices, similarities = neighbour_graph(vectors, 7)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    assert np.array_equal(indices, np.argsort(-scores, axis=1)[:, :7])
    assert np.allclose(similarities, np.sort(scores, axis=1)[:, ::-1][:, :7], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_fewer_than_k_are_padded(count: int) -> None:
    indices, similarities = neighbour_graph(unit(count), 6)
    assert indices.shape == similarities.shape == (count, 6)
    for row in range(count):
        assert sorted(indices[row]) == sorted(
            [i for i in range(count) if i != row] + [-1] * (7 - max(1, count))
        )
        assert (similarities[row][indices[row] < 0] == 0).all()


def test_large_tables_go_through_an_inverted_file(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(400)
    exact, _ = neighbour_graph(vectors, 10)
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 100)
    found, similarities = neighbour_graph(vectors, 10)
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.9
    assert not (found == np.arange(400)[:, None]).any()
    assert (np.diff(similarities, axis=1) <= 1e-6).all()
    assert np.array_equal(found, neighbour_graph(vectors, 10)[0])

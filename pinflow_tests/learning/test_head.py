from __future__ import annotations

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.learning.head import IDENTITY, Head

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(7, 12)).astype(np.float32)
DIRECTIONS = np.linalg.qr(RNG.normal(size=(12, 3)))[0].T.astype(np.float32)
HEADS = {
    "identity": IDENTITY,
    "linear": Head("linear", {"weight": RNG.normal(size=(5, 12)).astype(np.float32)}),
    "affine": Head("affine", {"weight": RNG.normal(size=(5, 12)), "bias": RNG.normal(size=5)}),
    "residual": Head("residual", {"directions": DIRECTIONS, "gains": np.array([2, 1, 0.5], np.float32)}),
}


@pytest.mark.parametrize("kind", HEADS)
def test_vectors_come_out_as_float32_of_length_one(kind: str) -> None:
    out = HEADS[kind].apply(VECTORS)
    assert out.dtype == np.float32
    assert out.shape == (7, HEADS[kind].width(12))
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_bytes_bring_back_the_same_head(kind: str) -> None:
    again = Head.from_bytes(HEADS[kind].to_bytes())
    assert (again.kind, again.digest) == (HEADS[kind].kind, HEADS[kind].digest)
    assert again.to_bytes() == HEADS[kind].to_bytes()
    np.testing.assert_array_equal(again.apply(VECTORS), HEADS[kind].apply(VECTORS))


def test_digest_follows_the_weights() -> None:
    weight = HEADS["linear"].weights["weight"].copy()
    weight[0, 0] += 1e-3
    assert Head("linear", {"weight": weight}).digest != HEADS["linear"].digest
    assert len({head.digest for head in HEADS.values()}) == len(HEADS)


@pytest.mark.parametrize("data", [b"", b"junk", HEADS["linear"].to_bytes()[:-9], IDENTITY.to_bytes()[:20]])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="fit the encoder again"):
        Head.from_bytes(data)


def test_weights_of_another_kind_are_refused() -> None:
    odd = Head("residual", {"weight": HEADS["linear"].weights["weight"]}).to_bytes()
    with pytest.raises(CorruptError, match="residual"):
        Head.from_bytes(odd)


def test_residual_stretches_its_directions_and_nothing_else() -> None:
    head = HEADS["residual"]
    inside = DIRECTIONS[:1] * 3
    across = VECTORS[:1] - VECTORS[:1] @ DIRECTIONS.T @ DIRECTIONS
    np.testing.assert_allclose(head.apply(inside), IDENTITY.apply(inside), atol=1e-6)
    np.testing.assert_allclose(head.apply(across), IDENTITY.apply(across), atol=1e-6)
    both = head.apply(across + inside)
    raw = across + 3 * inside
    np.testing.assert_allclose(both, IDENTITY.apply(raw), atol=1e-6)


def test_softened_goes_from_the_frozen_space_to_the_head() -> None:
    head = HEADS["residual"]
    assert head.softened(1) is head
    np.testing.assert_allclose(head.softened(0).apply(VECTORS), IDENTITY.apply(VECTORS), atol=1e-6)
    assert 0 < head.softened(0.5).weights["gains"][0] < head.weights["gains"][0]


def test_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="another width"):
        HEADS["linear"].apply(VECTORS[:, :5])


def test_a_zero_vector_stays_zero() -> None:
    assert not IDENTITY.apply(np.zeros((1, 4), np.float32)).any()

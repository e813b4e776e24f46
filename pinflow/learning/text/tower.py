"""The text tower: from a sentence's vector to the pictures' space. Pure numpy.

Locked-image tuning (Zhai et al. 2022, "LiT", arXiv 2111.07991): the pictures' side stays as it is, so that
one index answers words and pictures; here the sentence encoder stays too, and only the small map between
them is learned. How it is fitted stands in `tune`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pinflow.errors import CorruptError

Floats = npt.NDArray[np.float32]

NAMES = ("skip", "first", "first_bias", "second", "basis", "mean")


@dataclass(frozen=True, eq=False)
class Tower:
    """`apply` maps sentence vectors to unit vectors of the pictures' space.

    basis' (skip t + second relu(first t + first_bias)): `skip` (k, t), `first` (h, t), `first_bias` (h,),
    `second` (k, h), `basis` (k, d) with orthonormal rows, `mean` (d,) of the training pictures.
    """

    weights: Mapping[str, Floats]

    @property
    def width(self) -> int:
        """Numbers in a vector that comes out."""
        return int(self.weights["basis"].shape[1])

    @property
    def digest(self) -> str:
        """sha256 of the weights."""
        digest = hashlib.sha256()
        for name in NAMES:
            digest.update(f"{name}:{self.weights[name].shape}".encode())
            digest.update(np.ascontiguousarray(self.weights[name]).data)
        return digest.hexdigest()

    def apply(self, sentences: Floats) -> Floats:
        """float32 (n, t) -> float32 (n, d), rows of length 1. Raises `ValueError` for another width."""
        w = self.weights
        if sentences.shape[1] != w["skip"].shape[1]:
            raise ValueError(f"fitted to {w['skip'].shape[1]} numbers a sentence, not {sentences.shape[1]}")
        inner = np.maximum(sentences @ w["first"].T + w["first_bias"], 0)
        out = (sentences @ w["skip"].T + inner @ w["second"].T) @ w["basis"]
        length = np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.asarray(out / length, dtype=np.float32)

    def likeness(self, sentence: Floats, pictures: Floats) -> Floats:
        """How well pictures (n, d) fit one sentence (d,) that went through `apply`: the cosine to what sets a
        picture apart from the average one."""
        found: Floats = (pictures @ sentence - self.weights["mean"] @ sentence).astype(np.float32)
        return found

    def to_bytes(self) -> bytes:
        """safetensors."""
        from safetensors.numpy import save

        data: bytes = save({name: np.ascontiguousarray(self.weights[name]) for name in NAMES})
        return data

    @staticmethod
    def from_bytes(data: bytes) -> Tower:
        """What `to_bytes` wrote. Raises `CorruptError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            stored = load(data)
        except SafetensorError as error:
            raise CorruptError(f"no text tower: {error}; fit the text encoder again") from error
        if set(stored) != set(NAMES):
            raise CorruptError(f"a text tower of {sorted(stored)}: fit the text encoder again")
        return Tower(stored)


class Shares(NamedTuple):
    """How much what is written counts beside what is seen, 0..1."""

    whole: float  # where some picture holds all the words
    partial: float  # where none does, and what is written is a guess


def relevance(likeness: Floats, among: Floats | None = None) -> Floats:
    """(n,) in 0..1: 1 for the best row, 0 for the average one and below. The scale that caption-text search
    has too, so that the two can be mixed (a convex combination of scores brought to a common range does
    better than mixing ranks: Bruch et al. 2023, arXiv 2210.11934). `among`: the rows (m,) that the best and
    the average are taken from; the given ones by default."""
    scale = likeness if among is None else among
    if not len(scale):
        return likeness
    middle, best = float(scale.mean()), float(scale.max())
    if best - middle < 1e-9:
        return np.zeros_like(likeness)
    return np.asarray(np.clip((likeness - middle) / (best - middle), 0, 1), dtype=np.float32)

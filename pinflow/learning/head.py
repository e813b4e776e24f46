"""Heads: the small map from trunk vectors to the space that is searched. Pure numpy.

Here belong applying, saving and naming a head. How one is fitted stands in `tune`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pinflow.errors import CorruptError
from pinflow.learning.stages import Reads

Kind = Literal["identity", "linear", "residual", "affine"]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Head:
    """`apply` maps trunk vectors to unit vectors.

    ========== ============================== =====================================================
    kind       weights                        the map, before L2 normalisation
    ========== ============================== =====================================================
    identity   none                           x: the frozen space
    linear     `weight` (d, w)                weight @ x
    residual   `directions` (k, w), `gains`   x, stretched by 1 + gains[i] along the orthonormal
               (k,)                           directions[i]: nothing that the trunk knew is lost
    affine     `weight` (d, w), `bias` (d,)   weight @ (x / |x|) + bias
    ========== ============================== =====================================================

    `reads`: whether x is the trunk's last vector alone, or its inner stages beside it (`stages.beside`).
    `trunk`: digest of the tuned trunk that x is of; empty for the collection's own.
    """

    kind: Kind = "identity"
    weights: dict[str, Array] = field(default_factory=dict)
    reads: Reads = "last"
    trunk: str = ""

    def __post_init__(self) -> None:
        # safetensors writes the memory of an array as it lies, whatever its strides say.
        tidy = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in self.weights.items()}
        object.__setattr__(self, "weights", tidy)

    @property
    def digest(self) -> str:
        """sha256 of the kind and the weights; `identity` for the frozen space."""
        if self.kind == "identity":
            return "identity"
        digest = hashlib.sha256(self.kind.encode() + (b"" if self.reads == "last" else b" of stages"))
        digest.update(self.trunk.encode())
        for name, array in sorted(self.weights.items()):
            digest.update(f"{name}:{array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()

    def fits(self, width: int) -> bool:
        """Whether the head takes trunk vectors of that width."""
        return all(array.shape[1] == width for array in self.weights.values() if array.ndim == 2)

    def width(self, trunk_width: int) -> int:
        """Numbers in a vector that comes out, given the numbers in one that goes in."""
        return len(self.weights["weight"]) if "weight" in self.weights else trunk_width

    def apply(self, vectors: Array) -> Array:
        """float32 (n, w) -> float32 (n, d), rows of length 1 (a zero vector stays zero)."""
        out: Array = np.asarray(vectors, dtype=np.float32)
        if not self.fits(out.shape[1]):
            raise ValueError(f"the head was fitted to another width than {out.shape[1]}")
        if self.kind == "linear":
            out = (out @ self.weights["weight"].T).astype(np.float32)
        elif self.kind == "residual":
            directions = self.weights["directions"]
            out = (out + (out @ directions.T * self.weights["gains"]) @ directions).astype(np.float32)
        elif self.kind == "affine":
            out = (_unit(out) @ self.weights["weight"].T + self.weights["bias"]).astype(np.float32)
        return _unit(out)

    def softened(self, strength: float) -> Head:
        """A residual head that goes only part of the way: 0 is the frozen space, 1 the head itself.

        What the directions add to a similarity is multiplied by `strength` squared.
        """
        if self.kind != "residual" or strength == 1:
            return self
        added = ((1 + self.weights["gains"]) ** 2 - 1) * strength**2
        weights = {"directions": self.weights["directions"], "gains": np.sqrt(1 + added) - 1}
        return replace(self, weights=weights)

    def to_bytes(self) -> bytes:
        """safetensors with the kind as JSON metadata."""
        from safetensors.numpy import save

        about = json.dumps({"kind": self.kind, "reads": self.reads, "trunk": self.trunk})
        data: bytes = save(dict(self.weights), metadata={"pinflow.head": about})
        return data

    @staticmethod
    def from_bytes(data: bytes) -> Head:
        """The head that `to_bytes` wrote. Raises `CorruptError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            weights = load(data)
            size = int.from_bytes(data[:8], "little")
            about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["pinflow.head"])
            kind, reads, trunk = about["kind"], about.get("reads", "last"), about.get("trunk", "")
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"not a head: {error}; fit the encoder again") from error
        expected = {
            "identity": set(),
            "linear": {"weight"},
            "residual": {"directions", "gains"},
            "affine": {"weight", "bias"},
        }
        if expected.get(kind) != set(weights) or reads not in ("last", "stages"):
            raise CorruptError(
                f"a head of kind {kind!r} with weights {sorted(weights)}: fit the encoder again"
            )
        return Head(kind, weights, reads, trunk)


def _unit(vectors: Array) -> Array:
    norm = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    unit: Array = (vectors / norm).astype(np.float32)
    return unit


IDENTITY = Head()

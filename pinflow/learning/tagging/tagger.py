"""The tagger as it is stored and served: a calibrated probe that knows when not to answer. Numpy alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pinflow.errors import CorruptError
from pinflow.learning.dataset import Floats
from pinflow.learning.tagging.calibrate import softmax
from pinflow.learning.tagging.probe import Doubles, Probe
from pinflow.learning.tagging.strangers import familiarity

Verdict = Literal["tagged", "unsure", "stranger"]
SHOWN = 5  # tags that are named at most, the given ones always


@dataclass(frozen=True)
class Tag:
    """A tag with its calibrated probability; `given` where that reaches the tag's own threshold."""

    tag: str
    probability: float
    given: bool


@dataclass(frozen=True)
class Tagging:
    """What the tagger says of one picture. A `stranger` is unlike everything it knows and an `unsure` one
    reaches no threshold: neither is given a tag."""

    verdict: Verdict
    familiarity: float  # cosine to the nearest tag's mean
    tags: tuple[Tag, ...]  # the likeliest first

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, strings and numbers."""
        tags = [{"tag": one.tag, "probability": one.probability, "given": one.given} for one in self.tags]
        return {"verdict": self.verdict, "familiarity": self.familiarity, "tags": tags}


@dataclass(frozen=True, eq=False)
class Tagger:
    """k tags on trunk vectors of width w."""

    tags: tuple[str, ...]
    probe: Probe
    means: Floats  # (k, w) unit
    thresholds: Floats  # (k,), inf for a tag that is never given
    temperature: float
    familiar_from: float  # a picture less familiar than this is a stranger
    precision: float  # that the thresholds aim at
    trunk: str  # digest of the trunk whose vectors it takes

    @property
    def digest(self) -> str:
        """sha256 of all that it is made of."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def probabilities(self, vectors: Floats) -> Doubles:
        """Trunk vectors (n, w), of any length -> calibrated probabilities (n, k)."""
        self._fits(vectors)
        return softmax(self.probe.logits(vectors), self.temperature)

    def tag(self, vectors: Floats) -> list[Tagging]:
        """What it says of each picture, from trunk vectors float32 (n, w)."""
        probabilities = self.probabilities(vectors)
        known = familiarity(vectors, self.means).max(axis=1)
        return [self._tagging(*one) for one in zip(probabilities, known.tolist(), strict=True)]

    def _tagging(self, probabilities: Doubles, known: float) -> Tagging:
        stranger = known < self.familiar_from
        given = (probabilities >= self.thresholds) & (not stranger)
        order = np.argsort(-probabilities, kind="stable")
        shown = [i for rank, i in enumerate(order.tolist()) if rank < SHOWN or given[i]]
        verdict: Verdict = "stranger" if stranger else "tagged" if given.any() else "unsure"
        tags = tuple(Tag(self.tags[i], float(probabilities[i]), bool(given[i])) for i in shown)
        return Tagging(verdict, known, tags)

    def _fits(self, vectors: Floats) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.means.shape[1]:
            raise ValueError(f"the tagger takes vectors (n, {self.means.shape[1]}), not {vectors.shape}")

    def to_bytes(self) -> bytes:
        """safetensors, with everything that is no array as JSON metadata."""
        from safetensors.numpy import save

        arrays = {"weight": self.probe.weight, "bias": self.probe.bias, "means": self.means}
        tidy = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
        thresholds = np.ascontiguousarray(self.thresholds, dtype=np.float32)
        about = {
            "tags": self.tags,
            "temperature": self.temperature,
            "familiar_from": self.familiar_from,
            "precision": self.precision,
            "trunk": self.trunk,
        }
        metadata = {"pinflow.tagger": json.dumps(about, sort_keys=True)}
        data: bytes = save({**tidy, "thresholds": thresholds}, metadata=metadata)
        return data

    @staticmethod
    def from_bytes(data: bytes) -> Tagger:
        """The tagger that `to_bytes` wrote. Raises `CorruptError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(data)
            size = int.from_bytes(data[:8], "little")
            about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["pinflow.tagger"])
            tagger = Tagger(
                tags=tuple(about["tags"]),
                probe=Probe(arrays["weight"], arrays["bias"]),
                means=arrays["means"],
                thresholds=arrays["thresholds"],
                temperature=float(about["temperature"]),
                familiar_from=float(about["familiar_from"]),
                precision=float(about["precision"]),
                trunk=str(about["trunk"]),
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"not a tagger: {error}; materialise `tagger` again") from error
        count = len(tagger.tags)
        if not (len(tagger.probe.weight) == len(tagger.probe.bias) == len(tagger.means) == count):
            raise CorruptError(f"a tagger of {count} tags with other weights: materialise `tagger` again")
        return tagger

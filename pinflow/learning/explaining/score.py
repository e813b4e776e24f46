"""What is explained: a number that depends on the trunk vector, as a function with gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pinflow.learning.dataset import Floats
from pinflow.learning.explaining.lens import Score
from pinflow.learning.head import Head
from pinflow.learning.tagging.tagger import Tagger

if TYPE_CHECKING:
    import torch


def tag_score(tagger: Tagger, tag: str) -> Score:
    """The calibrated log-odds of a tag: what speaks for it and not for the others. Raises `ValueError` for a
    tag that the tagger does not have."""
    import torch

    if tag not in tagger.tags:
        raise ValueError(f"no tag {tag!r}: the tagger has {', '.join(tagger.tags)}")
    place = tagger.tags.index(tag)
    weight, bias = torch.from_numpy(tagger.probe.weight), torch.from_numpy(tagger.probe.bias)
    others = [i for i in range(len(tagger.tags)) if i != place]

    def score(vectors: torch.Tensor) -> torch.Tensor:
        unit = torch.nn.functional.normalize(vectors, dim=1)
        logits = (unit @ weight.T + bias) / tagger.temperature
        return logits[:, place] - logits[:, others].logsumexp(dim=1)

    return score


def match_score(head: Head, vector: Floats) -> Score:
    """The cosine to a trunk vector (w,) in the head's space."""
    import torch

    target = torch.from_numpy(head.apply(vector[None])[0])
    matrix, shift = (torch.from_numpy(one) for one in affine_map(head, len(vector)))

    def score(vectors: torch.Tensor) -> torch.Tensor:
        mapped = torch.nn.functional.normalize(vectors, dim=1) @ matrix.T + shift
        return torch.nn.functional.normalize(mapped, dim=1) @ target

    return score


def affine_map(head: Head, width: int) -> tuple[Floats, Floats]:
    """The head before its last normalisation: matrix float32 (d, w) and shift (d,), to be applied to *unit*
    trunk vectors. Raises `ValueError` for a head that is no such map."""
    matrix = np.eye(width, dtype=np.float32)
    if head.kind in ("linear", "affine"):
        matrix = head.weights["weight"]
    elif head.kind == "residual":
        directions, gains = head.weights["directions"], head.weights["gains"]
        matrix = (matrix + (directions.T * gains) @ directions).astype(np.float32)
    elif head.kind != "identity":
        raise ValueError(f"a head of kind {head.kind!r} is no affine map")
    return matrix, head.weights.get("bias", np.zeros(len(matrix), dtype=np.float32))

"""LIME (Ribeiro et al. 2016, arXiv 1602.04938), by captum, on SLIC superpixels of scikit-image.

Superpixels are covered at random; a weighted ridge regression from what was left to the score is the
explanation. It is as good as its local R2, which is therefore reported with it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.lens import BATCH, Lens, Pixels, Score

if TYPE_CHECKING:
    import torch

SEGMENTS = 40
SAMPLES = 300  # forward passes: some 10 s on two cores; R2 hardly gains beyond seven a segment
KERNEL_WIDTH = 0.25  # as in the authors' code for pictures
ALPHA = 1.0  # of the ridge, likewise


def lime(
    lens: Lens,
    picture: bytes,
    score: Score,
    *,
    samples: int = SAMPLES,
    segments: int = SEGMENTS,
    seed: int = 0,
) -> Explanation:
    """Heat: the weight of the pixel's superpixel. Facts: seed, samples, superpixels, local R2.

    The same seed gives the same explanation. Covered superpixels take their own mean colour.
    """
    import torch
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime

    pixels = lens.square(picture)
    parts = superpixels(pixels, segments)
    inputs = lens.input(pixels[None])
    ridge = _Remembering(SkLearnRidge(alpha=ALPHA))
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        weights = Lime(
            lambda batch: score(lens.pool(lens.cells(batch))), ridge, similarity_func=_nearness
        ).attribute(
            inputs,
            baselines=lens.input(_flattened(pixels, parts)[None]),
            feature_mask=torch.from_numpy(parts)[None, None],
            n_samples=samples,
            perturbations_per_eval=BATCH,
        )
    facts = {
        "seed": seed,
        "samples": samples,
        "superpixels": int(parts.max()) + 1,
        "local_r2": ridge.local_r2,
    }
    value = float(lens.scores(inputs, score)[0])
    return Explanation("lime", value, weights[0, 0].numpy().astype(np.float32), facts)


def superpixels(pixels: Pixels, segments: int) -> npt.NDArray[np.int64]:
    """uint8 (s, s, 3) -> the superpixel of each pixel, (s, s), counted from 0 without gaps."""
    from skimage.segmentation import slic

    parts = slic(pixels, n_segments=segments, compactness=10, start_label=0)
    found: npt.NDArray[np.int64] = np.unique(parts, return_inverse=True)[1].reshape(parts.shape)
    return found.astype(np.int64)


def _flattened(pixels: Pixels, parts: npt.NDArray[np.int64]) -> Pixels:
    """Every superpixel in its mean colour."""
    sizes = np.bincount(parts.ravel())
    means = [np.bincount(parts.ravel(), pixels[..., c].ravel()) / sizes for c in range(3)]
    flat: Pixels = np.stack(means, axis=1).round().astype(np.uint8)[parts]
    return flat


def _nearness(_: Any, __: Any, left: torch.Tensor, **___: Any) -> float:
    """The weight of a sample by the cosine distance of which superpixels are left (1, k) to all of them."""
    share = float(left.float().mean())
    return math.exp(-((1 - math.sqrt(share)) ** 2) / KERNEL_WIDTH**2)


class _Remembering:
    """captum's interpretable model, which also measures how well it fits."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.local_r2 = float("nan")

    def fit(self, data: Any, **options: Any) -> Any:
        told = self._model.fit(data, **options)
        (left, scores, weights) = next(iter(data))
        predicted = self._model(left).reshape(-1)
        mean = (weights * scores).sum() / weights.sum()
        rest, total = ((weights * (scores - other) ** 2).sum() for other in (predicted, mean))
        self.local_r2 = float(1 - rest / total) if total > 0 else 1.0
        return told

    def representation(self) -> Any:
        return self._model.representation()

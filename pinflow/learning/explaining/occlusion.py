"""Occlusion (Zeiler & Fergus 2014, arXiv 1311.2901), by captum: how much the score drops where a patch is
covered. Slow and blunt, but it asks the network itself."""

from __future__ import annotations

import numpy as np

from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.lens import BATCH, Lens, Score

PATCHES = 6  # patches side by side; they overlap by half


def occlusion(lens: Lens, picture: bytes, score: Score, *, patches: int = PATCHES) -> Explanation:
    """Heat: mean drop of the score over the patches that cover a pixel. Patches are as white as the padding.
    Runs the network about (2 * patches)^2 times."""
    import torch
    from captum.attr import Occlusion

    inputs = lens.input(lens.square(picture)[None])
    side = -(-inputs.shape[2] // patches)
    cover = lens.input(np.full((1, 1, 1, 3), lens.preprocess.padding, dtype=np.uint8))
    with torch.inference_mode():
        found = Occlusion(lambda batch: score(lens.pool(lens.cells(batch)))).attribute(
            inputs,
            sliding_window_shapes=(3, side, side),
            strides=(3, side // 2, side // 2),
            baselines=cover.expand_as(inputs),
            perturbations_per_eval=BATCH,
        )
    value = float(lens.scores(inputs, score)[0])
    heat = found[0].mean(dim=0).numpy().astype(np.float32)
    return Explanation("occlusion", value, heat, {"patch": side, "stride": side // 2})

"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) on the last map of cells, by captum. One forward and
one backward pass: the cheapest explanation, as coarse as the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.lens import Lens, Score

if TYPE_CHECKING:
    import torch


def grad_cam(lens: Lens, picture: bytes, score: Score) -> Explanation:
    """Heat: what each cell adds to the score, to first order. Negative heat is kept: it speaks against."""
    import torch
    from captum.attr import LayerGradCam

    layer = torch.nn.Identity()

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        return score(lens.pool(layer(lens.cells(inputs))))

    inputs = lens.input(lens.square(picture)[None]).requires_grad_(True)
    cells = LayerGradCam(forward, layer).attribute(inputs).detach()
    heat = torch.nn.functional.interpolate(cells, inputs.shape[2:], mode="bilinear", align_corners=False)
    value = float(lens.scores(inputs.detach(), score)[0])
    return Explanation("grad-cam", value, heat[0, 0].numpy().astype(np.float32), {"cells": cells.shape[2]})

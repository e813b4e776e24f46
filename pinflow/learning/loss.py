"""The one place that knows pytorch-metric-learning (2.9; version 3 changes names and defaults)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class SupCon:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362).

    For few classes and many pictures of each. Takes unit vectors (n, d) and a symmetric bool mask
    (n, n) of which rows belong together; every other pair is a negative one. Rows without a positive
    are negatives only.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        from pytorch_metric_learning.losses import SupConLoss

        self._loss = SupConLoss(temperature=temperature)

    def __call__(self, vectors: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        import torch

        itself = torch.eye(len(vectors), dtype=torch.bool)
        anchor_p, positives = torch.nonzero(positive & ~itself, as_tuple=True)
        anchor_n, negatives = torch.nonzero(~positive & ~itself, as_tuple=True)
        loss: torch.Tensor = self._loss(vectors, indices_tuple=(anchor_p, positives, anchor_n, negatives))
        return loss

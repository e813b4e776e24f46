"""Layers of the fine-tuned contender. Imported only where torch is at work already."""

from __future__ import annotations

import torch

from pinflow.learning.tagging.probe import Probe


class FixedNorms(torch.nn.Module):
    """The model with its batch norms as they are: the statistics of a few pictures would spoil them."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def train(self, mode: bool = True) -> FixedNorms:
        super().train(mode)
        for module in self.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.model(inputs)
        return found


class UnitLinear(torch.nn.Module):
    """A probe as a layer: linear on vectors of length 1."""

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(probe.weight.copy()))
        # An unseen tag has bias -inf, of which there is no gradient.
        self.bias = torch.nn.Parameter(torch.from_numpy(probe.bias.copy()).clamp_min(-20))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(
            torch.nn.functional.normalize(vectors.flatten(1), dim=1), self.weight, self.bias
        )

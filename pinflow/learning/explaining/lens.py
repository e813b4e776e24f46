"""The network as explanations need it: opened at its last map of cells, with gradients.

A trunk in use may run in another engine, which has neither; so this is the same network once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pinflow.errors import TrunkError
from pinflow.learning.trunk import _decode
from pinflow.learning.weights import DEFAULT, Preprocess, load_model

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
Score = Callable[["torch.Tensor"], "torch.Tensor"]  # trunk vectors (n, w) -> (n,), with gradients
BATCH = 16  # pictures of 224 px fill a CPU's caches


@dataclass(frozen=True, eq=False)
class Lens:
    """Square uint8 pixels -> float32 input -> map of cells -> trunk vectors. On the CPU."""

    name: str
    model: torch.nn.Module
    preprocess: Preprocess

    def square(self, picture: bytes) -> Pixels:
        """An encoded picture as the network sees it, uint8 (s, s, 3). Raises `PictureError`."""
        return np.array(_decode(picture, 0, self.preprocess))

    def input(self, pixels: Pixels) -> torch.Tensor:
        """uint8 (n, s, s, 3) -> float32 (n, 3, s, s), normalised."""
        import torch

        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.preprocess.mean, self.preprocess.std))
        return ((batch - mean) / std).contiguous(memory_format=torch.channels_last)

    def cells(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 (n, 3, s, s) -> (n, w, h, h). Raises `TrunkError` for a network without such a map."""
        found: torch.Tensor = self.model.forward_features(inputs)  # type: ignore[operator]
        if found.ndim != 4 or found.shape[2] != found.shape[3]:
            raise TrunkError(
                f"{self.name} ends in no map of cells: explanations want a convolutional trunk, such as "
                f"{DEFAULT}"
            )
        return found

    def pool(self, cells: torch.Tensor) -> torch.Tensor:
        """(n, w, h, h) -> trunk vectors (n, w)."""
        pooled: torch.Tensor = self.model.forward_head(cells, pre_logits=True)  # type: ignore[operator]
        return pooled

    def scores(self, inputs: torch.Tensor, score: Score) -> torch.Tensor:
        """The score of each picture (n,), without gradients, in batches."""
        import torch

        with torch.inference_mode():
            return torch.cat([score(self.pool(self.cells(part))) for part in torch.split(inputs, BATCH)])


@lru_cache(maxsize=2)
def load_lens(name: str = DEFAULT) -> Lens:
    """The lens on that trunk. Raises `TrunkError` as `load_model` does."""
    model, preprocess = load_model(name)
    model.requires_grad_(False).eval()
    return Lens(name, model, preprocess)

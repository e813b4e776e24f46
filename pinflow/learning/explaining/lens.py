"""The network as explanations need it: opened at its last map of cells, with gradients.

A trunk in use may run in another engine, which has neither; so this is the same network once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pinflow.errors import TrunkError
from pinflow.learning.stages import LAST, STAGES, Reads, parts_of, watched
from pinflow.learning.trunk import to_square
from pinflow.learning.weights import DEFAULT, Preprocess, load_model

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
Score = Callable[["torch.Tensor"], "torch.Tensor"]  # trunk vectors (n, w) -> (n,), with gradients
BATCH = 16  # pictures of 224 px fill a CPU's caches


@dataclass(frozen=True, eq=False)
class Lens:
    """Square uint8 pixels -> float32 input -> map of cells -> vectors as a head that `reads` that is given
    them. On the CPU."""

    name: str
    model: torch.nn.Module
    preprocess: Preprocess
    reads: Reads = "last"

    def reading(self, reads: Reads) -> Lens:
        """The same network as such a head sees it."""
        return replace(self, reads=reads)

    def square(self, picture: bytes) -> Pixels:
        """An encoded picture as the network sees it, uint8 (s, s, 3). Raises `PictureError`."""
        return to_square(picture, self.preprocess).copy()  # torch wants to be allowed to write

    def input(self, pixels: Pixels) -> torch.Tensor:
        """uint8 (n, s, s, 3) -> float32 (n, 3, s, s), normalised."""
        import torch

        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.preprocess.mean, self.preprocess.std))
        return ((batch - mean) / std).contiguous(memory_format=torch.channels_last)

    def cells(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 (n, 3, s, s) -> (n, w, h, h). Raises `TrunkError` for a network without such a map.

        Maps of inner stages, if these are read, are brought to the last one's cells by area, so that their
        means stay what they were.
        """
        import torch

        features = getattr(self.model, "forward_features", None)  # timm's networks have one
        parts = parts_of(self.model)[-STAGES:] if self.reads == "stages" else []
        found, seen = watched(features, parts, inputs) if features else (None, [])
        if found is None or found.ndim != 4 or found.shape[2] != found.shape[3]:
            raise TrunkError(
                f"{self.name} ends in no map of cells: explanations want a convolutional trunk, such as "
                f"{DEFAULT}"
            )
        return torch.cat([found, *(by_area(one, found.shape[2]) for one in seen)], dim=1)

    def pool(self, cells: torch.Tensor) -> torch.Tensor:
        """(n, w, h, h) -> vectors (n, w)."""
        import torch

        if self.reads == "last":
            pooled: torch.Tensor = self.model.forward_head(cells, pre_logits=True)  # type: ignore[operator]
            return pooled
        last, *stages = torch.split(cells, self._widths(cells), dim=1)
        pooled = self.model.forward_head(last, pre_logits=True)  # type: ignore[operator]
        unit = torch.nn.functional.normalize
        return torch.cat(
            [LAST * unit(pooled, dim=1), *(unit(one.mean(dim=(2, 3)), dim=1) for one in stages)], dim=1
        )

    def in_vector(self, cells: torch.Tensor) -> torch.Tensor:
        """(n, w, h, h) -> the same, each part scaled so that the mean of the cells is the vector, where the
        network takes means."""
        import torch

        if self.reads == "last":
            return cells
        parts = torch.split(cells, self._widths(cells), dim=1)
        scaled = []
        for number, part in enumerate(parts):
            length = part.mean(dim=(2, 3), keepdim=True).norm(dim=1, keepdim=True).clamp_min(1e-12)
            scaled.append(part * (LAST if number == 0 else 1.0) / length)
        return torch.cat(scaled, dim=1)

    def _widths(self, cells: torch.Tensor) -> list[int]:
        """Numbers of the last map and of each stage's in a cell."""
        return [int(cells.shape[1]) - sum(self._inner), *self._inner]

    @cached_property
    def _inner(self) -> list[int]:
        import torch

        with torch.inference_mode():
            blank = torch.zeros((1, 3, self.preprocess.size, self.preprocess.size))
            _, seen = watched(self.model.forward_features, parts_of(self.model)[-STAGES:], blank)
        return [int(one.shape[1]) for one in seen]

    def scores(self, inputs: torch.Tensor, score: Score) -> torch.Tensor:
        """The score of each picture (n,), without gradients, in batches."""
        import torch

        with torch.inference_mode():
            return torch.cat([score(self.pool(self.cells(part))) for part in torch.split(inputs, BATCH)])


def by_area(maps: torch.Tensor, side: int) -> torch.Tensor:
    """(n, c, h, h) -> (n, c, side, side): what falls into each of the new cells, the mean being kept."""
    import torch

    if maps.shape[2] == side:
        return maps
    old, new = maps.shape[2], side
    edges = torch.arange(old, dtype=torch.float64) / old, torch.arange(new, dtype=torch.float64) / new
    first = torch.maximum(edges[0][None, :], edges[1][:, None])
    last = torch.minimum(edges[0][None, :] + 1 / old, edges[1][:, None] + 1 / new)
    share = ((last - first).clamp_min(0) * new).to(maps)  # (new, old), rows sum to 1
    return torch.einsum("ai,ncij,bj->ncab", share, maps, share)


@lru_cache(maxsize=2)
def load_lens(name: str = DEFAULT) -> Lens:
    """The lens on that trunk. Raises `TrunkError` as `load_model` does."""
    model, preprocess = load_model(name)
    model.requires_grad_(False).eval()
    return Lens(name, model, preprocess)


def tuned_lens(checkpoint: bytes) -> Lens:
    """The lens on a trunk that was tuned. Raises `CorruptError`."""
    from pinflow.learning.checkpoint import from_bytes

    found = from_bytes(checkpoint)
    return Lens(found.name, found.model.requires_grad_(False).eval(), found.preprocess)

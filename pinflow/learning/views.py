"""What a network is shown while it is tuned: pixels of many pictures, and views of them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pinflow.errors import PinflowError
from pinflow.learning.weights import Preprocess

if TYPE_CHECKING:
    import torch

    from pinflow.learning.full import Course

Pixels = npt.NDArray[np.uint8]
ROOM = 256 * 2**20  # bytes that stay free on the disk


def augmented(
    pixels: torch.Tensor, preprocess: Preprocess, course: Course, rng: torch.Generator
) -> torch.Tensor:
    """uint8 (n, s, s, 3) -> normalised float32 (n, 3, s, s): a part of each, perhaps mirrored, in another
    light. What leaves the picture is padding, as everywhere."""
    import torch

    n, device = len(pixels), pixels.device

    def drawn(low: float, high: float, *shape: int) -> torch.Tensor:
        return (low + (high - low) * torch.rand((n, *shape), generator=rng)).to(device)

    x = pixels.permute(0, 3, 1, 2).float() / 255
    scale, stretch = drawn(course.least, 1.0).sqrt(), drawn(-0.15, 0.15).exp()
    mirror = (drawn(0, 1) < 0.5).float() * -2 + 1
    wide, high = scale * stretch, scale / stretch
    move = torch.zeros((n, 2, 3), device=device)
    move[:, 0, 0], move[:, 1, 1] = wide * mirror, high
    move[:, 0, 2] = (1 - wide).clamp_min(0) * drawn(-1, 1)
    move[:, 1, 2] = (1 - high).clamp_min(0) * drawn(-1, 1)
    padding = torch.tensor(preprocess.padding, device=device).view(1, 3, 1, 1) / 255
    grid = torch.nn.functional.affine_grid(move, list(x.shape), align_corners=False)
    x = torch.nn.functional.grid_sample(x - padding, grid, align_corners=False) + padding
    gray = (x * torch.tensor([0.299, 0.587, 0.114], device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if preprocess.grayscale:
        x = gray.expand_as(x)
    else:
        colour = torch.where(
            drawn(0, 1, 1, 1, 1) < course.gray, torch.zeros(1, device=device), drawn(0.5, 1.5, 1, 1, 1)
        )
        tint = drawn(0.9, 1.1, 3, 1, 1)
        x = (gray + (x - gray) * colour) * tint
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = ((x - mean) * drawn(0.7, 1.3, 1, 1, 1) + mean) * drawn(0.8, 1.2, 1, 1, 1)
    centre, spread = (
        torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std)
    )
    return ((x.clamp(0, 1) - centre) / spread).contiguous(memory_format=torch.channels_last)


def pixel_cache(folder: Path, number: int, size: int) -> Pixels:
    """An array uint8 (number, size, size, 3) on the disk, to be filled: pixels of many pictures are more than
    memory holds. Gone with the process. Raises `PinflowError` where there is no room for it."""
    needed = number * size * size * 3
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed + ROOM > free:
        raise PinflowError(
            f"no room for the pixels of {number} pictures in {folder}: {needed / 1e6:.0f} MB are needed and "
            f"{free / 1e6:.0f} MB are free; make room, set PINFLOW_HOME to a larger disk, or use `tune: head`"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        # The file lives as long as it is mapped.
        return (
            np.memmap(file, np.uint8, "w+", shape=(number, size, size, 3))
            if number
            else np.zeros((0, size, size, 3), np.uint8)
        )

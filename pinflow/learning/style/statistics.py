"""Style statistics: what the early layers of a trunk see of a picture, whatever is where in it.

Of each of four early stages: mean and standard deviation of every channel (Huang & Belongie 2017, "AdaIN",
arXiv 1703.06868) and the Gram matrix (Gatys et al. 2016) of at most `RANK` random directions. Signed
square roots, since few channels would drown the others, and every stage counts the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pinflow.learning.trunk import Trunk, best_device
from pinflow.learning.weights import DEFAULT, Preprocess, load_model

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]

# Style is in strokes and colours, so small pictures show it: emoji by vendor 0.72 at 128 px, 0.70 at 96.
SIDE = 128  # px of the square that is looked at
STAGES = 4
RANK = 24  # directions of a stage that enter its Gram matrix


def load_style(name: str = DEFAULT, *, device: str | None = None, engines: Path | None = None) -> Trunk:
    """A trunk whose vectors are style statistics: the early stages of the one of that name, as it was before
    any tuning, so that a style stays what it was. One that does not show its stages is replaced by the
    default one. Raises `TrunkError` as `load_model` does."""
    device = device or best_device()
    try:
        return early(name, *load_model(name), device, engines)
    except ValueError:
        return early(DEFAULT, *load_model(DEFAULT), device, engines)


def early(
    name: str, model: torch.nn.Module, preprocess: Preprocess, device: str, engines: Path | None = None
) -> Trunk:
    """The early stages of that network. Raises `ValueError` where it does not show them."""
    module = _module(model)
    # A vision transformer may take pictures of its own size alone.
    for side in dict.fromkeys((SIDE, preprocess.size)):
        try:
            own = replace(preprocess, size=side, middle=True)
            return Trunk(f"{name} style", module, own, device, engines=engines)
        except (AssertionError, RuntimeError):
            continue
        except (AttributeError, TypeError):
            break
    raise ValueError(f"{name} does not show its stages")


def _module(model: torch.nn.Module) -> torch.nn.Module:
    import torch

    class Early(torch.nn.Module):
        """float32 (n, 3, side, side) -> statistics (n, width)."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen = self.model.forward_intermediates(  # type: ignore[operator]
                batch,
                indices=list(range(STAGES)),
                output_fmt="NCHW",
                intermediates_only=True,
                stop_early=True,
            )
            return torch.cat([statistics(stage) for stage in seen], dim=1)

    return Early()


def statistics(stage: torch.Tensor) -> torch.Tensor:
    """Activations (n, c, h, w) -> (n, 2c + r(r+1)/2), r = min(c, `RANK`), rows of length 1."""
    import torch

    channels = int(stage.shape[1])
    flat = stage.flatten(2)
    mean = flat.mean(dim=2)
    deviation = ((flat - mean[:, :, None]) ** 2).mean(dim=2).sqrt()
    directions = torch.from_numpy(_directions(channels)).to(flat)
    seen = directions.T @ flat
    gram = seen @ seen.transpose(1, 2) / flat.shape[2]
    rank = min(channels, RANK)
    rows, columns = np.triu_indices(rank)
    upper = torch.from_numpy(rows * rank + columns).to(flat.device)
    raw = torch.cat([mean, deviation, gram.flatten(1).index_select(1, upper)], dim=1)
    return torch.nn.functional.normalize(raw.sign() * raw.abs().sqrt(), dim=1)


def _directions(channels: int) -> Floats:
    """(c, r) orthonormal columns, the same for ever."""
    rank = min(channels, RANK)
    drawn = np.random.default_rng(channels).normal(size=(channels, rank))
    return np.linalg.qr(drawn)[0].astype(np.float32)

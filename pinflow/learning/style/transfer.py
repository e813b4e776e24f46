"""Style transfer: one picture redrawn in the manner of another.

Gatys, Ecker & Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks": the pixels are
changed until the Gram matrices of what a network sees are those of the style picture, while its deep
activations stay those of the content picture. Coarse first, then fine (Gatys et al. 2017, arXiv
1611.07865), so that strokes get as large as they are in the style picture, in less time.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import PictureError
from pinflow.progress import Progress, Quiet

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
Layers = Callable[["torch.Tensor"], Mapping[str, "torch.Tensor"]]  # RGB 0..1 (n, 3, h, w) -> activations


@dataclass(frozen=True)
class Recipe:
    """Every loss is relative to its target's own size, so the weights mean the same for any network."""

    size: int = 256  # px of the longest side of the result
    steps: tuple[int, ...] = (80, 60, 25)  # optimiser steps at size/4, size/2 and size
    content: tuple[str, ...] = ("4_1",)
    style: tuple[str, ...] = ("1_1", "2_1", "3_1", "4_1")
    strength: float = 5.0  # weight of the style beside the content's 1: at 10 flowers were lost
    smoothness: float = 0.3  # weight of the total variation: without it, edges get fringes of colour
    # Standard deviation of what is added to the content at the start, of 0..1: at 0.02 walls stayed bare.
    noise: float = 0.2


def transfer(
    content: bytes,
    style: bytes,
    see: Layers,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> bytes:
    """`content` redrawn in the manner of `style` (picture files) as PNG; the same bytes for the same seed.

    `see`: the network, usually `vgg.load_vgg()`. Raises `PictureError` for a picture that cannot be decoded.
    """
    import torch
    from PIL import Image

    recipe, progress = recipe or Recipe(), progress or Quiet()
    progress.start("style transfer", sum(recipe.steps))
    generator = torch.Generator().manual_seed(seed)
    pixels: torch.Tensor | None = None
    for scale, steps in enumerate(recipe.steps):
        size = recipe.size >> (len(recipe.steps) - 1 - scale)
        manner = _open(style, size)
        target = recoloured(_open(content, size), manner)
        if pixels is None:
            start = target + recipe.noise * torch.randn(target.shape, generator=generator)
        else:
            start = _resized(pixels, target.shape[-2:])
        pixels = _redraw(start, target, manner, see, recipe, steps, progress)
    assert pixels is not None
    array = (pixels[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def _redraw(
    start: torch.Tensor,
    content: torch.Tensor,
    style: torch.Tensor,
    see: Layers,
    recipe: Recipe,
    steps: int,
    progress: Progress,
) -> torch.Tensor:
    import torch

    with torch.no_grad():
        seen, manner = see(content), see(style)
        kept = {name: seen[name] for name in recipe.content}
        grams = {name: gram(manner[name]) for name in recipe.style}
    pixels = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([pixels], max_iter=1, history_size=10, line_search_fn=None)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        now = see(pixels)
        loss = smoothness(pixels) * recipe.smoothness
        for name, target in kept.items():
            loss = loss + relative(now[name], target) / len(kept)
        for name, target in grams.items():
            loss = loss + recipe.strength * relative(gram(now[name]), target) / len(grams)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    best = start
    for _ in range(steps):
        loss = optimiser.step(closure)  # type: ignore[no-untyped-call]
        if not torch.isfinite(torch.as_tensor(loss)) or not torch.isfinite(pixels).all():
            break  # without a line search a step may go astray: what was there before it stands
        with torch.no_grad():
            pixels.clamp_(0, 1)
            best = pixels.detach().clone()
        progress.advance()
    return best


def recoloured(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """`content` with the colours of `style` (RGB 0..1, (1, 3, h, w)): their mean and covariance (Gatys et al.
    2016, arXiv 1606.05897, section 3). Flat places, which no stroke would reach, have the right tone so."""
    import torch

    flat, target = content.flatten(2)[0].double(), style.flatten(2)[0].double()
    least = 1e-4 * torch.eye(3, dtype=torch.float64)  # a picture of one colour has no covariance
    ours, theirs = (torch.linalg.cholesky(torch.cov(one) + least) for one in (flat, target))
    moved = theirs @ torch.linalg.solve_triangular(ours, flat - flat.mean(1, keepdim=True), upper=False)
    found: torch.Tensor = (moved + target.mean(1, keepdim=True)).clamp(0, 1).float().view_as(content)
    return found


def gram(activations: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) -> (n, c, c): which channels fire together, wherever; the mean over places."""
    flat = activations.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def relative(found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared distance as a share of the target's squared length."""
    return (found - target).square().sum() / target.square().sum().clamp_min(1e-12)


def smoothness(pixels: torch.Tensor) -> torch.Tensor:
    """Total variation (n, 3, h, w): how much neighbouring pixels differ, on average."""
    down = (pixels[..., 1:, :] - pixels[..., :-1, :]).abs().mean()
    right = (pixels[..., 1:] - pixels[..., :-1]).abs().mean()
    return down + right


def _open(data: bytes, size: int) -> torch.Tensor:
    """A picture file as RGB 0..1 (1, 3, h, w), its longest side `size`, transparency on white."""
    import torch
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture: Any = Image.alpha_composite(
                Image.new("RGBA", opened.size, "white"), opened.convert("RGBA")
            )
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError("corrupt", f"no style can be taken from or given to it: {error}") from error
    scale = size / max(picture.size)
    width, height = (max(16, round(side * scale)) for side in picture.size)
    small = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float().contiguous() / 255


def _resized(pixels: torch.Tensor, shape: Any) -> torch.Tensor:
    from torch.nn import functional

    return functional.interpolate(pixels, size=tuple(shape), mode="bicubic", align_corners=False).clamp(0, 1)

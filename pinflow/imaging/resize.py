"""Making a picture smaller or larger, every pixel of the source counted: Lanczos unless a network wants
what it was trained with.

`cykooz_resizer` does what Pillow does with the processor's vector instructions, four times as fast and to
within a level of rounding. It has no wheel for Linux on ARM, where Pillow does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# By Pillow's names: the same kernel in `cykooz_resizer`.
_KERNELS = {"lanczos": "lanczos3", "bicubic": "catmull_rom", "bilinear": "bilinear", "hamming": "hamming"}
_GAP = 3.0  # times the wanted side, to which Pillow may take a box average first


def resized(picture: Image.Image, size: tuple[int, int], method: str = "lanczos") -> Image.Image:
    """An RGB picture at `size` (px), as a new picture; itself where it has that size already.

    `method`: one of Pillow's, by name; one that nobody here knows is bicubic, timm's own default.
    """
    from PIL import Image

    if picture.size == size:
        return picture
    method = method if method in _KERNELS else "bicubic"
    try:
        from cykooz_resizer import FilterType, ResizeAlg, ResizeOptions, Resizer
    except ImportError:
        return picture.resize(size, Image.Resampling[method.upper()], reducing_gap=_GAP)
    made = Image.new("RGB", size)
    kernel = getattr(FilterType, _KERNELS[method])
    Resizer().resize_pil(picture, made, ResizeOptions(ResizeAlg.convolution(kernel)))
    return made

"""What is made of one picture in one decode: derivative, perceptual hash, signature."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pinflow.errors import PictureError
from pinflow.imaging.decode import MIN_SIDE, decode_within
from pinflow.imaging.resize import resized

if TYPE_CHECKING:
    from PIL import Image

DERIVATIVE_SIDE = 256  # px, the longest
JPEG_QUALITY = 92  # with 4:4:4 chroma: what a trunk sees differs from the original by rounding only
SIGNATURE_SIDE = 16  # px
WORKERS = min(4, os.cpu_count() or 1)  # each holds one decoded picture; Pillow releases the GIL


@dataclass(frozen=True)
class Derived:
    """One picture's derivatives."""

    width: int  # px of the original, upright
    height: int
    phash: int  # 64 bits, unsigned
    signature: np.ndarray  # (768,) uint8, see `duplicates`
    jpeg: bytes  # longest side <= 256 px, never enlarged


def derive(data: bytes) -> Derived:
    """Everything made of the picture in `data`. Raises `PictureError` (see `decode`).

    A strip so narrow that its derivative has a side under `MIN_SIDE` is `too_small` too, so that
    every derivative can itself be decoded.
    """
    picture, (width, height) = decode_within(data, DERIVATIVE_SIDE)
    if min(picture.size) < MIN_SIDE:
        raise PictureError(
            "too_small", f"{width} x {height} px is only {min(picture.size)} px across when reduced"
        )
    return Derived(
        width,
        height,
        perceptual_hash(picture),
        signature(picture),
        _jpeg(picture),
    )


def perceptual_hash(picture: Image.Image) -> int:
    """64-bit pHash (DCT of 32 x 32 grey, lowest 8 x 8, against their median), as imagehash has it."""
    import imagehash

    bits = imagehash.phash(picture).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def signature(picture: Image.Image) -> np.ndarray:
    """(768,) uint8: the picture squeezed into 16 x 16 RGB."""
    return np.asarray(resized(picture, (SIGNATURE_SIDE, SIGNATURE_SIDE))).reshape(-1)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()

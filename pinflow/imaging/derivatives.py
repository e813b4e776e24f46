"""What is made of one picture in one decode: derivative, thumbnail, perceptual hash, signature."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pinflow.errors import PictureError
from pinflow.imaging.decode import MIN_SIDE, decode_sized

if TYPE_CHECKING:
    from PIL import Image

DERIVATIVE_SIDE = 256  # px, the longest
THUMBNAIL_SIDE = 256  # px, the longest
JPEG_QUALITY = 92  # with 4:4:4 chroma: what a trunk sees differs from the original by rounding only
WEBP_QUALITY = 80
SIGNATURE_SIDE = 16  # px


@dataclass(frozen=True)
class Derived:
    """One picture's derivatives."""

    width: int  # px of the original, upright
    height: int
    phash: int  # 64 bits, unsigned
    signature: np.ndarray  # (768,) uint8, see `duplicates`
    jpeg: bytes  # longest side <= 256 px, never enlarged
    webp: bytes  # longest side <= 256 px, never enlarged


def derive(data: bytes) -> Derived:
    """Everything made of the picture in `data`. Raises `PictureError` (see `decode`).

    A strip so narrow that its derivative has a side under `MIN_SIDE` is `too_small` too, so that
    every derivative can itself be decoded.
    """
    from PIL import Image

    # Twice the derivative's side leaves the low-pass filter below something to average over.
    picture, (width, height) = decode_sized(data, least=2 * DERIVATIVE_SIDE)
    picture.thumbnail((DERIVATIVE_SIDE, DERIVATIVE_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if min(picture.size) < MIN_SIDE:
        raise PictureError(
            "too_small", f"{width} x {height} px is only {min(picture.size)} px across when reduced"
        )
    small = picture.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return Derived(
        width,
        height,
        perceptual_hash(picture),
        signature(picture),
        _encoded(picture, "JPEG", quality=JPEG_QUALITY, subsampling=0),
        _encoded(small, "WEBP", quality=WEBP_QUALITY),
    )


def perceptual_hash(picture: Image.Image) -> int:
    """64-bit pHash (DCT of 32 x 32 grey, lowest 8 x 8, against their median), as imagehash has it."""
    import imagehash

    bits = imagehash.phash(picture).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def signature(picture: Image.Image) -> np.ndarray:
    """(768,) uint8: the picture squeezed into 16 x 16 RGB."""
    from PIL import Image

    tiny = picture.resize((SIGNATURE_SIDE, SIGNATURE_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(tiny).reshape(-1)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()

"""The one place where a picture is decoded.

Bytes from anywhere become an upright sRGB picture without metadata, or a `PictureError` whose reason
is one of `schema.REJECT_REASONS`. Nothing else in pinflow opens a picture that came from outside.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pinflow.errors import PictureError
from pinflow.imaging.resize import resized

if TYPE_CHECKING:
    from PIL import Image

# Above today's 48-megapixel telephones, a quarter of what Pillow itself would still decode:
# two workers then hold 300 MB of pixels at worst.
MAX_PIXELS = 50_000_000
MIN_SIDE = 32  # px, the shorter side: below it there is nothing to recognise

# What browsers show, and TIFF. Never EPS (runs Ghostscript), nor the formats nobody serves.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "JPEG2000")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")

_SPARE = 1.5  # times the wanted side: below it, a scaled JPEG shows in what Lanczos makes of it
_ORIENTATION = 0x0112  # EXIF tag
# ICC colour space -> the mode its transform takes, and the modes it can belong to.
_SPACES = {"RGB": ("RGB", ("RGB", "L")), "GRAY": ("L", ("L",)), "CMYK": ("CMYK", ("CMYK",))}


def decode(data: bytes, *, least: int | None = None, min_side: int = MIN_SIDE) -> Image.Image:
    """The picture in `data`: mode RGB, sRGB, upright, first frame, alpha over white, no metadata.

    With `least` (px) a JPEG whose sides are both at least twice that is decoded at 1/2, 1/4 or 1/8
    (its DCT blocks allow it), with both sides still >= `least`: much faster where only a small
    derivative is wanted. `min_side` (px) is lower only where our own thumbnails are read back.

    An embedded ICC profile is honoured; an unreadable one counts as sRGB, as in browsers.
    Raises `PictureError`: not_a_picture, truncated, corrupt, too_small (a side under `min_side`),
    bomb (over `MAX_PIXELS`; the last two are read from the header, before any pixel).
    """
    image = _open(data, min_side)
    with _reasons(data):
        if least:
            image.draft(None, (least, least))
        image.load()
        upright = _upright(_srgb(image), _orientation(image))
    return _plain(upright, image)


def decode_within(data: bytes, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """`decode`, reduced so that no side is over `side` px (never enlarged), and the original's upright size.

    A JPEG is decoded at the scale that leaves the reduction half as many pixels again as it will make: what
    comes out differs from a reduction of the whole picture by rounding only, at a third of the work.
    """
    image = _open(data, MIN_SIDE)
    width, height = image.size
    with _reasons(data):
        inner = _within(image.size, side)
        image.draft(None, tuple(math.ceil(_SPARE * pixels) for pixels in inner))
        image.load()
        picture, orientation = _srgb(image), _orientation(image)
    upright = _upright(resized(picture, inner), orientation)
    return _plain(upright, image), ((height, width) if orientation >= 5 else (width, height))


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _plain(picture: Image.Image, source: Image.Image) -> Image.Image:
    """`picture` without metadata; one of its own where nothing was done to the `source` file."""
    if picture is source:
        picture = source.copy()
    picture.info = {}
    return picture


@contextmanager
def _reasons(data: bytes) -> Iterator[None]:
    """Whatever a decoder fed hostile bytes raises, as a `PictureError`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise _failure(data, error) from error


def _open(data: bytes, min_side: int) -> Any:
    """The picture with only its header read, within our limits."""
    from PIL import Image

    if not data:
        raise PictureError("not_a_picture", "no bytes at all")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("bomb", str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # as above
        if data.startswith(_MAGIC) or data[4:8] == b"ftyp":
            raise _failure(data, error) from error
        raise PictureError("not_a_picture", f"starts with {data[:12]!r}") from error
    if width * height > MAX_PIXELS:
        raise PictureError("bomb", f"{width} x {height} px; at most {MAX_PIXELS / 1e6:.0f} megapixels")
    if min(width, height) < min_side:
        raise PictureError("too_small", f"{width} x {height} px; a side needs {min_side}")
    return image


def _failure(data: bytes, error: Exception) -> PictureError:
    reason = "truncated" if _cut_short(data) or "truncated" in str(error).lower() else "corrupt"
    return PictureError(reason, f"{type(error).__name__}: {error}"[:200])


def _cut_short(data: bytes) -> bool:
    """Whether the file ends before its own end mark or announced length."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data[-1024:]  # cameras pad after the end mark
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-1024:]
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0").endswith(b";")
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data[4:8] == b"ftyp":
        return _boxes_end(data) > len(data)
    return False


def _boxes_end(data: bytes) -> int:
    """Where the last top-level ISO media box (AVIF) says that it ends."""
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length < 8:  # 0: to the end of the file; 1: 64-bit length, which no small picture has
            return len(data)
        position += length
    return position


def _orientation(image: Any) -> int:
    """EXIF orientation 1..8."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 a broken EXIF block says nothing about the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _upright(image: Any, orientation: int) -> Any:
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)


def _srgb(image: Any) -> Any:
    """Mode RGB in sRGB, transparency over white."""
    from PIL import Image

    profile = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "La")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("L" if grey else "RGB")
    elif image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")  # 1, P, YCbCr, LAB, HSV
    image = _through_profile(image, profile) if profile else image
    if image.mode != "RGB":
        image = image.convert("RGB")
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _eight_bit(image: Any) -> Any:
    """Grey of 16 or 32 bits or floats as 8-bit grey; Pillow alone would clip at 255."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = 65535.0 if image.mode.startswith("I;16") else max(float(values.max()), 0.0)
    white = next((full for full in (1.0, 255.0, 65535.0) if top <= full), top)
    if image.mode.startswith("I") and white == 1.0:
        white = 255.0
    return Image.fromarray(np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8))


def _through_profile(image: Any, profile: bytes) -> Any:
    """`image` from its ICC profile's space to sRGB; unchanged where the profile does not fit it."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if (source.profile.profile_description or "").startswith("sRGB"):
            return image
        space = source.profile.xcolor_space.strip()
        mode, fitting = _SPACES.get(space, ("", ()))
        if image.mode not in fitting:
            return image
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image.convert(mode), source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image

"""Explanations as pictures: heat over what the network saw, and two pictures with what joins them. PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from pinflow.learning.dataset import Floats
from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.lens import Lens, Pixels
from pinflow.learning.explaining.match import Match

if TYPE_CHECKING:
    from PIL import Image

WARM, COLD = (214, 69, 31), (44, 92, 178)  # speaks for, speaks against
OPACITY = 0.7
LINE = (255, 200, 40)
GAP = 12  # px between two pictures
SHOWN = 320  # px, side of a drawn picture


def draw(lens: Lens, picture: bytes, explanation: Explanation) -> bytes:
    """The picture with its heat, cropped to the picture itself."""
    pixels = lens.square(picture)
    return _png(_sized(_crop(heated(pixels, explanation.heat), picture)))


def draw_match(lens: Lens, first: bytes, second: bytes, match: Match) -> bytes:
    """Both pictures with the heat of their match; lines join the cells that add most, thicker for more."""
    from PIL import Image, ImageDraw

    sides = [
        heated(lens.square(one), heat.heat).resize((SHOWN, SHOWN))
        for one, heat in zip((first, second), match.heats, strict=True)
    ]
    both = Image.new("RGB", (2 * SHOWN + GAP, SHOWN), "white")
    for place, side in zip((0, SHOWN + GAP), sides, strict=True):
        both.paste(side, (place, 0))
    pen, cell = ImageDraw.Draw(both), SHOWN / len(match.parts)
    pairs = match.pairs()
    for (row, column), (other_row, other_column), value in reversed(pairs):
        start = ((column + 0.5) * cell, (row + 0.5) * cell)
        end = (SHOWN + GAP + (other_column + 0.5) * cell, (other_row + 0.5) * cell)
        pen.line([start, end], fill=LINE, width=max(1, round(5 * value / pairs[0][2])))
        for x, y in (start, end):
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], outline=LINE, width=2)
    return _png(both)


def heated(pixels: Pixels, heat: Floats) -> Image.Image:
    """uint8 (s, s, 3) under heat (s, s): warm where it speaks for the score, cold where against."""
    from PIL import Image

    most = float(np.abs(heat).max()) or 1.0
    strength = np.abs(heat / most)[..., None] * OPACITY
    colour = np.where(heat[..., None] >= 0, np.array(WARM), np.array(COLD))
    grey = pixels.mean(axis=2, keepdims=True) * 0.6 + pixels * 0.4  # so that the heat stands out
    return Image.fromarray((grey * (1 - strength) + colour * strength).round().astype(np.uint8))


def _crop(square: Image.Image, picture: bytes) -> Image.Image:
    """Without the padding around the picture."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(picture)) as opened:
        upright = ImageOps.exif_transpose(opened).size
    size = square.width
    scale = size / max(upright)
    width, height = (max(1, round(side * scale)) for side in upright)
    left, top = (size - width) // 2, (size - height) // 2
    return square.crop((left, top, left + width, top + height))


def _sized(picture: Image.Image) -> Image.Image:
    scale = SHOWN / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()

"""Colours for labels: evenly spaced hues of equal perceived lightness."""

from __future__ import annotations

import math
from collections.abc import Sequence

Colour = tuple[int, int, int]  # sRGB, 0..255

PAPER: Colour = (251, 250, 247)
INK = (0.47, 0.115)  # lightness and chroma of a name
DOT = (0.70, 0.135)  # of a point
WASH = (0.945, 0.042)  # of the ground under pictures


def colours(labels: Sequence[str], tone: tuple[float, float]) -> dict[str, Colour]:
    """A colour for each different label; grey for "", which means none.

    Labels that follow one another in the alphabet are far apart in hue.
    """
    known = sorted({label for label in labels if label})
    stride = next((s for s in (5, 3, 7, 2) if len(known) > s + 1 and math.gcd(s, len(known)) == 1), 1)
    found = {
        label: oklch(*tone, (25 + 360 * (i * stride % len(known)) / len(known)))
        for i, label in enumerate(known)
    }
    return found | {"": oklch(tone[0], 0.0, 0.0)}


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB of an OKLCH colour (Ottosson 2020), `hue` in degrees, clipped to what a screen can show."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _screen(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _screen(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _screen(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _screen(linear: float) -> int:
    linear = min(1.0, max(0.0, linear))
    curved = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * curved)

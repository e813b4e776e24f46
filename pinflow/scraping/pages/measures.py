"""Technique and size, which catalogues write in one cell: "Oil on canvas, 68 x 95 cm"."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CM = {"mm": 0.1, "cm": 1.0, "m": 100.0}
_NUMBER = r"\d{1,5}(?:[.,]\d{1,2})?"
_UNIT = r"(?:mm|cm|m)\b"
_NAMES = r"height|width|length|depth|diameter"
_SIDES = re.compile(
    rf"(?<![\d.,])({_NUMBER})\s?(?:{_UNIT})?\s?[x×]\s?({_NUMBER})\s?"
    rf"(?:(?:{_UNIT})?\s?[x×]\s?({_NUMBER})\s?)?({_UNIT})",
    re.IGNORECASE | re.ASCII,
)
_NAMED = re.compile(
    rf"\b({_NAMES})\b:?\s?(?:c\.?|ca\.?|about)?\s?({_NUMBER})\s?({_UNIT})", re.IGNORECASE | re.ASCII
)
_LONE = re.compile(rf"(?<![\d.,])({_NUMBER})\s?({_UNIT})", re.IGNORECASE | re.ASCII)
# Words between the last comma and the number that speak of the size, not of the technique.
_OF_SIZE = re.compile(
    rf"\b(?:{_NAMES}|each|overall|total|whole|panel|wing|panels|wings|about|ca?|framed|size|diam)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Technique:
    """What it is made of, the size as it is written, and what of it is understood, in centimetres."""

    material: str | None
    size: str | None
    height: float | None = None
    width: float | None = None
    depth: float | None = None
    diameter: float | None = None


def parse_technique(text: str) -> Technique:
    """The cell taken apart. Two sides are height x width, as the catalogues have it; never raises."""
    spaced = " ".join(text.split())
    sides = _SIDES.search(spaced)
    named = list(_NAMED.finditer(spaced))
    starts = [found.start() for found in (sides, *named, _LONE.search(spaced)) if found]
    if not starts:
        return Technique(spaced or None, None)
    cut = _cut(spaced, min(starts))
    found: dict[str, float] = {}
    if sides:
        *lengths, unit = sides.groups()
        found = {
            name: _cm(n, unit) for name, n in zip(("height", "width", "depth"), lengths, strict=True) if n
        }
    for name, number, unit in (match.groups() for match in named):
        # A thing that lies has a length where others have a width.
        found.setdefault({"length": "width"}.get(name.lower(), name.lower()), _cm(number, unit))
    known = {name: length for name, length in found.items() if length > 0}
    return Technique(spaced[:cut].rstrip(" ,;:(") or None, spaced[cut:].strip(" ,;") or None, **known)


def _cut(text: str, start: int) -> int:
    comma = text.rfind(",", 0, start)
    return comma + 1 if comma >= 0 and _OF_SIZE.search(text, comma, start) else start


def _cm(number: str, unit: str) -> float:
    return round(float(number.replace(",", ".")) * _CM[unit.lower()], 3)

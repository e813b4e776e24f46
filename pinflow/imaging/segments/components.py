"""From a mask of what stands out to segments: tidied, and split where it falls apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pinflow.imaging.segments.segment import Mask, Segment

LEAST_AREA = 0.01  # share of the picture; what is smaller is a speck
MOST = 8  # segments of a picture
CLOSE = 0.01  # share of the longer side: gaps up to it do not separate
_WHOLE = 0.98  # a mask of so much of the picture has found nothing


def split(mask: Mask, strength: npt.NDArray[np.float64], name: str | None = None) -> list[Segment]:
    """The connected parts of `mask` (h, w), largest first, each as sure as `strength` (h, w), 0..1, is within
    it on average. Holes are filled."""
    from scipy import ndimage

    size = max(1, round(CLOSE * max(mask.shape)))
    # Padded, for closing eats what touches the edge.
    grown = ndimage.binary_closing(np.pad(mask, size), _disk(size))[size:-size, size:-size]
    filled = ndimage.binary_fill_holes(ndimage.binary_opening(grown, _disk(max(1, size // 2))))
    parts, count = ndimage.label(filled)
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    found = []
    for number in np.argsort(-areas, kind="stable")[:MOST].tolist():
        share = areas[number] / mask.size
        if LEAST_AREA <= share <= _WHOLE:
            part = parts == number + 1
            found.append(Segment.of(part, float(np.clip(strength[part].mean(), 0, 1)), name))
    return found


def _disk(radius: int) -> Mask:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    found: Mask = x * x + y * y <= radius * radius
    return found

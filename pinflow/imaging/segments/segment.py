"""What a segment is, and what finds one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # (h, w, 3) sRGB
Mask = npt.NDArray[np.bool_]  # (h, w)


class Box(NamedTuple):
    """Pixels: left, top, width, height, of an upright picture."""

    left: int
    top: int
    width: int
    height: int

    def within(self, width: int, height: int) -> Box:
        """The part of it that lies in a picture of that size; width or height 0 where none does."""
        left, top = min(max(self.left, 0), width), min(max(self.top, 0), height)
        right = min(max(self.left + self.width, left), width)
        bottom = min(max(self.top + self.height, top), height)
        return Box(left, top, right - left, bottom - top)

    def scaled(self, by: float) -> Box:
        """In a picture `by` times as large, rounded outwards."""
        left, top = int(np.floor(self.left * by)), int(np.floor(self.top * by))
        right = int(np.ceil((self.left + self.width) * by))
        bottom = int(np.ceil((self.top + self.height) * by))
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, eq=False)
class Segment:
    """A thing in a picture. `mask` is of the whole picture; `score` 0..1, how sure the segmenter is;
    `name`: what it is, where the segmenter knows."""

    mask: Mask
    box: Box
    score: float
    name: str | None = None

    @classmethod
    def of(cls, mask: Mask, score: float, name: str | None = None) -> Segment:
        """With the box that just holds the mask, which must not be empty."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        return cls(mask, Box(left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1), score, name)


class Segmenter(Protocol):
    """Finds things by itself."""

    name: str

    def segments(self, picture: Pixels) -> Sequence[Segment]:
        """Those of a picture (h, w, 3), largest first; [] where nothing stands out."""

"""Cutting a thing out of a box that a person, or another segmenter, drew around it.

GrabCut (Rother et al. 2004) by OpenCV: what lies outside the box is background for sure, what lies inside
is decided by the colours of both and by where the edges are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pinflow.imaging.segments.components import split
from pinflow.imaging.segments.saliency import Saliency
from pinflow.imaging.segments.segment import Box, Mask, Pixels, Segment

ROUNDS = 4
# A cut that leaves less of the box than this has lost the thing, and the box itself is the better answer.
LEAST_LEFT = 0.1
MARGIN = 0.03  # of the box, around it, where what saliency found may have been cut short
FULL = 0.97  # a box of so much of the picture leaves no background to learn from


def cut(picture: Pixels, box: Box, likely: Mask | None = None) -> Segment:
    """What the box in a picture (h, w, 3) is drawn around. `likely` (h, w): a first guess.

    Where no cut can be made (no background is left outside, or nothing of the box would remain) the whole
    box is the segment. The box must lie in the picture and not be empty.
    """
    import cv2

    height, width = picture.shape[:2]
    whole = np.zeros((height, width), np.bool_)
    whole[box.top : box.top + box.height, box.left : box.left + box.width] = True
    plain = Segment(whole, box, 0.5)
    if box.width * box.height > FULL * width * height and likely is None:
        box = Box(1, 1, width - 2, height - 2)
    state = np.full((height, width), cv2.GC_BGD, np.uint8)
    state[box.top : box.top + box.height, box.left : box.left + box.width] = cv2.GC_PR_FGD
    if likely is not None:
        state[whole & ~likely] = cv2.GC_PR_BGD
    if not (state == cv2.GC_PR_FGD).any() or not (state != cv2.GC_PR_FGD).any():
        return plain
    back, front = np.zeros((1, 65)), np.zeros((1, 65))  # five Gaussians each
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            picture[:, :, ::-1].copy(), state, (0, 0, 1, 1), back, front, ROUNDS, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error:  # too few pixels of either kind to model
        return plain
    mask = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    if mask.sum() < LEAST_LEFT * box.width * box.height:
        return plain
    return Segment(mask, Segment.of(mask, 1.0).box, 1.0)


class GrabCut:
    """Saliency says where things are, GrabCut where exactly they end."""

    name = "grabcut"

    def __init__(self) -> None:
        self._first = Saliency()

    def segments(self, picture: Pixels) -> Sequence[Segment]:
        """Those of a picture (h, w, 3), largest first."""
        strength = np.zeros(picture.shape[:2])
        for one in self._first.segments(picture):
            grown = _grown(one.box, picture.shape[1], picture.shape[0])
            mask = cut(picture, grown, one.mask).mask
            strength[mask] = np.maximum(strength[mask], one.score)
        # Cut exactly, what saliency took for one thing often falls apart into several.
        return split(strength > 0, strength)


def _grown(box: Box, width: int, height: int) -> Box:
    aside, above = round(MARGIN * box.width) + 2, round(MARGIN * box.height) + 2
    return Box(box.left - aside, box.top - above, box.width + 2 * aside, box.height + 2 * above).within(
        width, height
    )

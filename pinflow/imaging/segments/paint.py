"""A segment as a picture of its own: cut out with a little room around it, the background painted white."""

from __future__ import annotations

import numpy as np

from pinflow.imaging.segments.segment import Pixels, Segment

MARGIN = 0.05  # of the longer side, around the segment
SOFT = 1.0  # px, the standard deviation of the edge: a jagged one would look like texture to a network
WHITE = 255.0


def cut_out(picture: Pixels, segment: Segment, *, white: bool = True) -> Pixels:
    """(h, w, 3): the segment's part of the picture (H, W, 3), with its own background or on white."""
    height, width = picture.shape[:2]
    room = round(MARGIN * max(segment.box.width, segment.box.height)) + 1
    left, top = max(0, segment.box.left - room), max(0, segment.box.top - room)
    right = min(width, segment.box.left + segment.box.width + room)
    bottom = min(height, segment.box.top + segment.box.height + room)
    part = picture[top:bottom, left:right]
    if not white:
        return part.copy()
    from scipy.ndimage import gaussian_filter

    cover = gaussian_filter(segment.mask[top:bottom, left:right].astype(np.float32), SOFT)[:, :, None]
    painted = part * cover + WHITE * (1 - cover)
    return np.asarray(np.round(painted), np.uint8)

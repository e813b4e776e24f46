"""What stands out from the background, without any weights.

The background is what the border of the picture is made of. Superpixels (SLIC, Achanta et al. 2012) are as
salient as they are costly to reach from the border by small steps of colour in Lab: the geodesic saliency of
Wei et al. 2012, "Geodesic Saliency Using Background Priors". A thing that differs from what is around it
stands out wherever it lies; a background that slowly changes its colour does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pinflow.imaging.segments.components import split
from pinflow.imaging.segments.segment import Pixels, Segment

SUPERPIXELS = 400
COMPACTNESS = 10.0
# Steps between alike neighbours cost nothing, so that a large smooth background stays one (Wei et al., 3.2).
SMALL_STEP = 3.0  # in Lab, about what a person just notices
# A border piece is background if this share of the border is as good as of its colour.
RARE = 0.15
ALIKE = 15.0  # in Lab
LEAST = 0.35  # of what stands out most; in contrast, an eighth of it
# The picture shows nothing that stands out where even the best does not by this.
LEAST_CONTRAST = 6.0  # in Lab


class Saliency:
    """Fast enough for every request: some 0.1 s for a picture of 320 px."""

    name = "saliency"

    def segments(self, picture: Pixels) -> Sequence[Segment]:
        """Those of a picture (h, w, 3), largest first."""
        strength = saliency(picture)
        if not strength.any():
            return []
        from skimage.filters import threshold_otsu

        # Where a gap lies between two classes Otsu's threshold may stand at its very beginning.
        threshold = max(float(threshold_otsu(strength)), LEAST)  # type: ignore[no-untyped-call]
        return split(strength > threshold, strength)


def saliency(picture: Pixels) -> npt.NDArray[np.float64]:
    """(h, w) in 0..1; all 0 where nothing stands out."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra
    from skimage.color import rgb2lab
    from skimage.segmentation import slic

    lab = rgb2lab(picture)
    parts = slic(picture, SUPERPIXELS, COMPACTNESS, start_label=0, channel_axis=2)
    count = int(parts.max()) + 1
    sizes = np.bincount(parts.ravel(), minlength=count)
    sums = np.stack([np.bincount(parts.ravel(), lab[:, :, c].ravel(), count) for c in range(3)], axis=1)
    means = sums / np.maximum(sizes, 1)[:, None]
    pairs = np.unique(np.concatenate([_beside(parts, 0), _beside(parts, 1)]), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    border = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    # What much of the border is made of is background; the rest of it is a thing that is cut off there.
    apart = np.linalg.norm(means[border][:, None] - means[border], axis=2)
    rare = (apart < ALIKE).mean(axis=1) < RARE
    entry = np.where(rare, np.median(apart, axis=1), 0.0)
    steps = np.maximum(np.linalg.norm(means[pairs[:, 0]] - means[pairs[:, 1]], axis=1) - SMALL_STEP, 0)
    rows = np.concatenate([pairs[:, 0], border])
    columns = np.concatenate([pairs[:, 1], np.full(len(border), count)])
    costs = np.concatenate([steps, entry]) + 1e-3  # an edge of 0 would be none
    graph = coo_matrix((costs, (rows, columns)), (count + 1, count + 1)).tocsr()
    reached = dijkstra(graph, directed=False, indices=count)[:count]
    if reached.max() < LEAST_CONTRAST:
        return np.zeros(parts.shape)
    # The root, so that one thing in screaming colours does not outshout the others.
    found: npt.NDArray[np.float64] = np.sqrt(reached / reached.max())[parts]
    return found


def _beside(parts: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.int64]:
    one, other = (parts[:-1], parts[1:]) if axis == 0 else (parts[:, :-1], parts[:, 1:])
    return np.sort(np.stack([one.ravel(), other.ravel()], axis=1), axis=1)

"""Which pictures show a colour: "like this, but blue"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow import schema
from pinflow.retrieval.scan import Mask

WITHIN = 20.0  # CIEDE2000 units: two shades of one colour; 2 can just be told apart
# Percent of the picture that a colour must cover: less is a detail. A thing on a plain ground is often small,
# so a quarter of what the largest colour leaves is enough too.
LEAST_SHARE, LEAST_OF_REST, LEAST_AT_ALL = 8, 25, 3


@dataclass(frozen=True, eq=False)
class Colours:
    """The palettes of a release's pins, row by row: Lab (n, 5, 3) and percentages (n, 5)."""

    lab: npt.NDArray[np.int8]
    share: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, table: pa.Table) -> Colours:
        """From `schema.COLOURS`."""
        lab, share = (
            table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in ("lab", "share")
        )
        return cls(lab.reshape(-1, schema.PALETTE, 3), share.reshape(-1, schema.PALETTE))

    def near(self, colour: str, within: float = WITHIN) -> Mask:
        """(n,) the pictures that show that colour, #rrggbb, over enough of them: a colour of their palette is
        within so many units of it (CIEDE2000, which forgives more where both are strong, as eyes do)."""
        from skimage.color import deltaE_ciede2000, rgb2lab

        levels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
        wanted = rgb2lab(levels[None, None])[0, 0]
        found = np.zeros(len(self.share), np.bool_)
        rest = 100 - self.share.max(axis=1, initial=0).astype(np.int64)
        least = np.clip(rest * LEAST_OF_REST / 100, LEAST_AT_ALL, LEAST_SHARE)
        # One palette place at a time, and only where it counts: half of all places are small.
        for place in range(self.share.shape[1]):
            rows = np.flatnonzero(self.share[:, place] >= least)
            lab = self.lab[rows, place].astype(np.float32)
            found[rows] |= deltaE_ciede2000(wanted[None], lab) <= within  # type: ignore[no-untyped-call]
        return found

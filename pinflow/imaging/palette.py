"""The few colours that a picture is made of, in CIE Lab, where distance is how different colours look."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow import schema
from pinflow.imaging.decode import decode
from pinflow.imaging.derivatives import WORKERS

SIDE = 64  # px: a colour that covers a twentieth of the picture is still 200 of them


def palette(picture: bytes) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint8]]:
    """Up to `schema.PALETTE` colours of a derivative or thumbnail, the largest first: Lab (5, 3), L 0..100,
    a and b -128..127, and the percentage of the picture that each covers (5,); the rest is 0.

    Median cut (Heckbert 1982), refined by k-means: Pillow's, which needs half a millisecond.
    """
    from PIL import Image
    from skimage.color import rgb2lab

    small = decode(picture)
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    reduced = small.quantize(schema.PALETTE, method=Image.Quantize.MEDIANCUT, kmeans=2)
    counted = sorted(
        ((n, place) for n, place in reduced.getcolors() or [] if isinstance(place, int)), reverse=True
    )
    levels = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
    lab, share = np.zeros((schema.PALETTE, 3), np.int8), np.zeros(schema.PALETTE, np.uint8)
    colours = rgb2lab(levels[[place for _, place in counted]][None])[0]
    lab[: len(counted)] = np.clip(np.rint(colours), -128, 127)
    share[: len(counted)] = np.rint([100 * count / (small.width * small.height) for count, _ in counted])
    return lab, share


def palettes(sha256: Iterable[str], pictures: Iterable[bytes]) -> pa.Table:
    """A table of `schema.COLOURS`: the digest of each original, and the palette of its picture."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="palette") as pool:
        found = list(pool.map(palette, pictures))
    lab = np.array([each for each, _ in found], np.int8).reshape(-1)
    share = np.array([each for _, each in found], np.uint8).reshape(-1)
    columns = [
        pa.array(list(sha256), pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(lab), 3 * schema.PALETTE),
        pa.FixedSizeListArray.from_arrays(pa.array(share), schema.PALETTE),
    ]
    return pa.Table.from_arrays(columns, schema=schema.COLOURS)

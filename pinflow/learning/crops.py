"""Crops: parts of pictures, embedded like the pictures, that a space must still lead back to the whole.

They measure what a tuned space has lost inside a label (`evaluate.found_again`), and where two views of a
picture belong together they are the second view.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa

SIDE = 0.6  # of the picture's sides: a third of its area
MEASURED = 400  # pictures that are cut where crops are for measuring alone: a few seconds


def chosen(rows: pa.Table, count: int = MEASURED) -> set[str]:
    """sha256 of that many pictures of `schema.SPLIT_ROWS`, test among them as often as it is among all; the
    same ones as long as these are few."""
    found = sorted(set(rows["sha256"].to_pylist()), key=lambda one: hashlib.sha256(one.encode()).digest())
    return set(found[:count])


def cut(shards: Iterable[pa.Table], wanted: Collection[str]) -> Iterator[pa.Table]:
    """`schema.SHARD` tables of those pictures alone, each cut."""
    import pyarrow.compute as pc

    left = set(wanted)
    for shard in shards:
        kept = shard.filter(pc.is_in(shard["sha256"], value_set=pa.array(sorted(left), pa.string())))
        left -= set(kept["sha256"].to_pylist())
        if kept.num_rows:
            pairs = zip(kept["sha256"].to_pylist(), kept["jpeg"].to_pylist(), strict=True)
            jpeg = pa.array(
                [part_of(picture, name) for name, picture in pairs], shard.schema.field("jpeg").type
            )
            place = shard.schema.get_field_index("jpeg")
            yield kept.set_column(place, shard.schema.field("jpeg"), jpeg)


def part_of(picture: bytes, name: str) -> bytes:
    """A part of an encoded picture as a PNG, cut where `name` says. Raises `PictureError`."""
    from pinflow.imaging.decode import decode

    whole = decode(picture, min_side=1)
    across, down = np.random.default_rng(list(name.encode())).random(2) * (1 - SIDE)
    width, height = whole.size
    left, top = int(across * width), int(down * height)
    box = (left, top, left + max(1, int(SIDE * width)), top + max(1, int(SIDE * height)))
    out = io.BytesIO()
    whole.crop(box).save(out, "PNG", compress_level=1)
    return out.getvalue()

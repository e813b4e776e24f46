"""Contact sheets: many pictures in one small one, to be looked at in the Dagster UI."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pinflow.errors import PictureError
from pinflow.imaging.decode import decode

if TYPE_CHECKING:
    from PIL import Image

_QUALITIES = (80, 60, 40, 20)


def contact_sheet(
    pictures: Sequence[bytes], *, columns: int = 8, cell: int = 48, limit: int = 24, max_bytes: int = 40_000
) -> bytes:
    """A JPEG of at most `max_bytes` showing `limit` of the pictures, evenly taken, row by row.

    Each is fitted into a square of `cell` px on white. Quality, then the cell, shrink until the
    sheet fits; raises `ValueError` where even 8-px cells do not. No pictures give one empty cell, and
    one that cannot be decoded is left out.
    """
    from PIL import Image, ImageOps

    step = max(1.0, len(pictures) / limit)
    chosen = [pictures[int(i * step)] for i in range(min(limit, len(pictures)))]
    tiles = [ImageOps.contain(picture, (cell, cell)) for data in chosen if (picture := _opened(data, cell))]
    across = max(1, min(columns, len(tiles)))
    gap = 2
    sheet = Image.new(
        "RGB", (across * (cell + gap), max(1, -(-len(tiles) // across)) * (cell + gap)), "white"
    )
    for i, tile in enumerate(tiles):
        x, y = i % across * (cell + gap), i // across * (cell + gap)
        sheet.paste(tile, (x + (cell - tile.width) // 2, y + (cell - tile.height) // 2))
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= max_bytes:
            return buffer.getvalue()
    if cell <= 8:
        raise ValueError(f"{len(tiles)} pictures do not fit into {max_bytes} bytes: lower `limit`")
    return contact_sheet(pictures, columns=columns, cell=cell // 2, limit=limit, max_bytes=max_bytes)


def _opened(data: bytes, cell: int) -> Image.Image | None:
    try:
        return decode(data, least=cell, min_side=1)
    except PictureError:
        return None

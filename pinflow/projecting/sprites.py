"""Sprite sheets: many thumbnails in a few textures, for a viewer that draws them all at once.

The rule of placement is `slot`, and nothing else: a viewer computes it from the row number alone.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

CELL = 64  # px
SIDE = 2048  # px: every graphics card since 2005 takes a texture this large


def slot(index: int, cell: int = CELL, side: int = SIDE) -> tuple[int, int, int]:
    """Sheet number, x and y (px, left top corner of the cell) of thumbnail `index`.

    Row-major: `side // cell` columns always, as many rows at most, then the next sheet. The last
    sheet is only as high as its rows, so height says nothing about the number of columns.
    """
    columns = side // cell
    sheet, place = divmod(index, columns * columns)
    row, column = divmod(place, columns)
    return sheet, column * cell, row * cell


def sprite_sheets(thumbnails: Sequence[bytes], cell: int = CELL, side: int = SIDE) -> list[bytes]:
    """WebP sheets (RGBA, at most `side` px square) holding thumbnail i at `slot(i)`.

    Each is fitted into its cell, centred; the rest of the cell is transparent.
    Raises `ValueError` where a sheet has no room for one cell.
    """
    from PIL import Image, ImageOps

    from pinflow.imaging.decode import decode

    if not 0 < cell <= side:
        raise ValueError(f"a cell of {cell} px does not fit into a sheet of {side} px")
    columns = side // cell
    sheets = []
    for start in range(0, len(thumbnails), columns * columns):
        page = thumbnails[start : start + columns * columns]
        sheet = Image.new("RGBA", (columns * cell, -(-len(page) // columns) * cell))
        for index, data in enumerate(page):
            picture = ImageOps.contain(decode(data, min_side=1), (cell, cell))
            _, x, y = slot(index, cell, side)
            sheet.paste(picture, (x + (cell - picture.width) // 2, y + (cell - picture.height) // 2))
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", quality=80)
        sheets.append(buffer.getvalue())
    return sheets

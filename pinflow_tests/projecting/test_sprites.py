"""Each thumbnail is where `slot` says, on square sheets and on others."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pinflow.projecting.sprites import slot, sprite_sheets
from pinflow_tests.imaging.pictures import encoded


def colour(index: int) -> tuple[int, int, int]:
    return (index * 37 % 256, index * 91 % 256, index * 151 % 256)


@pytest.mark.parametrize(("cell", "side"), [(16, 64), (16, 72), (64, 64), (24, 100)])
@pytest.mark.parametrize("count", [1, 3, 5, 16, 17, 40])
def test_every_thumbnail_is_in_its_slot(cell: int, side: int, count: int) -> None:
    pictures = [encoded(Image.new("RGB", (40, 40), colour(i))) for i in range(count)]
    sheets = [Image.open(io.BytesIO(data)).convert("RGBA") for data in sprite_sheets(pictures, cell, side)]
    columns = side // cell
    assert len(sheets) == -(-count // columns**2)
    assert all(sheet.width == columns * cell and sheet.height <= side for sheet in sheets)
    for index in range(count):
        sheet, x, y = slot(index, cell, side)
        red, green, blue, alpha = sheets[sheet].getpixel((x + cell // 2, y + cell // 2))
        assert alpha == 255
        assert np.abs(np.subtract((red, green, blue), colour(index))).max() < 30


def test_rows_first_and_the_last_sheet_is_cut() -> None:
    assert [slot(i, 32, 96) for i in (0, 1, 2, 3, 8, 9)] == [
        (0, 0, 0), (0, 32, 0), (0, 64, 0), (0, 0, 32), (0, 64, 64), (1, 0, 0),
    ]  # fmt: skip
    (sheet,) = sprite_sheets([encoded(Image.new("RGB", (40, 40)))] * 4, 32, 96)
    assert Image.open(io.BytesIO(sheet)).size == (96, 64)


def test_other_shapes_are_centred_on_nothing() -> None:
    (data,) = sprite_sheets([encoded(Image.new("RGB", (80, 20), "red"))], 32, 32)
    sheet = Image.open(io.BytesIO(data)).convert("RGBA")
    assert [sheet.getpixel((16, y))[3] for y in (0, 16, 31)] == [0, 255, 0]


def test_none_and_impossible() -> None:
    assert sprite_sheets([]) == []
    with pytest.raises(ValueError, match="does not fit"):
        sprite_sheets([], cell=100, side=64)

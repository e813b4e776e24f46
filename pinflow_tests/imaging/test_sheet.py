"""A contact sheet shows what there is and never outgrows its budget."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pinflow.imaging.sheet import contact_sheet
from pinflow_tests.imaging.pictures import encoded, scene


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_pictures_stand_row_by_row() -> None:
    colours = ["red", "lime", "blue"]
    sheet = opened(contact_sheet([encoded(Image.new("RGB", (64, 64), c)) for c in colours], columns=2))
    assert sheet.size == (100, 100)
    for place, colour in zip(
        [(24, 24), (74, 24), (24, 74)], [(255, 0, 0), (0, 255, 0), (0, 0, 255)], strict=True
    ):
        assert np.abs(np.subtract(sheet.getpixel(place), colour)).max() < 12


def test_the_limit_is_spread_over_all() -> None:
    pictures = [encoded(Image.new("L", (40, 40), 2 * i)) for i in range(100)]
    sheet = opened(contact_sheet(pictures, limit=4, columns=4)).convert("L")
    assert [round(sheet.getpixel((24 + 50 * i, 24)) / 50) for i in range(4)] == [0, 1, 2, 3]


def test_the_byte_cap_holds() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), np.uint8)
    pictures = [encoded(Image.fromarray(each)) for each in noise]
    for cap in (40_000, 8_000, 3_000):
        assert len(contact_sheet(pictures, max_bytes=cap)) <= cap
    with pytest.raises(ValueError, match="do not fit"):
        contact_sheet(pictures, max_bytes=100)


def test_none_one_and_a_narrow_one() -> None:
    assert opened(contact_sheet([])).size == (50, 50)
    assert opened(contact_sheet([encoded(scene(1))])).size == (50, 50)
    assert opened(contact_sheet([encoded(scene(1, 128, 8))])).size == (50, 50)

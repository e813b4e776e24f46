"""A palette names what a person would: the colours of a picture, and how much of it each covers."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from pinflow import schema
from pinflow.imaging.palette import palette, palettes


def flag(*stripes: tuple[str, float], format: str = "PNG") -> bytes:
    image, x = Image.new("RGB", (200, 100)), 0
    for colour, share in stripes:
        image.paste(colour, (x, 0, x := x + round(200 * share), 100))
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_the_colours_of_a_flag_and_their_shares(format):
    lab, share = palette(flag(("navy", 0.5), ("white", 0.3), ("#cc2211", 0.2), format=format))
    wanted = rgb2lab(np.array([[[0, 0, 128], [255, 255, 255], [204, 34, 17]]], np.uint8))[0]
    for colour, covered in zip(wanted, (50, 30, 20), strict=True):
        near = np.linalg.norm(lab - colour, axis=1) < 6
        assert abs(int(share[near].sum()) - covered) <= 4
    assert 98 <= share.sum() <= 102
    assert list(share) == sorted(share, reverse=True)


def test_one_colour_is_one_colour():
    lab, share = palette(flag(("#3366ff", 1.0)))
    assert share.tolist() == [100, 0, 0, 0, 0]
    assert (lab[1:] == 0).all()


def test_a_table_of_many():
    table = palettes(["a", "b"], [flag(("red", 1.0)), flag(("blue", 1.0))])
    assert table.schema == schema.COLOURS
    assert table["sha256"].to_pylist() == ["a", "b"]
    assert palettes([], []).num_rows == 0

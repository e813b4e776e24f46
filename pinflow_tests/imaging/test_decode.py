"""Whatever the bytes are, decoding gives an upright sRGB picture or a reason."""

from __future__ import annotations

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pinflow.errors import PictureError
from pinflow.imaging.decode import MIN_SIDE, decode, decode_within
from pinflow.imaging.resize import resized
from pinflow.schema import REJECT_REASONS
from pinflow_tests.imaging.pictures import encoded, quarters, scene


def reason(data: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data)
    assert caught.value.reason in REJECT_REASONS
    return caught.value.reason


def close(picture: Image.Image, x: int, y: int, colour: tuple[int, int, int], by: int = 6) -> bool:
    return bool(np.abs(np.subtract(picture.getpixel((x, y)), colour)).max() <= by)


LOSSLESS: dict[str, dict[str, object]] = {"JPEG": {"quality": 98, "subsampling": 0}, "PNG": {}}


def detailed(width: int, height: int) -> Image.Image:
    """A scene with edges and fine texture on it, as photographs have."""
    y, x = np.mgrid[:height, :width]
    texture = 40 * ((x // 9 + y // 7) % 2) + 20 * np.sin(x / 2.5) * np.sin(y / 3.5)
    return Image.fromarray((0.7 * np.asarray(scene(5, width, height)) + texture[..., None]).astype(np.uint8))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Likeness in decibels."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(np.float64) - other) ** 2))))


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "JPEG2000"])
def test_every_web_format_decodes_to_rgb(kind: str) -> None:
    picture = decode(encoded(scene(1), kind))
    assert (picture.mode, picture.size) == ("RGB", (120, 90))
    assert (
        np.abs(np.asarray(picture, np.int16) - np.asarray(scene(1), np.int16)).mean() < 12
    )  # a GIF has 256 colours


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what a camera held that way records
    stored = quarters()
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(turn[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "PNG", exif=exif)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(quarters()))
    picture, size = decode_within(data, 48)
    assert (picture.size, size) == ((32, 48), (64, 96))
    assert np.abs(np.subtract(picture, quarters(32, 48), dtype=np.int16)).mean() < 6


def test_a_broken_exif_block_does_not_condemn_the_picture() -> None:
    assert decode(encoded(scene(1), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (120, 90)


def test_no_metadata_survives() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    picture = decode(encoded(scene(1), "JPEG", exif=exif, comment=b"mine"))
    assert picture.info == {}
    assert not dict(picture.getexif())


def test_transparency_is_laid_on_white() -> None:
    for mode in ("RGBA", "LA", "PA"):
        picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0)).convert(mode)
        assert close(decode(encoded(picture, "TIFF" if mode == "PA" else "PNG")), 5, 5, (255, 255, 255))
    half = decode(encoded(Image.new("RGBA", (40, 40), (255, 0, 0, 128))))
    assert close(half, 5, 5, (255, 127, 127))


def test_a_palette_with_a_transparent_entry() -> None:
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.paste(1, (0, 0, 20, 40))
    result = decode(encoded(picture, "PNG", transparency=0))
    assert close(result, 5, 5, (200, 0, 0))
    assert close(result, 35, 5, (255, 255, 255))


def test_cmyk_jpeg() -> None:
    assert close(
        decode(encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG")), 5, 5, (255, 0, 0), by=40
    )


@pytest.mark.parametrize(("level", "grey"), [(0, 0), (32768, 128), (65535, 255), (300, 1)])
def test_sixteen_bit_grey_is_scaled_not_clipped(level: int, grey: int) -> None:
    data = encoded(Image.fromarray(np.full((40, 40), level, np.uint16)))
    assert close(decode(data), 5, 5, (grey,) * 3, by=1)


def test_float_tiff() -> None:
    assert close(
        decode(encoded(Image.fromarray(np.full((40, 40), 0.5, np.float32)), "TIFF")), 5, 5, (128,) * 3, 1
    )


def test_an_animation_gives_its_first_frame() -> None:
    red, blue = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(red, kind, save_all=True, append_images=[blue])
        assert close(decode(data), 5, 5, (255, 0, 0)), kind


def test_an_icc_profile_is_honoured() -> None:
    linear = ImageCms.ImageCmsProfile(io.BytesIO(_linear_profile()))
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    data = encoded(grey, "PNG", icc_profile=linear.tobytes())
    assert close(decode(data), 5, 5, (188, 188, 188), by=3)  # half the light is 188 in sRGB


def _linear_profile() -> bytes:
    """sRGB's primaries with a linear curve, by patching the curves of Pillow's own sRGB profile."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", data[128:132])
    for tag in range(count):
        name, offset, _ = struct.unpack(">4sII", data[132 + 12 * tag : 144 + 12 * tag])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 12] = b"curv\0\0\0\0\0\0\0\0"  # no entries: the identity
        if name == b"desc":
            length = len("sRGB".encode("utf-16-be"))
            where = bytes(data).index("sRGB".encode("utf-16-be"), offset)
            data[where : where + length] = "line".encode("utf-16-be")
    return bytes(data)


def test_an_unreadable_icc_profile_counts_as_srgb() -> None:
    data = encoded(Image.new("RGB", (40, 40), (10, 200, 30)), "PNG", icc_profile=b"not a profile")
    assert close(decode(data), 5, 5, (10, 200, 30))


def test_a_large_jpeg_can_be_decoded_small() -> None:
    data = encoded(scene(1, 1600, 1200), "JPEG")
    assert decode(data, least=256).size == (400, 300)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("size", "within"),
    [
        ((736, 1104), (171, 256)),
        ((1104, 736), (256, 171)),
        ((5000, 320), (256, 16)),
        ((257, 257), (256, 256)),
        ((256, 100), (256, 100)),
        ((40, 50), (40, 50)),
    ],
)
def test_reduced_while_decoded(kind: str, size: tuple[int, int], within: tuple[int, int]) -> None:
    picture, original = decode_within(encoded(detailed(*size), kind, **LOSSLESS[kind]), 256)
    assert (picture.mode, picture.size, original, picture.info) == ("RGB", within, size, {})
    whole = np.asarray(detailed(*size).resize(within, Image.Resampling.LANCZOS), np.float64)
    assert psnr(np.asarray(picture), whole) > 40


def test_reducing_does_the_same_with_and_without_the_fast_library(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = np.asarray(resized(detailed(736, 1104), (171, 256)))
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    plain = np.asarray(resized(detailed(736, 1104), (171, 256)))
    assert psnr(fast, plain) > 45


class TestRefusals:
    def test_bomb(self) -> None:
        assert reason(png_claiming(20_000, 20_000)) == "bomb"
        assert reason(png_claiming(8_000, 8_000)) == "bomb"

    def test_too_small(self) -> None:
        assert reason(encoded(scene(1, MIN_SIDE - 1, 200))) == "too_small"
        assert decode(encoded(scene(1, MIN_SIDE, 200))).width == MIN_SIDE

    @pytest.mark.parametrize("data", [b"", b"<html>Not found</html>", b"%!PS-Adobe-3.0 EPSF", b"\0" * 5000])
    def test_not_a_picture(self, data: bytes) -> None:
        assert reason(data) == "not_a_picture"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
    def test_truncated(self, kind: str) -> None:
        data = encoded(scene(1, 400, 300), kind)
        assert reason(data[: len(data) // 2]) == "truncated"

    def test_corrupt(self) -> None:
        data = bytearray(encoded(scene(1)))
        data[len(data) // 2] ^= 0xFF
        assert reason(bytes(data)) == "corrupt"


WHOLE = {kind: encoded(scene(3, 64, 48), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF")}


def picture_or_reason(data: bytes) -> None:
    outcomes = []
    for opened in (decode, lambda given: decode_within(given, 20)[0]):
        try:
            outcomes.append(opened(data).mode)
        except PictureError as error:
            outcomes.append(error.reason)
    assert outcomes[0] in ("RGB", *REJECT_REASONS)
    assert outcomes[0] == outcomes[1]


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    picture_or_reason(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1))
def test_truncations_never_crash(kind: str, part: float) -> None:
    picture_or_reason(WHOLE[kind][: int(part * len(WHOLE[kind]))])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8)
)
def test_damaged_bytes_never_crash(kind: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(WHOLE[kind])
    for where, value in damage:
        data[int(where * len(data))] = value
    picture_or_reason(bytes(data))

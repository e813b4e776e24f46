"""Pictures made for the tests, none of them anybody's."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFilter

from pinflow import schema


def scene(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """A smooth random picture: no two seeds look alike, and it survives recompression like a photo."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def quarters(width: int = 64, height: int = 96) -> Image.Image:
    """Red, green over blue, white: every turn and flip of it is different."""
    picture = Image.new("RGB", (width, height), "white")
    picture.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    picture.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    picture.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return picture


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(0.7))


class Listing:
    """Pins and their bytes, as a scrape would leave them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.blobs: dict[str, bytes] = {}
        self.reads: list[str] = []

    def add(self, key: str, data: bytes | None, **more: Any) -> Listing:
        sha = None
        if data is not None:
            sha = hashlib.sha256(data).hexdigest()
            self.blobs[sha] = data
        row: dict[str, Any] = dict.fromkeys(schema.PINS.names)
        row |= {"id": key, "sha256": sha, "attributes": [], "related": [], "origin_keys": [], **more}
        self.rows.append(row)
        return self

    def table(self, upto: int | None = None) -> pa.Table:
        return pa.Table.from_pylist(self.rows[:upto], schema=schema.PINS)

    def read(self, sha: str) -> bytes:
        self.reads.append(sha)
        return self.blobs[sha]

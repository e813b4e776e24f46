"""Photographs to fetch: different cuts of the sample shop's, of given sizes in pixels and bytes."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from pinflow.errors import PinflowError
from pinflow.sample.fetch import fetch
from pinflow.sample.samples import read

GRAIN = 4.0  # levels; the sample photos come smoothed and would weigh less than what people pin
PIXELS = {"large": (736, 1104), "small": (236, 354)}
BYTES = {"large": (200_000, 266_000), "small": (22_000, 28_000)}


def photos(home: Path, kind: str, count: int) -> Path:
    """A folder with `count` JPEGs of that kind, kept under `home` for the next run."""
    folder = home / "bench" / f"{kind}-{count}"
    if not (folder / "complete").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sources = _sources(home / "sample")
        with ThreadPoolExecutor(2) as pool:
            for number, data in enumerate(pool.map(lambda seed: _cut(sources, kind, seed), range(count))):
                (folder / f"{number:06d}.jpg").write_bytes(data)
        (folder / "complete").touch()
    return folder


def _sources(folder: Path) -> list[Image.Image]:
    try:
        samples = read(folder)
    except PinflowError:
        samples = fetch(folder)
    found = []
    for row in samples.shop.rows:
        with Image.open(samples.shop.path(row)) as picture:
            found.append(picture.convert("RGB"))
    return found


def _cut(sources: list[Image.Image], kind: str, seed: int) -> bytes:
    rng = random.Random(seed)
    width, height = PIXELS[kind]
    source = rng.choice(sources)
    tall = min(source.height, source.width * height / width) * rng.uniform(0.55, 0.95)
    wide = tall * width / height
    left, top = rng.uniform(0, source.width - wide), rng.uniform(0, source.height - tall)
    box = (left, top, left + wide, top + tall)
    picture = source.resize((width, height), Image.Resampling.LANCZOS, box)
    grain = np.random.default_rng(seed).normal(0, GRAIN, (height, width, 1))
    picture = Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))
    return _weighing(picture, rng.uniform(*BYTES[kind]))


def _weighing(picture: Image.Image, size: float) -> bytes:
    """The JPEG of the quality that comes nearest to `size` bytes from below."""
    low, high, best = 30, 98, b""
    while low <= high:
        quality = (low + high) // 2
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        if out.tell() <= size:
            low, best = quality + 1, out.getvalue()
        else:
            high = quality - 1
    return best or out.getvalue()

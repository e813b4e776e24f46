"""Sample pictures drawn here, for whatever must run without a network: shapes in exactly the form of
the fetched sets, with a structure that can be learned.

A label is a colour and a texture, an item is a shape in it, and the pictures of an item differ in
place, size, turn and background. A product's price follows from its shape.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pinflow.labels import slug
from pinflow.sample.samples import Sample, Samples, SampleSet, write_set

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (240, 180)  # width and height in pixels
QUALITY = 80  # JPEG
PICTURES_PER_ITEM = 3
COLOURS = {
    "red": (208, 44, 40),
    "green": (46, 158, 64),
    "blue": (44, 84, 204),
    "yellow": (230, 200, 40),
    "purple": (136, 60, 172),
    "orange": (236, 128, 30),
    "cyan": (40, 180, 196),
    "pink": (236, 120, 170),
    "brown": (124, 80, 44),
    "olive": (128, 132, 40),
    "grey": (120, 124, 128),
    "navy": (28, 36, 96),
}
TEXTURES = ("plain", "striped", "dotted", "checked")
# Corners and how far every second corner is drawn in towards the centre.
SHAPES = {
    "disc": (48, 1.0),
    "triangle": (3, 1.0),
    "square": (4, 1.0),
    "star": (10, 0.45),
    "cross": (8, 0.3),
    "hexagon": (6, 1.0),
    "flower": (16, 0.75),
    "sliver": (4, 0.25),
}


def make_samples(folder: Path, labels: int = 3, per_label: int = 8, seed: int = 0) -> Samples:
    """Draw both sets under `folder`: `per_label` pictures a label, the shop with half as many.

    The same arguments give the same bytes. Sets that are there are replaced.
    """
    return Samples(
        _make_set(folder / "market", labels, per_label, seed, priced=False),
        _make_set(folder / "shop", labels, max(1, per_label // 2), seed + 1, priced=True),
    )


def _make_set(folder: Path, labels: int, per_label: int, seed: int, *, priced: bool) -> SampleSet:
    facts = {"made": {"labels": labels, "per_label": per_label, "seed": seed, "priced": priced}}
    return write_set(folder, _pictures(labels, per_label, seed, priced), facts)


def _pictures(labels: int, per_label: int, seed: int, priced: bool) -> Iterator[tuple[Sample, bytes]]:
    for number in range(labels):
        kind = number % (len(COLOURS) * len(TEXTURES))
        colour, texture = list(COLOURS)[kind % len(COLOURS)], TEXTURES[kind // len(COLOURS)]
        again = number // (len(COLOURS) * len(TEXTURES))
        label = f"{texture.title()} {colour.title()}" + (f" {again + 1}" if again else "")
        for index in range(per_label):
            rng = np.random.default_rng([seed, number, index])
            item_number = index if priced else index // PICTURES_PER_ITEM
            shape = list(SHAPES)[item_number % len(SHAPES)]
            sample = _sample(label, shape, item_number, index, _price(shape, rng) if priced else None)
            yield sample, _jpeg(_draw(COLOURS[colour], texture, shape, rng))


def _sample(label: str, shape: str, item_number: int, index: int, price: float | None) -> Sample:
    again = item_number // len(SHAPES)
    item = f"{label} {shape}".lower() + (f" {again + 1}" if again else "")
    priced = price is not None
    return Sample(
        file=f"{slug(label)}/{slug(item)}-{index}.jpg",
        label=label,
        item=slug(item) if priced else item,
        title=f"{item.capitalize()}, number {index}",
        caption=f"A {item} on a cloudy ground",
        price=price,
        currency="USD" if priced else None,
        extra={"brand": f"{shape.title()} & Co", "color": label.split()[1].lower()} if priced else {},
    )


def _price(shape: str, rng: np.random.Generator) -> float:
    base = 10.0 * math.pow(1 + list(SHAPES).index(shape), 1.5)
    return round(base * float(rng.uniform(0.9, 1.1)), 2)


def _draw(colour: tuple[int, int, int], texture: str, shape: str, rng: np.random.Generator) -> Image:
    from PIL import Image

    picture = _ground(colour, rng)
    fill = Image.fromarray(_texture(colour, texture, rng))
    picture.paste(fill, (0, 0), _outline(shape, rng))
    return picture


def _ground(colour: tuple[int, int, int], rng: np.random.Generator) -> Image:
    """Soft clouds tinted with the colour: low frequencies keep perceptual hashes apart."""
    from PIL import Image

    clouds = rng.uniform(60, 255, (5, 6, 1))
    coarse = 0.75 * clouds + 0.25 * np.asarray(colour)
    small = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
    return small.resize(SIZE, Image.Resampling.BICUBIC)


def _texture(colour: tuple[int, int, int], texture: str, rng: np.random.Generator) -> np.ndarray:
    """A whole picture, uint8 of shape (height, width, 3), of the colour in the texture."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + rng.integers(0, 16, (2, 1, 1))
    light = {
        "plain": np.zeros(y.shape, bool),
        "striped": (x + y) % 16 < 6,
        "dotted": (x % 16 - 8) ** 2 + (y % 16 - 8) ** 2 < 20,
        "checked": (x // 10 + y // 10) % 2 == 0,
    }[texture]
    flat = np.broadcast_to(np.asarray(colour, np.float64), (*y.shape, 3))
    return np.where(light[..., None], 0.4 * flat + 150, flat).clip(0, 255).astype(np.uint8)


def _outline(shape: str, rng: np.random.Generator) -> Image:
    """A mask: the shape somewhere near the middle, of some size, turned a little."""
    from PIL import Image, ImageDraw

    corners, pulled_in = SHAPES[shape]
    radius = float(rng.uniform(0.25, 0.42)) * SIZE[1]
    middle = rng.uniform(0.35, 0.65, 2) * SIZE
    turn = float(rng.uniform(-0.35, 0.35))
    points = []
    for corner in range(corners):
        angle = turn - math.pi / 2 + 2 * math.pi * corner / corners
        reach = radius * (pulled_in if corner % 2 else 1.0)
        points.append((middle[0] + reach * math.cos(angle), middle[1] + reach * math.sin(angle)))
    mask = Image.new("L", SIZE, 0)
    ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask


def _jpeg(picture: Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()

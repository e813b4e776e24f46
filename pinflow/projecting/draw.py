"""Pictures of maps: the atlas drawn with its thumbnails, and small scatter plots for metadata.

Not here: where points stand (`layout`) and how boxes make room (`spacing`).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pinflow.imaging.decode import decode
from pinflow.projecting.palette import DOT, INK, PAPER, WASH, Colour, colours
from pinflow.projecting.spacing import even_out, honeycomb, outside, part, snap

if TYPE_CHECKING:
    from PIL import Image

_ROOM = 1.75  # places a picture: the emptiness that lets islands stay islands
_SMALLEST, _LARGEST = 24.0, 170.0  # px, the side of a square cell
_FILLED = 0.93  # of its cell a picture takes
_EVEN = 0.5  # see spacing.even_out
_NAMES = 40  # more do not find room between the pictures
_LETTERS = 32  # of a name are written


def draw_map(
    coordinates2: np.ndarray,
    thumbnails: Sequence[bytes],
    labels: Sequence[str],
    *,
    names: bool = True,
    size: int = 1600,
) -> bytes:
    """A PNG of the map, `size` px wide and 3/4 as high, with each picture where it stands.

    `coordinates2`: (n, 2); `labels`: n names (or clusters as text; "" for none) that colour the ground
    and are written where their pictures are densest, unless `names` is off. Pictures take the nearest
    free place of a honeycomb, so that none hides another. Where there are too many to show, those
    spread most evenly are drawn.
    """
    from PIL import ImageChops

    width, height = size, size * 3 // 4
    shown = _chosen(coordinates2, int(width * height / _ROOM / _SMALLEST**2))
    labels = [labels[i] for i in shown]
    pictures = [_trimmed(thumbnails[i]) for i in shown]
    side = float(np.clip((width * height / _ROOM / max(1, len(shown))) ** 0.5, _SMALLEST, _LARGEST))
    wide = float(np.median([picture.width / picture.height for picture in pictures] or [1.0])) ** 0.5
    wide = min(1.3, max(0.85, wide))
    cell = (side * wide, side / wide)
    while len(honeycomb(width, height, cell)) < len(shown):  # a few large cells waste the page's margins
        side *= 0.95
        cell = (side * wide, side / wide)
    ideal = side / 2 + even_out(coordinates2[shown], _EVEN) * (np.array([width, height]) - side)

    written = _largest(labels) if names else []
    fonts = {name: _font(name, _font_size(labels.count(name), len(labels), size)) for name in written}
    plates = np.array([_plate(name, fonts[name]) for name in written]).reshape(-1, 2)
    spots = np.array([_densest(ideal, labels, name, side) for name in written]).reshape(-1, 2)
    spots = part(spots, plates, width, height)
    places = honeycomb(width, height, cell)
    free = places[outside(places, cell, spots, plates)]
    # So many long names that pictures have no room: then the names lie over some.
    centres = snap(ideal, free if len(free) >= len(ideal) else places)

    page = _ground(centres, labels, side, (width, height))
    for picture, (x, y) in zip(pictures, centres.tolist(), strict=True):
        tile = _tile(picture, (cell[0] * _FILLED, cell[1] * _FILLED))
        corner = (round(x - tile.width / 2), round(y - tile.height / 2))
        below = page.crop((*corner, corner[0] + tile.width, corner[1] + tile.height))
        page.paste(ImageChops.multiply(below, tile), corner)
    inks = colours(labels, INK)
    for name, (x, y) in zip(written, spots.tolist(), strict=True):
        _write(page, name, fonts[name], (x, y), inks[name])
    return _png(page)


def scatter(
    coordinates2: np.ndarray, labels: Sequence[str], *, size: int = 420, max_bytes: int = 40_000
) -> bytes:
    """A small PNG of the map as dots coloured by label, of at most `max_bytes`.

    Raises `ValueError` where even a 32-px plot does not fit.
    """
    from PIL import Image, ImageDraw

    scale = 4  # drawn large and reduced, for smooth edges
    page = Image.new("RGB", (size * scale, size * scale), PAPER)
    pen = ImageDraw.Draw(page)
    radius = scale * float(np.clip(size / 24 / max(1, len(labels)) ** 0.4, 1.0, 5.0))
    places = size * scale * (0.04 + 0.92 * even_out(coordinates2, 0.0))
    fills = colours(labels, DOT)
    for (x, y), label in zip(places.tolist(), labels, strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fills[label])
    small = page.resize((size, size), Image.Resampling.BOX).quantize(64, dither=Image.Dither.NONE)
    data = _png(small)
    if len(data) <= max_bytes:
        return data
    if size <= 32:
        raise ValueError(f"a plot of {size} px has {len(data)} bytes; allow more than {max_bytes}")
    return scatter(coordinates2, labels, size=size * 3 // 4, max_bytes=max_bytes)


def _chosen(points: np.ndarray, most: int) -> np.ndarray:
    """Rows to draw: all, or the first of each cell of a grid fine enough to have `most` of them."""
    if len(points) <= most:
        return np.arange(len(points))
    unit = even_out(points, _EVEN)
    low, high = 1, most
    best = np.zeros(1, np.int64)
    while low <= high:
        columns = (low + high) // 2
        cell = np.minimum((unit * columns).astype(np.int64), columns - 1)
        first = np.unique(cell[:, 0] * columns + cell[:, 1], return_index=True)[1]
        if len(first) <= most:
            best, low = np.sort(first), columns + 1
        else:
            high = columns - 1
    return best


def _trimmed(data: bytes) -> Image.Image:
    """The picture without its white margin."""
    from PIL import ImageChops

    picture = decode(data, min_side=1)
    ink = ImageChops.invert(picture.convert("L")).point(lambda level: 255 if level > 14 else 0)
    return picture.crop(ink.getbbox() or (0, 0, *picture.size))


def _tile(picture: Image.Image, bounds: tuple[float, float]) -> Image.Image:
    """The picture fitted into `bounds` px, softly rounded, white around: white vanishes on multiplying."""
    from PIL import Image, ImageDraw

    scale = min(bounds[0] / picture.width, bounds[1] / picture.height)
    shape = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    mask = Image.new("L", (shape[0] * 4, shape[1] * 4), 0)
    corner = 4 * 0.12 * min(bounds)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *(4 * side - 1 for side in shape)), radius=corner, fill=255)
    tile = Image.new("RGB", shape, "white")
    smooth = picture.resize(shape, Image.Resampling.LANCZOS)
    tile.paste(smooth, mask=mask.resize(shape, Image.Resampling.BOX))
    return tile


def _ground(centres: np.ndarray, labels: Sequence[str], side: float, shape: tuple[int, int]) -> Image.Image:
    """Paper with a pale wash of each label's colour under its pictures."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    coarse = 8  # px of the page a cell: the wash is smooth, so this is enough
    grid = (-(-shape[1] // coarse), -(-shape[0] // coarse))
    cells = np.minimum((centres / coarse).astype(int), np.array(grid[::-1]) - 1)
    colour, total = np.zeros((*grid, 3)), np.zeros(grid)
    names = np.array(labels, dtype=object)
    for label, tint in colours(labels, WASH).items():
        if not label:
            continue
        dots = np.zeros(grid)
        np.add.at(dots, tuple(cells[names == label].T[::-1]), 1.0)
        # Pictures a cell of the map; squared, so that the majority's colour wins at borders.
        density = (gaussian_filter(dots, 0.75 * side / coarse, mode="constant") * (side / coarse) ** 2) ** 2
        colour += density[:, :, None] * np.array(tint, float)
        total += density
    strength = np.clip(total * 12, 0, 1)[:, :, None]
    mixed = colour / np.maximum(total, 1e-9)[:, :, None]
    wash = (1 - strength) * np.array(PAPER, float) + strength * mixed
    small = Image.fromarray(np.rint(wash).astype(np.uint8))
    return small.resize(shape, Image.Resampling.BICUBIC)


def _largest(labels: Sequence[str]) -> list[str]:
    """The `_NAMES` labels with the most pictures, in alphabetical order."""
    counts = Counter(label for label in labels if label)
    return sorted(sorted(counts, key=lambda label: (-counts[label], label))[:_NAMES])


def _densest(centres: np.ndarray, labels: Sequence[str], name: str, side: float) -> np.ndarray:
    """The place of the label's picture with the most of its own around it."""
    own = centres[[label == name for label in labels]]
    square = ((own[:, None] - own[None]) ** 2).sum(axis=2)
    weight = np.exp(-square / (2 * (1.5 * side) ** 2))
    best = weight[weight.sum(axis=1).argmax()]
    return np.asarray((own * best[:, None]).sum(axis=0) / best.sum())


def _font_size(count: int, total: int, size: int) -> int:
    return int(size * (0.0125 + 0.014 * (count / max(1, total)) ** 0.5))


def _font(text: str, size: int) -> Any:
    from PIL import ImageFont

    if text.isascii():
        return ImageFont.load_default(size)  # Aileron, which Pillow carries
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", round(size * 0.9))


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 3].rstrip() + "..."


def _plate(text: str, font: Any) -> tuple[float, float]:
    left, top, right, bottom = font.getbbox(_short(text), stroke_width=1)
    return right - left + font.size * 0.9, bottom - top + font.size * 0.7


def _write(page: Image.Image, text: str, font: Any, centre: tuple[float, float], ink: Colour) -> None:
    from PIL import ImageDraw

    pen = ImageDraw.Draw(page)
    pen.text(
        centre, _short(text), fill=ink, font=font, anchor="mm", stroke_width=font.size / 60, stroke_fill=ink
    )


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

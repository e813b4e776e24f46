"""A crowd of pins: many labels with many pins each, by formula, for what must be tried at scale.

Nothing of it is kept: a pin, its picture's address and its bytes follow from the numbers of its label and
its place. Pictures come from a small pool and carry their address as a comment, so that all bytes differ
while no two pictures of one label look alike. What a pin looks like is the business of `pins`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from pinflow.sample.pins import Pin, Pins
from pinflow.sample.samples import Sample

POOL = 1000  # drawn pictures, or as many as a label has, so that none of its pictures repeats another
SIZE = (120, 90)  # width and height in pixels of a drawn picture, about 2 KB
_SOI = 2  # bytes of a JPEG before its first segment


@dataclass(frozen=True)
class CrowdPin(Pin):
    """One pin of the crowd. Pins that share a picture have different ids."""

    place: int = 0
    pixels: tuple[int, int] = SIZE

    @cached_property
    def id(self) -> str:
        """18 digits."""
        return str(10**17 + self.place)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels

    @property
    def dominant_color(self) -> str:
        """Some colour, `#rrggbb`."""
        return f"#{self.signature[:6]}"


class Crowd(Pins):
    """`labels` x `per_label` pins, found by the label's name alone.

    Each label has `distinct` picture addresses that its pins share in turn; None gives each pin its own.
    `pool` are the JPEGs that stand behind them, all of one size; drawn here where none are given.
    """

    def __init__(
        self,
        labels: int = 200,
        per_label: int = 1000,
        distinct: int | None = 10,
        pool: Sequence[bytes] | None = None,
        pixels: tuple[int, int] = SIZE,
    ) -> None:
        self.labels = [f"crowd {number:03d}" for number in range(labels)]
        self.per_label = per_label
        self.distinct = min(distinct or per_label, per_label)
        self.pixels = pixels
        self.credit, self.all = "", ()
        self.by_id, self.by_signature = {}, {}
        self._pool = pool or [
            drawn(seed) for seed in range(min(labels * self.distinct, max(POOL, self.distinct)))
        ]
        self._number = {name: number for number, name in enumerate(self.labels)}
        self._listed = lru_cache(maxsize=8)(self._list)

    def search(self, query: str) -> list[Pin]:
        """The pins of the label of that name."""
        return self._listed(" ".join(query.casefold().split()))

    def related(self, pin: Pin) -> list[Pin]:  # noqa: ARG002 the crowd knows of no relations
        """None."""
        return []

    def pictures(self, label: int) -> list[str]:
        """Paths of the label's pictures on the site, each once."""
        return [self._pin(label, place).address("originals") for place in range(self.distinct)]

    def picture(self, path: str) -> tuple[bytes, bytes, memoryview] | None:
        """The JPEG at that path, in three parts to be sent one after the other; None for no such path."""
        name = path.rpartition("/")[2].partition(".")[0]
        try:
            number = int(name[20:], 16)
        except ValueError:
            return None
        if len(name) != 32 or signature(number) != name:
            return None
        whole = self._pool[number % len(self._pool)]
        comment = b"\xff\xfe" + (2 + len(name)).to_bytes(2, "big") + name.encode()
        return whole[:_SOI], comment, memoryview(whole)[_SOI:]

    def _list(self, query: str) -> list[Pin]:
        label = self._number.get(query)
        return [] if label is None else [self._pin(label, place) for place in range(self.per_label)]

    def _pin(self, label: int, place: int) -> CrowdPin:
        picture = label * self.distinct + place % self.distinct
        item = f"{self.labels[label]} {place % self.distinct}"
        sample = Sample(
            file=f"{picture}.jpg",
            label=self.labels[label],
            item=item,
            title=f"Number {place} of {self.labels[label]}",
            caption=f"One of a crowd: {item}",
        )
        place += label * self.per_label
        return CrowdPin(sample, Path(sample.file), signature(picture), place, self.pixels)


def signature(number: int) -> str:
    """32 hex digits like an MD5, the last 12 of which are the number."""
    return hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()[:20] + f"{number:012x}"


def drawn(seed: int) -> bytes:
    """A small JPEG of soft clouds; no two seeds look alike, and the same seed gives the same bytes."""
    from PIL import Image

    clouds = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(clouds).resize(SIZE, Image.Resampling.BICUBIC).save(out, "JPEG", quality=80)
    return out.getvalue()

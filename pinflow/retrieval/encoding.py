"""From the bytes of a query picture to a vector in the space of the gallery.

A query picture must take the very path that the gallery's pictures took: the one decoder, the same
derivative, the trunk of the same digest, the head of the release. Weights are loaded at the first
picture, so that searching by words or by pin never waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from pinflow.errors import TrunkError
from pinflow.retrieval.index import Floats


class Trunk(Protocol):
    """A frozen network; `pinflow.learning.trunk.Trunk` is one."""

    digest: str

    def encode(self, pictures: Sequence[bytes]) -> Floats:
        """Features (n, width) float32 of curated pictures, not normalised."""


class Head(Protocol):
    """What tuning has learned; `pinflow.learning.head.Head` is one."""

    def apply(self, vectors: Floats) -> Floats:
        """Unit vectors (n, d) float32 from trunk features (n, width)."""


LoadTrunk = Callable[[str], Trunk]


class PictureEncoder:
    """Encodes query pictures for one release. Safe to use from several threads."""

    def __init__(self, name: str, digest: str | None, trunk: Trunk | None, load: LoadTrunk | None) -> None:
        """`name`, `digest`: the trunk that made the release. `trunk`: that one, if it is loaded already."""
        self._name = name
        self._digest = digest
        self._load = load or load_trunk
        self._trunk = None if trunk is None else self._same(trunk)
        self._heads: dict[bytes, Head] = {}
        self._lock = threading.Lock()

    def encode(self, pictures: Sequence[bytes], head: bytes) -> Floats:
        """Unit vectors (n, d) of picture files as they came from outside, in the space that `head` makes.

        Raises `PictureError` for one that cannot be used, `TrunkError` where the weights are out of reach.
        """
        curated = [_curated(picture) for picture in pictures]
        trunk, applied = self.load(head)
        return applied.apply(trunk.encode(curated))

    def load(self, head: bytes) -> tuple[Trunk, Head]:
        """The trunk and that head, from memory or loaded now. Raises `TrunkError`."""
        with self._lock:
            if self._trunk is None:
                self._trunk = self._same(self._load(self._name))
            if head not in self._heads:
                self._heads[head] = _load_head(head)
            return self._trunk, self._heads[head]

    def _same(self, trunk: Trunk) -> Trunk:
        if self._digest is not None and trunk.digest != self._digest:
            raise TrunkError(
                f"trunk {self._name!r} here has other weights than the release was made with: "
                "pictures would land in another space. Install the same version, or publish the release anew"
            )
        return trunk


def _curated(picture: bytes) -> bytes:
    from pinflow.imaging.derivatives import derive

    return derive(picture).jpeg


def load_trunk(name: str) -> Trunk:
    """The trunk of that name, on the best device. Raises `TrunkError`."""
    from pinflow.learning import trunk

    return trunk.load_trunk(name)


def _load_head(data: bytes) -> Head:
    from pinflow.learning.head import Head as Learned

    return Learned.from_bytes(data)

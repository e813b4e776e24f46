"""From the bytes of a query picture to a vector in the space of the gallery.

A query picture must take the very path that the gallery's pictures took: the one decoder, the same
derivative, the trunk of the same digest, the head of the release. Weights are loaded at the first
picture, so that searching by words or by pin never waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pinflow.errors import CorruptError, TrunkError
from pinflow.learning.stages import Reads
from pinflow.retrieval.index import Floats
from pinflow.retrieval.release import Space


class Trunk(Protocol):
    """A frozen network; `pinflow.learning.trunk.Trunk` is one."""

    digest: str

    def encode(self, pictures: Sequence[bytes], reads: Reads = "last") -> Floats:
        """Features (n, width) float32 of curated pictures, not normalised: what a head that reads that is
        given."""


class Head(Protocol):
    """What tuning has learned; `pinflow.learning.head.Head` is one."""

    @property
    def reads(self) -> Reads: ...

    @property
    def trunk(self) -> str: ...

    def apply(self, vectors: Floats) -> Floats:
        """Unit vectors (n, d) float32 from trunk features (n, width)."""


LoadTrunk = Callable[[str], Trunk]
Apply = Callable[[Floats], Floats]


class PictureEncoder:
    """Encodes query pictures for one release. Safe to use from several threads."""

    def __init__(
        self,
        name: str,
        digest: str | None,
        trunk: Trunk | None,
        load: LoadTrunk | None,
        style_digest: str | None = None,
        load_style: LoadTrunk | None = None,
        tuned: Path | None = None,
    ) -> None:
        """`name`, `digest`: the trunk that made the release. `trunk`: that one, if it is loaded already.
        `style_digest`: the early layers that its styles are of; `tuned`: the checkpoint of the trunk that was
        tuned for its shared space, if that was."""
        self._tuned_file = tuned
        self._tuned: Trunk | None = None
        self._name = name
        self._digest = digest
        self._load = load or load_trunk
        self._trunk = None if trunk is None else self._same(trunk)
        self._heads: dict[bytes, Head] = {}
        self._style_digest = style_digest
        self._load_style = load_style or load_early
        self._style: Trunk | None = None
        self._lock = threading.Lock()

    def encode(self, pictures: Sequence[bytes], space: Space) -> Floats:
        """Unit vectors (n, d) of picture files as they came from outside, in that space.

        Raises `PictureError` for one that cannot be used, `TrunkError` where the weights are out of reach.
        """
        curated = [_curated(picture) for picture in pictures]
        if space.by_style:
            early, apply = self._early(space.head)
            return apply(early.encode(curated))
        trunk, applied = self.load(space.head)
        return applied.apply(trunk.encode(curated, applied.reads))

    def features(self, picture: bytes, space: Space) -> tuple[Floats, Floats]:
        """What the trunk as it came makes of a picture file (w,), and its unit vector (d,) in a space of
        content."""
        trunk, head = self.load(space.head)
        plain, curated = self._plain(), [_curated(picture)]
        features = plain.encode(curated)
        same = trunk is plain and head.reads == "last"
        read = features if same else trunk.encode(curated, head.reads)
        return features[0], head.apply(read)[0]

    def load(self, head: bytes) -> tuple[Trunk, Head]:
        """The trunk and that head, from memory or loaded now. Raises `TrunkError`."""
        with self._lock:
            if head not in self._heads:
                self._heads[head] = _load_head(head)
            found = self._heads[head]
            if found.trunk:
                self._tuned = self._tuned or load_tuned(self._tuned_file, found.trunk)
                return self._tuned, found
        return self._plain(), found

    def _plain(self) -> Trunk:
        """The trunk with the weights that it came with."""
        with self._lock:
            if self._trunk is None:
                self._trunk = self._same(self._load(self._name))
            return self._trunk

    def _early(self, map_: bytes) -> tuple[Trunk, Apply]:
        """The early layers and that map of styles."""
        from pinflow.learning.style.whitening import Whitening

        with self._lock:
            if self._style is None:
                self._style = self._same(self._load_style(self._name), self._style_digest)
            return self._style, Whitening.from_bytes(map_).apply

    def _same(self, trunk: Trunk, digest: str | None = None) -> Trunk:
        digest = digest or self._digest
        if digest is not None and trunk.digest != digest:
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


def load_tuned(file: Path | None, digest: str) -> Trunk:
    """The trunk that was tuned for a space. Raises `CorruptError` where it is not there."""
    from pinflow.learning.trunk import tuned_trunk

    if file is None or not file.is_file():
        raise CorruptError("the release holds no trunk.safetensors, which its head needs: publish it again")
    return tuned_trunk(file.read_bytes(), digest)


def load_early(name: str) -> Trunk:
    """The early layers of that trunk, on the best device. Raises `TrunkError`."""
    from pinflow.learning.style.statistics import load_style

    return load_style(name)


def _load_head(data: bytes) -> Head:
    from pinflow.learning.head import Head as Learned

    return Learned.from_bytes(data)

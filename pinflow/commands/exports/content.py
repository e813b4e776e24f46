"""What an export is made of: the release in use without what was removed, the splits, and the originals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow.errors import StoreError
from pinflow.releases import LocalReleases
from pinflow.settings import Settings
from pinflow.store import Store, open_store

NO_SPLIT = "none"  # of a pin that came after the splits were last made
_SAFE = re.compile(r"[\w-][\w.-]{0,80}", re.ASCII)
_ENDINGS = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
)


@dataclass(frozen=True, eq=False)
class Content:
    """Row i of `pins` (`schema.RELEASE_PINS`), `vectors` (n, d) and `splits` is the same pin."""

    settings: Settings
    collection: str
    release: str
    folder: Path
    about: dict[str, Any]  # `release.json`, with what `evaluation.json` adds
    pins: pa.Table
    vectors: npt.NDArray[np.float32]
    store: Store

    @classmethod
    def of(cls, settings: Settings, collection: str) -> Content:
        """The release in use, verified. Raises `StoreError` before the first one."""
        from pinflow.retrieval.release import Release

        store = open_store(settings.storage_url)
        local = LocalReleases(store, settings.home_path / "cache" / "releases")
        name = local.current(collection)
        if name is None:
            raise StoreError(f"{collection} has no release yet: pinflow run {collection}")
        folder = local.fetch(collection, name)
        opened, removed = Release.open(folder), local.removed(collection)
        left = removed.left(opened.pins)
        kept = np.flatnonzero(np.isin(opened.pins["id"].to_pylist(), left["id"].to_pylist()))
        found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        told = ("queries", "promoted", "why", "words", "tags")
        about = {**{key: found.get(key) for key in told}, **opened.info}
        pins = removed.erase(opened.pins.take(pa.array(kept, pa.int64())))
        return cls(settings, collection, name, folder, about, pins, opened.shared.vectors[kept], store)

    @cached_property
    def splits(self) -> list[str]:
        """train, val, test or held_out of each pin, as the evaluation has them."""
        from pinflow.learning.splits import resolve
        from pinflow.pipeline.io_managers import TABLE

        made = self.store.manifests(self.collection, "splits").values()
        encoder = self.store.manifest(self.collection, "encoder")
        seen = self.store.table(encoder, "trained_on.parquet")["key"].to_pylist() if encoder else []
        rows = resolve([self.store.table(one, TABLE) for one in made], trained_on=seen)
        split: dict[str, str] = {}
        # A pin under two labels may be held out under one of them, so as not to count twice.
        for one, where in zip(rows["id"].to_pylist(), rows["split"].to_pylist(), strict=True):
            if where != "held_out" or one not in split:
                split[one] = where
        return [split.get(one, NO_SPLIT) for one in self.pins["id"].to_pylist()]

    @cached_property
    def names(self) -> list[str]:
        """A file name for each pin, without its ending: its id where that can be one, else the row."""
        ids = self.pins["id"].to_pylist()
        taken: set[str] = set()
        found = []
        for row, one in enumerate(ids):
            name = one if _SAFE.fullmatch(one) and one.lower() not in taken else f"{row:06d}-pin"
            taken.add(name.lower())
            found.append(name)
        return found

    def originals(self) -> Iterator[tuple[int, bytes, str]]:
        """Row, bytes and the ending of a file name for each picture, one at a time in memory."""
        for row, sha256 in enumerate(self.pins["sha256"].to_pylist()):
            data = self.store.get(self.collection, sha256)
            ending = next((end for start, end in _ENDINGS if data.startswith(start)), ".img")
            yield row, data, ending

    def rows(self) -> list[dict[str, Any]]:
        """What is known about each pin, as JSON can hold it."""
        found = []
        for row in self.pins.drop_columns(["fetched_at"]).to_pylist():
            row["attributes"] = dict(row["attributes"] or [])
            found.append(row)
        return found

"""A release folder on local disk, opened and checked: the read-only state that searches run on.

`Release.open` trusts nothing: every file is compared with the checksum in `release.json`, and the
tables, vectors and indexes with one another. Ranking is not here but in `searcher`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pinflow import schema
from pinflow.errors import CorruptError
from pinflow.mapped import open_table
from pinflow.retrieval.attributes import Attribute, attributes
from pinflow.retrieval.colours import Colours
from pinflow.retrieval.index import Floats, Index, Rows
from pinflow.retrieval.pricing import Prices, Pricing
from pinflow.retrieval.votes import Vote
from pinflow.whole import file_digest

THUMBNAILS = "thumbnails.arrow"
OLD_THUMBNAILS = "thumbnails.parquet"  # packed, in a release of an older pinflow


@dataclass(frozen=True, eq=False)
class Space:
    """A vector space to search in: the collection's shared one, one label's own, or that of styles. Row i <->
    vector i."""

    ids: list[str]
    rows: Rows  # the row of `Release.pins` that each row belongs to
    vectors: Floats
    index: Index
    head: bytes = field(repr=False)  # what turns trunk features, or style statistics, into its vectors
    by_style: bool = False

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Pin id -> row."""
        return {id: row for row, id in enumerate(self.ids)}


@dataclass(frozen=True, eq=False)
class Release:
    """Everything searching needs. Row i of `pins` is row i of the shared space."""

    info: dict[str, Any]
    pins: pa.Table
    shared: Space
    local: dict[str, Space]  # by label slug
    style: Space | None  # row i of `pins` too; none while labels have styles of several maps
    colours: Colours | None  # row i of `pins` too; none in a release from before there were any
    _thumbnails: pa.Table = field(repr=False)
    votes: dict[str, Vote] = field(default_factory=dict, repr=False)  # by attribute
    pricing: Pricing | None = field(default=None, repr=False)
    folder: Path = field(default=Path(), repr=False)  # where its files are

    @classmethod
    def open(cls, folder: Path) -> Release:
        """The release in `folder`. Raises `CorruptError` unless all its files are there, whole, and agree."""
        info = _read_info(folder)
        verify(folder, info["files"])
        try:
            return cls._read(folder, info)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise CorruptError(f"release {info['id']}: cannot be read: {error}") from error

    @classmethod
    def _read(cls, folder: Path, info: dict[str, Any]) -> Release:
        pins = _table(folder / "pins.parquet", schema.RELEASE_PINS)
        thumbnails = _thumbnails(folder, info)
        vectors = _vectors(folder / "vectors.npy", info, pins.num_rows)
        ids = pins.column("id").to_pylist()
        head = (folder / "encoder.safetensors").read_bytes()
        index = _index(folder, info, "gallery", vectors)
        shared = Space(ids, np.arange(len(ids)), vectors, index, head)
        if len(shared.row_of) != len(ids):
            raise CorruptError(f"release {info['id']}: an id stands on two rows of pins.parquet")
        local, style = _local_spaces(folder, info, shared.row_of), _style_space(folder, info, shared)
        colours, votes, pricing = _colours(folder, info, pins), _votes(folder, info), _pricing(folder, info)
        release = cls(info, pins, shared, local, style, colours, thumbnails, votes, pricing, folder)
        without = shared.row_of.keys() - release._thumbnail_row.keys()
        if without:
            raise CorruptError(
                f"release {info['id']}: {len(without)} pins have no thumbnail, e.g. {min(without)}"
            )
        return release

    @property
    def id(self) -> str:
        """Identity of the release; it changes with its content."""
        return str(self.info["id"])

    @cached_property
    def attributes(self) -> dict[str, Attribute]:
        """What pictures can be compared by, by name."""
        return attributes(self.pins)

    @cached_property
    def prices(self) -> Prices | None:
        """What pictures cost; None where none has a price."""
        return Prices.of(self.pins, self.attributes)

    @cached_property
    def _thumbnail_row(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self._thumbnails.column("id").to_pylist())}

    def thumbnail(self, id: str) -> bytes:
        """The WebP of a pin. Raises `KeyError` for an unknown id."""
        webp: bytes = self._thumbnails.column("webp")[self._thumbnail_row[id]].as_py()
        return webp

    def thumbnail_digest(self, id: str) -> str:
        """What tells it from any other. Raises `KeyError` for an unknown id."""
        digest: str = self.shown.column("thumbnail")[self.shared.row_of[id]].as_py()
        return digest

    @cached_property
    def shown(self) -> pa.Table:
        """Of `pins` what results show, and `thumbnail`, the digest of each thumbnail: that of its picture,
        and its size, which tells one made in another way. So no thumbnail is read before it is asked for."""
        sizes = pc.binary_length(self._thumbnails.column("webp")).to_numpy()
        sizes = sizes[[self._thumbnail_row[id] for id in self.shared.ids]]
        pictures = pc.utf8_slice_codeunits(self.pins.column("sha256"), 0, 16)
        digests = pc.binary_join_element_wise(pictures, pa.array(sizes).cast(pa.string()), "-")
        return self.pins.drop_columns(["caption", "related", "sha256"]).append_column("thumbnail", digests)


def verify(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    """Raises `CorruptError` unless every file of the release has the size and sha256 it should have."""
    for name, promised in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise CorruptError(f"release: file name {name!r} leads out of the folder")
        if not path.is_file():
            raise CorruptError(f"release: {name} is missing; fetch or publish the release again")
        if path.stat().st_size != promised.get("bytes"):
            raise _broken(name)
    with ThreadPoolExecutor() as pool:  # hashing leaves the other threads alone
        for name, found in zip(files, pool.map(lambda name: file_digest(folder / name), files), strict=True):
            if found != files[name].get("sha256"):
                raise _broken(name)


def _broken(name: str) -> CorruptError:
    return CorruptError(f"release: {name} is not what release.json promises; fetch or publish it again")


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / "release.json"
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptError(f"{path}: cannot be read: {error}") from error
    wanted = {"id": str, "collection": str, "encoder": dict, "labels": dict, "files": dict}
    wrong = [
        key
        for key, kind in wanted.items()
        if not isinstance(info, dict) or not isinstance(info.get(key), kind)
    ]
    if wrong:
        raise CorruptError(f"{path}: no valid {', '.join(wrong)}")
    needed = [
        "pins.parquet",
        "vectors.npy",
        "gallery.faiss",
        "gallery.json",
        OLD_THUMBNAILS if OLD_THUMBNAILS in info["files"] else THUMBNAILS,
        "encoder.safetensors",
    ]
    unlisted = [name for name in needed if name not in info["files"]]
    if unlisted:
        raise CorruptError(f"{path}: lists no {', '.join(unlisted)}")
    checked: dict[str, Any] = info
    return checked


def _table(path: Path, wanted: pa.Schema) -> pa.Table:
    # Parquet knows no seconds: what was written as such comes back in milliseconds, so cast first.
    table = schema.conform(pq.read_table(path, memory_map=True), wanted).combine_chunks()
    return _as_wanted(path, table, wanted)


def _thumbnails(folder: Path, info: dict[str, Any]) -> pa.Table:
    """Mapped: a hundred thousand are a gigabyte."""
    if OLD_THUMBNAILS in info["files"]:
        return _table(folder / OLD_THUMBNAILS, schema.THUMBNAILS)
    path = folder / THUMBNAILS
    return _as_wanted(path, open_table(path), schema.THUMBNAILS)


def _as_wanted(path: Path, table: pa.Table, wanted: pa.Schema) -> pa.Table:
    found = schema.problems(table, wanted)
    if found:
        raise CorruptError(f"release: {path.name}: {'; '.join(found)}")
    return table


def _vectors(path: Path, info: dict[str, Any], rows: int) -> Floats:
    vectors: Floats = np.load(path, mmap_mode="r" if rows else None, allow_pickle=False)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != rows:
        raise CorruptError(
            f"release {info['id']}: {rows} pins but {path.stem} of {vectors.shape} {vectors.dtype}"
        )
    return vectors


def _votes(folder: Path, info: dict[str, Any]) -> dict[str, Vote]:
    # A release of an older pinflow has none.
    if "lookup.json" not in info["files"]:
        return {}
    made = json.loads((folder / "lookup.json").read_bytes())
    return {name: Vote.from_json(vote) for name, vote in made.items()}


def _colours(folder: Path, info: dict[str, Any], pins: pa.Table) -> Colours | None:
    if "colours.parquet" not in info["files"]:
        return None
    table = _table(folder / "colours.parquet", schema.COLOURS)
    if table["sha256"].to_pylist() != pins["sha256"].to_pylist():
        raise CorruptError(f"release {info['id']}: colours.parquet is of other pictures than pins.parquet")
    return Colours.of(table)


def _pricing(folder: Path, info: dict[str, Any]) -> Pricing | None:
    if "price.json" not in info["files"]:
        return None
    made = json.loads((folder / "price.json").read_bytes())
    return None if made is None else Pricing.from_json(made)


def _style_space(folder: Path, info: dict[str, Any], shared: Space) -> Space | None:
    if "style.npy" not in info["files"]:
        return None
    vectors = _vectors(folder / "style.npy", info, len(shared.ids))
    index, map_ = _index(folder, info, "style", vectors), (folder / "style.safetensors").read_bytes()
    return Space(shared.ids, shared.rows, vectors, index, map_, by_style=True)


def _index(folder: Path, info: dict[str, Any], name: str, vectors: Floats) -> Index:
    """Mapped, not read; its digest was compared with what `release.json` promises a moment ago."""
    meta = (folder / f"{name}.json").read_bytes()
    known = info["files"][f"{name}.faiss"]["sha256"]
    return Index.open(folder / f"{name}.faiss", meta, vectors, sha256=known)


def _local_spaces(folder: Path, info: dict[str, Any], row_of: dict[str, int]) -> dict[str, Space]:
    spaces = {}
    for slug in info["labels"]:
        # A label without pictures (empty, or its site was down from the start) has no folder.
        if f"labels/{slug}/index.faiss" not in info["files"]:
            continue
        home = folder / "labels" / slug
        table = pq.read_table(home / "local.parquet", columns=["id", "local"])
        column = table.column("local").combine_chunks()
        vectors = column.flatten().to_numpy().astype(np.float32, copy=False)
        ids = table.column("id").to_pylist()
        strange = [id for id in ids if id not in row_of]
        if strange:
            raise CorruptError(f"release {info['id']}: label {slug} holds an unknown pin, {strange[0]}")
        rows = np.array([row_of[id] for id in ids], dtype=np.int64)
        vectors = vectors.reshape(len(ids), column.type.list_size)
        head = (home / "encoder.safetensors").read_bytes()
        spaces[slug] = Space(ids, rows, vectors, _index(folder, info, f"labels/{slug}/index", vectors), head)
    return spaces

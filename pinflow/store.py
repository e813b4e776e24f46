"""Storage on any fsspec URL: content-addressed blobs, manifests, tables. Nobody else touches it.

The state of a partition is one manifest, written last, naming blobs by digest: a reader sees the old
state or the new one, never a mixture, on S3 as on a disk. Whoever dies half-way leaves only blobs
that no manifest names; `sweep` removes them later.

Layout: `<url>/<collection>/<stage>/[<label>/]manifest.json` and `<url>/<collection>/blobs/ab/cd/<sha256>`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from pinflow.errors import CorruptError
from pinflow.manifest import JSON, File, Manifest, digest
from pinflow.objects import Objects, age_of, base_name, written

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["File", "Manifest", "Store", "digest", "open_store", "table_bytes"]

SWEEP_AGE_SECONDS = 24 * 3600  # a blob younger than this may belong to a run in flight
RENEW_AGE_SECONDS = SWEEP_AGE_SECONDS / 2  # an older one is written again when it is put again
REFERRING = "pins.parquet"  # the table whose `sha256` column names blobs: the pictures' original bytes


def table_bytes(table: pa.Table) -> bytes:
    """Parquet, zstd; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    return sink.getvalue()


class Store(Objects):
    """Every method takes the collection first. Raises `StoreError` where the storage fails."""

    # Blobs

    def put(self, collection: str, data: bytes) -> str:
        """Store bytes once, by content; the sha256 is their name. An old blob is written again, so that
        a sweep does not take it before the manifest that is about to name it."""
        name = hashlib.sha256(data).hexdigest()
        age = self.age(*_blob(collection, name))
        if age is None or age > RENEW_AGE_SECONDS:
            self.write(data, *_blob(collection, name))
        return name

    def adopt(self, collection: str, files: Mapping[str, bytes]) -> None:
        """Store the bytes that a scrape left on this machine under their sha256, checked once more. Raises
        `CorruptError` for some that are not what their name says."""

        def read(sha256: str) -> bytes:
            data = files[sha256]
            if hashlib.sha256(data).hexdigest() != sha256:
                raise CorruptError(f"the crawl's copy of {sha256[:12]} is damaged: delete it and run again")
            return data

        self.write_many({_blob(collection, sha256): partial(read, sha256) for sha256 in files})

    def has(self, collection: str, sha256: str) -> bool:
        return self.exists(*_blob(collection, sha256))

    def missing(self, collection: str, digests: Iterable[str]) -> set[str]:
        """Those of the digests that are not stored: a record is a claim, the store is the truth."""
        wanted = sorted(set(digests))
        there = self.many(lambda name: self.has(collection, name), wanted)
        return {name for name, stored in zip(wanted, there, strict=True) if not stored}

    def get(self, collection: str, sha256: str) -> bytes:
        """Verified bytes. A damaged or missing blob raises `CorruptError`; the damaged one is removed,
        so that whoever makes it can make it again."""
        parts = _blob(collection, sha256)
        try:
            data = self.read(*parts)
        except FileNotFoundError as error:
            raise CorruptError(
                f"blob {sha256[:12]} of {collection} is missing: materialise its stage again"
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            self.delete(*parts)
            raise CorruptError(
                f"blob {sha256[:12]} of {collection} was damaged and is removed: materialise its stage again"
            )
        return data

    # Manifests and what they name

    def put_file(self, collection: str, data: bytes) -> File:
        return File(self.put(collection, data), len(data))

    def put_table(self, collection: str, table: pa.Table) -> File:
        return replace(self.put_file(collection, table_bytes(table)), rows=table.num_rows)

    def file(self, manifest: Manifest, name: str) -> bytes:
        """A file that the manifest names. Where it is damaged, the manifest goes too: its stage is
        then missing, which the automation mends."""
        try:
            return self.get(manifest.collection, manifest.files[name].sha256)
        except CorruptError as error:
            self.discard(manifest)
            raise CorruptError(f"{_where(manifest)}, {name}: {error}") from error

    def table(self, manifest: Manifest, name: str, columns: list[str] | None = None) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = self.file(manifest, name)
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            self.discard(manifest)
            raise CorruptError(
                f"{_where(manifest)}, {name}: not Parquet ({error}): materialise it again"
            ) from error

    def commit(self, manifest: Manifest) -> Manifest:
        """Make the manifest the state of its partition: the last write, and the only visible one."""
        dated = replace(manifest, written_at=datetime.now(UTC).isoformat(timespec="seconds"))
        self.write(dated.to_json(), *_place(manifest.collection, manifest.stage, manifest.label))
        return dated

    def manifest(self, collection: str, stage: str, label: str | None = None) -> Manifest | None:
        """None where the partition was never made. Raises `CorruptError` for a damaged manifest."""
        parts = _place(collection, stage, label)
        try:
            data = self.read(*parts)
        except FileNotFoundError:
            return None
        return Manifest.from_json(data, "/".join(parts))

    def discard(self, manifest: Manifest) -> None:
        """Forget a state; its blobs stay until swept. A newer state in its place is left alone."""
        with suppress(CorruptError):
            now = self.manifest(manifest.collection, manifest.stage, manifest.label)
            if now is None or now.files != manifest.files:
                return
        self.delete(*_place(manifest.collection, manifest.stage, manifest.label))

    def manifests(self, collection: str, stage: str) -> dict[str, Manifest]:
        """Label -> manifest for a whole stage. A damaged one counts as missing, so that its partition is
        made again."""
        found: dict[str, Manifest] = {}
        for name, data in self.documents(collection, stage).items():
            label, _, file = name.rpartition("/")
            if label and file == "manifest.json":
                with suppress(CorruptError):
                    found[label] = Manifest.from_json(data, name)
        return found

    # Housekeeping

    def sweep(self, collection: str, *, age_seconds: float = SWEEP_AGE_SECONDS) -> int:
        """Remove blobs older than `age_seconds` that no manifest and no release names, and temporary
        files that a killed process left; how many. Raises `CorruptError`, and removes nothing, where
        what is named cannot be known."""
        used = self.named(collection)
        blobs = self.path(collection, "blobs") + "/"
        removed = 0
        for path, info in self._find(collection).items():
            name = base_name(path)
            needless = name.startswith(".") or (path.startswith(blobs) and name not in used)
            if needless and age_of(info) > age_seconds:
                self._remove(path)
                removed += 1
        return removed

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError), self._explained(path):
            self._fs.rm_file(path)

    def erase(self, collection: str, digests: Collection[str], *, until: float) -> int:
        """Remove at once the blobs that nothing names any more: these, and all that were written `until`
        then (POSIX seconds, the file system's clock); and what the killed left half-written. How many. A run
        in flight that was about to name one finds it missing, and its stage is made again. Raises
        `CorruptError`, and removes nothing, where what is named cannot be known."""
        used = self.named(collection)
        needless = [
            path
            for path, info in self._find(collection, "blobs").items()
            if (name := base_name(path)) not in used and (name in digests or written(info) <= until)
        ]
        self.many(self._remove, needless)
        return len(needless)

    def named(self, collection: str) -> set[str]:
        """The digests of every blob that something still names. Raises `CorruptError` where a document is
        damaged."""
        used: set[str] = set()
        tables: set[str] = set()
        for top in self.names(collection):
            for name, data in self.documents(collection, top).items() if top != "blobs" else ():
                if name.endswith(".json"):
                    try:
                        content = json.loads(data)
                    except ValueError as error:
                        raise CorruptError(
                            f"{collection}/{top}/{name} is damaged, what it names unknown: nothing swept"
                        ) from error
                    used.update(_digests(content))
                    tables.update(_digests(_files(content).get(REFERRING)))
        for pictures in self.many(lambda sha256: self._originals(collection, sha256), sorted(tables)):
            used.update(pictures)
        return used

    def _originals(self, collection: str, sha256: str) -> list[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        column = pq.read_table(pa.BufferReader(self.get(collection, sha256)), columns=["sha256"])["sha256"]
        found: list[str] = column.drop_null().to_pylist()
        return found


@lru_cache(maxsize=8)
def open_store(url: str) -> Store:
    """One store a URL and process, so that its cache of manifests is shared."""
    return Store(url)


def _blob(collection: str, sha256: str) -> tuple[str, ...]:
    return (collection, "blobs", sha256[:2], sha256[2:4], sha256)


def _place(collection: str, stage: str, label: str | None) -> tuple[str, ...]:
    return (collection, stage, *([label] if label else []), "manifest.json")


def _where(manifest: Manifest) -> str:
    return "/".join(_place(manifest.collection, manifest.stage, manifest.label)[:-1])


def _files(content: JSON) -> Mapping[str, JSON]:
    files = content.get("files") if isinstance(content, Mapping) else None
    return files if isinstance(files, Mapping) else {}


def _digests(content: JSON) -> Iterator[str]:
    """Every `sha256` value anywhere in a JSON document."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key == "sha256" and isinstance(value, str):
                yield value
            else:
                yield from _digests(value)
    elif isinstance(content, list):
        for value in content:
            yield from _digests(value)

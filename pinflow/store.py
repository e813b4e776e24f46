"""Storage on any fsspec URL: objects, content-addressed blobs, manifests, tables. Nobody else touches it.

The state of a partition is one manifest, written last, naming blobs by digest: a reader sees the old
state or the new one, never a mixture, on S3 as on a disk. Whoever dies half-way leaves only blobs
that no manifest names; `sweep` removes them later.

Layout: `<url>/<collection>/<stage>/[<label>/]manifest.json` and `<url>/<collection>/blobs/ab/cd/<sha256>`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from pinflow.errors import CorruptError, StoreError

JSON = Any
SWEEP_AGE_SECONDS = 24 * 3600  # a blob younger than this may belong to a run in flight
REMOTE_THREADS = 32


def digest(content: JSON) -> str:
    """sha256 of JSON-able content, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class File:
    """A blob under a name. `rows` is set for tables."""

    sha256: str
    bytes: int
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What a stage made for one label (or, with `label` None, for the collection).

    `version` changes only when the content that others build on changed; `inputs` are the versions it
    was built from and `recipe` the parameters, so that equality of both means "nothing to do".
    `stats` are for people and never part of the version.
    """

    collection: str
    stage: str
    label: str | None
    version: str
    recipe: str
    inputs: dict[str, JSON]
    files: dict[str, File]
    facts: dict[str, JSON] = field(default_factory=dict)
    stats: dict[str, JSON] = field(default_factory=dict)
    status: str = "complete"
    reason: str | None = None
    written_at: str = ""

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(file.rows or 0 for file in self.files.values())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.bytes for file in self.files.values())

    @property
    def content(self) -> str:
        """Digest of every file and fact, also where `version` stands for less than all of them."""
        return digest({"files": {n: f.sha256 for n, f in self.files.items()}, "facts": self.facts})

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Raises `CorruptError` naming `where`."""
        try:
            content = json.loads(data)
            content["files"] = {name: File(**file) for name, file in content["files"].items()}
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptError(
                f"{where} is damaged ({error}): delete it and materialise that partition again"
            ) from error


def table_bytes(table: pa.Table) -> bytes:
    """Parquet, zstd; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    return sink.getvalue()


class Store:
    """Every method takes the collection first. Raises `StoreError` where the storage fails."""

    def __init__(self, url: str) -> None:
        import fsspec

        options: dict[str, Any] = {}
        if url.startswith("s3://"):
            options = {
                "use_listings_cache": False,
                "config_kwargs": {"connect_timeout": 5, "retries": {"max_attempts": 2}},
            }
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise StoreError(
                f"storage {url} needs another package: pip install 'pinflow[s3]' ({error})"
            ) from error
        except ValueError as error:
            raise StoreError(f"storage {url}: {error}") from error
        self.url = url
        self._local = url.startswith("file://") or "://" not in url
        self._documents: dict[str, tuple[Any, bytes]] = {}

    # Objects

    def path(self, *parts: str) -> str:
        """Where an object is, inside the file system. Parts come from slugs and digests only."""
        return "/".join([self._root.rstrip("/"), *parts])

    def read(self, *parts: str) -> bytes:
        """Raises `FileNotFoundError` where there is none."""
        with self._explained(parts):
            return bytes(self._fs.cat_file(self.path(*parts)))

    def write(self, data: bytes, *parts: str) -> None:
        """Atomic: a reader sees the old object, or the whole new one."""
        target = self.path(*parts)
        with self._explained(parts):
            if self._local:
                _replace(Path(target), data)
            else:
                self._fs.pipe_file(target, data)

    def delete(self, *parts: str) -> None:
        with self._explained(parts):
            self._fs.rm_file(self.path(*parts))

    def exists(self, *parts: str) -> bool:
        with self._explained(parts):
            return bool(self._fs.exists(self.path(*parts)))

    def names(self, *parts: str) -> list[str]:
        """Names directly below a folder, sorted; none where the folder is missing."""
        with self._explained(parts):
            try:
                found = self._fs.ls(self.path(*parts), detail=False)
            except FileNotFoundError:
                return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if name and not name.startswith("."))

    def objects(self, *parts: str) -> dict[str, Any]:
        """Path -> stamp for every object below a folder; a stamp changes whenever the object does."""
        with self._explained(parts):
            try:
                found = self._fs.find(self.path(*parts), detail=True)
            except FileNotFoundError:
                return {}
        return {
            path: (info.get("ETag"), info.get("ino"), info.get("mtime"), info["size"])
            for path, info in found.items()
            if not path.rsplit("/", 1)[-1].startswith(".")
        }

    def many(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """`work` over `items` with many requests in flight, in order: storage far away is slow, not busy."""
        with ThreadPoolExecutor(REMOTE_THREADS) as pool:
            return list(pool.map(work, items))

    # Blobs

    def put(self, collection: str, data: bytes) -> str:
        """Store bytes once, by content; the sha256 is their name."""
        name = hashlib.sha256(data).hexdigest()
        if not self.has(collection, name):
            self.write(data, *_blob(collection, name))
        return name

    def has(self, collection: str, sha256: str) -> bool:
        return self.exists(*_blob(collection, sha256))

    def missing(self, collection: str, digests: Iterable[str]) -> set[str]:
        """Those of the digests that are not stored: a record is a claim, the store is the truth."""
        wanted = sorted(set(digests))
        return {
            name
            for name, there in zip(wanted, self.many(lambda n: self.has(collection, n), wanted), strict=True)
            if not there
        }

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
        except CorruptError:
            self.discard(manifest)
            raise

    def table(self, manifest: Manifest, name: str, columns: list[str] | None = None) -> pa.Table:
        import pyarrow.parquet as pq

        data = self.file(manifest, name)
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            self.discard(manifest)
            raise CorruptError(
                f"{'/'.join(_place(manifest.collection, manifest.stage, manifest.label)[:-1])}: "
                f"{name} is not Parquet ({error})"
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
        """Forget a state; its blobs stay until swept."""
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

    def documents(self, *parts: str) -> dict[str, bytes]:
        """Relative path -> content of every small object below a folder: one listing, and a read only of
        what changed since this process last asked."""
        folder = self.path(*parts)
        stamps = self.objects(*parts)
        changed = [path for path, stamp in stamps.items() if self._documents.get(path, (None,))[0] != stamp]
        with self._explained(parts):
            contents = self._fs.cat(changed, on_error="omit") if changed else {}
        for path, data in contents.items():
            self._documents[path] = (stamps[path], data)
        return {
            path[len(folder) + 1 :]: self._documents[path][1]
            for path in sorted(stamps)
            if path in self._documents
        }

    # Housekeeping

    def sweep(self, collection: str, *, age_seconds: float = SWEEP_AGE_SECONDS) -> int:
        """Remove blobs older than `age_seconds` that no manifest and no release names; how many."""
        used: set[str] = set()
        for top in self.names(collection):
            if top != "blobs":
                for name, data in self.documents(collection, top).items():
                    try:
                        used.update(_digests(json.loads(data)) if name.endswith(".json") else ())
                    except ValueError as error:
                        raise CorruptError(
                            f"{collection}/{top}/{name} is damaged, what it names unknown: nothing swept"
                        ) from error
        removed = 0
        for path, info in self._fs.find(self.path(collection, "blobs"), detail=True).items():
            born = info.get("mtime") or info.get("LastModified")
            seconds = born.timestamp() if isinstance(born, datetime) else float(born or 0)
            if path.rsplit("/", 1)[-1] not in used and time.time() - seconds > age_seconds:
                self._fs.rm_file(path)
                removed += 1
        return removed

    @contextmanager
    def _explained(self, parts: Iterable[str]) -> Iterator[None]:
        """Turn what the file system says into a `StoreError` that says what to do."""
        try:
            yield
        except (FileNotFoundError, StoreError):
            raise
        except OSError as error:
            where = "/".join([self.url, *parts])
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(
                    f"no space left writing {where}: free some and run again; nothing is half-written"
                ) from error
            raise StoreError(f"cannot reach {where}: {error}. {self._advice()}") from error
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("botocore", "aiobotocore", "aiohttp"):
                raise
            raise StoreError(f"cannot reach {self.url}: {error}. {self._advice()}") from error

    def _advice(self) -> str:
        if self._local:
            return "Check the folder and its permissions (PINFLOW_STORAGE)"
        return "Check PINFLOW_STORAGE, AWS_ENDPOINT_URL, the credentials and the network"


@lru_cache(maxsize=8)
def open_store(url: str) -> Store:
    """One store a URL and process, so that its cache of manifests is shared."""
    return Store(url)


def _blob(collection: str, sha256: str) -> tuple[str, ...]:
    return (collection, "blobs", sha256[:2], sha256[2:4], sha256)


def _place(collection: str, stage: str, label: str | None) -> tuple[str, ...]:
    return (collection, stage, *([label] if label else []), "manifest.json")


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


def _replace(target: Path, data: bytes) -> None:
    """Write beside the target, then rename over it; the temporary file never stays after an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

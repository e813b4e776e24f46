"""Releases: what serving needs, immutable, published by one pointer swap.

`<collection>/releases/<id>/release.json` describes itself and names every file by digest; `CURRENT`
holds the id in use. The id is the digest of the content, so the same content is the same release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pinflow import tombstones
from pinflow.errors import CorruptError, StoreError
from pinflow.store import File, Store, digest
from pinflow.tombstones import Tombstones

KEPT = 5  # releases kept for a roll-back, and as many local copies
ID_LENGTH = 16
ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
ABANDONED_SECONDS = 24 * 3600  # a local copy that is unfinished for so long has nobody working on it


def identify(description: dict[str, Any], files: dict[str, File]) -> str:
    """The release id of that content."""
    return digest({"description": description, "files": {n: f.sha256 for n, f in files.items()}})[:ID_LENGTH]


def publish(store: Store, collection: str, description: dict[str, Any], files: dict[str, File]) -> str:
    """Write the release, then swap the pointer; older releases beyond the last `KEPT` go. Returns its id.

    Raises `CorruptError`, and leaves the pointer alone, where a file that it names is not stored.
    """
    name = identify(description, files)
    lost = store.missing(collection, (file.sha256 for file in files.values()))
    if lost:
        names = sorted(path for path, file in files.items() if file.sha256 in lost)
        raise CorruptError(
            f"no release of {collection}, the last one stays: {', '.join(names[:5])} "
            f"({len(names)} files) are not stored: materialise their stages again"
        )
    if _is_current(store, collection, name):
        return name
    content = {
        "id": name,
        "collection": collection,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **description,
        "files": {path: {"sha256": file.sha256, "bytes": file.bytes} for path, file in sorted(files.items())},
    }
    store.write(
        json.dumps(content, indent=1, ensure_ascii=False).encode(),
        collection,
        "releases",
        name,
        "release.json",
    )
    store.write(name.encode(), collection, "CURRENT")
    _retire(store, collection, name)
    return name


def withdraw(store: Store, collection: str) -> bool:
    """Serve nothing from now on: the last label was removed. Whether there was a release."""
    if current(store, collection) is None:
        return False
    store.delete(collection, "CURRENT")
    return True


def current(store: Store, collection: str) -> str | None:
    """The id in use, or None before the first release. Raises `CorruptError` for a damaged pointer."""
    try:
        name = store.read(collection, "CURRENT").decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    if not ID.fullmatch(name):
        raise CorruptError(f"{collection}/CURRENT is damaged: {name[:40]!r} is no release id: publish again")
    return name


def drop_holding(store: Store, collection: str, removed: Tombstones) -> list[str]:
    """Delete the releases that still hold a removed pin, or whose pins cannot be read; which. The one in
    use stays: whoever serves it leaves the pin out, and its successor is what this waits for."""
    used = current(store, collection)
    dropped = [name for name in holding(store, collection, removed) if name != used]
    for name in dropped:
        store.delete(collection, "releases", name, "release.json")
    return dropped


def holding(store: Store, collection: str, removed: Tombstones) -> list[str]:
    """The releases that hold a removed pin, or whose pins cannot be read."""
    found = pins(store, collection) if removed.all else {}
    return [name for name, table in found.items() if table is None or removed.holds(table)]


def pins(store: Store, collection: str) -> dict[str, pa.Table | None]:
    """The pins (`schema.RELEASE_PINS`) of every release that is stored; None where they cannot be read."""
    documents = store.documents(collection, "releases")
    return {path.split("/")[0]: _pins(store, collection, data) for path, data in documents.items()}


def _pins(store: Store, collection: str, data: bytes) -> pa.Table | None:
    import pyarrow.parquet as pq

    try:
        found = store.get(collection, json.loads(data)["files"]["pins.parquet"]["sha256"])
    except (ValueError, TypeError, KeyError, CorruptError):
        return None
    return pq.read_table(pa.BufferReader(found))


def _is_current(store: Store, collection: str, name: str) -> bool:
    try:
        return current(store, collection) == name and bool(describe(store, collection, name))
    except StoreError:
        return False


def describe(store: Store, collection: str, name: str) -> dict[str, Any]:
    """`release.json`. Raises `StoreError` for an unknown release, `CorruptError` for a damaged one."""
    try:
        content = json.loads(store.read(collection, "releases", name, "release.json"))
    except FileNotFoundError as error:
        raise StoreError(f"{collection} has no release {name}") from error
    except ValueError as error:
        raise CorruptError(f"{collection}/releases/{name}/release.json is damaged: publish again") from error
    if not isinstance(content, dict) or content.get("id") != name:
        raise CorruptError(
            f"{collection}/releases/{name}/release.json does not describe {name}: publish again"
        )
    return content


@dataclass(frozen=True)
class LocalReleases:
    """Verified local copies of releases, for serving. The newest `KEPT` of a collection stay."""

    store: Store
    cache: Path

    def collections(self) -> list[str]:
        """Collections that have something to serve."""
        return [name for name in self.store.names() if self.store.exists(name, "CURRENT")]

    def current(self, collection: str) -> str | None:
        return current(self.store, collection)

    def removed(self, collection: str) -> Tombstones:
        """What must not be served, whatever a release still holds."""
        return tombstones.read(self.store, collection)

    def drop_holding(self, collection: str, removed: Tombstones, keep: str | None) -> None:
        """Delete local copies that hold a removed pin, but for the one in use."""
        import pyarrow.parquet as pq

        for folder in (self.cache / collection).glob("*") if removed.all else ():
            if folder.name == keep or not ID.fullmatch(folder.name):
                continue
            try:
                held = removed.holds(pq.read_table(folder / "pins.parquet"))
            except (OSError, pa.ArrowException):
                held = True
            if held:
                shutil.rmtree(folder, ignore_errors=True)

    def fetch(self, collection: str, name: str) -> Path:
        """A folder with every file of the release, each verified against its digest. A folder appears
        under its final name only when it is complete."""
        if not ID.fullmatch(name):
            raise StoreError(f"{name[:40]!r} is no release id")
        folder = self.cache / collection / name
        if folder.is_dir():
            return folder
        content = describe(self.store, collection, name)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
            try:
                self._fill(building, collection, content)
                _rename(building, folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
            _tidy(folder.parent)
        except OSError as error:
            raise StoreError(f"no local copy of release {name} in {self.cache}: {error}") from error
        return folder

    def _fill(self, building: Path, collection: str, content: dict[str, Any]) -> None:
        targets: dict[Path, str] = {}
        for path, file in content["files"].items():
            target = (building / path).resolve()
            if building.resolve() not in target.parents:
                raise CorruptError(
                    f"release {content['id']} of {collection} names a file outside its folder: {path}"
                )
            targets[target] = file["sha256"]

        def copy(one: tuple[Path, str]) -> None:
            one[0].parent.mkdir(parents=True, exist_ok=True)
            one[0].write_bytes(self.store.get(collection, one[1]))

        self.store.many(copy, targets.items())
        (building / "release.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _rename(building: Path, folder: Path) -> None:
    try:
        os.rename(building, folder)
    except OSError:
        if not folder.is_dir():  # another process was first: its copy is as good
            raise


def _tidy(copies: Path) -> None:
    """Remove the oldest local copies, and unfinished ones whose process died."""
    dated: list[tuple[float, Path]] = []
    for path in copies.iterdir():
        with suppress(FileNotFoundError):  # another process tidies too
            dated.append((path.stat().st_mtime, path))
    dated.sort(reverse=True)
    whole = [path for _, path in dated if ID.fullmatch(path.name)]
    dead = [path for when, path in dated if path.name[0] == "." and time.time() - when > ABANDONED_SECONDS]
    for path in [*whole[KEPT:], *dead]:
        shutil.rmtree(path, ignore_errors=True)


def _retire(store: Store, collection: str, name: str) -> None:
    dated: list[tuple[str, str]] = []
    for path, data in store.documents(collection, "releases").items():
        one = path.split("/")[0]
        if one == name:
            continue
        try:
            dated.append((str(json.loads(data)["created_at"]), one))
        except (ValueError, TypeError, KeyError):
            dated.append(("", one))  # a damaged one goes first
    for _, one in sorted(dated)[: 1 - KEPT]:
        store.delete(collection, "releases", one, "release.json")

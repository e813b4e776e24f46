"""Releases: what serving needs, immutable, published by one pointer swap.

`<collection>/releases/<id>/release.json` describes itself and names every file by digest; `CURRENT`
holds the id in use. The id is the digest of the content, so the same content is the same release.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pinflow.errors import CorruptError, StoreError
from pinflow.store import File, Store, digest

KEPT = 5  # releases kept for a roll-back
ID_LENGTH = 16


def identify(description: dict[str, Any], files: dict[str, File]) -> str:
    """The release id of that content."""
    return digest({"description": description, "files": {n: f.sha256 for n, f in files.items()}})[:ID_LENGTH]


def publish(store: Store, collection: str, description: dict[str, Any], files: dict[str, File]) -> str:
    """Write the release, then swap the pointer; older releases beyond the last `KEPT` go. Returns its id."""
    name = identify(description, files)
    if current(store, collection) == name:
        return name
    content = {
        "id": name,
        "collection": collection,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
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
    _retire(store, collection)
    return name


def current(store: Store, collection: str) -> str | None:
    """The id in use, or None before the first release."""
    try:
        return store.read(collection, "CURRENT").decode().strip() or None
    except FileNotFoundError:
        return None


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
    """Verified local copies of releases, for serving: files are hard-linked or downloaded once."""

    store: Store
    cache: Path

    def collections(self) -> list[str]:
        """Collections that have something to serve."""
        return [name for name in self.store.names() if self.store.exists(name, "CURRENT")]

    def current(self, collection: str) -> str | None:
        return current(self.store, collection)

    def fetch(self, collection: str, name: str) -> Path:
        """A folder with every file of the release, each verified against its digest. A folder appears
        under its final name only when it is complete."""
        folder = self.cache / collection / name
        if folder.is_dir():
            return folder
        content = describe(self.store, collection, name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
        try:
            for path, file in content["files"].items():
                target = building / path
                if not target.resolve().is_relative_to(building.resolve()):
                    raise CorruptError(
                        f"release {name} of {collection} names a file outside its folder: {path}"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.store.get(collection, file["sha256"]))
            (building / "release.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            try:
                os.rename(building, folder)
            except OSError:
                if not folder.is_dir():  # another process was first: its copy is as good
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return folder


def _retire(store: Store, collection: str) -> None:
    dated: list[tuple[str, str]] = []
    for name in store.names(collection, "releases"):
        try:
            dated.append((describe(store, collection, name)["created_at"], name))
        except StoreError:
            dated.append(("", name))
    for _, name in sorted(dated)[:-KEPT]:
        if name != current(store, collection):
            store.delete(collection, "releases", name, "release.json")

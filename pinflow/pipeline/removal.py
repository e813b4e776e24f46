"""From tombstones and opt-out lists to a house without those pins.

`settle` takes them out of the pins of a label, without asking the source; the stages behind follow,
because what they read has changed, and `index` and `gallery` leave them out by themselves. `bury` notes
what is stored before, and `finish` erases of that what nothing names once a release without them is
published. Whoever dies between the two leaves the note, and the release is stale until it is gone.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pinflow import registry, releases, tombstones
from pinflow.errors import CorruptError, PictureError
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.planning import ERASING
from pinflow.pipeline.stages import STAGES
from pinflow.store import Manifest, Store
from pinflow.tombstones import Look, Tombstone, Tombstones

Read = Callable[[str], bytes]
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Erased:
    """What `finish` removed."""

    blobs: int
    releases: list[str]
    labels: list[str]  # removed ones, whose states still held a pin


def settle(
    part: Partition, pins: pa.Table, files: Mapping[str, bytes] | None = None
) -> tuple[pa.Table, Mapping[str, bytes]]:
    """`schema.PINS` of a label without the pins that are removed, and of `files` (sha256 -> bytes of pictures
    that are not stored yet) those still wanted. Pins that an opt-out list names get their tombstones."""
    came = {} if files is None else files
    part.look_again()
    _opt_out(part, pins, came)
    settled = part.tombstones.without(pins)
    wanted = set(settled["sha256"].drop_null().to_pylist())
    return settled, _Some(came, wanted)


class _Some(Mapping[str, bytes]):
    """Some of a mapping, read when asked for."""

    def __init__(self, every: Mapping[str, bytes], wanted: set[str]) -> None:
        self._every = every
        self._keys = [key for key in every if key in wanted]

    def __getitem__(self, key: str) -> bytes:
        return self._every[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def note_gone(part: Partition, pins: pa.Table, gone: Iterable[str]) -> None:
    """Tombstones for the pins that the source has proved to be gone, unless another label still lists them;
    and no more of them for those that it lists again."""
    if part.tombstones.gone:
        tombstones.lift(part.store, part.collection.name, set(pins["id"].to_pylist()))
    ids = set(gone)
    if not ids or part.previous is None:
        return
    old = part.table(part.previous, "pins.parquet")
    shown = zip(old["id"].to_pylist(), old["sha256"].to_pylist(), strict=True)
    pictures = {one: sha256 for one, sha256 in shown if one in ids}
    live = [*zip(pins["id"].to_pylist(), pins["sha256"].to_pylist(), strict=True)]
    labels = registry.live(part.store, part.collection.name)
    for label, manifest in part.store.manifests(part.collection.name, "pins").items():
        if label != part.label and label in labels:
            other = part.store.table(manifest, "pins.parquet", ["id", "sha256"])
            live += zip(other["id"].to_pylist(), other["sha256"].to_pylist(), strict=True)

    def read(sha256: str) -> bytes:
        return part.store.get(part.collection.name, sha256)

    looks = {sha256: look(sha256, read) for sha256 in pictures.values() if sha256}
    stones = [
        tombstones.gone(one, sha256, looks.get(sha256 or ""), live, why="missing from the source twice")
        for one, sha256 in sorted(pictures.items())
    ]
    bury(part.store, part.collection.name, [stone for stone in stones if stone])
    part.look_again()


def _opt_out(part: Partition, pins: pa.Table, files: Mapping[str, bytes]) -> None:
    refused = part.snapshot.opt_outs.refused(pins)
    new = {id: by for id, by in refused.items() if id not in part.tombstones.erased}
    if not new:
        return

    def read(sha256: str) -> bytes:
        return files[sha256] if sha256 in files else part.store.get(part.collection.name, sha256)

    pictures = dict(zip(pins["id"].to_pylist(), pins["sha256"].to_pylist(), strict=True))
    stones = [
        stone(id, {pictures[id]} - {None}, read, reason="opted_out", by=by, why="asked not to be here")
        for id, by in new.items()
    ]
    bury(part.store, part.collection.name, stones)
    part.look_again()


def stone(id: str, pictures: Iterable[str | None], read: Read, **about: Any) -> Tombstone:
    """The tombstone of a pin with what its pictures look like, as far as their bytes can still be read."""
    digests = sorted(sha256 for sha256 in pictures if sha256)
    looks = (look(sha256, read) for sha256 in digests)
    return Tombstone(id=id, pictures=tuple(digests), looks=tuple(one for one in looks if one), **about)


def look(sha256: str, read: Read) -> Look | None:
    """What the picture of that digest looks like; None where it is no picture, or not there any more."""
    from pinflow.imaging.derivatives import derive

    try:
        made = derive(read(sha256))
    except (PictureError, CorruptError):
        return None
    return Look.of(made.phash, made.signature.tobytes())


def bury(store: Store, collection: str, stones: Iterable[Tombstone]) -> list[Tombstone]:
    """Write tombstones, and before them a note of the pins to be erased: whatever was stored until then and
    is named no more once they are out goes with them. Of pins that are merely gone, the sweep takes it."""
    given = list(stones)
    ids = sorted(one.id for one in given if one.reason != "gone")
    if ids:
        note = json.dumps({"ids": ids}, ensure_ascii=False)
        store.write(note.encode(), collection, ERASING, f"{secrets.token_hex(8)}.json")
    return tombstones.add(store, collection, given)


def finish(store: Store, collection: str, home: Path) -> Erased:
    """Remove at once what still holds removed pins: releases but the one in use, local copies of them, the
    states of removed labels, unfinished crawls on this machine, and blobs that nothing names now."""
    removed = tombstones.read(store, collection)
    dropped = releases.drop_holding(store, collection, removed)
    labels = _forget(store, collection, removed.erasing)
    local = releases.LocalReleases(store, home / "cache" / "releases")
    local.drop_holding(collection, removed, keep=releases.current(store, collection))
    notes = _notes(store, collection)
    if not notes:
        return Erased(0, dropped, labels)
    stones = [one for one in removed.all if one.id in {id for ids in notes.values() for id in ids}]
    until = max(store.written(collection, ERASING, name) for name in notes)
    erased = store.erase(collection, {sha256 for one in stones for sha256 in one.pictures}, until=until)
    _drop_crawls(home / "crawl" / collection, stones)
    store.many(lambda name: store.delete(collection, ERASING, name), notes)
    return Erased(erased, dropped, labels)


def _notes(store: Store, collection: str) -> dict[str, list[str]]:
    """The ids in each note of what is still to be erased. A damaged note still tells when it was written."""
    found: dict[str, list[str]] = {}
    for name, data in store.documents(collection, ERASING).items():
        try:
            found[name] = json.loads(data)["ids"]
        except (ValueError, TypeError, KeyError):
            found[name] = []
            store.write(b"{}", collection, ERASING, name)  # what is damaged may name anything
    return found


def _forget(store: Store, collection: str, removed: Tombstones) -> list[str]:
    """Delete all states of removed labels whose pins hold one that is erased; its pins last, so that who
    dies half-way finds the label again. Where no label is left, nothing makes the roll-ups anew: they go."""
    if not removed.all:
        return []
    live = registry.live(store, collection)
    if not live:
        for name in (one.name for one in STAGES.values() if not one.per_label):
            store.delete(collection, name, "manifest.json")
    stages = [stage.name for stage in STAGES.values() if stage.per_label]
    states = {stage: store.manifests(collection, stage) for stage in stages}
    dead = {slug for found in states.values() for slug in found} - live.keys()
    forgotten = [slug for slug in sorted(dead) if _held(store, states["pins"].get(slug), removed)]
    for slug in forgotten:
        for stage in reversed(stages):
            store.delete(collection, stage, slug, "manifest.json")
    return forgotten


def _held(store: Store, pins: Manifest | None, removed: Tombstones) -> bool:
    if pins is None:  # nothing can be made of the states behind it
        return True
    try:
        return removed.holds(store.table(pins, "pins.parquet"))
    except (CorruptError, KeyError):
        return True


def _drop_crawls(folder: Path, stones: list[Tombstone]) -> None:
    """Delete unfinished crawls that know one of the pins. One that runs now fails, and starts again."""
    texts = {text for one in stones for text in (one.id.encode(), json.dumps(one.id)[1:-1].encode())}
    texts |= {sha256.encode() for one in stones for sha256 in one.pictures}
    for crawl in folder.iterdir() if folder.is_dir() and stones else ():
        if any(_mentions(path, texts) for path in crawl.rglob("*") if path.is_file()):
            shutil.rmtree(crawl, ignore_errors=True)


def _mentions(path: Path, texts: set[bytes]) -> bool:
    """Whether a file holds one of the texts, read in pieces that overlap."""
    overlap = max(map(len, texts))
    tail = b""
    try:
        with path.open("rb") as file:
            for piece in iter(partial(file.read, _CHUNK_BYTES), b""):
                window = tail + piece
                if any(text in window for text in texts):
                    return True
                tail = window[-overlap:]
    except FileNotFoundError:
        return False
    return False

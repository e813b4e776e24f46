"""From pins and their bytes to curated pictures, and a reason for every pin that is not one.

Not here: what a decode does (`decode`), what is made of a picture (`derivatives`), and when two
pictures are one (`duplicates`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pinflow import schema
from pinflow.errors import CorruptError, PictureError
from pinflow.imaging.derivatives import WORKERS, Derived, derive
from pinflow.imaging.duplicates import copies_of, near_duplicates
from pinflow.imaging.shards import Shards, Spill
from pinflow.imaging.thumbnails import Thumbnails
from pinflow.progress import Progress, Quiet, track
from pinflow.tombstones import REMOVED, Look


@dataclass(frozen=True)
class Curation:
    """A label's pins, sorted out: each is a picture or a reject. All tables are sorted by id."""

    pictures: pa.Table  # schema.PICTURES
    rejects: pa.Table  # schema.REJECTS
    shards: Sequence[pa.Table]  # schema.SHARD, only pictures that `previous` did not hold
    thumbnails: Sequence[pa.Table]  # schema.THUMBNAILS, the same rows; made from the shards when asked for


class _Refusal(NamedTuple):
    reason: str
    detail: str
    kept: int | None = None  # row of the picture kept instead


@dataclass
class _Known:
    """What is known of each pin by its row number."""

    phash: dict[int, int] = field(default_factory=dict)
    size: dict[int, tuple[int, int]] = field(default_factory=dict)
    signature: dict[int, np.ndarray | None] = field(default_factory=dict)
    refused: dict[int, _Refusal] = field(default_factory=dict)
    jpeg: Spill = field(default_factory=Spill)


def curate(
    pins: pa.Table,
    read: Callable[[str], bytes],
    *,
    previous: pa.Table | None = None,
    tombstones: Collection[str] = (),
    looks: Sequence[Look] = (),
    progress: Progress | None = None,
) -> Curation:
    """Sort the pins (`schema.PINS`, in listing order) into pictures and rejects.

    `read(sha256)` gives a picture's original bytes and is called from several threads; a
    `CorruptError` of it refuses that picture, any other error stops the work.
    `previous` are the label's last pictures (`schema.PICTURES`): a pin found there with the same id
    and sha256 stays a picture and is not decoded, unless a new picture looks like it.
    `tombstones` are sha256 that never come back, `looks` what they looked like: copies of them stay away too.

    Of equal or nearly equal pictures the one in `previous` is kept, else the first listed.
    Same input, same bytes. Raises `ValueError` for two pins of one id.
    """
    ids: list[str] = pins["id"].to_pylist()
    shas: list[str | None] = pins["sha256"].to_pylist()
    if len(set(ids)) != len(ids):
        raise ValueError("two pins have one id: merge them before they are curated")
    known = _Known()
    carried = _carry(ids, shas, previous, frozenset(tombstones), known)
    leaders = _leaders(pins, shas, carried, frozenset(tombstones), known)
    fresh = [row for row in leaders.values() if row not in known.phash]
    for row, made in track(zip(fresh, _derive_all(fresh, shas, read), strict=True), progress or Quiet(),
                           "decode pictures", len(fresh)):  # fmt: skip
        _learn(row, made, known)

    _refuse_copies([*sorted(carried), *fresh], looks, shas, read, known)
    kept = carried - known.refused.keys()
    _refuse_near(kept, [row for row in fresh if row not in known.refused], ids, shas, read, known)
    _refuse_exact(leaders, ids, shas, known)

    in_order = sorted(range(len(ids)), key=ids.__getitem__)
    pictures = [row for row in in_order if row not in known.refused]
    new = [row for row in pictures if row not in carried]
    columns = pins.select(["id", "sha256"]).take(pa.array(new, pa.int64()))
    shards = Shards(columns, new, known.jpeg, schema.SHARD)
    return Curation(
        _pictures(pins, pictures, ids, known),
        _rejects(pins, [row for row in in_order if row in known.refused], ids, known),
        shards,
        Thumbnails(shards),
    )


def _carry(
    ids: list[str],
    shas: list[str | None],
    previous: pa.Table | None,
    tombstones: frozenset[str],
    known: _Known,
) -> set[int]:
    """The rows that `previous` already holds, with what it knows of them."""
    if previous is None:
        return set()
    row_of = {key: row for row, key in enumerate(zip(ids, shas, strict=True))}
    wanted = ("id", "sha256", "phash", "width", "height")
    for key, sha, phash, width, height in zip(*(previous[name].to_pylist() for name in wanted), strict=True):
        row = row_of.get((key, sha))
        if row is not None and sha not in tombstones:
            known.phash[row] = phash
            known.size[row] = (width, height)
    return set(known.phash)


def _leaders(
    pins: pa.Table, shas: list[str | None], carried: set[int], tombstones: frozenset[str], known: _Known
) -> dict[str, int]:
    """One row for each sha256, the carried one or the first listed; refuses rows that have no picture."""
    leaders: dict[str, int] = {shas[row] or "": row for row in sorted(carried)}
    errors: list[str | None] = pins["error"].to_pylist()
    for row, sha in enumerate(shas):
        if sha in tombstones or (sha is None and errors[row] == REMOVED):
            known.refused[row] = _Refusal("tombstone", REMOVED)
        elif sha is None:
            known.refused[row] = _Refusal("not_fetched", errors[row] or "the source gave no picture")
        else:
            leaders.setdefault(sha, row)
    return leaders


def _derive_all(
    rows: list[int], shas: list[str | None], read: Callable[[str], bytes]
) -> Iterator[Derived | PictureError]:
    def one(row: int) -> Derived | PictureError:
        try:
            return derive(read(shas[row] or ""))
        except PictureError as error:
            return error
        except CorruptError as error:
            return PictureError("corrupt", f"stored bytes are damaged: {error}")

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="decode") as pool:
        yield from pool.map(one, rows)


def _learn(row: int, made: Derived | PictureError, known: _Known) -> None:
    if isinstance(made, PictureError):
        known.refused[row] = _Refusal(made.reason, made.detail)
        return
    known.phash[row] = made.phash
    known.size[row] = (made.width, made.height)
    known.signature[row] = made.signature
    known.jpeg[row] = made.jpeg


def _signatures(
    shas: list[str | None], read: Callable[[str], bytes], known: _Known
) -> Callable[[int], np.ndarray | None]:
    def signature(row: int) -> np.ndarray | None:
        if row not in known.signature:  # a carried picture that another may repeat
            (made,) = _derive_all([row], shas, read)
            known.signature[row] = None if isinstance(made, PictureError) else made.signature
        return known.signature[row]

    return signature


def _refuse_copies(
    rows: list[int],
    looks: Sequence[Look],
    shas: list[str | None],
    read: Callable[[str], bytes],
    known: _Known,
) -> None:
    """Refuse what looks like a picture that was removed."""
    rows = [row for row in rows if row not in known.refused]
    if not rows or not looks:
        return
    signature = _signatures(shas, read, known)
    copies = copies_of(
        np.fromiter((known.phash[row] for row in rows), np.uint64, len(rows)),
        lambda place: signature(rows[place]),
        np.fromiter((look.bits for look in looks), np.uint64, len(looks)),
        np.stack([np.frombuffer(look.levels, np.uint8) for look in looks]),
    )
    for place in np.flatnonzero(copies):
        known.refused[rows[place]] = _Refusal("tombstone", f"a copy of one {REMOVED}")


def _refuse_near(
    carried: set[int],
    fresh: list[int],
    ids: list[str],
    shas: list[str | None],
    read: Callable[[str], bytes],
    known: _Known,
) -> None:
    order = [*sorted(carried), *fresh]
    signature = _signatures(shas, read, known)
    hashes = np.fromiter((known.phash[row] for row in order), np.uint64, len(order))
    repeats = near_duplicates(hashes, lambda place: signature(order[place]), known=len(carried))
    for place, original in enumerate(repeats.tolist()):
        if original >= 0:
            row, kept = order[place], order[original]
            bits = (known.phash[row] ^ known.phash[kept]).bit_count()
            known.refused[row] = _Refusal("near_duplicate", f"of {ids[kept]}, {bits} of 64 bits differ", kept)


def _refuse_exact(leaders: dict[str, int], ids: list[str], shas: list[str | None], known: _Known) -> None:
    """Rows with the bytes of another: what became of that one decides."""
    for row, sha in enumerate(shas):
        leader = leaders.get(sha or "", row)
        if leader == row:
            continue
        fate = known.refused.get(leader)
        if fate is None or fate.kept is not None:
            kept = leader if fate is None or fate.kept is None else fate.kept
            known.refused[row] = _Refusal("exact_duplicate", f"the same bytes as {ids[leader]}", kept)
        else:
            known.refused[row] = fate


def _pictures(pins: pa.Table, rows: list[int], ids: list[str], known: _Known) -> pa.Table:
    stands_for: dict[int, list[str]] = {}
    for row, refusal in known.refused.items():
        if refusal.reason == "near_duplicate" and refusal.kept is not None:
            stands_for.setdefault(refusal.kept, []).append(ids[row])
    made = {
        "width": [known.size[row][0] for row in rows],
        "height": [known.size[row][1] for row in rows],
        "phash": [known.phash[row] for row in rows],
        "duplicates": [sorted(stands_for.get(row, [])) for row in rows],
    }
    table = pins.take(pa.array(rows, pa.int64()))
    columns = [
        pa.array(made[name], kind) if name in made else table[name]
        for name, kind in zip(schema.PICTURES.names, schema.PICTURES.types, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema.PICTURES).combine_chunks()


def _rejects(pins: pa.Table, rows: list[int], ids: list[str], known: _Known) -> pa.Table:
    fates = [known.refused[row] for row in rows]
    columns = [
        [ids[row] for row in rows],
        pins["sha256"].take(pa.array(rows, pa.int64())),
        [fate.reason for fate in fates],
        [fate.detail for fate in fates],
        [None if fate.kept is None else ids[fate.kept] for fate in fates],
    ]
    return pa.Table.from_arrays(
        [
            column if isinstance(column, pa.ChunkedArray) else pa.array(column, kind)
            for column, kind in zip(columns, schema.REJECTS.types, strict=True)
        ],
        schema=schema.REJECTS,
    ).combine_chunks()

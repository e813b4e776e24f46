"""From pins and their bytes to curated pictures, and a reason for every pin that is not one.

Not here: what a decode does (`decode`), what is made of a picture (`derivatives`), and when two
pictures are one (`duplicates`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pinflow import schema
from pinflow.errors import CorruptError, PictureError
from pinflow.imaging.derivatives import WORKERS, Derived, derive
from pinflow.imaging.duplicates import copies_of, near_duplicates
from pinflow.imaging.shards import Shards, Spill
from pinflow.imaging.thumbnails import Thumbnails
from pinflow.mapped import mapped, taken
from pinflow.progress import Progress, Quiet, track
from pinflow.tombstones import REMOVED, Look

_AHEAD = 4  # pictures a thread
_ROWS_AT_ONCE = 1_000  # of the table of pictures


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


class _Pins:
    """The pins by row number, in columns: a label may have many more than fit as Python objects."""

    def __init__(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        self.table = table
        self._ids = table["id"].combine_chunks()
        if pc.count_distinct(self._ids).as_py() != table.num_rows:
            raise ValueError("two pins have one id: merge them before they are curated")
        coded = table["sha256"].combine_chunks().dictionary_encode()
        self._digests = coded.dictionary
        # (n,) int32: equal where the bytes are, -1 without a picture
        self.digest: np.ndarray = coded.indices.fill_null(-1).to_numpy()

    def __len__(self) -> int:
        return len(self.digest)

    def id(self, row: int) -> str:
        return str(self._ids[row].as_py())

    def sha(self, row: int) -> str:
        return str(self._digests[int(self.digest[row])].as_py())

    def known(self, digests: Collection[str]) -> np.ndarray:
        """(n,) bool: whose picture is among those."""
        import pyarrow.compute as pc

        wanted = pa.array(sorted(digests), pa.string())
        among = pc.is_in(self._digests, value_set=wanted).to_numpy(zero_copy_only=False)
        found: np.ndarray = np.append(among, False)[self.digest]
        return found

    def error(self, row: int) -> str | None:
        """Why its picture did not come."""
        found: str | None = self.table["error"][row].as_py()
        return found

    def in_order(self) -> list[int]:
        """Row numbers by id."""
        import pyarrow.compute as pc

        found: list[int] = pc.array_sort_indices(self._ids).to_pylist()
        return found


class _Known:
    """What is known of each pin by its row number."""

    def __init__(self, count: int) -> None:
        self.phash = np.zeros(count, np.uint64)
        self.size = np.zeros((count, 2), np.int32)  # width and height, px; 0 where nothing is known
        self.refused: dict[int, _Refusal] = {}
        self.jpeg = Spill()
        self.signature = Spill()

    def __contains__(self, row: int) -> bool:
        return bool(self.size[row, 0])


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
    rows = _Pins(pins)
    known = _Known(len(rows))
    carried = _carry(rows, previous, frozenset(tombstones), known)
    leaders = _leaders(rows, carried, frozenset(tombstones), known)
    fresh = [row for row in leaders.tolist() if row not in known]
    for row, made in track(zip(fresh, _derive_all(fresh, rows, read), strict=True), progress or Quiet(),
                           "decode pictures", len(fresh)):  # fmt: skip
        _learn(row, made, known)

    _refuse_copies([*sorted(carried), *fresh], looks, rows, read, known)
    kept = carried - known.refused.keys()
    _refuse_near(kept, [row for row in fresh if row not in known.refused], rows, read, known)
    _refuse_exact(leaders, rows, known)

    in_order = rows.in_order()
    pictures = [row for row in in_order if row not in known.refused]
    new = [row for row in pictures if row not in carried]
    columns = pins.select(["id", "sha256"]).take(pa.array(new, pa.int64()))
    shards = Shards(columns, new, known.jpeg, schema.SHARD)
    return Curation(
        _pictures(rows, pictures, known),
        _rejects(rows, [row for row in in_order if row in known.refused], known),
        shards,
        Thumbnails(shards),
    )


def _carry(rows: _Pins, previous: pa.Table | None, tombstones: frozenset[str], known: _Known) -> set[int]:
    """The rows that `previous` already holds, with what it knows of them."""
    import pyarrow.compute as pc

    if previous is None:
        return set()
    wanted = ("id", "sha256", "phash", "width", "height")
    places = pc.index_in(previous["id"], value_set=rows.table["id"].combine_chunks()).to_pylist()
    carried = set()
    for row, (_, sha, phash, width, height) in zip(
        places, zip(*(previous[name].to_pylist() for name in wanted), strict=True), strict=True
    ):
        if row is not None and rows.digest[row] >= 0 and rows.sha(row) == sha and sha not in tombstones:
            known.phash[row] = phash
            known.size[row] = (width, height)
            carried.add(row)
    return carried


def _leaders(rows: _Pins, carried: set[int], tombstones: frozenset[str], known: _Known) -> np.ndarray:
    """(m,) int64: one row for each picture, the carried one or the first listed, in this order. Refuses rows
    that have no picture."""
    removed = rows.known(tombstones)
    for row in np.flatnonzero(removed | (rows.digest < 0)).tolist():
        error = None if removed[row] else rows.error(row)
        if removed[row] or error == REMOVED:
            known.refused[row] = _Refusal("tombstone", REMOVED)
        else:
            known.refused[row] = _Refusal("not_fetched", error or "the source gave no picture")
    order = np.concatenate(
        [np.array(sorted(carried), np.int64), np.flatnonzero((rows.digest >= 0) & ~removed)]
    )
    _, first = np.unique(rows.digest[order], return_index=True)
    return order[np.sort(first)]


def _derive_all(
    wanted: Sequence[int], rows: _Pins, read: Callable[[str], bytes]
) -> Iterator[Derived | PictureError]:
    def one(row: int) -> Derived | PictureError:
        try:
            return derive(read(rows.sha(row)))
        except PictureError as error:
            return error
        except CorruptError as error:
            return PictureError("corrupt", f"stored bytes are damaged: {error}")

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="decode") as pool:
        # A few ahead of whoever takes them: what is made must not pile up.
        made: deque[Future[Derived | PictureError]] = deque()
        for row in wanted:
            made.append(pool.submit(one, row))
            if len(made) > _AHEAD * WORKERS:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()


def _learn(row: int, made: Derived | PictureError, known: _Known) -> None:
    if isinstance(made, PictureError):
        known.refused[row] = _Refusal(made.reason, made.detail)
        return
    known.phash[row] = made.phash
    known.size[row] = (made.width, made.height)
    known.signature[row] = made.signature.tobytes()
    known.jpeg[row] = made.jpeg


def _signatures(
    rows: _Pins, read: Callable[[str], bytes], known: _Known
) -> Callable[[int], np.ndarray | None]:
    def signature(row: int) -> np.ndarray | None:
        if row not in known.signature:  # a carried picture that another may repeat
            (made,) = _derive_all([row], rows, read)
            known.signature[row] = b"" if isinstance(made, PictureError) else made.signature.tobytes()
        data = known.signature[row]
        return np.frombuffer(data, np.uint8) if data else None

    return signature


def _refuse_copies(
    wanted: list[int], looks: Sequence[Look], rows: _Pins, read: Callable[[str], bytes], known: _Known
) -> None:
    """Refuse what looks like a picture that was removed."""
    wanted = [row for row in wanted if row not in known.refused]
    if not wanted or not looks:
        return
    signature = _signatures(rows, read, known)
    copies = copies_of(
        known.phash[wanted],
        lambda place: signature(wanted[place]),
        np.fromiter((look.bits for look in looks), np.uint64, len(looks)),
        np.stack([np.frombuffer(look.levels, np.uint8) for look in looks]),
    )
    for place in np.flatnonzero(copies):
        known.refused[wanted[place]] = _Refusal("tombstone", f"a copy of one {REMOVED}")


def _refuse_near(
    carried: set[int], fresh: list[int], rows: _Pins, read: Callable[[str], bytes], known: _Known
) -> None:
    order = [*sorted(carried), *fresh]
    signature = _signatures(rows, read, known)
    hashes = known.phash[order] if order else np.zeros(0, np.uint64)
    repeats = near_duplicates(hashes, lambda place: signature(order[place]), known=len(carried))
    for place in np.flatnonzero(repeats >= 0).tolist():
        row, kept = order[place], order[repeats[place]]
        bits = int(np.bitwise_count(known.phash[row] ^ known.phash[kept]))
        known.refused[row] = _Refusal("near_duplicate", f"of {rows.id(kept)}, {bits} of 64 bits differ", kept)


def _refuse_exact(leaders: np.ndarray, rows: _Pins, known: _Known) -> None:
    """Rows with the bytes of another: what became of that one decides."""
    leader_of = np.full(int(rows.digest.max(initial=-1)) + 2, -1, np.int64)
    leader_of[rows.digest[leaders]] = leaders
    mine = leader_of[rows.digest]  # -1 for rows without a picture, and for tombstones
    for row in np.flatnonzero((mine >= 0) & (mine != np.arange(len(rows)))).tolist():
        leader = int(mine[row])
        fate = known.refused.get(leader)
        if fate is None or fate.kept is not None:
            kept = leader if fate is None or fate.kept is None else fate.kept
            known.refused[row] = _Refusal("exact_duplicate", f"the same bytes as {rows.id(leader)}", kept)
        else:
            known.refused[row] = fate


def _pictures(rows: _Pins, wanted: list[int], known: _Known) -> pa.Table:
    stands_for: dict[int, list[str]] = {}
    for row, refusal in known.refused.items():
        if refusal.reason == "near_duplicate" and refusal.kept is not None:
            stands_for.setdefault(refusal.kept, []).append(rows.id(row))

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(wanted), _ROWS_AT_ONCE):
            some = wanted[start : start + _ROWS_AT_ONCE]
            made = {
                "width": known.size[some, 0],
                "height": known.size[some, 1],
                "phash": known.phash[some],
                "duplicates": [sorted(stands_for.get(row, ())) for row in some],
            }
            table = taken(rows.table, some)
            columns = [
                pa.array(made[name], kind) if name in made else table[name]
                for name, kind in zip(schema.PICTURES.names, schema.PICTURES.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema.PICTURES)

    return mapped(batches(), schema.PICTURES)


def _rejects(rows: _Pins, wanted: list[int], known: _Known) -> pa.Table:
    fates = [known.refused[row] for row in wanted]
    columns = [
        [rows.id(row) for row in wanted],
        rows.table["sha256"].take(pa.array(wanted, pa.int64())),
        [fate.reason for fate in fates],
        [fate.detail for fate in fates],
        [None if fate.kept is None else rows.id(fate.kept) for fate in fates],
    ]
    return pa.Table.from_arrays(
        [
            column if isinstance(column, pa.ChunkedArray) else pa.array(column, kind)
            for column, kind in zip(columns, schema.REJECTS.types, strict=True)
        ],
        schema=schema.REJECTS,
    ).combine_chunks()

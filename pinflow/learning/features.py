"""Features: trunk vectors of curated pictures, computed once for each picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import pyarrow as pa

from pinflow import schema
from pinflow.errors import PictureError
from pinflow.learning.dataset import Floats
from pinflow.progress import Progress, Quiet

# Pictures handed to the trunk at once: some 20 MB of JPEG; the trunk makes its own batches of them.
_CHUNK = 512


class Trunk(Protocol):
    """What makes one vector of a picture: a trunk, or the early layers of one."""

    width: int
    stages: int  # numbers of inner stages beside it, or 0

    def look(self, pictures: Sequence[bytes]) -> tuple[Floats, Floats]: ...


def extract(
    shards: Iterable[pa.Table],
    trunk: Trunk | Callable[[], Trunk],
    *,
    known: pa.Table | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """`schema.SHARD` tables -> `schema.features(trunk.width, trunk.stages)`, sorted by id, in one pass: a
    shard is read while the one before it is computed, and no more than these two are in memory.

    Rows of `known` (features of the *same* trunk) with the same id and sha256 are taken, not computed;
    rows of `known` that are in no shard are dropped. `trunk` may be a function that makes one: it is only
    called if there is something to compute, so torch stays unloaded where nothing is new. A function
    is needed for an empty table too, to know the width, unless `known` tells it.
    Raises `PictureError` naming the pin whose picture cannot be decoded.
    """
    progress = progress or Quiet()
    have = {} if known is None else {pair: i for i, pair in enumerate(_pairs(known))}
    reused: list[int] = []
    fresh: list[tuple[str, str]] = []
    seen: list[tuple[Floats, Floats]] = []
    made: Trunk | None = None if callable(trunk) else trunk
    progress.start("features")
    for shard in _read_ahead(shards):
        pairs = list(_pairs(shard))
        reused += [have[pair] for pair in pairs if pair in have]
        new = [i for i, pair in enumerate(pairs) if pair not in have]
        if new and made is None:
            made = trunk() if callable(trunk) else trunk
        for part in _chunks(new):
            assert made is not None
            seen.append(_look(made, shard, part))
            fresh += [pairs[i] for i in part]
            progress.advance(len(part))
        progress.advance(len(pairs) - len(new))
    if known is not None and not fresh:
        return known.take(pa.array(sorted(reused), pa.int64())).sort_by("id")
    if made is None:
        made = trunk() if callable(trunk) else trunk
    return _table(fresh, seen, made, known, reused)


def _table(
    fresh: list[tuple[str, str]],
    seen: list[tuple[Floats, Floats]],
    trunk: Trunk,
    known: pa.Table | None,
    reused: list[int],
) -> pa.Table:
    target = schema.features(trunk.width, trunk.stages)
    columns = [
        schema.vectors(np.concatenate([*(one[side] for one in seen), np.zeros((0, width), np.float32)]))
        for side, width in enumerate((trunk.width, trunk.stages))
        if width
    ]
    ids, hashes = (pa.array([pair[side] for pair in fresh], pa.string()) for side in (0, 1))
    table = pa.table([ids, hashes, *columns], schema=target)
    if known is not None and reused:
        old = known.take(pa.array(sorted(reused), pa.int64()))
        if old.schema.types != target.types:
            raise ValueError("`known` holds vectors of another trunk")
        table = pa.concat_tables([old.cast(target), table])
    return table.sort_by("id").combine_chunks()


def _look(trunk: Trunk, shard: pa.Table, part: list[int]) -> tuple[Floats, Floats]:
    pictures = shard["jpeg"].take(pa.array(part, pa.int64())).to_pylist()
    try:
        return trunk.look(pictures)
    except PictureError:
        # Find the one at fault, so that the message names its pin.
        for i, picture in zip(part, pictures, strict=True):
            try:
                trunk.look([picture])
            except PictureError as error:
                raise PictureError(error.reason, f"pin {shard['id'][i].as_py()}: {error.detail}") from error
        raise


def _read_ahead(shards: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The shards in order; the next is fetched, which from S3 takes a while, while one is worked on."""
    coming = iter(shards)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, coming, None)
        while (shard := following.result()) is not None:
            following = pool.submit(next, coming, None)
            yield shard


def _pairs(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["id"].to_pylist(), table["sha256"].to_pylist(), strict=True)


def _chunks(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]

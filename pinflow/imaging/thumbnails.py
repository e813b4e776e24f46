"""What a page shows of a picture: its derivative again, as WebP, in a third of the bytes.

Made from the shards and not while pictures are sorted out: encoding WebP takes as long as half of all else
that is done to a picture, and only a page wants it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import overload

import pyarrow as pa

from pinflow import schema
from pinflow.imaging.decode import decode
from pinflow.imaging.derivatives import WORKERS

QUALITY = 80
METHOD = 2  # of 0..6: less than half the time of the default 4 for 3% more bytes


class Thumbnails(Sequence[pa.Table]):
    """For each shard (`schema.SHARD`) a table of `schema.THUMBNAILS`, made when it is asked for."""

    def __init__(self, shards: Sequence[pa.Table]) -> None:
        self._shards = shards

    def __len__(self) -> int:
        return len(self._shards)

    def __iter__(self) -> Iterator[pa.Table]:
        return map(_table, self._shards)

    @overload
    def __getitem__(self, index: int) -> pa.Table: ...
    @overload
    def __getitem__(self, index: slice) -> list[pa.Table]: ...
    def __getitem__(self, index: int | slice) -> pa.Table | list[pa.Table]:
        found = self._shards[index]
        return [_table(shard) for shard in found] if isinstance(found, list) else _table(found)


def thumbnail(derivative: bytes) -> bytes:
    """The WebP of a derivative's JPEG, of the same size in pixels."""
    buffer = io.BytesIO()
    decode(derivative).save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    return buffer.getvalue()


def _table(shard: pa.Table) -> pa.Table:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="thumbnail") as pool:
        made = list(pool.map(thumbnail, shard["jpeg"].to_pylist()))
    return pa.Table.from_arrays(
        [shard["id"].combine_chunks(), pa.array(made, pa.binary())], schema=schema.THUMBNAILS
    )

"""Shards: tables of picture bytes, a bounded number of rows each, sorted by id."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Collection, Sequence
from typing import overload

import pyarrow as pa

SHARD_ROWS = 1024  # about 30 MB of derivatives
_BUFFER = 256 * 2**10  # bytes


def keep(table: pa.Table, ids: Collection[str]) -> pa.Table:
    """The rows of `table` whose `id` is among `ids`, in their order."""
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table["id"], value_set=pa.array(sorted(ids), pa.string())))


class Spill:
    """Bytes by number, in an unnamed temporary file. 16 bytes of memory for each number up to the highest."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 lives with the object
        self._spans = array("q")  # start and length by turns; start -1 where there is nothing
        self._end = 0

    def __setitem__(self, number: int, data: bytes) -> None:
        missing = number + 1 - len(self._spans) // 2
        if missing > 0:
            self._spans.extend((-1, 0) * missing)
        self._file.seek(self._end)
        self._file.write(data)
        self._spans[2 * number], self._spans[2 * number + 1] = self._end, len(data)
        self._end += len(data)

    def __contains__(self, number: int) -> bool:
        return number < len(self._spans) // 2 and self._spans[2 * number] >= 0

    def __getitem__(self, number: int) -> bytes:
        if number not in self:
            raise KeyError(number)
        self._file.seek(self._spans[2 * number])
        return bytes(self._file.read(self._spans[2 * number + 1]))


class Shards(Sequence[pa.Table]):
    """Tables of `SHARD_ROWS` rows at most, each put together when it is asked for."""

    def __init__(self, columns: pa.Table, numbers: Sequence[int], blobs: Spill, schema: pa.Schema) -> None:
        """`columns` are all but the last of `schema`; `numbers[i]` finds row i's bytes in `blobs`."""
        self._columns, self._numbers, self._blobs, self._schema = columns, numbers, blobs, schema

    def __len__(self) -> int:
        return -(-len(self._numbers) // SHARD_ROWS)

    @overload
    def __getitem__(self, index: int) -> pa.Table: ...
    @overload
    def __getitem__(self, index: slice) -> list[pa.Table]: ...
    def __getitem__(self, index: int | slice) -> pa.Table | list[pa.Table]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = range(len(self))[index] * SHARD_ROWS
        numbers = self._numbers[start : start + SHARD_ROWS]
        blobs = pa.array([self._blobs[number] for number in numbers], pa.binary())
        columns = self._columns.slice(start, SHARD_ROWS).combine_chunks()
        return pa.Table.from_arrays([*columns.columns, blobs], schema=self._schema)

"""Tables larger than one likes to hold: their columns lie in a file as they are, mapped into memory."""

from __future__ import annotations

import io
import mmap
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def mapped(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path | None = None) -> pa.Table:
    """The batches as one table, each let go once it is written. Its pages are read when they are looked at,
    and the system may take them back; the file goes with the table.

    `folder` is where there is room for it; else the system's folder for temporary files. Raises `OSError`
    where it cannot be written.
    """
    import pyarrow as pa

    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_file(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.flush()
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_file(pa.py_buffer(pages)).read_all()


def table_file(table: pa.Table, rows: int = 10_000) -> bytes:
    """The file that `open_table` maps (Arrow IPC, not packed): pieces of so many rows, so that no column of
    one passes the 2 GB that `pa.binary()` can hold."""
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def open_table(path: Path) -> pa.Table:
    """A table that `table_file` wrote, where it lies; it may be deleted meanwhile. Raises `OSError`, and
    `pa.ArrowInvalid` also where a column leads out of the file, which Arrow would follow."""
    import pyarrow as pa

    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    table.validate(full=True)
    return table


def taken(table: pa.Table, rows: Sequence[int]) -> pa.RecordBatch:
    """Those rows of a table, in that order. As `Table.take`, which first copies a table of many pieces whole,
    for every call."""
    import pyarrow as pa

    wanted = np.asarray(rows, np.int64)
    order = np.argsort(wanted, kind="stable")
    pieces = table.to_batches()
    ends = np.cumsum([piece.num_rows for piece in pieces])
    cuts = np.searchsorted(wanted[order], ends)
    found = [
        piece.take(pa.array(wanted[order[start:end]] - (last - piece.num_rows)))
        for piece, last, start, end in zip(pieces, ends, [0, *cuts[:-1]], cuts, strict=True)
        if end > start
    ]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.Table.from_batches(found, table.schema).combine_chunks().take(pa.array(back)).to_batches()[0]

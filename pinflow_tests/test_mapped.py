"""A mapped table is the table it was made of, in a file that nobody sees."""

from __future__ import annotations

import errno
import gc
import os
import struct
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pinflow.mapped import mapped, open_table, table_file, taken

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("tags", pa.list_(pa.string()))])


def batch(start: int, rows: int = 1000) -> pa.RecordBatch:
    numbers = range(start, start + rows)
    columns = {"id": [f"{n}" * 9 for n in numbers], "tags": [[f"{n}"] * (n % 3) for n in numbers]}
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def test_it_holds_the_rows_in_order_and_outlives_its_folder(tmp_path: Path) -> None:
    batches = [batch(0), batch(1000, 1), batch(1001, 0)]
    table = mapped(batches, SCHEMA, tmp_path)
    assert os.listdir(tmp_path) == []
    tmp_path.rmdir()
    assert table.equals(pa.Table.from_batches(batches, SCHEMA))


def test_no_batches_make_an_empty_table() -> None:
    assert mapped([], SCHEMA).equals(SCHEMA.empty_table())


def test_neither_the_batches_nor_their_columns_stay_in_memory() -> None:
    alive: list[weakref.ref[pa.RecordBatch]] = []

    def made() -> Iterator[pa.RecordBatch]:
        for start in range(0, 20_000, 1000):
            one = batch(start)
            alive.append(weakref.ref(one))
            yield one
            del one
            gc.collect()
            assert sum(1 for ref in alive if ref() is not None) <= 1

    before = pa.total_allocated_bytes()
    table = mapped(made(), SCHEMA)
    assert table.nbytes > 500_000
    assert pa.total_allocated_bytes() - before < table.nbytes / 10


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing") as raised:
        mapped([], SCHEMA, tmp_path / "missing")
    assert raised.value.errno == errno.ENOENT


def test_a_table_in_a_file_is_read_where_it_lies_even_when_the_file_goes(tmp_path: Path) -> None:
    table = pa.Table.from_batches([batch(0), batch(1000)], SCHEMA)
    (tmp_path / "table.arrow").write_bytes(table_file(table, rows=300))
    before = pa.total_allocated_bytes()
    found = open_table(tmp_path / "table.arrow")
    (tmp_path / "table.arrow").unlink()
    assert found.equals(table)
    assert found.column("id").num_chunks > 1
    assert pa.total_allocated_bytes() - before < table.nbytes / 10


def test_a_file_that_holds_no_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "table.arrow").write_bytes(b"no table")
    with pytest.raises(pa.ArrowInvalid):
        open_table(tmp_path / "table.arrow")


@pytest.mark.parametrize("end", [2_000_000_000, -5])
def test_a_column_that_leads_out_of_its_file_is_an_error(tmp_path: Path, end: int) -> None:
    data = pa.table({"webp": pa.array([b"a" * 17, b"b" * 19], pa.binary())})
    whole = table_file(data)
    ends = struct.pack("<3i", 0, 17, 36)
    assert whole.count(ends) == 1
    (tmp_path / "table.arrow").write_bytes(whole.replace(ends, struct.pack("<3i", 0, 17, end)))
    with pytest.raises(pa.ArrowInvalid):
        open_table(tmp_path / "table.arrow")


@pytest.mark.parametrize("rows", [[5, 1, 1500, 999, 1000, 5], [1999], range(1999, -1, -1)])
def test_rows_are_taken_in_any_order_from_any_piece(rows: Sequence[int]) -> None:
    table = pa.Table.from_batches([batch(0), batch(1000, 0), batch(1000)], SCHEMA)
    assert taken(table, rows).to_pylist() == [table.slice(row, 1).to_pylist()[0] for row in rows]

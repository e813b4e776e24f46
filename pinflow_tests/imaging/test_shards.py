"""Small helpers over shard tables."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.imaging.shards import Spill, keep


def test_keep_filters_and_keeps_the_order() -> None:
    table = pa.table({"id": ["a", "b", "c"], "webp": [b"1", b"2", b"3"]}, schema=schema.THUMBNAILS)
    assert keep(table, {"c", "a", "unknown"})["webp"].to_pylist() == [b"1", b"3"]
    assert keep(table, ()).num_rows == 0


def test_spilled_bytes_come_back_in_any_order() -> None:
    spill = Spill()
    for number in range(5):
        spill[number] = bytes([number]) * number
    assert [spill[number] for number in (4, 0, 2)] == [b"\4" * 4, b"", b"\2\2"]


def test_a_number_that_was_never_spilled_is_not_there() -> None:
    spill = Spill()
    spill[3] = b"three"
    assert [number in spill for number in (2, 3, 4)] == [False, True, False]
    with pytest.raises(KeyError):
        spill[2]

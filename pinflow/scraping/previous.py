"""The last scrape of a label, by id and by picture address, without a Python object for every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinflow import schema
from pinflow.scraping.spool import Before
from pinflow.tombstones import REMOVED

Row = dict[str, Any]


class _Rows(Mapping[str, Row]):
    """Rows of a table by a key of theirs, each made when it is asked for."""

    def __init__(self, table: pa.Table, row_of: dict[str, int]) -> None:
        self._table, self._row_of = table, row_of

    def __getitem__(self, key: str) -> Row:
        row: Row = self._table.slice(self._row_of[key], 1).to_pylist()[0]
        return row

    def __contains__(self, key: object) -> bool:
        return key in self._row_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._row_of)

    def __len__(self) -> int:
        return len(self._row_of)


class Previous:
    """Empty where there was no last scrape."""

    def __init__(self, table: pa.Table | None, sightings: pa.Table | None = None) -> None:
        """Raises `ValueError` for a table that is not a `schema.PINS` one."""
        self.table = None if table is None else schema.conform(table, schema.PINS).combine_chunks()
        self.sightings = sightings
        rows = schema.empty(schema.PINS) if self.table is None else self.table
        ids: list[str] = rows["id"].to_pylist()
        self.row_of = {one: row for row, one in enumerate(ids)}
        held = pc.and_(pc.is_valid(rows["sha256"]), pc.is_valid(rows["picture_url"]))
        urls = rows["picture_url"].to_pylist()
        by_url = {urls[row]: row for row, there in enumerate(held.to_pylist()) if there}
        self.by_id: Mapping[str, Row] = _Rows(rows, self.row_of)
        self.by_url: Mapping[str, Row] = _Rows(rows, by_url)

    def rows(self, ids: Sequence[str]) -> list[Row | None]:
        """The rows of those pins, None where there was none."""
        there = [self.row_of[one] for one in ids if one in self.row_of]
        if self.table is None or not there:
            return [None] * len(ids)
        found = iter(self.table.take(pa.array(there, pa.int64())).to_pylist())
        return [next(found) if one in self.row_of else None for one in ids]

    def before(self, order: Sequence[str]) -> Iterator[Before]:
        """What a crawl needs to know, in that order of ids."""
        if self.table is None:
            return
        urls = self.table["picture_url"].to_pylist()
        held = pc.or_kleene(
            pc.is_valid(self.table["sha256"]), pc.equal(self.table["error"], REMOVED).fill_null(False)
        ).to_pylist()
        related = pc.greater(pc.list_value_length(self.table["related"]), 0).to_pylist()
        for one in order:
            row = self.row_of[one]
            yield Before(one, urls[row] if held[row] else None, related[row])

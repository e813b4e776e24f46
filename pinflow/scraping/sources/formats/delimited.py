"""CSV and its relatives: the delimiter told apart by the header, eBay's backslashes too."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import IO

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.rows import column_key
from pinflow.scraping.sources.formats.lines import lines

_DELIMITERS = ",\t;|"
# The columns by which a feed of eBay's is known: its TSV escapes quotes with `\`, which is text elsewhere.
_EBAY = {"item_id", "price_value"}


def read_delimited(
    text: IO[str], first_line: str, counts: Counter[str]
) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Header and rows. A row with more or fewer cells than the header, or with a cell beyond
    `csv.field_size_limit` (131,072 characters), is counted as `bad_rows`.
    """
    delimiter = max(_DELIMITERS, key=lambda sign: _cells(first_line, sign))
    source = _Lines(text, counts)
    try:
        header = next((cells for cells in csv.reader(source, delimiter=delimiter) if any(cells)), [])
    except csv.Error as error:
        raise ScrapeError(f"the header cannot be read: {error}") from error
    escape = "\\" if {column_key(column) for column in header} >= _EBAY else None
    return header, _rows(source, csv.reader(source, delimiter=delimiter, escapechar=escape), header, counts)


def _cells(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return 0


class _Lines:
    """Lines that remember how they ended."""

    def __init__(self, text: IO[str], counts: Counter[str]) -> None:
        self._lines = lines(text, counts)
        self._last = ""
        self.torn = False  # the text ended, after a whole line, although the reader asked for more of a row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.torn = self._last.endswith(("\n", "\r"))
            raise StopIteration
        self._last = line
        return line


def _rows(
    source: _Lines, reader: Iterator[list[str]], header: list[str], counts: Counter[str]
) -> Iterator[dict[str, str]]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            counts["bad_rows"] += 1
            continue
        # A quote that is never closed takes in all rows behind it.
        if len(cells) == len(header) and not source.torn:
            yield dict(zip(header, cells, strict=True))
        elif any(cells):
            counts["bad_rows"] += 1

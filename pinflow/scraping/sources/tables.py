"""Tables that people keep, in whatever they keep them: told apart by looking, read as a stream.

CSV, TSV, JSON lines, a JSON list, RSS and Atom; each of them in gzip too. What a format is stands in
`formats/`.
"""

from __future__ import annotations

import codecs
import io
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pinflow.errors import ScrapeError
from pinflow.scraping.sources.formats.delimited import read_delimited
from pinflow.scraping.sources.formats.gzipped import unpacked
from pinflow.scraping.sources.formats.json_rows import json_lines, json_list
from pinflow.scraping.sources.formats.xml_feed import xml_rows

_SNIFF_BYTES = 64 * 1024
# JSON and XML have no header: the keys of the first rows are the columns. Later ones may have more.
_HEADER_ROWS = 200
_HEADER_CHARACTERS = 2**20

Row = dict[str, str]


def open_url(path: str) -> IO[bytes]:
    """A local file or an fsspec URL, opened for bytes. Raises `OSError`, or `ScrapeError` if remote."""
    import fsspec

    if "://" not in path:
        return Path(path).expanduser().open("rb")
    try:
        opened: IO[bytes] = fsspec.open(path, "rb").open()
    except OSError:
        raise
    except Exception as error:
        # Every object store's client has errors of its own.
        raise ScrapeError(f"{path} cannot be opened: {type(error).__name__}: {error}") from error
    return opened


def read_table(file: IO[bytes], counts: Counter[str]) -> tuple[list[str], Iterator[Row]]:
    """The columns and the rows (text by column name), whichever format it is in.

    Text is UTF-8, or UTF-16 with a byte order mark; XML says its encoding itself. Rows that are broken are
    counted as `bad_rows` in `counts`. JSON and XML may have further columns in later rows. Raises
    `ScrapeError`, also while the rows are read, for another format, another encoding, and for a file that
    breaks off.
    """
    file = unpacked(file)
    head = file.read(_SNIFF_BYTES)
    file.seek(0)
    encoding = _encoding(head)
    start = head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")
    if not start:
        raise ScrapeError("the table is empty")
    if "\0" in start:
        raise ScrapeError("the table is binary, or UTF-16 without a byte order mark: save it as UTF-8")
    if start[:14].lower().startswith(("<!doctype html", "<html")):
        raise ScrapeError("this is a web page, not a table")
    if start.startswith("<"):
        return _with_columns(xml_rows(file, counts))
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    if start.startswith(("{", "[")):
        return _with_columns(_decoded((json_lines if start[0] == "{" else json_list)(text, counts)))
    try:
        header, rows = read_delimited(text, start.splitlines()[0], counts)
    except UnicodeError as error:
        raise _undecodable(error) from error
    return header, _decoded(rows)


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise ScrapeError("the table is UTF-32: save it as UTF-8")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise ScrapeError("the table is a zip archive: unpack it, or pack it with gzip")
    return "utf-8-sig"


def _decoded(rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except UnicodeError as error:
        raise _undecodable(error) from error


def _undecodable(error: UnicodeError) -> ScrapeError:
    return ScrapeError(f"the table is not UTF-8 ({getattr(error, 'reason', error)}): save it as UTF-8")


def _with_columns(rows: Iterator[Row]) -> tuple[list[str], Iterator[Row]]:
    first: list[Row] = []
    size = 0
    for row in itertools.islice(rows, _HEADER_ROWS):
        first.append(row)
        size += sum(map(len, row.values()))
        if size > _HEADER_CHARACTERS:
            break
    return list(dict.fromkeys(name for row in first for name in row)), itertools.chain(first, rows)

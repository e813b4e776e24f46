"""Tables that people keep: CSV, TSV and JSON lines, told apart by looking, read as a stream."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pinflow.errors import ScrapeError

_SNIFF_BYTES = 64 * 1024
_DELIMITERS = ",\t;|"
_HEADER_ROWS = 1000  # JSON lines have no header: the keys of so many rows are the columns


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


def read_table(file: IO[bytes], counts: Counter[str]) -> tuple[list[str], Iterator[dict[str, str]]]:
    """The columns and the rows (text by column name) of CSV, TSV or JSON lines, whichever it is.

    Rows that are broken are counted as `bad_rows` in `counts`. Raises `ScrapeError` for another format.
    """
    head = file.read(_SNIFF_BYTES)
    file.seek(0)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise ScrapeError("the table is empty")
    if start.startswith(b"<"):
        raise ScrapeError("the table is XML or a web page: give CSV, TSV or JSON lines")
    if start.startswith(b"["):
        raise ScrapeError("the table is one JSON list: write one object a line (JSON lines)")
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    if not start.startswith(b"{"):
        return _csv_table(text, start, counts)
    rows = _json_rows(text, counts)
    first = list(itertools.islice(rows, _HEADER_ROWS))
    return list(dict.fromkeys(key for row in first for key in row)), itertools.chain(first, rows)


def _csv_table(
    text: IO[str], start: bytes, counts: Counter[str]
) -> tuple[list[str], Iterator[dict[str, str]]]:
    line = start.split(b"\n", 1)[0].decode("utf-8", "replace")
    delimiter = max(_DELIMITERS, key=lambda sign: len(next(csv.reader([line], delimiter=sign), [])))
    reader = csv.reader(text, delimiter=delimiter)
    header = next(reader, [])
    return header, _csv_rows(reader, header, counts)


def _csv_rows(
    reader: Iterator[list[str]], header: list[str], counts: Counter[str]
) -> Iterator[dict[str, str]]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            counts["bad_rows"] += 1
            continue
        if len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        elif any(cells):
            counts["bad_rows"] += 1


def _json_rows(text: IO[str], counts: Counter[str]) -> Iterator[dict[str, str]]:
    for line in text:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield {str(key): _text(inner) for key, inner in value.items()}
        else:
            counts["bad_rows"] += 1


def _text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value)

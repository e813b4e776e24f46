"""Product feeds in XML: RSS 2.0 and Atom, with the elements of Google Shopping (`g:`).

Read with expat itself. `defusedxml` has had no release since 2021 (only a candidate), needs ElementTree's
slow Python parser, and does not stop the attack that is left: one endless token, which expat before 2.6
scans again at every chunk. What it would add is one line here: a document type is refused, and with it every
entity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import IO
from xml.parsers import expat

from pinflow.errors import ScrapeError
from pinflow.scraping.sources.formats.lines import MAX_ROW

GOOGLE = "http://base.google.com/ns/1.0"
_ROOTS = {"rss", "feed", "RDF"}
_ROWS = {"item", "entry"}
_CHUNK_BYTES = 64 * 1024
_MAX_TOKEN_BYTES = 2 * 2**20  # a tag or a comment
_MAX_DEPTH = 64
# What may stand in a product several times; of everything else the first counts.
_PLURAL = {"additional_image_link", "product_highlight", "product_detail", "shipping", "tax"}
_PROSE = {"title", "description", "summary", "content"}


def xml_rows(file: IO[bytes], counts: Counter[str]) -> Iterator[dict[str, str]]:
    """A row an `<item>` or `<entry>`: text by element name, `g:` left out. One larger than `MAX_ROW`
    characters is counted as `bad_rows`.

    What is nested is joined as Google's text feeds write it (`US:Standard:4.95 USD`). Where an element stands
    with `g:` and without it, Google's wins. Raises `ScrapeError` for other XML and for broken XML.
    """
    reader = _Reader(counts)
    chunk = file.read(_CHUNK_BYTES).lstrip(b" \t\r\n")
    while chunk:
        reader.feed(chunk)
        yield from reader.take()
        chunk = file.read(_CHUNK_BYTES)
    reader.close()
    yield from reader.take()


class _Reader:
    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._rows: list[dict[str, str]] = []
        self._google = {"g"}
        self._depth = 0
        self._row: dict[str, str] | None = None
        self._row_depth = 0
        self._from_google: set[str] = set()
        self._size = 0
        self._column: str | None = None
        self._is_google = False
        self._text: list[str] = []
        self._parts: list[str] = []
        self._fed = 0
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser

    def feed(self, chunk: bytes) -> None:
        self._parse(chunk, False)
        self._fed += len(chunk)
        if self._fed - self._parser.CurrentByteIndex > _MAX_TOKEN_BYTES:
            raise ScrapeError(
                f"line {self._parser.CurrentLineNumber} of the XML has a tag or a comment larger than "
                f"{_MAX_TOKEN_BYTES // 2**20} MiB: refused"
            )

    def close(self) -> None:
        self._parse(b"", True)

    def take(self) -> list[dict[str, str]]:
        """The rows that were finished since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def _parse(self, chunk: bytes, last: bool) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            cut = reason == expat.errors.XML_ERROR_NO_ELEMENTS
            how = "breaks off" if cut else "is broken"
            raise ScrapeError(f"the XML {how} at line {error.lineno}: {reason}") from error
        except (LookupError, ValueError) as error:
            raise ScrapeError(f"the XML is in an encoding that cannot be read: {error}") from error

    def _doctype(self, *_: object) -> None:
        raise ScrapeError("the XML declares a document type, which may hide entities: refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ScrapeError(f"the XML is nested deeper than {_MAX_DEPTH}: refused")
        if self._depth == 1:
            _check_root(name)
        self._google.update(
            at.removeprefix("xmlns:")
            for at, uri in attributes.items()
            if uri == GOOGLE and at.startswith("xmlns:")
        )
        if self._row is None:
            if name.rpartition(":")[2] in _ROWS:
                self._row, self._row_depth, self._size = {}, self._depth, 0
                self._from_google.clear()
        elif self._depth == self._row_depth + 1:
            self._open(name, attributes)
        else:
            self._part()

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        prefix, _, local = name.rpartition(":")
        self._is_google = prefix in self._google
        self._column = local if self._is_google or not prefix else name
        self._text, self._parts = [], []
        if name == "link" and "href" in attributes:
            # Atom's links: only `alternate`, which is also the default, is the product's page.
            self._characters(attributes["href"])
            if attributes.get("rel", "alternate") != "alternate":
                self._column = None

    def _characters(self, text: str) -> None:
        if self._row is None or self._column is None:
            return
        self._size += len(text)
        if self._size <= MAX_ROW:
            self._text.append(text)

    def _part(self) -> None:
        text = "".join(self._text).strip()
        self._text = []
        if text:
            self._parts.append(text)

    def _end(self, _: str) -> None:
        if self._row is not None:
            if self._depth == self._row_depth:
                self._close_row(self._row)
            else:
                self._part()
                if self._depth == self._row_depth + 1:
                    self._close_column(self._row)
        self._depth -= 1

    def _close_row(self, row: dict[str, str]) -> None:
        if self._size > MAX_ROW:
            self._counts["bad_rows"] += 1
        else:
            self._rows.append(row)
        self._row = None

    def _close_column(self, row: dict[str, str]) -> None:
        name, self._column = self._column, None
        if name is None:
            return
        text = (" " if name in _PROSE else ":").join(self._parts)
        stronger = self._is_google and name not in self._from_google
        weaker = not self._is_google and name in self._from_google
        if not row.get(name) or stronger:
            row[name] = text
        elif name in _PLURAL and text and not weaker:
            row[name] += f",{text}"
        if self._is_google:
            self._from_google.add(name)


def _check_root(name: str) -> None:
    if name.rpartition(":")[2] not in _ROOTS:
        raise ScrapeError(f"the XML is <{name[:60]}>: give RSS, Atom, CSV, TSV or JSON")

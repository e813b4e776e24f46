"""A catalogue as museums publish it: a table in a zip or by itself, in the encoding of its day.

It is read twice: once to see what it is (size, encoding, no damage), once for its rows. Nothing is unpacked
to disk, and neither a lying header nor a zip bomb makes it larger than `MAX_BYTES`.
"""

from __future__ import annotations

import codecs
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pinflow.errors import ScrapeError
from pinflow.scraping.sources.formats.delimited import read_delimited
from pinflow.scraping.sources.formats.gzipped import unpacked
from pinflow.scraping.sources.tables import open_url

MAX_BYTES = 64 * 1024 * 1024  # unpacked; the Web Gallery of Art's 53,000 rows are about 16 MB
MAX_PACKED_BYTES = 16 * 1024 * 1024  # bounds the zip's directory, which is read into memory whole
_CHUNK = 1024 * 1024
_SNIFF_BYTES = 64 * 1024
_TABLES = (".csv", ".txt", ".tsv")
# Bytes that are control characters in ISO-8859-1 (C1) stand for letters in the code pages of DOS and Windows.
_DAMAGE = re.compile(rb"[\x00\x80-\x9f]")
_DAMAGED_TEXT = re.compile("[\x00\x80-\x9f]")

Rows = tuple[list[str], Iterator[dict[str, str]]]


@contextmanager
def open_catalogue(path: str, counts: Counter[str]) -> Iterator[Rows]:
    """The columns and the rows (text by column name) of a local file or fsspec URL, zip or plain table.

    Rows that are broken are counted as `bad_rows` in `counts`. Raises `ScrapeError`, on entering or while
    rows are read, where it is not a table that can be trusted.
    """
    try:
        with open_url(path) as file:
            head = file.read(4)
            size = file.seek(0, 2)
            file.seek(0)
            if head[:2] != b"PK":
                yield _read(unpacked(file), counts)
                return
            if size > MAX_PACKED_BYTES:
                raise ScrapeError(f"the zip is larger than {MAX_PACKED_BYTES // 2**20} MiB")
            with zipfile.ZipFile(file) as packed, packed.open(_member(packed)) as inside:
                yield _read(inside, counts)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ScrapeError(f"the zip is broken ({error}): download it again") from error
    except OSError as error:
        raise ScrapeError(f"it cannot be read: {error}") from error


def _member(packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    tables = [info for info in packed.infolist() if info.filename.lower().endswith(_TABLES)]
    if len(tables) != 1:
        names = ", ".join(packed.namelist()[:5]) or "nothing"
        raise ScrapeError(f"the zip should hold one table as {' or '.join(_TABLES)}; it holds {names}")
    [table] = tables
    # Other methods may need much memory for few bytes; nobody packs a catalogue with them.
    if table.flag_bits & 1 or table.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ScrapeError("the zip is encrypted or packed in an unusual way: unpack it, and give the table")
    return table


def _read(file: IO[bytes], counts: Counter[str]) -> Rows:
    encoding = sniff_encoding(file)
    file.seek(0)
    start = file.read(_SNIFF_BYTES).decode(encoding, "ignore").lstrip("\ufeff \t\r\n")
    file.seek(0)
    if not start:
        raise ScrapeError("it is empty")
    if start.startswith("<"):
        raise ScrapeError("it is a web page, not a table: look at the address in a browser")
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    return read_delimited(text, start.splitlines()[0], counts)


def sniff_encoding(file: IO[bytes]) -> str:
    """`utf-8-sig` if the whole file is valid UTF-8, else `iso-8859-1`. Reads to the end, in chunks.

    Raises `ScrapeError` for more than `MAX_BYTES`, and for control characters, which no catalogue holds but
    which appear where a program has written its own code page: every accent would silently be wrong.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    utf8, size, lines = True, 0, 1
    damage: str | None = None
    while True:
        chunk = file.read(_CHUNK)
        size += len(chunk)
        if size > MAX_BYTES:
            raise ScrapeError(f"larger than {MAX_BYTES // 2**20} MiB unpacked: that is no catalogue")
        if utf8:
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                utf8 = False
            else:
                if bad := _DAMAGED_TEXT.search(text):
                    raise ScrapeError(_damaged(f"character U+{ord(bad[0]):04X}", lines))
        if damage is None and (found := _DAMAGE.search(chunk)):
            line = lines + chunk.count(b"\n", 0, found.start())
            damage = _damaged(f"byte 0x{found[0][0]:02X}", line)
        if damage and not utf8:
            raise ScrapeError(damage)
        if not chunk:
            return "utf-8-sig" if utf8 else "iso-8859-1"
        lines += chunk.count(b"\n")


def _damaged(what: str, line: int) -> str:
    return (
        f"{what} near line {line} is neither UTF-8 nor ISO-8859-1: some program has saved it in a code page "
        "of its own; take the original, or save it as UTF-8"
    )

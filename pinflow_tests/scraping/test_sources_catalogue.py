"""Reading a catalogue: zip or table, whatever delimiter and encoding, and what is refused."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.sources import catalogue
from pinflow.scraping.sources.catalogue import open_catalogue, sniff_encoding

HEADER = "AUTHOR;TITLE;URL"
TEXT = HEADER + "\r\nÅBERG, Söle;Herring;https://www.wga.hu/html/a/x.html\r\n"
LATIN = TEXT.encode("iso-8859-1")


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def rows_of(tmp_path: Path, content: bytes, counts: Counter[str] | None = None) -> list[dict[str, str]]:
    path = tmp_path / "catalogue"
    path.write_bytes(content)
    with open_catalogue(str(path), Counter() if counts is None else counts) as (_, rows):
        return list(rows)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("form", ["plain", "zip", "gzip"])
def test_every_form_gives_the_same_rows(tmp_path: Path, form: str, delimiter: str, encoding: str) -> None:
    text = TEXT.replace(", ", " ").replace(";", delimiter).encode(encoding)
    content = {"plain": text, "zip": packed({"catalog.csv": text}), "gzip": gzip.compress(text)}[form]
    assert rows_of(tmp_path, content) == [
        {"AUTHOR": "ÅBERG Söle", "TITLE": "Herring", "URL": "https://www.wga.hu/html/a/x.html"}
    ]


def test_delimiters_inside_quotes_are_text(tmp_path: Path) -> None:
    [row] = rows_of(tmp_path, b'AUTHOR,TITLE,URL\n"KALF, Willem","Herring; and bread",x\n')
    assert (row["AUTHOR"], row["TITLE"]) == ("KALF, Willem", "Herring; and bread")


def test_other_files_beside_the_table_do_not_matter(tmp_path: Path) -> None:
    content = packed({"readme.pdf": b"%PDF", "CATALOG.CSV": LATIN})
    assert len(rows_of(tmp_path, content)) == 1


def test_bad_rows_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    assert len(rows_of(tmp_path, LATIN + b"too;short\r\n\r\n" + LATIN[len(HEADER) + 2 :], counts)) == 2
    assert counts == {"bad_rows": 1}


def test_a_dos_program_that_wrote_its_own_code_page_is_refused(tmp_path: Path) -> None:
    content = LATIN + "CRÉSTIN;Peach;x\r\n".encode("cp850")
    assert b"\x90" in content
    with pytest.raises(ScrapeError, match=r"byte 0x90 near line 3 is neither UTF-8 nor ISO-8859-1.*original"):
        rows_of(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        LATIN + b"it\x92s;x;x\r\n",  # a quote of Windows-1252
        LATIN + "CR\u0090STIN;x;x".encode("iso-8859-1"),
        TEXT.encode() + "CR\u0090STIN;x;x".encode(),  # the same, saved as UTF-8 afterwards
        TEXT.encode("utf-16"),
        LATIN + b"a\0b;x;x",
    ],
)
def test_control_characters_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ScrapeError, match="code page"):
        rows_of(tmp_path, content)


def test_the_last_byte_counts_too() -> None:
    assert sniff_encoding(io.BytesIO(b"caf\xc3")) == "iso-8859-1"
    with pytest.raises(ScrapeError, match="0x9F"):
        sniff_encoding(io.BytesIO(LATIN + b"\x9f"))


def test_letters_on_the_edge_of_a_chunk_are_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_CHUNK", 3)
    assert sniff_encoding(io.BytesIO(("a" * 8 + "é€" * 5).encode())) == "utf-8-sig"


@given(st.binary(max_size=200))
def test_any_bytes_have_an_encoding_that_reads_them_or_are_refused(content: bytes) -> None:
    try:
        encoding = sniff_encoding(io.BytesIO(content))
    except ScrapeError:
        return
    assert not any(0x80 <= ord(sign) <= 0x9F for sign in content.decode(encoding))


@pytest.mark.parametrize("form", ["plain", "zip", "gzip"])
def test_bombs_are_refused_while_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(catalogue, "MAX_BYTES", 2**20)
    monkeypatch.setattr(catalogue, "_CHUNK", 2**16)
    text = LATIN + b"a;b;c\n" * 200_000
    content = {"plain": text, "zip": packed({"c.csv": text}), "gzip": gzip.compress(text)}[form]
    with pytest.raises(ScrapeError, match="larger than 1 MiB unpacked"):
        rows_of(tmp_path, content)


def test_a_real_zip_bomb_costs_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("c.csv", "w") as inside,
    ):
        for _ in range(66):
            inside.write(b"a" * 2**20)
    tracemalloc.start()
    with pytest.raises(ScrapeError, match="larger than 64 MiB"):
        rows_of(tmp_path, out.getvalue())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_a_zip_with_a_huge_directory_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_PACKED_BYTES", 2**20)
    content = packed({f"{n}.txt": b"" for n in range(12_000)}, zipfile.ZIP_STORED)
    with pytest.raises(ScrapeError, match="larger than 1 MiB"):
        rows_of(tmp_path, content)


def test_one_line_without_an_end_is_a_bad_row(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    assert len(rows_of(tmp_path, LATIN + b"x" * 3_000_000, counts)) == 1
    assert counts == {"bad_rows": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n", "empty"),
        (b"<!doctype html><html>Log in</html>", "web page"),
        (b"\n <HTML>", "web page"),
        (packed({"catalog.csv": b"<html>"}), "web page"),
        (packed({"catalog.csv": b""}), "empty"),
        (packed({}), "it holds nothing"),
        (packed({"catalog.xlsx": b"x", "[Content_Types].xml": b"x"}), "one table"),
        (packed({"a.csv": LATIN, "b.csv": LATIN}), "one table"),
        (packed({"catalog.csv": LATIN}, zipfile.ZIP_LZMA), "unusual way"),
        (packed({"catalog.csv": LATIN})[:-30], "broken"),
        (
            packed({"catalog.csv": LATIN * 50}, zipfile.ZIP_STORED).replace(b"Herring", b"Hearing", 1),
            "broken",
        ),
        (b"PK\x03\x04" + b"\0" * 50, "broken"),
    ],
)
def test_what_is_no_catalogue_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ScrapeError, match=says):
        rows_of(tmp_path, content)


def test_what_is_not_there_says_so() -> None:
    with pytest.raises(ScrapeError, match="cannot be read"), open_catalogue("/no/such/file", Counter()):
        pass


@given(cut=st.integers(0, 400), flip=st.integers(0, 400), bit=st.integers(0, 7))
def test_a_damaged_zip_is_refused_or_read_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, bit: int
) -> None:
    content = bytearray(packed({"catalog.csv": LATIN * 3}))
    content[flip % len(content)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(content[: max(4, len(content) - cut)] if cut % 2 else content)
    try:
        with open_catalogue(str(path), Counter()) as (_, rows):
            list(rows)
    except ScrapeError:
        pass

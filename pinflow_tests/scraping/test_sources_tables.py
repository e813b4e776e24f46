"""Tables in every format: told apart by looking, read as a stream, hostile ones refused."""

from __future__ import annotations

import gzip
import io
import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.sources.formats import gzipped
from pinflow.scraping.sources.formats.lines import MAX_ROW
from pinflow.scraping.sources.tables import read_table

Rows = list[dict[str, str]]

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:g="http://base.google.com/ns/1.0" xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0">
<channel>
<title>The shop</title><link>https://shop.example/</link><description>All of it</description>
<item>
  <title>Chair</title><g:title>Oak chair &amp; cushion</g:title><g:id>A-1</g:id>
  <link>https://shop.example/p/a1</link>
  <description><![CDATA[A chair <of> oak]]></description>
  <g:price>249.00 EUR</g:price>
  <g:additional_image_link>https://shop.example/2.jpg</g:additional_image_link>
  <g:additional_image_link>https://shop.example/3.jpg</g:additional_image_link>
  <g:product_type>Home &gt; Chairs</g:product_type><g:product_type>Second</g:product_type>
  <g:shipping><g:country>US</g:country><g:service>Standard</g:service><g:price>4.95 USD</g:price></g:shipping>
  <dc:creator>Ida</dc:creator>
</item>
<item><g:id>A-2</g:id></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:ns0="http://base.google.com/ns/1.0">
<title>The shop</title><link rel="self" href="https://shop.example/feed"/>
<entry><id>tag:x</id><ns0:id>A-1</ns0:id><title>Oak chair</title><summary>A <b>chair</b> of oak</summary>
<link rel="enclosure" href="https://shop.example/e"/><link href="https://shop.example/p/a1"/>
<link rel="alternate" href="https://shop.example/second"/></entry></feed>"""


def read(body: bytes) -> tuple[list[str], Rows, Counter[str]]:
    counts: Counter[str] = Counter()
    header, rows = read_table(io.BytesIO(body), counts)
    return header, list(rows), counts


def rows(body: bytes | str) -> Rows:
    return read(body.encode() if isinstance(body, str) else body)[1]


# -- RSS and Atom, one assertion a field


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("id", "A-1"),
        ("title", "Oak chair & cushion"),
        ("link", "https://shop.example/p/a1"),
        ("description", "A chair <of> oak"),
        ("price", "249.00 EUR"),
        ("additional_image_link", "https://shop.example/2.jpg,https://shop.example/3.jpg"),
        ("product_type", "Home > Chairs"),
        ("shipping", "US:Standard:4.95 USD"),
        ("dc:creator", "Ida"),
    ],
)
def test_rss_with_googles_elements(column: str, text: str) -> None:
    assert rows(RSS)[0][column] == text


def test_the_channel_is_no_row() -> None:
    assert [row["id"] for row in rows(RSS)] == ["A-1", "A-2"]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("id", "A-1"),
        ("title", "Oak chair"),
        ("summary", "A chair of oak"),
        ("link", "https://shop.example/p/a1"),
    ],
)
def test_atom_with_googles_elements_under_any_prefix(column: str, text: str) -> None:
    assert rows(ATOM)[0][column] == text


def test_xml_says_its_encoding_itself() -> None:
    body = '<?xml version="1.0" encoding="windows-1252"?><rss><item><id>5 €</id></item></rss>'
    assert rows(body.encode("cp1252")) == [{"id": "5 €"}]
    assert rows(body.replace("windows-1252", "utf-16").encode("utf-16")) == [{"id": "5 €"}]


# -- the other formats


def test_formats_are_told_apart_by_looking() -> None:
    wanted = [{"id": "1", "t": "ä, b"}, {"id": "2", "t": ""}]
    assert rows('id,t\n1,"ä, b"\n2,\n') == wanted
    assert rows("id\tt\n1\tä, b\n2\t\n") == wanted
    assert rows("id;t\r\n1;ä, b\r\n2;\r\n") == wanted
    assert rows('\n{"id": 1, "t": "ä, b"}\n\n{"id": "2", "t": null}\n') == wanted
    assert rows('[{"id": 1, "t": "ä, b"},\n {"id": "2", "t": null}]') == wanted
    assert rows("<rss><item><id>1</id><t>ä, b</t></item><item><id>2</id><t/></item></rss>") == wanted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", ["id,t\n1,ä\n", '{"id": "1", "t": "ä"}\n', '[{"id": "1", "t": "ä"}]'])
def test_encodings_that_show_themselves(encoding: str, text: str) -> None:
    assert rows(text.encode(encoding)) == [{"id": "1", "t": "ä"}]


def test_ebay_escapes_with_backslashes_and_others_do_not() -> None:
    line = '"HULK 8\\" \\\\ S"'
    assert rows(f"ItemId\tTitle\tPriceValue\n1\t{line}\t3\n")[0]["Title"] == 'HULK 8" \\ S'
    assert rows("id\ttitle\n1\tC:\\a\n")[0]["title"] == "C:\\a"


def test_json_lists_and_prices_are_written_as_text_feeds_write_them() -> None:
    body = [
        {"additionalImageLinks": ["https://a/1", "https://a/2"], "price": {"value": "5", "currency": "EUR"}}
    ]
    assert rows(json.dumps(body)) == [{"additionalImageLinks": "https://a/1,https://a/2", "price": "5 EUR"}]


@pytest.mark.parametrize("size", [65_530, 65_536, 131_072, 200_000])
def test_a_json_list_may_be_cut_anywhere_by_the_buffer(size: int) -> None:
    body = json.dumps([{"a": "x" * size}, {"b": 12}, 7, {"c": 1}])
    header, found, counts = read(body.encode())
    assert ([len(row) for row in found], counts["bad_rows"]) == ([1, 1, 1], 1)
    assert header == ["a", "b", "c"]


@pytest.mark.parametrize("times", [1, 2])
def test_gzip_by_its_bytes_even_twice(times: int) -> None:
    body = RSS.encode()
    for _ in range(times):
        body = gzip.compress(body)
    assert len(rows(body)) == 2


# -- broken rows are counted, and the rest goes on


@pytest.mark.parametrize(
    ("body", "good", "bad"),
    [
        ("id,t\n1,2,3\n1\n1,2\n\n", 1, 2),
        ('id,t\n1,"never closed\n' + "2,b\n" * 3, 0, 1),
        ('{"a": 1}\n[1]\nnonsense\n{"a": 2}\n', 2, 2),
        ('[{"a": 1}, 2, null, {"a": 2}]', 2, 2),
    ],
)
def test_broken_rows_are_counted(body: str, good: int, bad: int) -> None:
    _, found, counts = read(body.encode())
    assert (len(found), counts["bad_rows"]) == (good, bad)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (b"id,t\n1,", b"\n2,b\n"),
        (b'{"id": 1, "t": "', b'"}\n{"id": 2, "t": "b"}\n'),
        (b"<rss><item><id>1</id><t>", b"</t></item><item><id>2</id><t>b</t></item></rss>"),
        (b"<rss><item><id>1</id><t><![CDATA[", b"]]></t></item><item><id>2</id><t>b</t></item></rss>"),
    ],
)
def test_an_endless_row_is_counted_and_never_held(start: bytes, end: bytes) -> None:
    body = start + b"x" * 100_000_000 + end
    tracemalloc.start()
    _, found, counts = read(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ([row["t"] for row in found], counts["bad_rows"]) == (["b"], 1)
    assert peak < 16 * MAX_ROW


# -- what is refused, and what it says


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"\xff\xfe", "empty"),
        ("id\n1\n".encode("utf-16-le"), "byte order mark"),
        ("id\n1\n".encode("utf-32"), "UTF-32"),
        (b"id,t\n1,caf\xe9\n", "not UTF-8"),
        (b"id,t\n" + b"1,a\n" * 40_000 + b"1,caf\xe9\n", "not UTF-8"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary"),
        (b"<!doctype html><html><p>Not found", "web page"),
        (b"<html><body/></html>", "web page"),
        (b"<products><product/></products>", "RSS"),
        (b"<rss><item><id>1</id></item>", "breaks off at line 1"),
        (b"<rss><item></rss>", "broken at line 1"),
        (b'<?xml version="1.0" encoding="shift_jis"?><rss/>', "encoding"),
        (b"<rss>" + b"<a>" * 100, "nested"),
        (b'[{"id": 1}, {"id":', "breaks off in row 2"),
        (b'[{"id": 1} {"id": 2}]', "after row 1"),
        (b"[" * 100_000, "nested"),
        (b'{\n "products": [\n]}', "several lines"),
        (b'[{"id": "' + b"x" * (MAX_ROW + 200_000), "longer than"),
        (gzip.compress(RSS.encode())[:-20], "breaks off"),
        (gzip.compress(gzip.compress(gzip.compress(b"id\n1\n"))), "more than 2 times"),
        (b"\x1f\x8bnonsense", "damaged"),
    ],
)
def test_what_cannot_be_read_says_why(body: bytes, says: str) -> None:
    with pytest.raises(ScrapeError, match=says):
        read(body)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "declared",
    [
        f'<!DOCTYPE rss [<!ENTITY l0 "ha">{LAUGHS}]>',
        f'<!DOCTYPE rss [<!ENTITY l9 "{"x" * 50_000}">]>',
        '<!DOCTYPE rss [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE rss SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE rss [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>',
    ],
)
def test_a_document_type_is_refused_before_anything_in_it_is_read(declared: str) -> None:
    body = f"{declared}<rss><item><id>{'&l9;' * 1000}</id></item></rss>"
    with pytest.raises(ScrapeError, match="document type"):
        read(body.encode())


@pytest.mark.parametrize("token", ["<rss><!--{}-->", "<rss><item a='{}'/>", "<rss><?x {}?>", "<rss><{}>"])
def test_an_endless_token_is_refused_in_no_time(token: str) -> None:
    body = token.format("x" * 30_000_000).encode()
    started = time.monotonic()
    with pytest.raises(ScrapeError, match="larger than 2 MiB"):
        read(body)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("filling", [b"\n", b"1,a\n", b"x"])
def test_a_gzip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, filling: bytes) -> None:
    monkeypatch.setattr(gzipped, "_FREE_BYTES", 2**20)
    packed = gzip.compress(b"id,t\n" + filling * (2_000_000 // len(filling)))
    with pytest.raises(ScrapeError, match="200 times"):
        read_and_drop(packed)


def test_a_large_bomb_fills_no_memory() -> None:
    packed = gzip.compress(b"id,t\n" + b"x" * 300_000_000)
    tracemalloc.start()
    with pytest.raises(ScrapeError, match="200 times"):
        read_and_drop(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MAX_ROW


def test_what_is_unpacked_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipped, "MAX_UNPACKED_BYTES", 2**20)
    lines = "".join(f"{n * 7919 % 1_000_003},{n}\n" for n in range(200_000))
    with pytest.raises(ScrapeError, match="more than 1 MiB"):
        read_and_drop(gzip.compress(b"id,t\n" + lines.encode()))


def read_and_drop(body: bytes) -> int:
    _, found = read_table(io.BytesIO(body), Counter())
    return sum(1 for _ in found)


MAKERS = [b"<rss><item><g:id>", b"<feed><entry>", b'[{"a":', b'{"a":1}\n', b"id,t\n1,", b"\x1f\x8b\x08\x00"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"", *MAKERS]), st.binary(max_size=300))
@example(b"", RSS.encode()[:200])
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    try:
        _, found, _ = read(start + rest)
    except ScrapeError:
        return
    assert all(isinstance(text, str) for row in found for text in row.values())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_feed_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([RSS.encode(), ATOM.encode(), gzip.compress(RSS.encode())])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    try:
        read(bytes(body))
    except ScrapeError:
        return


# -- memory


class Generated(io.RawIOBase):
    """A file that is made while it is read: start, `count` rows, end."""

    def __init__(self, start: str, row: str, count: int, end: str) -> None:
        self._parts = start, row, count, end
        self._rewind()

    def _rewind(self) -> None:
        self._held, self._at, self._chunks = b"", 0, self._made()

    def _made(self) -> Iterator[bytes]:
        start, row, count, end = self._parts
        yield start.encode()
        for first in range(0, count, 100):
            yield "".join(row.replace("#", str(n)) for n in range(first, first + 100)).encode()
        yield end.encode()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert (offset, whence) == (0, 0)
        self._rewind()
        return 0

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._held = chunk
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size


ITEM = "<item><g:id>p#</g:id><title>Product #</title><g:price>#.00 EUR</g:price></item>\n"


@pytest.mark.parametrize(
    ("start", "row", "end"),
    [
        ('<rss xmlns:g="http://base.google.com/ns/1.0"><channel>', ITEM, "</channel></rss>"),
        ("id,title,price\n", "p#,Product #,#.00 EUR\n", ""),
        ("", '{"id": "p#", "title": "Product #"}\n', ""),
        ('[{"id": "start"}', ',{"id": "p#", "title": "Product #"}', "]"),
    ],
    ids=["xml", "csv", "json lines", "json list"],
)
@pytest.mark.parametrize("many", [20_000, pytest.param(200_000, marks=pytest.mark.system)])
def test_memory_does_not_grow_with_the_rows(start: str, row: str, end: str, many: int) -> None:
    peaks = []
    for count in (2_000, many):
        file = io.BufferedReader(Generated(start, row, count, end))
        tracemalloc.start()
        _, found = read_table(file, Counter())
        assert sum(1 for _ in found) - ("start" in start) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * 2**20
    assert peaks[1] < peaks[0] + 2**18

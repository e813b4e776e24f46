"""Opt-out lists: whom they name, how they may be spelt, and what becomes of a line that says nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow import schema
from pinflow.scraping.optout import OptOuts, parse, read
from pinflow.scraping.pin import Pin
from pinflow.store import Store

PIN = Pin(
    "e1_123:abc",
    ("https://i.pinimg.com/originals/aa/bb.jpg", "https://i.pinimg.com/736x/aa/bb.jpg"),
    page_url="https://www.pinterest.com/pin/123/",
    creator="Ada  Lovelace",
    origin_keys=("link:https://shop.Example.org/shoes?size=4", "signature:aabb"),
)
SHA256 = "ab" * 32


def lists(*lines: str) -> OptOuts:
    return parse((("a.txt", "\n".join(lines).encode()),))


@pytest.mark.parametrize(
    "entry",
    [
        "e1_123:abc",
        "https://www.pinterest.com/pin/123/",
        "http://WWW.pinterest.com/pin/123",
        "https://www.pinterest.com/pin/123/#comments",
        "https://i.pinimg.com/736x/aa/bb.jpg",
        "https://shop.example.org/shoes?size=4",
        "domain:example.org",
        "domain:shop.example.org",
        "Domain: *.EXAMPLE.org",
        "domain:pinimg.com",
        "creator:ada lovelace",
        "creator: ADA Lovelace",
        f"sha256:{SHA256.upper()}",
    ],
)
def test_an_entry_names_the_pin(entry):
    assert lists("# a comment", "", f"  {entry}  # asked by mail").refuses(PIN, SHA256) == (
        f"a.txt, line 3: {entry}"
    )


@pytest.mark.parametrize(
    "entry",
    [
        "e1_123",
        "https://www.pinterest.com/pin/1234/",
        "https://www.pinterest.com/pin/",
        "https://shop.example.org/shoes",
        "domain:ample.org",
        "domain:example.org.evil.com",
        "domain:shop.example.or",
        "creator:Ada",
        "sha256:" + "cd" * 32,
    ],
)
def test_an_entry_names_no_other_pin(entry):
    entries = lists(entry)
    assert entries.bad == ()
    assert entries.refuses(PIN, SHA256) is None


def test_a_picture_is_known_only_once_its_bytes_are():
    assert lists(f"sha256:{SHA256}").refuses(PIN) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("sha256:123", "64 hex digits"),
        ("domain:", "host name"),
        ("domain:org", "host name"),
        ("domain:https://example.org/", "host name"),
        ("creator:", "a name"),
        ("https://", "not an address"),
        ("domains:example.org", "did you mean `domain:`"),
        ("x" * 600, "at most"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_stops_no_good_one(line, why):
    found = lists("good", line)
    ((name, bad),) = found.bad
    assert (name, bad.line) == ("a.txt", 2)
    assert why in bad.reason
    assert found.ids == {"good": "a.txt, line 1: good"}


def test_a_list_in_another_encoding_is_told():
    ((name, bad),) = parse((("a.txt", "creator:Jürgen".encode("latin-1")),)).bad
    assert (name, "UTF-8" in bad.reason) == ("a.txt", True)


def test_an_international_host_is_one_in_either_spelling():
    pin = Pin("1", page_url="https://xn--mller-kva.example.org/a")
    assert lists("domain:müller.example.org").refuses(pin)


def test_the_lists_lie_in_storage_and_only_text_files_count(tmp_path: Path):
    store = Store(str(tmp_path))
    assert read(store) == OptOuts()
    store.write(b"1\n", "opt_outs", "mail.txt")
    store.write(b"2\n", "opt_outs", "notes.md")
    first = read(store)
    assert set(first.ids) == {"1"}
    store.write(b"1\n3\n", "opt_outs", "mail.txt")
    assert read(store).digest != first.digest


def test_the_pins_of_a_table_that_are_named():
    rows = [
        {**dict.fromkeys(schema.PINS.names), "id": id, "page_url": page, "attributes": [], "related": []}
        for id, page in (("1", "https://example.org/1"), ("2", None), ("3", "https://example.com/3"))
    ]
    table = pa.Table.from_pylist([{**row, "origin_keys": []} for row in rows], schema=schema.PINS)
    assert lists("domain:example.org", "3").refused(table) == {
        "1": "a.txt, line 1: domain:example.org",
        "3": "a.txt, line 2: 3",
    }


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_a_list_or_a_pin(line, address, creator):
    found = parse((("a.txt", line.encode("utf-8", "replace")),))
    found.refuses(Pin("1", (address,), page_url=address, creator=creator, origin_keys=(f"link:{address}",)))

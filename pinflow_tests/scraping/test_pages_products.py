"""Availability, article numbers and addresses as feeds write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.scraping.pages.products import addresses, availability, gtin, identities


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("in stock", "in_stock"),
        ("in_stock", "in_stock"),
        ("https://schema.org/InStock", "in_stock"),
        ("http://schema.org/LimitedAvailability", "in_stock"),
        ("AVAILABLE", "in_stock"),
        ("out of stock", "out_of_stock"),
        ("UNAVAILABLE", "out_of_stock"),
        ("TEMPORARILY_UNAVAILABLE", "out_of_stock"),
        ("SoldOut", "out_of_stock"),
        ("pre-order", "preorder"),
        ("PreOrder", "preorder"),
        ("backorder", "backorder"),
        ("BackOrder", "backorder"),
        ("", None),
        ("perhaps", None),
    ],
)
def test_availability_in_our_four_words(text: str, state: str | None) -> None:
    assert availability(text) == state


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4006381333931", "04006381333931"),
        ("036000291452", "00036000291452"),
        ("96385074", "00000096385074"),
        ("978-0-306-40615-7", "09780306406157"),
        ("4006381333932", None),
        ("0000000000000", None),
        ("4001", None),
        ("Does not apply", None),
        ("٤٠٠٦٣٨١٣٣٣٩٣١", None),
        ("", None),
    ],
)
def test_a_gtin_only_with_its_check_digit(text: str, found: str | None) -> None:
    assert gtin(text) == found


@pytest.mark.parametrize(
    ("text", "found", "strange"),
    [
        ("https://a/1.jpg", ["https://a/1.jpg"], False),
        ("https://a/1.jpg,https://a/2.jpg", ["https://a/1.jpg", "https://a/2.jpg"], False),
        ("https://a/1.jpg | https://a/2.jpg", ["https://a/1.jpg", "https://a/2.jpg"], False),
        ("https://a/1,2.jpg;https://a/1,2.jpg", ["https://a/1,2.jpg"], False),
        ("/1.jpg", [], True),
        ("file:///etc/passwd,https://a/1.jpg", ["https://a/1.jpg"], True),
        (None, [], False),
        ("", [], False),
    ],
)
def test_addresses_in_one_cell(text: str | None, found: list[str], strange: bool) -> None:
    assert addresses(text) == (found, strange)


def test_a_makers_number_needs_the_brand() -> None:
    assert identities({"mpn": "X1", "brand": None}) == ()
    assert identities({"mpn": "X1", "brand": "Nord  Co"}) == ("mpn:nord co:x1",)


@given(st.text(max_size=60))
def test_any_text_is_understood_or_not(text: str) -> None:
    assert availability(text) in ("in_stock", "out_of_stock", "preorder", "backorder", None)
    code = gtin(text)
    assert code is None or len(code) == 14
    found, _ = addresses(text)
    assert all(one.lower().startswith("http") for one in found)
    identities({"gtin": text, "mpn": text, "brand": text, "epid": text, "item_group_id": text})

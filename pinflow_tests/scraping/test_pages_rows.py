"""Rows of feeds and captions as pins, prices, and cleaned text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.price import parse_price
from pinflow.scraping.pages.rows import Columns
from pinflow.scraping.pin import Pin, clean, identifier, web_address

ROW = {
    "g:id": "A-1",
    "Title": "Oak chair",
    "description": "A chair of oak",
    "price": "249.00 EUR",
    "availability": "in stock",
    "image_link": "https://shop.example/a1.jpg",
    "link": "https://shop.example/p/a1",
    "brand": "Nord",
    "Product Type": "Chairs",
    "item_group_id": "G7",
    "gtin": "4001",
}


@pytest.fixture
def pin() -> Pin:
    found, invalid = Columns(list(ROW)).pin(ROW)
    assert invalid == []
    assert found is not None
    return found


def test_id_with_the_google_prefix(pin: Pin) -> None:
    assert pin.id == "A-1"


def test_title_whatever_its_case(pin: Pin) -> None:
    assert pin.title == "Oak chair"


def test_description_is_the_caption(pin: Pin) -> None:
    assert pin.caption == "A chair of oak"


def test_price_and_currency_in_one_cell(pin: Pin) -> None:
    assert (pin.price, pin.currency) == (249.0, "EUR")


def test_image_link_is_the_picture(pin: Pin) -> None:
    assert pin.pictures == ("https://shop.example/a1.jpg",)


def test_link_is_the_page(pin: Pin) -> None:
    assert pin.page_url == "https://shop.example/p/a1"


def test_brand_is_the_creator_where_nobody_else_is(pin: Pin) -> None:
    assert pin.creator == "Nord"


def test_an_author_comes_before_the_brand() -> None:
    row = ROW | {"author": "Ida"}
    found, _ = Columns(list(row)).pin(row)
    assert found is not None
    assert found.creator == "Ida"


def test_all_other_columns_are_attributes(pin: Pin) -> None:
    assert pin.attributes == {
        "availability": "in stock",
        "brand": "Nord",
        "Product Type": "Chairs",
        "item_group_id": "G7",
        "gtin": "4001",
    }


def test_origin_keys_are_product_group_number_and_link(pin: Pin) -> None:
    assert pin.origin_keys == ("item_group:G7", "gtin:4001", "link:https://shop.example/p/a1")


def test_product_type_is_the_label_by_default() -> None:
    assert Columns(list(ROW)).value(ROW, "label") == "Chairs"


def test_label_by_names_another_column() -> None:
    assert Columns(list(ROW), label_by="brand").value(ROW, "label") == "Nord"


def test_columns_rename_fields_and_attributes() -> None:
    row = {"nr": "1", "cost": "5", "Epoche": "1600"}
    found, _ = Columns(list(row), {"id": "nr", "price": "cost", "period": "Epoche"}).pin(row)
    assert found is not None
    assert (found.id, found.price, found.attributes) == ("1", 5.0, {"period": "1600"})


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(ScrapeError, match="did you mean 'price'"):
        Columns(list(ROW), {"price": "prise"})


def test_a_row_without_id_is_no_pin() -> None:
    assert Columns(list(ROW)).pin(ROW | {"g:id": " "}) == (None, ["id"])


def test_what_cannot_be_understood_is_named() -> None:
    found, invalid = Columns(list(ROW)).pin(ROW | {"price": "on request", "link": "javascript:x"})
    assert found is not None
    assert (found.price, found.page_url, invalid) == (None, None, ["price", "page_url"])


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("249.00 EUR", 249.0, "EUR"),
        ("EUR 249", 249.0, "EUR"),
        ("249", 249.0, None),
        ("€1.299,00", 1299.0, "EUR"),
        ("1,299.00 usd", 1299.0, "USD"),
        ("1,299", 1299.0, None),
        ("12,5", 12.5, None),
        ("1.299", 1.299, None),
        ("1.299.000", 1299000.0, None),
        ("CHF 1'299.50", 1299.5, "CHF"),
        ("£3", 3.0, "GBP"),
        ("1 299,00 €", 1299.0, "EUR"),
        ("", None, None),
        ("-5", None, None),
        ("from 5", None, None),
        ("1.2.3", None, None),
        ("NaN", None, None),
    ],
)
def test_prices_as_people_write_them(text: str, amount: float | None, currency: str | None) -> None:
    assert parse_price(text) == (amount, currency)


def test_the_currency_column_fills_in() -> None:
    assert parse_price("5", "eur") == (5.0, "EUR")


@given(st.text(max_size=30))
def test_any_text_is_a_price_or_none(text: str) -> None:
    amount, currency = parse_price(text)
    assert amount is None or amount >= 0
    assert currency is None or len(currency) == 3


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.just("\ud800x")))
def test_cleaned_text_always_fits_a_column(value: object) -> None:
    text = clean(value)
    assert text is None or (text.encode("utf-8") and text == text.strip())


def test_ids_have_a_bound() -> None:
    assert identifier("x" * 513) is None


@pytest.mark.parametrize("url", ["javascript:x", "/a.jpg", "file:///etc/passwd", "http://", "http://[::1", 5])
def test_only_web_addresses_are_web_addresses(url: object) -> None:
    assert web_address(url) is None

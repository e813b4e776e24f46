"""Rows of feeds and captions as pins, prices, and cleaned text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.price import parse_price, to_pay
from pinflow.scraping.pages.rows import Columns, column_key
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
    "gtin": "4006381333931",
}
EBAY = {
    "ItemId": "v1|110|0",
    "Title": "Oak chair",
    "ImageUrl": "https://shop.example/a1.jpg|https://shop.example/a2.jpg",
    "AdditionalImageUrls": "https://shop.example/a3.jpg|https://shop.example/a2.jpg",
    "Category": "Home|Chairs",
    "CategoryId": "54235",
    "PriceValue": "249.0",
    "PriceCurrency": "EUR",
    "Availability": "TEMPORARILY_UNAVAILABLE",
    "Brand": "Nord",
    "MPN": "NC-7",
    "GTIN": "Does not apply",
    "EPID": "902",
    "ItemWebUrl": "https://shop.example/itm/110",
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
        "availability": "in_stock",
        "brand": "Nord",
        "product_type": "Chairs",
        "item_group_id": "G7",
        "gtin": "4006381333931",
    }


def test_origin_keys_are_product_group_number_and_link(pin: Pin) -> None:
    assert pin.origin_keys == ("item_group:G7", "gtin:04006381333931", "link:https://shop.example/p/a1")


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


def read(row: dict[str, str]) -> tuple[Pin, list[str]]:
    found, invalid = Columns(list(row), now=datetime(2026, 6, 15, tzinfo=UTC)).pin(row)
    assert found is not None
    return found, invalid


@pytest.fixture
def ebay() -> Pin:
    found, invalid = read(EBAY)
    assert invalid == []
    return found


def test_ebay_id(ebay: Pin) -> None:
    assert ebay.id == "v1|110|0"


def test_ebay_price_and_currency_in_two_columns(ebay: Pin) -> None:
    assert (ebay.price, ebay.currency) == (249.0, "EUR")


def test_ebay_first_picture_of_several(ebay: Pin) -> None:
    assert ebay.pictures == ("https://shop.example/a1.jpg",)


def test_ebay_further_pictures_each_once(ebay: Pin) -> None:
    assert ebay.attributes["additional_image_link"] == (
        "https://shop.example/a2.jpg https://shop.example/a3.jpg"
    )


def test_ebay_page(ebay: Pin) -> None:
    assert ebay.page_url == "https://shop.example/itm/110"


def test_ebay_category_is_the_label() -> None:
    assert Columns(list(EBAY)).value(EBAY, "label") == "Home|Chairs"


def test_ebay_availability_in_our_words(ebay: Pin) -> None:
    assert ebay.attributes["availability"] == "out_of_stock"


def test_ebay_numbers_that_do_not_apply_identify_nothing(ebay: Pin) -> None:
    assert ebay.origin_keys == ("mpn:nord:nc-7", "epid:902", "link:https://shop.example/itm/110")


def test_ebay_brand_under_the_name_that_all_feeds_share(ebay: Pin) -> None:
    assert (ebay.creator, ebay.attributes["brand"]) == ("Nord", "Nord")


def test_a_second_name_fills_in_where_the_first_is_empty() -> None:
    row = ROW | {"Product Type": "", "google_product_category": "Furniture > Chairs"}
    assert Columns(list(row)).value(row, "label") == "Furniture > Chairs"


def test_a_second_name_never_fills_in_for_an_id() -> None:
    row = {"id": "", "sku": "7", "title": "Chair"}
    assert Columns(list(row)).pin(row) == (None, ["id"])


def test_a_sale_price_is_what_a_buyer_pays_and_the_other_is_kept() -> None:
    pin, _ = read(ROW | {"sale_price": "199 EUR"})
    assert (pin.price, pin.currency, pin.attributes["regular_price"]) == (199.0, "EUR", "249.00 EUR")
    assert "sale_price" not in pin.attributes


def test_a_sale_that_is_over_is_no_price() -> None:
    over = {"sale_price": "199 EUR", "sale_price_effective_date": "2026-01-01T00:00Z/2026-02-01T00:00Z"}
    pin, _ = read(ROW | over)
    assert (pin.price, "regular_price" in pin.attributes) == (249.0, False)


@pytest.mark.parametrize(
    ("sale", "period", "paid"),
    [
        ((199.0, "EUR"), None, (199.0, "EUR")),
        ((199.0, None), None, (199.0, "EUR")),
        ((249.0, "EUR"), None, (249.0, "EUR")),
        ((300.0, "EUR"), None, (249.0, "EUR")),
        ((199.0, "USD"), None, (249.0, "EUR")),
        ((0.0, "EUR"), None, (249.0, "EUR")),
        ((None, None), None, (249.0, "EUR")),
        ((199.0, "EUR"), "2026-06-01T00:00+0100/2026-06-30T23:59+0100", (199.0, "EUR")),
        ((199.0, "EUR"), "2026-06-01/2026-06-30", (199.0, "EUR")),
        ((199.0, "EUR"), "2026-07-01T00:00Z/2026-07-30T00:00Z", (249.0, "EUR")),
        ((199.0, "EUR"), "soon", (249.0, "EUR")),
    ],
)
def test_which_price_is_to_pay(
    sale: tuple[float | None, str | None], period: str | None, paid: tuple[float, str]
) -> None:
    assert to_pay((249.0, "EUR"), sale, period, datetime(2026, 6, 15, tzinfo=UTC)) == paid


def test_a_sale_price_alone_is_a_price() -> None:
    assert to_pay((None, None), (5.0, "EUR"), None, datetime.now(UTC)) == (5.0, "EUR")


def test_what_feeds_say_wrong_is_counted_by_field() -> None:
    wrong = {
        "sale_price": "cheap",
        "availability": "maybe",
        "gtin": "4006381333932",
        "image_link": "/a.jpg",
        "additional_image_link": "https://shop.example/b.jpg,/c.jpg",
    }
    pin, invalid = read(ROW | wrong)
    # The first address takes in what follows it, because a comma may be part of an address.
    assert invalid == ["sale_price", "picture_url", "availability", "gtin"]
    assert pin.pictures == ("/a.jpg",)
    assert not [key for key in pin.origin_keys if key.startswith("gtin")]
    assert "availability" not in pin.attributes


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("g:image_link", "image_link"),
        ("ImageUrl", "image_url"),
        ("imageURLs", "image_urls"),
        ("itemWebUrl", "item_web_url"),
        ("GTIN", "gtin"),
        ("Product Type", "product_type"),
        ("sale-price", "sale_price"),
    ],
)
def test_a_column_by_any_usual_spelling(column: str, key: str) -> None:
    assert column_key(column) == key


@given(st.dictionaries(st.sampled_from([*ROW, *EBAY, "sale_price", "x"]), st.text(max_size=40)))
def test_any_row_is_a_pin_or_names_what_is_wrong(row: dict[str, str]) -> None:
    pin, invalid = Columns(list(row)).pin(row)
    assert pin is not None or invalid == ["id"]


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

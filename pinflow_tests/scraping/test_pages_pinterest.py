"""Pinterest's answers as pins, on a frozen response: one assertion a field."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages import pinterest
from pinflow.scraping.pin import Pin

ROW: dict[str, Any] = {
    "type": "pin",
    "id": "e1_AbC-42",
    "images": {
        "236x": {"url": "https://i.pinimg.com/236x/aa/bb/cc.jpg", "width": 236, "height": 354},
        "736x": {"url": "https://i.pinimg.com/736x/aa/bb/cc.jpg", "width": 736, "height": 1104},
        "orig": {"url": "https://i.pinimg.com/originals/aa/bb/cc.jpg", "width": 1200, "height": 1800},
    },
    "image_signature": "0123456789abcdef",
    "title": "  Red mullet ",
    "grid_title": "Mullet",
    "description": "",
    "auto_alt_text": "a red fish on ice",
    "rich_summary": {"products": [{"offer_summary": {"price": "$24.00"}}]},
    "dominant_color": "#a03020",
    "link": "https://shop.example/fish/mullet?size=2",
    "domain": "shop.example",
    "created_at": "Mon, 01 Jan 2024 10:00:00 +0000",
    "pinner": {"username": "anna", "full_name": "Anna K"},
    "native_creator": {"username": "bob", "full_name": "Bob L"},
    "board": {"id": "77", "name": "Fish market"},
    "attribution": None,
    "aggregated_pin_data": {"id": "555", "aggregated_stats": {"saves": 12}},
    "is_promoted": False,
    "videos": None,
    "story_pin_data": None,
    "carousel_data": None,
}


def answer(*rows: Any, bookmark: Any = "Y2JNext", results: bool = False) -> dict[str, Any]:
    return {
        "resource_response": {
            "status": "success",
            "data": {"results": list(rows)} if results else list(rows),
        },
        "resource": {"name": "BaseSearchResource", "options": {"query": "fish", "bookmarks": [bookmark]}},
    }


@pytest.fixture
def pin() -> Pin:
    return pinterest.listing(answer(ROW)).pins[0]


def test_id_is_an_opaque_string(pin: Pin) -> None:
    assert pin.id == "e1_AbC-42"


def test_pictures_are_the_original_then_the_next_size(pin: Pin) -> None:
    assert pin.pictures == (
        "https://i.pinimg.com/originals/aa/bb/cc.jpg",
        "https://i.pinimg.com/736x/aa/bb/cc.jpg",
    )


def test_page_url_is_the_pin_on_the_site(pin: Pin) -> None:
    assert pin.page_url == "https://www.pinterest.com/pin/e1_AbC-42/"


def test_title_is_stripped(pin: Pin) -> None:
    assert pin.title == "Red mullet"


def test_title_falls_back_to_grid_title() -> None:
    assert pinterest.listing(answer(ROW | {"title": None})).pins[0].title == "Mullet"


def test_caption_falls_back_to_the_alternative_text(pin: Pin) -> None:
    assert pin.caption == "a red fish on ice"


def test_price_comes_from_the_product_summary(pin: Pin) -> None:
    assert pin.price == 24.0


def test_currency_comes_from_the_product_summary(pin: Pin) -> None:
    assert pin.currency == "USD"


def test_creator_is_the_native_creator_before_the_pinner(pin: Pin) -> None:
    assert pin.creator == "Bob L"


def test_creator_falls_back_to_the_pinner() -> None:
    assert pinterest.listing(answer(ROW | {"native_creator": None})).pins[0].creator == "Anna K"


def test_creator_is_the_attributed_author_first() -> None:
    row = ROW | {"attribution": {"author_name": "Carla M"}}
    assert pinterest.listing(answer(row)).pins[0].creator == "Carla M"


def test_licence_is_unknown(pin: Pin) -> None:
    assert pin.licence is None


def test_attributes_hold_what_does_not_move_daily(pin: Pin) -> None:
    assert pin.attributes == {
        "board": "Fish market",
        "board_id": "77",
        "created_at": "Mon, 01 Jan 2024 10:00:00 +0000",
        "domain": "shop.example",
        "dominant_color": "#a03020",
        "link": "https://shop.example/fish/mullet?size=2",
    }


def test_origin_keys_are_aggregated_pin_signature_and_link(pin: Pin) -> None:
    assert pin.origin_keys == (
        "aggregated:555",
        "signature:0123456789abcdef",
        "link:https://shop.example/fish/mullet?size=2",
    )


def test_a_bare_home_page_is_no_origin_key() -> None:
    keys = pinterest.listing(answer(ROW | {"link": "https://shop.example/"})).pins[0].origin_keys
    assert not any(key.startswith("link:") for key in keys)


def test_numeric_ids_become_strings() -> None:
    assert pinterest.listing(answer(ROW | {"id": 1234567890123456789})).pins[0].id == "1234567890123456789"


@pytest.mark.parametrize("results", [False, True])
def test_data_is_a_list_or_holds_results(results: bool) -> None:
    assert len(pinterest.listing(answer(ROW, results=results)).pins) == 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"videos": {"id": "v"}}, "video"),
        ({"story_pin_data": {"pages": []}}, "story"),
        ({"story_pin_data_id": "9"}, "story"),
        ({"is_promoted": True}, "promoted"),
        ({"type": "board"}, "other"),
    ],
)
def test_what_is_no_picture_pin_is_skipped_and_counted(change: dict[str, Any], kind: str) -> None:
    page = pinterest.listing(answer(ROW | change))
    assert (page.pins, dict(page.skipped), page.ids) == ([], {kind: 1}, ["e1_AbC-42"])


def test_a_carousel_is_a_picture_pin() -> None:
    assert len(pinterest.listing(answer(ROW | {"carousel_data": {"slots": []}})).pins) == 1


def test_the_bookmark_is_echoed_in_the_options() -> None:
    assert pinterest.listing(answer(ROW)).bookmark == "Y2JNext"


@pytest.mark.parametrize("mark", [None, "", "-end-", "Y2JOb25lO", "Y2JOb25lOmFiYw=="])
def test_end_of_the_listing(mark: str | None) -> None:
    assert pinterest.is_end(pinterest.listing(answer(ROW, bookmark=mark)).bookmark)


def test_other_bookmarks_go_on() -> None:
    assert not pinterest.is_end("Y2JVSG81")


def test_an_answer_without_pins_raises_with_what_the_site_said() -> None:
    with pytest.raises(ScrapeError, match="Invalid Resource Request"):
        pinterest.listing({"resource_response": {"data": None, "message": "Invalid Resource Request"}})


def test_search_address_has_source_data_and_stamp() -> None:
    url = urlsplit(pinterest.search_url("http://x", "red fish", "B1", 17))
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    options = json.loads(query["data"])["options"]
    assert url.path == "/resource/BaseSearchResource/get/"
    assert query["_"] == "17"
    assert query["source_url"] == "/search/pins/?q=red%20fish&rs=typed"
    assert (options["query"], options["scope"], options["bookmarks"]) == ("red fish", "pins", ["B1"])


def test_related_address_names_the_pin() -> None:
    url = urlsplit(pinterest.related_url("http://x", "e1_a/b", 17))
    options = json.loads(parse_qs(url.query)["data"][0])["options"]
    assert url.path == "/resource/RelatedPinFeedResource/get/"
    assert options == {"pin": "e1_a/b", "add_vase": True, "pins_only": True}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*ROW, "url", "orig", "736x", "name", "products", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(row=st.dictionaries(st.sampled_from(list(ROW)), JSON, max_size=8), whole=JSON)
def test_any_answer_gives_pins_or_a_scrape_error(row: dict[str, Any], whole: Any) -> None:
    for pin in pinterest.listing(answer(ROW | row)).pins:
        assert isinstance(pin.id, str)
        assert all(isinstance(value, str) for value in pin.attributes.values())
        json.dumps(pin.as_json())
    with contextlib.suppress(ScrapeError):
        pinterest.listing({"resource_response": whole, "resource": whole})

"""Pinterest's answers as pins, on frozen responses: one assertion a field."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages import pinterest
from pinflow.scraping.pages.listing import Page, Step
from pinflow.scraping.pages.pinterest import (
    PinterestBoard,
    PinterestListing,
    PinterestPin,
    PinterestRecommended,
    PinterestSearch,
)
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


SEARCH = PinterestSearch(query="red fish")
BOARD = PinterestBoard(site="http://x/", user="asha rao", slug="fish")
LISTINGS = [
    SEARCH,
    BOARD,
    PinterestBoard(user="asha", slug="fish", section="spring"),
    PinterestRecommended(user="asha", slug="fish"),
    PinterestPin(pin="42"),
]


def answer(*rows: Any, bookmark: Any = "Y2JNext", results: bool = False) -> dict[str, Any]:
    return {
        "resource_response": {
            "status": "success",
            "data": {"results": list(rows)} if results else list(rows),
        },
        "resource": {"name": "BaseSearchResource", "options": {"query": "fish", "bookmarks": [bookmark]}},
    }


def read(said: Any, listing: PinterestListing = SEARCH, step: Step | None = None) -> Page:
    return listing.read(step or listing.first(), json.dumps(said).encode())


def options(step: Step | None) -> dict[str, Any]:
    assert step is not None
    found: dict[str, Any] = json.loads(parse_qs(urlsplit(step.url).query)["data"][0])["options"]
    return found


def resource(step: Step | None) -> str:
    assert step is not None
    return urlsplit(step.url).path


@pytest.fixture
def pin() -> Pin:
    return read(answer(ROW)).pins[0]


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
    assert read(answer(ROW | {"title": None})).pins[0].title == "Mullet"


def test_caption_falls_back_to_the_alternative_text(pin: Pin) -> None:
    assert pin.caption == "a red fish on ice"


def test_price_comes_from_the_product_summary(pin: Pin) -> None:
    assert pin.price == 24.0


def test_currency_comes_from_the_product_summary(pin: Pin) -> None:
    assert pin.currency == "USD"


def test_creator_is_the_native_creator_before_the_pinner(pin: Pin) -> None:
    assert pin.creator == "Bob L"


def test_creator_falls_back_to_the_pinner() -> None:
    assert read(answer(ROW | {"native_creator": None})).pins[0].creator == "Anna K"


def test_creator_is_the_attributed_author_first() -> None:
    row = ROW | {"attribution": {"author_name": "Carla M"}}
    assert read(answer(row)).pins[0].creator == "Carla M"


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
    keys = read(answer(ROW | {"link": "https://shop.example/"})).pins[0].origin_keys
    assert not any(key.startswith("link:") for key in keys)


def test_numeric_ids_become_strings() -> None:
    assert read(answer(ROW | {"id": 1234567890123456789})).pins[0].id == "1234567890123456789"


@pytest.mark.parametrize("results", [False, True])
def test_data_is_a_list_or_holds_results(results: bool) -> None:
    assert len(read(answer(ROW, results=results)).pins) == 1


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
    page = read(answer(ROW | change))
    assert (page.pins, dict(page.skipped), page.ids) == ([], {kind: 1}, ["e1_AbC-42"])


def carousel(**row: Any) -> Pin:
    slots = [{"id": n, "images": {"736x": {"url": f"https://i.pinimg.com/736x/{n}.jpg"}}} for n in range(3)]
    return read(answer(ROW | {"carousel_data": {"carousel_slots": slots}} | row)).pins[0]


def test_a_carousel_is_a_pin_with_its_first_picture(pin: Pin) -> None:
    assert carousel().pictures == pin.pictures
    assert carousel(images=None).pictures == ("https://i.pinimg.com/736x/0.jpg",)


def test_a_carousel_says_how_many_pictures_it_has() -> None:
    assert carousel().attributes["carousel"] == "3"


def test_a_story_of_one_picture_is_a_pin() -> None:
    block = {"type": "story_pin_image_block"}
    one, two = {"pages": [{"blocks": [block]}]}, {"pages": [{"blocks": [block, block]}]}
    assert len(read(answer(ROW | {"story_pin_data": one, "story_pin_data_id": "9"})).pins) == 1
    assert read(answer(ROW | {"story_pin_data": two})).skipped == {"story": 1}


def test_the_next_size_is_taken_where_there_is_no_original() -> None:
    images = {size: image for size, image in ROW["images"].items() if size != "orig"}
    pictures = read(answer(ROW | {"images": images})).pins[0].pictures
    assert pictures == ("https://i.pinimg.com/736x/aa/bb/cc.jpg", "https://i.pinimg.com/236x/aa/bb/cc.jpg")


def test_the_next_page_is_the_same_request_with_the_cursor_of_this_one() -> None:
    first = SEARCH.first()
    page = read(answer(ROW))
    assert page.next is not None
    assert (page.next.kind, page.next.cursor) == ("search", "Y2JNext")
    assert resource(page.next) == resource(first)
    assert options(page.next) == options(first) | {"bookmarks": ["Y2JNext"]}
    third = read(answer(ROW, bookmark="Y2JThird"), step=page.next).next
    assert options(third)["bookmarks"] == ["Y2JThird"]


@pytest.mark.parametrize("mark", [None, "", "-end-", "Y2JOb25lO", "Y2JOb25lOmFiYw==", [], 17])
def test_end_of_the_listing(mark: Any) -> None:
    assert read(answer(ROW, bookmark=mark)).next is None


def test_a_bookmark_may_stand_in_the_response_alone() -> None:
    said = {"resource_response": {"data": [ROW], "bookmark": "Y2JX"}}
    assert options(read(said).next)["bookmarks"] == ["Y2JX"]


@pytest.mark.parametrize("said", [{"message": "Not today"}, {"error": {"message": "Not today"}}])
def test_an_answer_without_pins_raises_with_what_the_site_said(said: dict[str, Any]) -> None:
    with pytest.raises(ScrapeError, match="no list of pins in it; it says 'Not today'"):
        read({"resource_response": {"data": None, **said}})


def test_a_web_page_is_no_answer() -> None:
    with pytest.raises(ScrapeError, match="not JSON"):
        SEARCH.read(SEARCH.first(), b"<!doctype html>")


# -- what is asked for


def test_a_search_asks_for_whole_pages_of_pins() -> None:
    query = parse_qs(urlsplit(SEARCH.first().url).query)
    assert resource(SEARCH.first()) == "/resource/BaseSearchResource/get/"
    assert query["source_url"] == ["/search/pins/?q=red%20fish&rs=typed"]
    assert options(SEARCH.first()) == {"query": "red fish", "scope": "pins", "rs": "typed", "page_size": 50}


def test_a_board_is_asked_for_first_and_then_its_pins() -> None:
    first = BOARD.first()
    assert first.url.startswith("http://x/resource/BoardResource/get/?source_url=%2Fasha%2520rao%2Ffish%2F")
    assert (options(first)["username"], options(first)["slug"]) == ("asha rao", "fish")
    page = read({"resource_response": {"data": {"id": 77, "section_count": 0}}}, BOARD)
    assert (page.pins, page.ids) == ([], ["77"])
    assert resource(page.next) == "/resource/BoardFeedResource/get/"
    assert options(page.next)["board_id"] == "77"
    second = read(answer(ROW), BOARD, page.next)
    assert [pin.page_url for pin in second.pins] == ["http://x/pin/e1_AbC-42/"]
    assert options(second.next)["board_id"] == "77"


def sections(*keys: str, bookmark: str) -> dict[str, Any]:
    return answer(*({"id": key, "slug": f"s{key}"} for key in keys), bookmark=bookmark)


def test_the_sections_of_a_board_are_listed_after_it() -> None:
    asked = read({"resource_response": {"data": {"id": 77, "section_count": 3}}}, BOARD).next
    assert resource(asked) == "/resource/BoardSectionsResource/get/"
    assert options(asked) == {"board_id": "77"}
    asked = read(sections("1", "2", bookmark="more"), BOARD, asked).next
    assert options(asked) == {"board_id": "77", "bookmarks": ["more"]}
    feed = read(sections("3", bookmark="-end-"), BOARD, asked).next
    assert (resource(feed), options(feed)["board_id"]) == ("/resource/BoardFeedResource/get/", "77")
    second = read(answer(ROW, bookmark="more"), BOARD, feed).next
    assert options(second) == options(feed) | {"bookmarks": ["more"]}
    step, found = read(answer(bookmark="-end-"), BOARD, second).next, []
    while step is not None:
        assert resource(step) == "/resource/BoardSectionPinsResource/get/"
        found.append(options(step)["section_id"])
        page = read(answer(bookmark="-end-"), BOARD, step)
        # It is new to whoever counts pages without a new id.
        assert page.ids == [f"section:{found[-1]}"]
        step = page.next
    assert found == ["1", "2", "3"]


def test_sections_that_are_told_again_and_again_end() -> None:
    asked = read({"resource_response": {"data": {"id": 77, "section_count": 3}}}, BOARD).next
    asked = read(sections("1", bookmark="a"), BOARD, asked).next
    assert resource(read(sections("1", bookmark="b"), BOARD, asked).next).startswith("/resource/BoardFeed")


def test_a_section_of_a_board_is_a_listing_too() -> None:
    board = PinterestBoard(user="asha", slug="fish", section="spring")
    assert resource(board.first()) == "/resource/BoardSectionResource/get/"
    page = read({"resource_response": {"data": {"id": "9"}}}, board)
    assert resource(page.next) == "/resource/BoardSectionPinsResource/get/"
    assert options(page.next) == {"section_id": "9"}
    assert read(answer(ROW, bookmark=None), board, page.next).next is None


def test_recommendations_are_asked_for_by_the_boards_id() -> None:
    listing = PinterestRecommended(user="asha", slug="fish")
    page = read({"resource_response": {"data": {"id": "77"}}}, listing)
    assert resource(page.next) == "/resource/BoardContentRecommendationResource/get/"
    assert options(page.next) == {"id": "77", "type": "board", "add_vase": True}


@pytest.mark.parametrize("data", [None, [], {}, {"id": None}, "no"])
def test_a_board_without_an_id_is_an_error_with_what_the_site_said(data: Any) -> None:
    with pytest.raises(ScrapeError, match="no board in it; it says 'gone'"):
        read({"resource_response": {"data": data, "message": "gone"}}, BOARD)


def test_a_pin_is_followed_by_what_stands_beside_it() -> None:
    listing = PinterestPin(pin="42")
    assert resource(listing.first()) == "/resource/PinResource/get/"
    assert options(listing.first()) == {"id": "42", "field_set_key": "detailed"}
    page = read({"resource_response": {"data": ROW | {"id": "42"}}}, listing)
    assert [pin.id for pin in page.pins] == ["42"]
    assert resource(page.next) == "/resource/RelatedPinFeedResource/get/"
    beside = read(answer(ROW), listing, page.next)
    assert [pin.id for pin in beside.pins] == ["e1_AbC-42"]
    assert options(beside.next) == {**options(page.next), "bookmarks": ["Y2JNext"]}


def test_a_pin_that_is_a_video_still_has_pins_beside_it() -> None:
    page = read({"resource_response": {"data": ROW | {"videos": {"id": 1}}}}, PinterestPin(pin="42"))
    assert (page.pins, page.skipped) == ([], {"video": 1})
    assert page.next is not None


def test_a_pin_that_the_site_does_not_show_is_an_error() -> None:
    with pytest.raises(ScrapeError, match="no pin in it"):
        read({"resource_response": {"data": None}}, PinterestPin(pin="42"))


def test_of_a_pin_with_an_opaque_id_there_are_the_related_ones() -> None:
    first = PinterestPin(pin="e1_a/b").first()
    assert resource(first) == "/resource/RelatedPinFeedResource/get/"
    assert options(first) == {"pin": "e1_a/b", "add_vase": True, "pins_only": True}


def test_opaque_ids_are_not_looked_up() -> None:
    assert SEARCH.lookup("e1_AbC") is None
    assert resource(SEARCH.lookup("42")) == "/resource/PinResource/get/"


def test_a_lookup_is_read_as_the_pin() -> None:
    page = read({"resource_response": {"data": ROW | {"id": "42"}}}, SEARCH, SEARCH.lookup("42"))
    assert ([pin.id for pin in page.pins], page.next) == (["42"], None)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: type(listing).__name__)
def test_every_request_has_the_headers_that_the_api_insists_on(listing: PinterestListing) -> None:
    for step in (listing.first(), listing.related("1"), listing.lookup("1")):
        assert step is not None
        headers = listing.headers(step)
        assert headers["X-Pinterest-PWS-Handler"].startswith("www/")
        assert headers["Cookie"] == f"csrftoken={headers['X-CSRFToken']}"
        assert headers["X-Requested-With"] == "XMLHttpRequest"
        assert headers["X-Pinterest-AppState"] == "active"


def test_a_crawl_has_one_token_and_the_next_another() -> None:
    assert SEARCH.headers(SEARCH.first()) == SEARCH.headers(SEARCH.first())
    assert PinterestSearch(query="x").csrf != SEARCH.csrf
    again = PinterestSearch.model_validate_json(SEARCH.model_dump_json())
    assert again == SEARCH
    assert SEARCH.csrf not in repr(SEARCH)
    assert SEARCH.csrf not in SEARCH.first().url


@pytest.mark.parametrize(
    ("host", "real"),
    [
        ("www.pinterest.com", True),
        ("pinterest.co.uk", True),
        ("DE.Pinterest.com", True),
        ("i.pinimg.com", True),
        ("api.pinterest.com", True),
        ("notpinterest.com", False),
        ("pinterest.com.evil.example", True),
        ("127.0.0.1", False),
        (None, False),
    ],
)
def test_the_real_site_is_known_in_every_country(host: str | None, real: bool) -> None:
    assert pinterest.is_real(host) is real


# -- hostile answers

WORDS = [*ROW, "url", "orig", "736x", "name", "products", "blocks", "pages", "carousel_slots", "data", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


def whatever(listing: PinterestListing, step: Step | None, body: bytes) -> None:
    """Reads it, and holds what comes to what the spool can keep."""
    for _ in range(20):
        if step is None:
            return
        try:
            page = listing.read(step, body)
        except ScrapeError:
            return
        for pin in page.pins:
            assert isinstance(pin.id, str)
            assert all(isinstance(value, str) for value in pin.attributes.values())
            json.dumps(pin.as_json()).encode()
        assert all(count > 0 for count in page.skipped.values())
        step = page.next


@given(row=st.dictionaries(st.sampled_from(WORDS), JSON, max_size=8), whole=JSON, mark=JSON)
@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: type(listing).__name__)
def test_any_answer_gives_pins_or_a_scrape_error(
    listing: PinterestListing, row: dict[str, Any], whole: Any, mark: Any
) -> None:
    for said in (
        answer(ROW | row, row, bookmark=mark),
        {"resource_response": {"data": ROW | row, "bookmark": mark}},
        {"resource_response": whole, "resource": whole},
        whole,
    ):
        whatever(listing, listing.first(), json.dumps(said).encode())


@given(body=st.binary(max_size=40))
@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: type(listing).__name__)
def test_any_bytes_give_a_scrape_error(listing: PinterestListing, body: bytes) -> None:
    whatever(listing, listing.first(), body)

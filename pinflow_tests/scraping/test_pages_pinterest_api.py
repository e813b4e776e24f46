"""Pinterest's official API as pins, on frozen responses: one assertion a field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.listing import Page, Step
from pinflow.scraping.pages.pinterest_api import OwnListing, PinterestOwnBoard, PinterestOwnBoards
from pinflow.scraping.pin import Pin

ROW: dict[str, Any] = {
    "id": "813744226420795884",
    "created_at": "2020-01-01T20:10:40",
    "link": "https://shop.example/fish/mullet",
    "title": " Red mullet ",
    "description": "",
    "dominant_color": "#6E7874",
    "alt_text": "a red fish on ice",
    "creative_type": "REGULAR",
    "board_id": "77",
    "board_section_id": None,
    "board_owner": {"username": "anna"},
    "is_owner": True,
    "media": {
        "media_type": "image",
        "images": {
            "150x150": {"url": "https://i.pinimg.com/150x150/a.jpg", "width": 150, "height": 150},
            "400x300": {"url": "https://i.pinimg.com/400x300/a.jpg", "width": 400, "height": 300},
            "600x": {"url": "https://i.pinimg.com/600x/a.jpg", "width": 600, "height": 900},
            "1200x": {"url": "https://i.pinimg.com/1200x/a.jpg", "width": 1200, "height": 1800},
        },
    },
    "parent_pin_id": None,
    "is_standard": True,
    "has_been_promoted": True,
}
BOARDS = [{"id": "76", "name": "Spices"}, {"id": 77, "name": "Marine  Fish "}]
TOKEN = "pina_secret"
OWN = PinterestOwnBoard(board="marine fish", token=TOKEN)
PINS = Step(url="https://api.pinterest.com/v5/boards/77/pins?page_size=100", kind="pins")


def answer(*rows: Any, bookmark: Any = None) -> dict[str, Any]:
    return {"items": rows, "bookmark": bookmark}


def read(said: Any, step: Step | None = PINS, listing: OwnListing = OWN) -> Page:
    assert step is not None
    return listing.read(step, json.dumps(said).encode())


@pytest.fixture
def pin() -> Pin:
    return read(answer(ROW)).pins[0]


def test_id_is_a_string(pin: Pin) -> None:
    assert pin.id == "813744226420795884"


def test_pictures_are_the_largest_then_the_next(pin: Pin) -> None:
    assert pin.pictures == ("https://i.pinimg.com/1200x/a.jpg", "https://i.pinimg.com/600x/a.jpg")


def test_page_url_is_the_pin_on_the_site(pin: Pin) -> None:
    assert pin.page_url == "https://www.pinterest.com/pin/813744226420795884/"


def test_page_url_is_on_the_same_server_where_that_is_another() -> None:
    own = OWN.model_copy(update={"site": "http://127.0.0.1:1/v5"})
    assert read(answer(ROW), listing=own).pins[0].page_url == "http://127.0.0.1:1/pin/813744226420795884/"


def test_title_is_stripped(pin: Pin) -> None:
    assert pin.title == "Red mullet"


def test_caption_falls_back_to_the_alternative_text(pin: Pin) -> None:
    assert pin.caption == "a red fish on ice"


def test_creator_is_the_owner_of_the_board(pin: Pin) -> None:
    assert pin.creator == "anna"


def test_licence_is_unknown(pin: Pin) -> None:
    assert pin.licence is None


def test_attributes(pin: Pin) -> None:
    assert pin.attributes == {
        "board_id": "77",
        "created_at": "2020-01-01T20:10:40",
        "creative_type": "REGULAR",
        "dominant_color": "#6E7874",
        "link": "https://shop.example/fish/mullet",
    }


def test_the_origin_is_the_link(pin: Pin) -> None:
    assert pin.origin_keys == ("link:https://shop.example/fish/mullet",)


def test_a_carousel_is_a_pin_with_its_first_picture() -> None:
    items = [{"item_type": "image", "images": ROW["media"]["images"]}, {"images": {}}]
    found = read(answer(ROW | {"media": {"media_type": "multiple_images", "items": items}})).pins[0]
    assert found.pictures == ("https://i.pinimg.com/1200x/a.jpg", "https://i.pinimg.com/600x/a.jpg")
    assert found.attributes["carousel"] == "2"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"media": {"media_type": "video"}}, "video"),
        ({"media": {"media_type": "multiple_videos"}}, "video"),
        ({"media": {"media_type": "multiple_mixed"}}, "story"),
        ({"media": None, "creative_type": "VIDEO"}, "video"),
        ({"media": None, "creative_type": "IDEA"}, "story"),
    ],
)
def test_what_is_no_picture_is_skipped_and_counted(change: dict[str, Any], kind: str) -> None:
    page = read(answer(ROW | change))
    assert (page.pins, page.skipped, page.ids) == ([], {kind: 1}, [ROW["id"]])


def test_boards_are_asked_for_first_a_hundred_a_page() -> None:
    assert OWN.first().url == "https://api.pinterest.com/v5/boards?page_size=100"


@pytest.mark.parametrize("name", ["marine fish", "Marine Fish", "77"])
def test_a_board_is_found_by_its_name_or_id(name: str) -> None:
    own = PinterestOwnBoard(board=name, token=TOKEN)
    found = read(answer(*BOARDS, bookmark="more"), own.first(), own).next
    assert found == PINS


def test_boards_are_read_page_by_page_until_it_is_found() -> None:
    page = read(answer(BOARDS[0], bookmark="Y2/+"), OWN.first())
    assert (page.pins, page.ids) == ([], ["76"])
    assert page.next == Step(
        url="https://api.pinterest.com/v5/boards?page_size=100&bookmark=Y2%2F%2B",
        kind="boards",
        cursor="Y2/+",
    )
    assert read(answer(BOARDS[1]), page.next).next == PINS


def test_a_board_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(ScrapeError, match="no board 'marine fish' of your own; there are: 'Spices'"):
        read(answer(BOARDS[0]), OWN.first())


def test_pins_are_read_page_by_page() -> None:
    page = read(answer(ROW, bookmark="more"))
    assert page.next == Step(url=f"{PINS.url}&bookmark=more", kind="pins", cursor="more")
    third = read(answer(ROW, bookmark="yet more"), page.next).next
    assert third == Step(url=f"{PINS.url}&bookmark=yet+more", kind="pins", cursor="yet more")
    assert read(answer(ROW), third).next is None


def test_a_pin_can_be_looked_up_and_read() -> None:
    assert OWN.lookup("4/2").url == "https://api.pinterest.com/v5/pins/4%2F2"
    assert read(ROW, OWN.lookup("42")).ids == [ROW["id"]]


def test_the_token_is_in_the_header_and_nowhere_else() -> None:
    assert OWN.headers(OWN.first())["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(OWN)
    assert TOKEN not in repr([OWN.first(), OWN.lookup("1"), read(answer(ROW, bookmark="more")).next])


def test_the_boards_are_a_listing_of_their_own() -> None:
    boards = PinterestOwnBoards(token=TOKEN)
    page = read(answer(*BOARDS, bookmark="more"), boards.first(), boards)
    assert [(pin.id, pin.title, pin.pictures) for pin in page.pins] == [
        ("76", "Spices", ()),
        ("77", "Marine Fish", ()),
    ]
    assert page.next is not None
    assert page.next.url.endswith("&bookmark=more")


def test_an_error_is_told_in_the_apis_words() -> None:
    with pytest.raises(ScrapeError, match="no `items` in it; it says 'Authentication failed"):
        read({"code": 2, "message": "Authentication failed."})


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*ROW, "images", "items", "url", "600x", "name"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(row=st.dictionaries(st.sampled_from(list(ROW)), JSON, max_size=8), whole=JSON, mark=JSON)
def test_any_answer_gives_pins_or_a_scrape_error(row: dict[str, Any], whole: Any, mark: Any) -> None:
    boards = PinterestOwnBoards(token=TOKEN)
    for listing, step in ((OWN, PINS), (OWN, OWN.first()), (OWN, OWN.lookup("1")), (boards, boards.first())):
        for said in (answer(ROW | row, row, bookmark=mark), ROW | row, whole):
            try:
                page = read(said, step, listing)
            except ScrapeError:
                continue
            for pin in page.pins:
                assert all(isinstance(value, str) for value in pin.attributes.values())
                json.dumps(pin.as_json()).encode()

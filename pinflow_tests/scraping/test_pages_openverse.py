"""Openverse's answers as pins, on a frozen response: one assertion a field."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.listing import Page, Step
from pinflow.scraping.pages.openverse import OpenverseSearch, licence
from pinflow.scraping.pin import Pin

ROW: dict[str, Any] = {
    "id": "4bc43a04-ef46-4544-a0c1-63c63f56e276",
    "title": " Tree Bark ",
    "indexed_on": "2020-01-01T10:00:00Z",
    "foreign_landing_url": "https://pictures.example/photo/XN",
    "url": "https://cdn.pictures.example/960w/XN.jpg",
    "creator": "Tim S",
    "creator_url": "https://tim.example",
    "license": "by-sa",
    "license_version": "4.0",
    "license_url": "https://creativecommons.org/licenses/by-sa/4.0/",
    "provider": "stocksnap",
    "source": "stocksnap",
    "category": "photograph",
    "filesize": None,
    "filetype": "jpg",
    "tags": [{"name": "tree", "accuracy": None}, {"name": "bark", "accuracy": 0.9}, {"name": "tree"}],
    "attribution": '"Tree Bark" by Tim S is licensed under CC BY-SA 4.0.',
    "fields_matched": ["title"],
    "mature": False,
    "height": 640,
    "width": 960,
    "thumbnail": "https://api.openverse.org/v1/images/4bc43a04/thumb/",
    "detail_url": "https://api.openverse.org/v1/images/4bc43a04/",
    "unstable__sensitivity": [],
}
SEARCH = OpenverseSearch(query="tree bark", licences=("cc0", "by-sa"))


def answer(*rows: Any, page: int = 1, pages: int = 3, results: int = 60) -> dict[str, Any]:
    return {"result_count": results, "page_count": pages, "page_size": 20, "page": page, "results": rows}


def read(said: Any, listing: OpenverseSearch = SEARCH, step: Step | None = None) -> Page:
    return listing.read(step or listing.first(), json.dumps(said).encode())


def query(step: Step | None) -> dict[str, str]:
    assert step is not None
    return {key: values[0] for key, values in parse_qs(urlsplit(step.url).query).items()}


@pytest.fixture
def pin() -> Pin:
    return read(answer(ROW)).pins[0]


def test_id_is_openverses(pin: Pin) -> None:
    assert pin.id == "4bc43a04-ef46-4544-a0c1-63c63f56e276"


def test_pictures_are_the_file_then_the_thumbnail(pin: Pin) -> None:
    assert pin.pictures == (ROW["url"], ROW["thumbnail"])


def test_page_url_is_where_the_picture_was_published(pin: Pin) -> None:
    assert pin.page_url == "https://pictures.example/photo/XN"


def test_title_is_stripped(pin: Pin) -> None:
    assert pin.title == "Tree Bark"


def test_there_is_no_caption(pin: Pin) -> None:
    assert pin.caption is None


def test_creator_is_kept(pin: Pin) -> None:
    assert pin.creator == "Tim S"


def test_licence_has_its_full_name_and_version(pin: Pin) -> None:
    assert pin.licence == "CC BY-SA 4.0"


def test_attributes_hold_what_attribution_needs_and_the_tags(pin: Pin) -> None:
    assert pin.attributes == {
        "attribution": '"Tree Bark" by Tim S is licensed under CC BY-SA 4.0.',
        "category": "photograph",
        "creator_url": "https://tim.example",
        "licence_url": "https://creativecommons.org/licenses/by-sa/4.0/",
        "provider": "stocksnap",
        "source": "stocksnap",
        "tags": "tree, bark",
    }


def test_the_origin_is_the_page_it_was_published_on(pin: Pin) -> None:
    assert pin.origin_keys == ("link:https://pictures.example/photo/XN",)


@pytest.mark.parametrize(
    ("code", "version", "name"),
    [
        ("by", "4.0", "CC BY 4.0"),
        ("by-nc-nd", None, "CC BY-NC-ND"),
        ("cc0", "1.0", "CC0 1.0"),
        ("pdm", "1.0", "Public Domain Mark 1.0"),
        ("nc-sampling+", "1.0", "CC NC-Sampling+ 1.0"),
        (None, "4.0", None),
    ],
)
def test_names_of_licences(code: str | None, version: str | None, name: str | None) -> None:
    assert licence(code, version) == name


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"mature": True}, "mature"),
        ({"unstable__sensitivity": ["sensitive_text"]}, "mature"),
        ({"license": "by-nc"}, "licence"),
        ({"license": None}, "licence"),
    ],
)
def test_what_nobody_asked_for_is_skipped_and_counted(change: dict[str, Any], kind: str) -> None:
    page = read(answer(ROW | change))
    assert (page.pins, page.skipped, page.ids) == ([], {kind: 1}, [ROW["id"]])


def test_rows_without_an_id_are_counted() -> None:
    assert read(answer({}, 7)).skipped == {"other": 2}


def test_every_licence_will_do_where_none_is_named() -> None:
    anything = OpenverseSearch(query="x")
    assert len(read(answer(ROW | {"license": "by-nc"}), anything).pins) == 1
    assert "license" not in query(anything.first())


def test_a_search_asks_for_the_licences_and_pages_that_anybody_may_have() -> None:
    assert SEARCH.first().url.startswith("https://api.openverse.org/v1/images/?")
    assert query(SEARCH.first()) == {
        "q": "tree bark",
        "license": "cc0,by-sa",
        "page": "1",
        "page_size": "20",
    }


def test_pages_follow_until_the_last() -> None:
    second = read(answer(ROW)).next
    assert query(second) == query(SEARCH.first()) | {"page": "2"}
    third = read(answer(ROW, page=2), step=second).next
    assert query(third)["page"] == "3"
    assert read(answer(ROW, page=3), step=third).next is None


def test_an_empty_page_is_the_last() -> None:
    assert read(answer(pages=9)).next is None


def test_the_depth_that_the_api_gives_is_not_passed_and_what_lies_beyond_is_counted() -> None:
    at_the_end = Step(url=SEARCH.first().url, cursor="12")
    page = read(answer(ROW, page=12, pages=500, results=10_000), step=at_the_end)
    assert (page.next, page.skipped) == (None, {"beyond_depth": 9_760})
    assert read(answer(ROW, page=12, pages=12, results=240), step=at_the_end).skipped == {"beyond_depth": 1}


def test_a_picture_can_be_looked_up_and_read() -> None:
    step = SEARCH.lookup("4bc4/../x")
    assert step.url == "https://api.openverse.org/v1/images/4bc4%2F..%2Fx/"
    assert read(ROW, step=step).ids == [ROW["id"]]


def test_nothing_is_asked_beside_a_picture() -> None:
    assert SEARCH.related("x") is None


def test_an_error_is_told_in_the_apis_words() -> None:
    with pytest.raises(ScrapeError, match="no `results` in it; it says 'Request was throttled"):
        read({"detail": "Request was throttled. Expected available in 42 seconds."})


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ROW, "name", "results", "page_count"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(row=st.dictionaries(st.sampled_from(list(ROW)), JSON, max_size=8), whole=JSON, count=JSON)
def test_any_answer_gives_pins_or_a_scrape_error(row: dict[str, Any], whole: Any, count: Any) -> None:
    steps = (SEARCH.first(), SEARCH.lookup("x"), Step(url="x", cursor="12"))
    counts = {"page_count": count, "result_count": count}
    for step in steps:
        for said in (answer(ROW | row, row) | counts, ROW | row, whole):
            try:
                page = read(said, step=step)
            except ScrapeError:
                continue
            for pin in page.pins:
                assert all(isinstance(value, str) for value in pin.attributes.values())
                json.dumps(pin.as_json()).encode()

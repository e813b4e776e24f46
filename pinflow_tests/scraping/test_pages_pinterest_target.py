"""Which listing of Pinterest a label means."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import LabelError, ScrapeError
from pinflow.labels import normalise, slug
from pinflow.scraping.pages.pinterest import (
    PinterestBoard,
    PinterestListing,
    PinterestPin,
    PinterestRecommended,
    PinterestSearch,
)
from pinflow.scraping.pages.pinterest_target import target

OWN = "http://127.0.0.1:8765"
REAL = "https://www.pinterest.com"


def fields(listing: PinterestListing) -> dict[str, str]:
    return listing.model_dump(exclude={"csrf", "site", "kind"}, exclude_none=True)


BOARD = {"user": "asha", "slug": "marine-fish"}

MEANT: list[tuple[str, type[PinterestListing], dict[str, str]]] = [
    ("marine fish", PinterestSearch, {"query": "marine fish"}),
    ("R&B / Soul", PinterestSearch, {"query": "R&B / Soul"}),
    ("R&B/Soul", PinterestSearch, {"query": "R&B/Soul"}),
    ("pin: up girls", PinterestSearch, {"query": "pin: up girls"}),
    ("board games", PinterestSearch, {"query": "board games"}),
    ("board:asha/marine-fish", PinterestBoard, BOARD),
    ("Board:asha/marine-fish/", PinterestBoard, BOARD),
    ("board:asha/marine-fish/spring", PinterestBoard, {**BOARD, "section": "spring"}),
    ("recommended:asha/marine-fish", PinterestRecommended, BOARD),
    ("pin:123456", PinterestPin, {"pin": "123456"}),
    ("pin:e1_aB-c", PinterestPin, {"pin": "e1_aB-c"}),
    ("https://www.pinterest.com/asha/marine-fish/", PinterestBoard, BOARD),
    ("www.pinterest.com/asha/marine-fish", PinterestBoard, BOARD),
    ("https://de.pinterest.com/asha/marine-fish/?x=1", PinterestBoard, BOARD),
    ("https://www.pinterest.com/asha/marine-fish/#related", PinterestRecommended, BOARD),
    ("https://www.pinterest.com/asha/m%C3%A9/", PinterestBoard, {"user": "asha", "slug": "mé"}),
    ("https://www.pinterest.co.uk/asha/marine-fish/spring/", PinterestBoard, {**BOARD, "section": "spring"}),
    ("https://www.pinterest.com/pin/123456/", PinterestPin, {"pin": "123456"}),
    ("https://www.pinterest.com/pin/red-fish--123456/", PinterestPin, {"pin": "123456"}),
    ("https://www.pinterest.com/pin/e1_aB--c/", PinterestPin, {"pin": "e1_aB--c"}),
    ("https://www.pinterest.com/search/pins/?q=red%20fish&rs=typed", PinterestSearch, {"query": "red fish"}),
]


@pytest.mark.parametrize(("label", "kind", "found"), MEANT)
def test_a_label_means(label: str, kind: type[PinterestListing], found: dict[str, str]) -> None:
    listing = target(label, REAL)
    assert (type(listing), fields(listing), listing.site) == (kind, found, REAL)


@pytest.mark.parametrize("label", [label for label, _, _ in MEANT])
def test_all_of_them_are_labels(label: str) -> None:
    assert slug(label)
    assert normalise(label) == label


def test_a_link_to_another_server_is_known_by_its_port() -> None:
    assert isinstance(target(f"{OWN}/pin/7/", OWN), PinterestPin)
    with pytest.raises(ScrapeError, match=r"no link to http://127\.0\.0\.1:8765"):
        target("http://127.0.0.1:9/pin/7/", OWN)
    with pytest.raises(ScrapeError, match=r"no link to http://127\.0\.0\.1:8765"):
        target("https://www.pinterest.com/pin/7/", OWN)


@pytest.mark.parametrize(
    "label",
    [
        *("board:asha", "board:asha/a/b/c", "board:/", "board:asha//x", "pin:1/2", "recommended:asha"),
        *(
            "https://www.pinterest.com/",
            "https://www.pinterest.com/asha/",
            "https://www.pinterest.com/a/b/c/d",
        ),
        *("https://www.pinterest.com/search/pins/", "https://pin.it/abc", "https://example.com/a/b"),
    ],
)
def test_what_names_nothing_says_how_to_name_it(label: str) -> None:
    with pytest.raises(ScrapeError, match="write `board:user/slug`"):
        target(label, REAL)


@given(
    st.from_regex(r"(board:|pin:|recommended:|https?://|//|www\.pinterest\.com|/|\[|:|#|\?q=|[a-z%é ])*")
    | st.text(st.characters(), max_size=30),
    st.sampled_from([REAL, OWN]),
)
def test_any_label_names_a_listing_or_is_refused(text: str, site: str) -> None:
    with contextlib.suppress(LabelError, ScrapeError):
        label = normalise(text)
        slug(label)
        assert target(label, site).first().url.startswith(f"{site}/resource/")

"""What a site says about use, read from headers and from robots.txt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.scraping.fetching import signals


@pytest.mark.parametrize("word", ["noai", "noimageai", "noml", "noindex", "noimageindex", "none", "NoAI"])
def test_a_tag_against_pictures(word: str) -> None:
    found = signals.of_headers([("X-Robots-Tag", word)])
    assert found.against_pictures == f"X-Robots-Tag: {word.lower()}"


@pytest.mark.parametrize("value", ["all", "nofollow", "noarchive", "max-image-preview: large", ""])
def test_a_tag_that_allows(value: str) -> None:
    assert signals.of_headers([("X-Robots-Tag", value)]).against_pictures is None


def test_a_listing_may_be_kept_out_of_search_engines() -> None:
    found = signals.of_headers([("x-robots-tag", "noindex")])
    assert (found.against_listings, found.against_pictures) == (None, "X-Robots-Tag: noindex")


def test_a_listing_that_forbids_learning_is_refused() -> None:
    assert signals.of_headers([("x-robots-tag", "noindex, noai")]).against_listings


def test_what_is_said_to_another_robot_is_not_for_us() -> None:
    assert signals.of_headers([("X-Robots-Tag", "googlebot: noindex, noai")]).text is None
    assert signals.of_headers([("X-Robots-Tag", "pinflow: noai")]).against_pictures


def test_one_of_several_headers_is_enough() -> None:
    found = signals.of_headers([("X-Robots-Tag", "nofollow"), ("X-Robots-Tag", "noai")])
    assert found.against_pictures
    assert found.text == "X-Robots-Tag: nofollow; X-Robots-Tag: noai"


@pytest.mark.parametrize(
    "value", ["train-ai=n", "ai-train=no", "search=y, train-ai=n", "TRAIN-AI = N", 'train-ai="n"', "bots=n"]
)
@pytest.mark.parametrize("name", ["Content-Usage", "Content-Signal"])
def test_a_usage_that_forbids_learning(name: str, value: str) -> None:
    assert signals.usage(name, value).against_listings


@pytest.mark.parametrize("value", ["train-ai=y", "search=yes, ai-train=yes", "ai-input=no", "", "nonsense"])
def test_a_usage_that_allows(value: str) -> None:
    assert signals.usage("Content-Usage", value).against_pictures is None


def test_a_usage_that_forbids_search_is_about_pictures() -> None:
    found = signals.usage("Content-Signal", "search=no")
    assert (found.against_pictures is None, found.against_listings) == (False, None)


ROBOTS = """
User-agent: *
Content-Signal: search=yes, ai-train=no
Content-Usage: /free/ train-ai=y
Disallow: /private/

User-agent: other
User-agent: pinflow  # us
Content-Usage: train-ai=y
Content-Usage: /art/ train-ai=n
"""


@pytest.mark.parametrize(("path", "refused"), [("/", False), ("/art/x.jpg", True), ("/articles", False)])
def test_the_group_that_names_us_counts(path: str, refused: bool) -> None:
    assert bool(signals.of_robots(ROBOTS, path).against_listings) == refused


def test_without_such_a_group_the_one_for_all_counts() -> None:
    content = ROBOTS.partition("User-agent: other")[0]
    assert signals.of_robots(content, "/x").against_listings == "Content-Signal: search=y, ai-train=n"


def test_a_group_ends_where_the_next_begins() -> None:
    content = "User-agent: other\nContent-Usage: train-ai=n\nUser-agent: *\nAllow: /\n"
    assert signals.of_robots(content, "/").text is None


@given(st.text(), st.text())
def test_nothing_that_a_site_says_is_an_error(name: str, value: str) -> None:
    signals.usage(name, value)
    signals.of_headers([("X-Robots-Tag", value), ("Content-Usage", value), (name, value)])
    signals.of_robots(value, "/" + name)

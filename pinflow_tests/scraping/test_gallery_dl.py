"""gallery-dl's Pinterest extractor, a client that nobody here wrote, sees on the sample site what we see.

Its own setting `domain` points it there; nothing of it is changed, and it downloads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pinflow.collection import Source
from pinflow.sample import oddities
from pinflow.sample.boards import Board
from pinflow.sample.pins import Pins
from pinflow.sample.site import SampleSite
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import scrape

Ours = Callable[[str], list[str]]
REAL = "https://www.pinterest.com"


def theirs(sample_site: SampleSite, path: str) -> list[dict[str, Any]]:
    """The pins with a picture or video that gallery-dl finds behind an address, each once."""
    from gallery_dl import config, extractor
    from gallery_dl.extractor.message import Message

    def listed(found: Any) -> Iterator[dict[str, Any]]:
        for kind, url, row in found:
            if kind == Message.Queue:
                # What it queues has the root of the sample site, which its own patterns do not match.
                yield from listed(row["_extractor"].from_url(url.replace(sample_site.base_url, REAL)))
            elif kind == Message.Url:
                yield dict(row)

    config.clear()
    config.set(("extractor", "pinterest"), "domain", sample_site.base_url)
    config.set(("extractor",), "retries", 0)
    return list({row["id"]: row for row in listed(extractor.find(REAL + path))}.values())


@pytest.fixture
def ours(sample_site: SampleSite, crawler: Crawler, tmp_path: Path) -> Ours:
    """The ids that we scrape for a label, in the site's order."""

    def scraped(label: str) -> list[str]:
        source = Source(kind="pinterest", base_url=sample_site.base_url, related=False)
        found = scrape(source, label, work=tmp_path, crawler=crawler)
        assert found.reason is None
        listed: list[str] = found.pins.column("id").to_pylist()
        return listed

    return scraped


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def test_a_search(sample_site: SampleSite, ours: Ours) -> None:
    found = ours("plain red")
    assert found == ids(theirs(sample_site, "/search/pins/?q=plain%20red"))
    assert len(found) == 64


def test_a_search_among_whose_pins_are_videos_stories_and_advertisements(
    sample_site: SampleSite, ours: Ours
) -> None:
    rows = theirs(sample_site, f"/search/pins/?q={quote(oddities.QUERY)}")
    kept = [
        row
        for row in rows
        if not row["videos"]
        and not row["is_promoted"]
        and (row["story_pin_data"] is None or len(row["story_pin_data"]["pages"]) == 1)
    ]
    assert ours(oddities.QUERY) == ids(kept)
    assert 0 < len(kept) < len(rows)


def test_a_board(sample_site: SampleSite, ours: Ours, board: Board) -> None:
    found = ours(f"board:{board.user}/{board.slug}")
    assert found == ids(theirs(sample_site, f"/{board.user}/{board.slug}/"))
    assert found == [pin.id for pin in board.pins]
    assert board.sections


def test_a_section_of_a_board(sample_site: SampleSite, ours: Ours, board: Board) -> None:
    section = board.sections[-1]
    found = ours(f"board:{board.user}/{board.slug}/{section.slug}")
    assert found == ids(theirs(sample_site, f"/{board.user}/{board.slug}/{section.slug}/"))
    assert found == [pin.id for pin in section.pins]


def test_what_is_recommended_for_a_board(sample_site: SampleSite, ours: Ours, board: Board) -> None:
    found = ours(f"recommended:{board.user}/{board.slug}")
    assert found == ids(theirs(sample_site, f"/{board.user}/{board.slug}/#related"))
    assert len(found) == 64 - len(board.pins)


def test_a_pin_and_what_stands_beside_it(sample_site: SampleSite, ours: Ours, pins: Pins) -> None:
    pin = next(pin for pin in pins.all if not pin.opaque)
    found = ours(f"pin:{pin.id}")
    assert found[:1] == ids(theirs(sample_site, f"/pin/{pin.id}/")) == [pin.id]
    assert found[1:] == ids(theirs(sample_site, f"/pin/{pin.id}/#related"))
    assert len(found) > 2


def test_pages_after_the_first_are_followed_alike(sample_site: SampleSite, ours: Ours) -> None:
    sample_site.requests.clear()
    ours("plain red")
    mine = sample_site.requests["search"]
    theirs(sample_site, "/search/pins/?q=plain%20red")
    assert (mine, sample_site.requests["search"] - mine) == (2, 3)

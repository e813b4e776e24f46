"""Searching a real site over HTTP, good days and bad ones."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pinflow import schema
from pinflow.collection import Source
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import Scrape, list_labels, scrape
from pinflow_tests.scraping.server import Site

Fish = Callable[..., Scrape]


@pytest.fixture
def fish(site: Site, source: Source, crawler: Crawler, tmp_path: Path) -> Fish:
    """Scrapes `fish`, each time in a work folder of its own unless told otherwise."""
    count = 0

    def run(last: Scrape | None = None, work: Path | None = None, **changes: object) -> Scrape:
        nonlocal count
        count += 1
        return scrape(
            source.model_copy(update=changes),
            "fish",
            work=work or tmp_path / str(count),
            previous=last.pins if last else None,
            sightings=last.sightings if last else None,
            crawler=crawler,
        )

    return run


def ids(found: Scrape) -> list[str]:
    return found.pins.column("id").to_pylist()


def test_all_pages_are_read_in_listing_order(site: Site, fish: Fish) -> None:
    site.add("fish", 12)
    found = fish()
    assert (found.complete, found.reason) == (True, None)
    assert ids(found) == [f"fish-{n}" for n in range(12)]
    assert schema.problems(found.pins, schema.PINS) == []


def test_pictures_come_as_they_are(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    found = fish()
    for row in found.pins.to_pylist():
        body = site.body_of(row["picture_url"])
        assert row["sha256"] == hashlib.sha256(body).hexdigest()
        assert found.files[row["sha256"]] == body
        assert row["bytes"] == len(body)


def test_stats_tell_the_story(site: Site, fish: Fish) -> None:
    site.add("fish", 7)
    stats = fish().stats
    assert (stats["listed"], stats["fetched"], stats["reused"], stats["failed"]) == (7, 7, 0, 0)
    assert stats["requests"] == stats["status_200"] == 1 + 2 + 7 + 7
    assert (stats["bytes"], stats["missing_price"]) == (7 * len(site.body_of("x")), 7)


def test_related_pins_are_ids_in_the_sites_order_without_itself(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    assert fish().pins.column("related").to_pylist()[0] == ["fish-1", "fish-2"]


def test_related_pins_can_be_left_out(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    assert fish(related=False).pins.column("related").to_pylist() == [[], [], []]
    assert site.resources_asked("RelatedPinFeed") == 0


def test_no_more_than_per_label(site: Site, fish: Fish) -> None:
    site.add("fish", 12)
    found = fish(per_label=7)
    assert (len(ids(found)), site.pictures_asked().total(), found.complete) == (7, 7, True)


def test_an_unchanged_site_gives_an_equal_table_and_fetches_no_picture(site: Site, fish: Fish) -> None:
    site.add("fish", 7)
    first = fish()
    site.asked.clear()
    again = fish(first)
    assert again.pins.equals(first.pins)
    assert again.files == {}
    assert site.asked == ["/robots.txt", *["/resource/BaseSearchResource/get/"] * 2]


def test_only_new_pictures_are_fetched(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    first = fish()
    site.asked.clear()
    site.add("fish", 2, start=3)
    again = fish(first)
    assert set(site.pictures_asked()) == {"/originals/fish-3.jpg", "/originals/fish-4.jpg"}
    assert again.pins.slice(0, 3).equals(first.pins)
    assert len(again.files) == 2


def test_a_pin_that_the_search_no_longer_shows_is_asked_for_by_itself(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    first = fish()
    hidden = site.hide("fish", 1)
    again = fish(first)
    assert ids(again) == ["fish-0", "fish-1", "fish-2"]
    assert (again.stats["looked_up"], site.resources_asked("PinResource")) == (1, 1)
    site.delete(hidden)
    missing = fish(again)
    assert (ids(missing), missing.gone, missing.stats["missing"]) == (["fish-0", "fish-1", "fish-2"], [], 1)
    gone = fish(missing)
    assert (ids(gone), gone.gone) == (["fish-0", "fish-2"], ["fish-1"])


def test_an_error_is_never_gone(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    first = fish()
    site.hide("fish", 1)
    site.always["/resource/PinResource"] = 503
    again = first
    for _ in range(3):
        again = fish(again)
    assert (ids(again), again.gone, again.stats["lookups_failed"]) == (["fish-0", "fish-1", "fish-2"], [], 1)


@pytest.mark.parametrize("end", ["-end-", "", "Y2JOb25lOmFiYw=="])
def test_every_end_of_a_listing_is_one(site: Site, fish: Fish, end: str) -> None:
    site.add("fish", 7)
    site.end = end
    assert (len(ids(fish())), site.resources_asked("BaseSearch")) == (7, 2)


def test_endless_bookmarks_end_after_three_pages_without_a_new_pin(site: Site, fish: Fish) -> None:
    site.add("fish", 7)
    site.never_ends = True
    found = fish()
    assert (len(ids(found)), found.complete) == (7, True)
    assert site.resources_asked("BaseSearch") == 2 + 3


def test_a_repeated_bookmark_ends_the_listing(site: Site, fish: Fish) -> None:
    site.add("fish", 7)
    site.end = "p1"
    assert (len(ids(fish())), site.resources_asked("BaseSearch")) == (7, 2)


def test_repeated_pins_are_one(site: Site, fish: Fish) -> None:
    site.add("fish", 4)
    site.pins["fish"] *= 2
    assert ids(fish()) == ["fish-0", "fish-1", "fish-2", "fish-3"]


def test_videos_and_promoted_pins_are_skipped_and_counted(site: Site, fish: Fish) -> None:
    site.pins["fish"] = [
        site.row("a"),
        site.row("b", videos={"id": "v"}),
        site.row("c", is_promoted=True),
        site.row("d", story_pin_data={"pages": []}),
    ]
    found = fish()
    assert ids(found) == ["a"]
    assert [found.stats[f"skipped_{kind}"] for kind in ("video", "promoted", "story")] == [1, 1, 1]


def test_originals_refused_fall_back_to_the_next_size(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.always["/originals/"] = 403
    found = fish()
    assert found.complete
    assert [url.rsplit("/", 2)[1] for url in found.pins.column("picture_url").to_pylist()] == ["736x"] * 3
    site.asked.clear()
    assert fish(found).pins.equals(found.pins)
    assert site.pictures_asked().total() == 0


def test_a_picture_that_is_gone_says_so_and_the_rest_goes_on(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.always |= {"/originals/fish-1": 404, "/736x/fish-1": 404}
    found = fish()
    assert found.complete
    assert found.pins.column("error").to_pylist() == [None, "HTTP 404", None]
    assert fish(found).pins.equals(found.pins)


def test_a_huge_picture_is_cut_off(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    site.huge = {"/originals/fish-0.jpg", "/736x/fish-0.jpg"}
    assert fish().pins.column("error").to_pylist() == ["larger than 20 MiB", None]


def test_where_the_original_is_huge_the_next_size_is_taken(site: Site, fish: Fish) -> None:
    site.add("fish", 1)
    site.huge = {"/originals/fish-0.jpg"}
    assert fish().pins.column("picture_url").to_pylist() == [f"{site.base}/736x/fish-0.jpg"]


def test_no_picture_at_all_is_incomplete(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    site.always |= {"/originals/": 404, "/736x/": 404}
    found = fish()
    assert (found.complete, found.reason) == (False, "not one of 2 pictures came: HTTP 404")


def test_a_busy_site_is_asked_again(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.faults = {"/resource/BaseSearch": [429, 503], "/originals/fish-1": [500]}
    found = fish()
    assert (found.complete, len(found.files), found.stats["status_429"]) == (True, 3, 1)


def test_a_site_that_stays_busy_keeps_what_was_known(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    first = fish()
    site.always["/resource/BaseSearch"] = 429
    found = fish(first)
    assert not found.complete
    assert "answered HTTP 429" in (found.reason or "")
    assert found.pins.equals(first.pins)
    assert site.resources_asked("BaseSearch") == 1 + 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_stops_the_crawl_at_once(site: Site, fish: Fish, status: int) -> None:
    site.add("fish", 12)
    site.always["/resource/BaseSearch"] = status
    found = fish()
    assert f"refused us (HTTP {status})" in (found.reason or "")
    assert site.asked == ["/robots.txt", "/resource/BaseSearchResource/get/"]


def test_pictures_that_may_come_later_leave_it_incomplete(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.always["/originals/fish-1"] = 503
    found = fish()
    assert (found.complete, found.reason) == (False, "1 pictures did not come: HTTP 503 (1)")
    assert len(found.files) == 2
    site.always.clear()
    site.asked.clear()
    later = fish(found)
    assert (later.complete, dict(site.pictures_asked())) == (True, {"/originals/fish-1.jpg": 1})


def test_related_pins_that_did_not_come_leave_it_incomplete(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.always["/resource/RelatedPinFeed"] = 500
    found = fish()
    assert found.reason == "the related pins of 3 pins did not come: HTTP 500"
    assert len(found.files) == 3


def test_pins_without_a_page_of_their_own_have_no_related_pins(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.always["/resource/RelatedPinFeed"] = 404
    found = fish()
    assert (found.complete, found.stats["related_refused"]) == (True, 3)


def test_a_site_that_dies_half_way_is_left_alone_after_ten_troubles(site: Site, fish: Fish) -> None:
    site.page_size = 200
    site.add("fish", 200)
    site.always["/originals/"] = 500
    found = fish(related=False)
    assert "the site stopped answering: HTTP 500" in (found.reason or "")
    assert len(site.pictures_asked()) < 150


@pytest.mark.parametrize("status", [500, 503, 429])
def test_robots_that_cannot_be_read_mean_no(site: Site, fish: Fish, status: int) -> None:
    site.add("fish", 3)
    site.robots = (status, "")
    found = fish()
    assert f"/robots.txt could not be read (HTTP {status})" in (found.reason or "")
    assert set(site.asked) == {"/robots.txt"}


def test_no_robots_mean_yes(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.robots = (404, "User-agent: *\nDisallow: /\n")
    assert fish().complete


def test_robots_are_obeyed(site: Site, fish: Fish) -> None:
    site.add("fish", 3)
    site.robots = (200, "User-agent: pinflow\nDisallow: /resource/\n")
    found = fish()
    assert "refused by robots.txt" in (found.reason or "")
    assert site.asked == ["/robots.txt"]


def test_robots_hold_for_pictures_too(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    site.robots = (200, "User-agent: *\nDisallow: /originals/\nDisallow: /736x/\n")
    found = fish()
    assert site.pictures_asked().total() == 0
    assert "refused by robots.txt" in (found.reason or "")


def test_robots_against_related_pins_say_what_to_do(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    site.robots = (200, "User-agent: *\nDisallow: /resource/RelatedPinFeedResource/\n")
    found = fish()
    assert "set `related: false`" in (found.reason or "")
    assert len(found.files) == 2


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"[" * 50_000, b"[]", b'{"resource_response": {"data": 5}}']
)
def test_an_unknown_answer_is_a_reason(site: Site, fish: Fish, body: bytes) -> None:
    site.files["/resource/BaseSearchResource/get/"] = body
    found = fish()
    assert "unknown answer" in (found.reason or "")


def test_an_empty_label_is_visible(fish: Fish) -> None:
    found = fish()
    assert (found.complete, found.reason, found.pins.num_rows) == (False, "no pins found for 'fish'", 0)


def test_a_site_that_is_down_keeps_what_was_known(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    first = fish()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = fish(first, base_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert (found.complete, found.pins.equals(first.pins), found.files) == (False, True, {})
    assert "connection refused" in (found.reason or "")


@pytest.mark.parametrize("base", [None, "https://www.pinterest.com", "https://de.pinterest.com/"])
def test_the_real_site_needs_accepted_terms(fish: Fish, base: str | None) -> None:
    found = fish(base_url=base)
    assert not found.complete
    assert "accept_terms: true" in (found.reason or "")
    assert "openverse" in (found.reason or "")


def test_a_search_lists_no_labels(source: Source, tmp_path: Path) -> None:
    from pinflow.errors import ScrapeError

    with pytest.raises(ScrapeError, match="does not list its labels"):
        list_labels(source, work=tmp_path)


def test_a_picture_that_must_not_be_learned_from_is_not_kept(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    site.headers["/originals/fish-0.jpg"] = {"X-Robots-Tag": "noai"}
    found = fish()
    first, second = found.pins.to_pylist()
    assert (first["sha256"], first["error"]) == (None, "refused by X-Robots-Tag: noai")
    assert (first["signals"], second["signals"]) == ("X-Robots-Tag: noai", None)
    assert (found.complete, len(found.files), found.stats["refused_by_signal"]) == (True, 1, 1)


def test_what_a_site_allows_is_stored_with_the_pin(site: Site, fish: Fish) -> None:
    site.add("fish", 1)
    site.robots = (200, "User-agent: *\nContent-Signal: search=yes, ai-train=yes\nAllow: /\n")
    site.headers["/originals/"] = {"Content-Usage": "train-ai=y"}
    said = fish().pins.column("signals").to_pylist()[0]
    assert said == "Content-Signal: search=y, ai-train=y; Content-Usage: train-ai=y"


def test_a_listing_that_must_not_be_learned_from_is_left_alone(site: Site, fish: Fish) -> None:
    site.add("fish", 2)
    site.headers["/resource/"] = {"Content-Usage": "train-ai=n"}
    found = fish()
    assert (found.complete, found.files) == (False, {})
    assert "refused by Content-Usage: train-ai=n" in (found.reason or "")


def test_a_site_that_refuses_every_picture_is_left_alone(site: Site, fish: Fish) -> None:
    site.page_size = 200
    site.add("fish", 200)
    site.always |= {"/originals/": 403, "/736x/": 403}
    found = fish(related=False)
    assert "it refuses pictures (HTTP 403)" in (found.reason or "")
    assert site.pictures_asked().total() < 80


def test_a_pin_that_was_removed_is_neither_listed_nor_fetched(
    site: Site, source: Source, crawler: Crawler, tmp_path: Path
) -> None:
    site.add("fish", 3)
    found = scrape(source, "fish", work=tmp_path, blocked=["fish-1"], crawler=crawler)
    assert (ids(found), found.complete) == (["fish-0", "fish-2"], True)
    assert found.refused == {"fish-1": "removed earlier; it does not come back"}
    assert "/originals/fish-1.jpg" not in site.asked


def test_who_opted_out_is_neither_listed_nor_fetched(
    site: Site, source: Source, crawler: Crawler, tmp_path: Path
) -> None:
    from pinflow.scraping.optout import parse

    site.add("fish", 3)
    site.pins["fish"][1]["pinner"] = {"full_name": "Asha Rao"}
    lists = parse((("people.txt", b"creator:asha rao\n"),))
    found = scrape(source, "fish", work=tmp_path, opt_outs=lists, crawler=crawler)
    assert ids(found) == ["fish-0", "fish-2"]
    assert "people.txt, line 1" in found.refused["fish-1"]
    assert "/originals/fish-1.jpg" not in site.asked


def test_we_say_who_we_are(site: Site, fish: Fish) -> None:
    site.add("fish", 1)
    fish()
    assert len(site.agents) == 1
    assert site.agents.pop().startswith("pinflow/")

"""Nobody may make the crawler less polite than this."""

from __future__ import annotations

import asyncio
import socket
from itertools import pairwise
from pathlib import Path

import pytest

from pinflow import __version__
from pinflow.collection import Source
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.fetching import manners
from pinflow.scraping.fetching.errors import HostResting
from pinflow.scraping.fetching.pace import Pace
from pinflow.scraping.job import MAX_PICTURE_BYTES, is_loopback
from pinflow.scraping.scrape import scrape
from pinflow.scraping.worker.settings import settings
from pinflow_tests.scraping.server import serve


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock, clock.sleep)


def starts(pace: Pace, clock: Clock, count: int, *, own: bool = False, takes: float = 0.0) -> list[float]:
    """When each of `count` requests to one host could begin."""

    async def ask() -> list[float]:
        found = []
        for _ in range(count):
            async with pace.turn("site.example", own=own):
                found.append(clock.now)
                clock.now += takes
        return found

    return asyncio.run(ask())


def test_the_numbers() -> None:
    assert manners.DELAY_SECONDS >= 1.0
    assert manners.REQUESTS_AT_ONCE == 1
    assert manners.BACKOFF_SECONDS >= 2.0
    assert manners.RETRIES <= 2
    assert manners.OWN_REQUESTS_AT_ONCE <= 8
    assert MAX_PICTURE_BYTES == 20 * 2**20


def test_a_strange_host_gets_a_second_between_two_requests(pace: Pace, clock: Clock) -> None:
    assert [later - one for one, later in pairwise(starts(pace, clock, 4))] == [1.0, 1.0, 1.0]


def test_the_second_begins_when_the_answer_has_come(pace: Pace, clock: Clock) -> None:
    assert [later - one for one, later in pairwise(starts(pace, clock, 3, takes=5.0))] == [6.0, 6.0]


def test_a_strange_host_gets_one_request_at_a_time(pace: Pace) -> None:
    open_now = most = 0

    async def one() -> None:
        nonlocal open_now, most
        async with pace.turn("site.example", own=False):
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0)
            open_now -= 1

    async def many() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(many())
    assert most == 1


def test_ones_own_site_is_asked_without_delay(pace: Pace, clock: Clock) -> None:
    assert set(starts(pace, clock, 4, own=True)) == {100.0}


def test_a_crawl_delay_is_kept(pace: Pace, clock: Clock) -> None:
    pace.slow_down("site.example", 7.0)
    assert [later - one for one, later in pairwise(starts(pace, clock, 3))] == [7.0, 7.0]


def test_a_crawl_delay_cannot_make_us_faster(pace: Pace, clock: Clock) -> None:
    pace.slow_down("site.example", 0.1)
    assert [later - one for one, later in pairwise(starts(pace, clock, 3))] == [1.0, 1.0]


def test_a_slow_host_is_asked_more_slowly_and_recovers_to_a_second(pace: Pace, clock: Clock) -> None:
    pace.answered("site.example", 9.0, fine=True)
    assert [later - one for one, later in pairwise(starts(pace, clock, 2))] == [9.0]
    for _ in range(20):
        pace.answered("site.example", 0.1, fine=True)
    one, other = starts(pace, clock, 2)
    assert other - one == pytest.approx(1.0, abs=0.01)
    assert other - one >= 1.0


def test_an_error_never_makes_us_faster(pace: Pace, clock: Clock) -> None:
    pace.answered("site.example", 9.0, fine=True)
    pace.answered("site.example", 0.0, fine=False)
    assert [later - one for one, later in pairwise(starts(pace, clock, 2))] == [9.0]


def test_a_host_at_rest_is_not_asked(pace: Pace, clock: Clock) -> None:
    pace.rest("site.example", 600.0)
    with pytest.raises(HostResting, match="600 more seconds"):
        starts(pace, clock, 1)
    clock.now += 600
    assert len(starts(pace, clock, 1)) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"])
def test_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)


def test_no_back_doors_and_no_way_around_the_fetcher() -> None:
    found = settings()
    off = ("TELNETCONSOLE_ENABLED", "REMOTE_CONTROL_ENABLED", "COOKIES_ENABLED")
    assert not any(found[name] for name in off)
    handlers = found["DOWNLOAD_HANDLERS"]
    assert {name for name, one in handlers.items() if one} == {"http", "https"}
    assert {handlers["http"], handlers["https"]} == {"pinflow.scraping.worker.handler.FetcherHandler"}


@pytest.mark.parametrize("contact", [None, "mailto:me@example.org"])
def test_no_disguise(contact: str | None) -> None:
    agent = manners.user_agent(contact)
    assert agent.startswith(f"pinflow/{__version__} (+")
    assert "Mozilla" not in agent


def test_the_delay_is_kept_on_the_wire_and_between_crawls(crawler: Crawler, tmp_path: Path) -> None:
    """This machine under its own name: named by `base_url`, but no loopback address. Pages and pictures."""
    name = socket.gethostname()
    with serve(name) as site:
        site.add("cod", 1)
        site.add("eel", 1)
        source = Source(kind="pinterest", base_url=site.base, related=False)
        for label in ("cod", "eel"):
            found = scrape(source, label, work=tmp_path / label, crawler=crawler)
            assert (found.complete, found.reason) == (True, None)
        gaps = [later - earlier for earlier, later in pairwise(site.times)]
    assert len(gaps) == 5
    assert min(gaps) > 0.98

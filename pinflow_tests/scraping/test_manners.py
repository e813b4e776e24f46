"""Nobody may make the crawler less polite than this."""

from __future__ import annotations

import socket
from itertools import pairwise
from pathlib import Path

import pytest

from pinflow import __version__
from pinflow.collection import Source
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.job import is_loopback
from pinflow.scraping.scrape import scrape
from pinflow.scraping.worker import manners
from pinflow_tests.scraping.server import serve

SITES = [None, "https://www.pinterest.com", "http://192.168.1.5:8000", "http://localhost.example.org"]


@pytest.mark.parametrize("own_url", [*SITES, "http://127.0.0.1:8765"])
def test_a_strange_host_gets_one_request_at_a_time_and_a_second_between(own_url: str | None) -> None:
    settings = manners.settings(own_url)
    assert settings["DOWNLOAD_DELAY"] >= 1.0
    assert settings["DOWNLOAD_DELAY_JITTER"] == 0
    assert settings["CONCURRENT_REQUESTS_PER_DOMAIN"] == 1
    assert settings["AUTOTHROTTLE_ENABLED"]
    assert settings["ROBOTSTXT_OBEY"]


@pytest.mark.parametrize("own_url", SITES)
def test_only_loopback_has_a_slot_without_delay(own_url: str | None) -> None:
    assert manners.settings(own_url)["DOWNLOAD_SLOTS"] == {}


def test_a_site_of_ones_own_on_loopback_is_crawled_without_delay() -> None:
    slots = manners.settings("http://127.0.0.1:8765")["DOWNLOAD_SLOTS"]
    assert slots == {"127.0.0.1": {"concurrency": 8, "delay": 0}}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"])
def test_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)


def test_no_back_doors_and_no_disguise() -> None:
    settings = manners.settings(None)
    off = ("TELNETCONSOLE_ENABLED", "REMOTE_CONTROL_ENABLED", "COOKIES_ENABLED", "HTTPPROXY_ENABLED")
    assert not any(settings[name] for name in off)
    assert settings["DOWNLOAD_VERIFY_CERTIFICATES"]
    assert settings["DOWNLOAD_MAXSIZE"] == 20 * 2**20
    assert settings["USER_AGENT"].startswith(f"pinflow/{__version__} (+")


def test_the_delay_is_kept_on_the_wire_and_between_crawls(crawler: Crawler, tmp_path: Path) -> None:
    """This machine under its own name: named by `base_url`, but not a loopback address."""
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

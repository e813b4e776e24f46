"""One site and one crawler process for all tests of the room; each test starts with the site reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pinflow.collection import Source
from pinflow.scraping.crawler import Crawler
from pinflow_tests.scraping.server import Site, serve


@pytest.fixture(scope="session")
def _site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def site(_site: Site) -> Site:
    _site.reset()
    return _site


@pytest.fixture(scope="session")
def crawler() -> Iterator[Crawler]:
    with Crawler() as crawler:
        yield crawler


@pytest.fixture
def source(site: Site) -> Source:
    return Source(kind="pinterest", base_url=site.base)

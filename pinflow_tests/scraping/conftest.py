"""One site and one crawler process for all tests of the room; each test starts with the site reset. Beside
it the sample site, which is not changed by any test that shares it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pinflow.collection import Source
from pinflow.sample.boards import Board, boards
from pinflow.sample.made import make_samples
from pinflow.sample.pins import PINNERS, Pins
from pinflow.sample.samples import Samples
from pinflow.sample.site import SampleSite
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


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return make_samples(tmp_path_factory.mktemp("samples"), labels=2, per_label=64)


@pytest.fixture(scope="session")
def sample_site(samples: Samples) -> Iterator[SampleSite]:
    with SampleSite(samples, port=0) as running:
        yield running


@pytest.fixture(scope="session")
def pins(samples: Samples) -> Pins:
    return Pins(samples.market)


@pytest.fixture(scope="session")
def board(pins: Pins) -> Board:
    """The largest board of one person."""
    mine = (board for board in boards(pins).values() if board.person == PINNERS[0])
    return max(mine, key=lambda board: len(board.pins))

"""One small release, opened once."""

import pytest

from pinflow.retrieval.searcher import Searcher
from pinflow_tests.retrieval.releases import GridTrunk, write_release


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def searcher(folder):
    return Searcher.open(folder, trunk=GridTrunk())

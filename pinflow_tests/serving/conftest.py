"""The app over one small collection, `drawings`, asked through starlette's test client."""

import pytest
from starlette.testclient import TestClient

from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import GridTrunk
from pinflow_tests.serving.source import FolderSource


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """Where the app keeps its database: nowhere near a person's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINFLOW_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("PINFLOW_DATABASE_URL", raising=False)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    source = FolderSource(tmp_path_factory.mktemp("source"))
    source.publish("drawings", "r1")
    return source


@pytest.fixture(scope="module")
def releases(source):
    releases = Releases(source, load_trunk=lambda name: GridTrunk(), every=0.05)
    releases.poll()
    return releases


@pytest.fixture(scope="module")
def client(releases):
    with TestClient(make_app(releases, Settings(api_token=None)), raise_server_exceptions=False) as client:
        yield client

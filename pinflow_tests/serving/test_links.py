"""Links as examples: pictures, pages, and what must not be asked for."""

import pytest
from starlette.testclient import TestClient

from pinflow.scraping.fetching.fetcher import Fetcher
from pinflow.scraping.fetching.pace import Pace
from pinflow.serving import links
from pinflow.serving.app import make_app
from pinflow.serving.links import Links
from pinflow.serving.services import Services
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import drawing
from pinflow_tests.scraping.server import serve
from pinflow_tests.serving.test_app import SEARCH, is_problem

PAGE = """<!doctype html><meta property="og:image" content="/{0}"><img src="/other.png"><img src="x.png">"""


@pytest.fixture(scope="module")
def site():
    with serve() as site:
        yield site


@pytest.fixture
def asking(site, releases):
    """A client of an app that may ask the site on loopback, as if it were anywhere."""
    site.reset()
    site.files = {
        "/green.png": drawing("green", "bar", 2),
        "/pin/1/": PAGE.format("green.png").encode(),
        "/bare": b"<html><p>no picture</p>",
        "/circle": PAGE.format("pin/1/").encode(),
        "/text.txt": b"plain words",
    }
    settings = Settings(api_token=None)
    own = Links(lambda: Fetcher(Pace(), own_url=site.base))
    services = Services.of(releases, settings, links=own)
    with TestClient(make_app(releases, settings, services=services), raise_server_exceptions=False) as client:

        def ask(path, side="positive", **query):
            url = path if "://" in path else site.base + path
            more = {"positive": [{"text": "red"}]} if side == "negative" else {}
            return client.post(SEARCH, json={**more, side: [{"url": url}], "limit": 2, **query})

        ask.client = client
        yield ask


@pytest.mark.parametrize("path", ["/green.png", "/pin/1/"])
def test_a_picture_or_the_own_picture_of_a_page(asking, path):
    answer = asking(path).json()
    assert answer["results"][0]["id"] == "green/bar-2"
    assert answer["timings_ms"]["fetch"] > 0
    assert answer["timings_ms"]["total"] > answer["timings_ms"]["fetch"]


def test_the_next_page_is_of_the_same_picture_and_asks_nobody(asking, site):
    first = asking("/green.png").json()
    asked = len(site.asked)
    site.files["/green.png"] = drawing("red", "circle", 1)
    second = asking("/green.png", cursor=first["next_cursor"]).json()
    assert [one["rank"] for one in second["results"]] == [3, 4]
    assert len(site.asked) == asked


def test_the_history_keeps_the_link(asking, site):
    asking("/green.png")
    last = asking.client.get("/v1/history").json()["searches"][0]
    assert (last["query"]["positive"], last["uploads"]) == ([{"url": site.base + "/green.png"}], 0)


def test_a_link_to_avoid(asking):
    assert asking("/green.png", "negative").status_code == 200


def test_a_link_to_a_pin_that_is_here_asks_nobody(asking, site):
    for url in ("https://example.com/red/bar/1", "https://example.com/red/bar/1.png"):
        assert asking(url).json()["results"][0]["id"] == "red/bar-1"
    assert site.asked == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 502),
        ("/bare", 415),
        ("/circle", 415),
        ("/text.txt", 415),
        ("/private/green.png", 400),
        ("ftp://127.0.0.1/a.png", 400),
        ("file:///etc/passwd", 400),
        ("http://127.0.0.2/a.png", 400),
        ("http://[::1]/a.png", 400),
        ("http://2130706434/a.png", 400),
        ("http://169.254.169.254/latest/meta-data/", 400),
        ("http://10.0.0.1/", 400),
        ("not a link", 400),
        ("http://127.0.0.1:1/a.png", 502),
    ],
)
def test_what_comes_of_other_links(asking, path, status):
    told = is_problem(asking(path), status)
    assert "url" in told["detail"] or status == 415


def test_a_redirect_into_our_own_network_is_not_followed(asking, site):
    site.redirects["/away"] = "http://169.254.169.254/latest/meta-data/"
    is_problem(asking("/away"), 400)


def test_too_much_is_cut_off(asking, site):
    site.huge.add("/huge.jpg")
    is_problem(asking("/huge.jpg"), 400)


def test_a_slow_site_is_not_waited_for(asking, site, monkeypatch):
    monkeypatch.setattr(links, "SECONDS", 0.3)
    site.slow["/green.png"] = 2.0
    is_problem(asking("/green.png"), 504)


def test_by_default_no_address_of_this_machine_is_asked(client, site):
    site.reset()
    told = is_problem(client.post(SEARCH, json={"positive": [{"url": site.base + "/green.png"}]}), 400)
    assert told["errors"][0]["field"] == "positive.url"
    assert site.asked == []


def test_the_fetcher_is_renewed_and_no_session_stays_open(asking, monkeypatch):
    monkeypatch.setattr(links, "RENEWED_SECONDS", -1.0)
    assert [asking("/green.png").status_code for _ in range(3)] == [200] * 3

"""One server with four small collections, and one browser, for all tests of the pages.

`drawings` and `sketches` are flat shapes seen by a trunk of 48 numbers; `seen` has the real network, so
that what it says can be explained, and a tagger; `voted` has votes on attributes, and prices.
"""

import shutil
import time

import numpy as np
import pytest

from pinflow.imaging.derivatives import derive
from pinflow.learning.head import Head
from pinflow.learning.tagging.probe import Probe
from pinflow.learning.tagging.tagger import Tagger
from pinflow.learning.trunk import load_trunk
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import COLOURS, SHAPES, GridTrunk, drawing, make_pins
from pinflow_tests.retrieval.voted import write_voted
from pinflow_tests.serving.server import running
from pinflow_tests.serving.source import FolderSource

DRAWN = 60_000  # ms; a drawing takes passes of the network, on a machine that does more than this
NETWORK = "tf_efficientnet_lite0"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    pins = make_pins()
    pins[0] |= {"title": HOSTILE, "page_url": "javascript:alert(1)", "caption": HOSTILE}
    trunk = load_trunk(NETWORK, device="cpu")
    source = FolderSource(tmp_path_factory.mktemp("source"))
    source.publish("drawings", "r1", pins=pins)
    source.publish("sketches", "s1", pins=make_pins(1))
    write_voted(source.root / "voted" / "v1", id="v1", collection="voted")
    source.point("voted", "v1")
    tagger = {"tagger.safetensors": tagger_of(trunk).to_bytes()}
    source.publish("seen", "n1", pins=make_pins(2), trunk=trunk, name=NETWORK, extra=tagger)
    releases = Releases(
        source, load_trunk=lambda name: trunk if name == NETWORK else GridTrunk(), every=0.05, warm=False
    )
    settings = Settings(api_token=None, home=tmp_path_factory.mktemp("home"), database_url=None)
    with running(make_app(releases, settings)) as port:
        end = time.monotonic() + 20
        while len(releases.names()) < 4:
            assert time.monotonic() < end
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"


def tagger_of(trunk):
    """Colours as tags, by the nearest mean of other drawings than those shown; blue is never sure."""
    vectors = [
        trunk.encode([derive(drawing(colour, shape, seed)).jpeg for shape in SHAPES for seed in (10, 11)])
        for colour in COLOURS
    ]
    means = Head().apply(np.stack([Head().apply(one).mean(axis=0) for one in vectors]))
    thresholds = np.array([0.6, 0.6, np.inf], np.float32)
    tags = tuple(f"{colour}-things" for colour in COLOURS)
    probe = Probe(40 * means, np.zeros(3, np.float32))
    return Tagger(tags, probe, means, thresholds, 1.0, 0.6, 0.9, trunk.digest)


@pytest.fixture(scope="package")  # its event loop would be in the way of tests elsewhere
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that fails the test if it logs an error or asks another server for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.set_default_timeout(10_000)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "blob:")) else troubles.append(request.url),
    )
    page.troubles = troubles
    yield page
    page.close()
    assert troubles == []


@pytest.fixture
def api(page, address):
    """Asks the server as the page's own scripts do: `api(method, path, body)` gives the JSON."""

    def ask(method, path, body=None):
        answer = page.request.fetch(address + path, method=method, data=body)
        assert answer.ok, answer.text()
        return answer.json() if answer.body() else None

    return ask


@pytest.fixture
def board(api):
    """A board with two pins of `drawings` and one of `sketches`, gone after the test."""
    made = api("POST", "/v1/boards", {"name": "Round things"})
    pins = [("drawings", "red/circle-1"), ("drawings", "blue/circle-1"), ("sketches", "green/circle-0")]
    named = [{"collection": collection, "id": id} for collection, id in pins]
    api("POST", f"/v1/boards/{made['id']}/pins", {"pins": named})
    yield made
    if any(one["id"] == made["id"] for one in api("GET", "/v1/boards")["boards"]):
        api("DELETE", f"/v1/boards/{made['id']}")


def settled(page, words):
    """Waits until the search page says so."""
    page.wait_for_function(
        "words => document.getElementById('status')?.textContent.includes(words)", arg=words
    )


def tiles(page):
    """Ids of the results, in their order."""
    page.wait_for_selector("#results:not([aria-busy]) .tile")
    return page.eval_on_selector_all("#results .picture", "links => links.map(link => link.dataset.id)")

"""Why a pin answers, and tags with what they rest on: by the real network, over drawings."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pinflow.imaging.derivatives import derive
from pinflow.learning.head import Head
from pinflow.learning.tagging.probe import Probe
from pinflow.learning.tagging.tagger import Tagger
from pinflow.learning.trunk import load_trunk
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import COLOURS, SHAPES, drawing, make_pins
from pinflow_tests.serving.source import FolderSource
from pinflow_tests.serving.test_app import is_problem

NAME = "tf_efficientnet_lite0"
PINS = "/v1/collections/drawings/pins/"
TAGS = "/v1/collections/drawings/tags"


@pytest.fixture(scope="module")
def trunk():
    return load_trunk(NAME, device="cpu")


def tagger_of(trunk):
    """Colours as tags, from other drawings than those that are shown: nearest mean, well separated."""
    vectors = [
        trunk.encode([derive(drawing(colour, shape, seed)).jpeg for shape in SHAPES for seed in (10, 11)])
        for colour in COLOURS
    ]
    means = Head().apply(np.stack([Head().apply(one).mean(axis=0) for one in vectors]))
    thresholds = np.array([0.6, 0.6, np.inf], np.float32)  # blue is never given
    tags = tuple(f"{colour}-things" for colour in COLOURS)
    probe = Probe(40 * means, np.zeros(3, np.float32))
    return Tagger(tags, probe, means, thresholds, 1.0, 0.6, 0.9, trunk.digest)


@pytest.fixture(scope="module")
def client(trunk, tmp_path_factory):
    source = FolderSource(tmp_path_factory.mktemp("source"))
    tagger = {"tagger.safetensors": tagger_of(trunk).to_bytes()}
    source.publish("drawings", "r1", pins=make_pins(2), trunk=trunk, name=NAME, extra=tagger)
    source.publish("bare", "b1", pins=make_pins(1))
    releases = Releases(source, load_trunk=lambda name: trunk, warm=False, every=0.2)
    releases.poll()
    with TestClient(make_app(releases, Settings(api_token=None)), raise_server_exceptions=False) as client:
        yield client


def is_png(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(response.content)).size


def test_why_a_pin_is_like_another(client):
    told = client.get(f"{PINS}red%2Fcircle-1/why", params={"query": "red/circle-0"}).json()
    (match,) = told["pictures"]
    assert match["example"] == "red/circle-0"
    assert match["shared_attributes"] == {"shape": "circle"}
    assert match["shared_labels"] == ["red-things"]
    assert match["recommended"]
    assert np.array(match["first"]).sum() == pytest.approx(match["cosine"], abs=1e-4)
    assert match["pairs"][0]["adds"] > 0
    found = client.post(
        "/v1/collections/drawings/search", json={"positive": [{"id": "red/circle-0"}], "limit": 40}
    ).json()["results"]
    score = next(one["score"] for one in found if one["id"] == "red/circle-1")
    # The explanation is of the thumbnail, the score of the derivative.
    assert match["cosine"] == pytest.approx(score, abs=0.05)
    size = is_png(
        client.get(
            f"{PINS}red%2Fcircle-1/why", params={"query": "red/circle-0"}, headers={"Accept": "image/png"}
        )
    )
    assert size[0] > 2 * 300


def test_why_a_pin_answers_words(client):
    told = client.get(f"{PINS}red%2Fcircle-1/why", params={"query": "round RED circ"}).json()
    assert told["pictures"] == []
    assert told["words"] == [
        {
            "text": "round RED circ",
            "found": {"title": ["red", "circ"], "labels": ["red"], "caption": ["red", "circ"]},
        }
    ]


def test_why_a_pin_answers_a_picture_that_is_sent(client):
    files = {"file": ("a.png", drawing("red", "circle", 5))}
    query = {"query": json.dumps({"positive": [{"text": "red"}]})}
    told = client.post(f"{PINS}red%2Fcircle-1/why", files=files, data=query).json()
    assert [one["example"] for one in told["pictures"]] == ["upload"]
    assert told["words"][0]["found"]


@pytest.mark.parametrize(
    ("id", "query", "accept", "status"),
    [
        ("nobody", "red", "*/*", 404),
        ("red%2Fcircle-1", '{"positive": [{"id": "nobody"}]}', "*/*", 400),
        ("red%2Fcircle-1", '{"positiv": []}', "*/*", 422),
        ("red%2Fcircle-1", "{", "*/*", 400),
        ("red%2Fcircle-1", "red", "image/png", 400),
    ],
)
def test_why_not(client, id, query, accept, status):
    is_problem(client.get(f"{PINS}{id}/why", params={"query": query}, headers={"Accept": accept}), status)


def test_why_asks_for_a_query(client):
    is_problem(client.get(f"{PINS}red%2Fcircle-1/why"), 422)


def test_tags_of_a_picture_with_their_evidence(client):
    said = client.post(TAGS, files={"file": ("a.png", drawing("red", "circle", 7))}).json()
    assert said["verdict"] == "tagged"
    best = said["tags"][0]
    assert (best["tag"], best["given"]) == ("red-things", True)
    assert best["probability"] > 0.6
    assert sum(one["probability"] for one in said["tags"]) == pytest.approx(1)
    assert len(said["evidence"]) == 10
    assert best["support"] == pytest.approx(
        sum(one["score"] for one in said["evidence"] if one["label"] == "red-things")
        / sum(one["score"] for one in said["evidence"]),
        abs=0.01,
    )
    assert said["explanation"] is None


def test_a_tag_that_is_not_sure_is_not_given(client):
    said = client.post(TAGS, files={"file": ("a.png", drawing("blue", "square", 0))}).json()
    assert said["tags"][0]["tag"] == "blue-things"
    assert (said["verdict"], [one for one in said["tags"] if one["given"]]) == ("unsure", [])
    noise = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noise, "PNG")
    stranger = client.post(TAGS, files={"file": ("a.png", noise.getvalue())}).json()
    assert stranger["verdict"] == "stranger"


@pytest.mark.parametrize("method", ["grad-cam", pytest.param("lime", marks=pytest.mark.system)])
def test_an_explanation_on_request(client, method):
    asked = {"positive": [{"id": "red/circle-0"}]}
    said = client.post(TAGS, params={"explain": method, "tag": "red-things"}, json=asked).json()
    told = said["explanation"]
    assert (told["method"], told["tag"]) == (method, "red-things")
    assert np.array(told["heat"]).shape == (14, 14)
    assert Image.open(io.BytesIO(base64.b64decode(told["png"]))).format == "PNG"


def test_the_explanation_as_a_picture(client):
    asked = {"positive": [{"id": "red/circle-0"}]}
    is_png(client.post(TAGS, json=asked, headers={"Accept": "image/png"}))


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        (TAGS, {"positive": []}, 400),
        (TAGS, {"positive": [{"text": "red"}]}, 400),
        (TAGS, {"positive": [{"id": "nobody"}]}, 400),
        (TAGS, {"positive": [{"id": "a"}, {"id": "b"}]}, 422),
        (f"{TAGS}?explain=magic", {"positive": [{"id": "red/circle-0"}]}, 422),
        (f"{TAGS}?explain=grad-cam&tag=none", {"positive": [{"id": "red/circle-0"}]}, 400),
        (TAGS.replace("drawings", "bare"), {"positive": [{"id": "red/circle-0"}]}, 400),
    ],
)
def test_no_tags(client, path, asked, status):
    is_problem(client.post(path, json=asked), status)

"""`pinflow search`."""

import json

import pytest
from starlette.testclient import TestClient

from pinflow.releases import LocalReleases
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow.store import open_store


@pytest.fixture
def picture(released):
    return sorted((released / "samples" / "market" / "plain-red").glob("*.jpg"))[0]


@pytest.fixture
def served(released):
    """The app over the same house."""
    settings = Settings()
    source = LocalReleases(open_store(settings.storage_url), settings.home_path / "cache" / "releases")
    releases = Releases(source, warm=False)
    releases.poll()
    with TestClient(make_app(releases, settings)) as client:
        yield client


def test_a_picture_finds_itself_first(pinflow, released, picture):
    said = pinflow("search", "shapes", "--image", picture, "--limit", 3)

    assert said.code == 0
    first, *rest = said.out.splitlines()
    assert len(rest) == 2
    assert first.split()[:3] == ["1", "1.000", "plain-red"]


def test_a_link_to_a_pin_finds_it_first(pinflow, released):
    shown = json.loads(pinflow("search", "shapes", "--text", "green disc", "--limit", 1, "--json").out)
    (pin,) = shown["results"]
    said = json.loads(pinflow("search", "shapes", "--url", pin["image_url"], "--json").out)
    assert said["timings_ms"]["total"] >= said["timings_ms"]["fetch"] >= 0
    assert said["results"][0]["id"] == pin["id"]


def test_a_link_into_this_machine_is_refused(pinflow, released):
    said = pinflow("search", "shapes", "--url", "http://127.0.0.1:8000/a.jpg")
    assert said.code == 2
    assert "not public" in said.err


def test_words_search_captions(pinflow, released):
    said = pinflow("search", "shapes", "--text", "green disc", "--label", "plain-green")

    assert said.code == 0
    assert "plain-green" in said.out.splitlines()[0]
    assert "disc" in said.out.splitlines()[0]


def test_words_that_nothing_mentions_find_nothing_and_that_is_no_error(pinflow, released):
    said = pinflow("search", "shapes", "--text", "xylophone")

    assert (said.code, said.out) == (0, "nothing found\n")


def test_json_is_the_http_body(pinflow, released, picture, served):
    by_words = json.loads(pinflow("search", "shapes", "--text", "red disc", "--limit", 2, "--json").out)
    by_picture = json.loads(pinflow("search", "shapes", "--image", picture, "--json").out)

    asked = {"positive": [{"text": "red disc"}], "limit": 2}
    http_words = served.post("/v1/collections/shapes/search", json=asked)
    http_picture = served.post(
        "/v1/collections/shapes/search", files={"file": picture.read_bytes()}, data={"query": '{"limit": 10}'}
    )
    for mine, http in ((by_words, http_words), (by_picture, http_picture)):
        assert http.status_code == 200
        theirs = http.json()
        assert list(mine) == list(theirs)
        assert mine["timings_ms"].keys() == theirs["timings_ms"].keys()
        assert {**mine, "timings_ms": 0} == {**theirs, "timings_ms": 0}
    assert len(by_words["results"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--image, --text or --url"),
        (("--text", "red", "--label", "plain-blue"), "plain-blue"),
    ],
)
def test_a_search_that_makes_no_sense_is_bad_usage(pinflow, released, arguments, told):
    said = pinflow("search", "shapes", *arguments)

    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert told in said.err


def test_a_file_that_is_no_picture_is_told_in_one_line(pinflow, released, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")

    said = pinflow("search", "shapes", "--image", tmp_path / "page.jpg")

    assert said.code in (1, 2)
    assert len(said.err.splitlines()) == 1
    assert "picture" in said.err


def test_an_unknown_collection_names_the_known_ones(pinflow, released):
    said = pinflow("search", "shape", "--text", "red")

    assert said.code == 2
    assert said.err == "pinflow: no collection 'shape'; there are: shapes\n"


def test_before_the_first_release_it_says_what_makes_one(pinflow, empty):
    (empty / "collections" / "shapes.yaml").write_text("source: {kind: folder, path: x}\nlabels: [red]\n")

    said = pinflow("search", "shapes", "--text", "red")

    assert said.code == 1
    assert said.err == "pinflow: shapes has no release yet: pinflow run shapes\n"

"""The route of the attribute look-up."""

import base64
import json

import pytest
from starlette.testclient import TestClient

from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import GridTrunk, drawing
from pinflow_tests.retrieval.voted import write_voted
from pinflow_tests.serving.source import FolderSource
from pinflow_tests.serving.test_app import is_problem

LOOKUP = "/v1/collections/drawings/lookup"
RED = drawing("red", "circle", 77)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    source = FolderSource(tmp_path_factory.mktemp("voted"))
    write_voted(source.root / "drawings" / "r1")
    source.point("drawings", "r1")
    releases = Releases(source, load_trunk=lambda name: GridTrunk(), every=60)
    releases.poll()
    with TestClient(make_app(releases, Settings(api_token=None)), raise_server_exceptions=False) as client:
        yield client


def test_a_picture_in_json_gets_findings_with_evidence(client):
    body = {"positive": [{"image": base64.b64encode(RED).decode()}], "evidence": 2}
    answer = client.post(LOOKUP, json=body).json()
    found = {one["attribute"]: one for one in answer["attributes"]}
    assert found["school"]["value"] == "red school"
    assert len(found["school"]["evidence"]) == 2
    assert found["year"]["low"] < found["year"]["high"]
    assert answer["release"] == "r1"


def test_a_picture_may_come_as_a_file(client):
    sent = {"query": json.dumps({"attributes": ["school"]})}
    answer = client.post(LOOKUP, files={"file": ("a.png", RED, "image/png")}, data=sent).json()
    assert [one["value"] for one in answer["attributes"]] == ["red school"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"positive": [{"id": "nobody"}]}, 400),
        ({"positive": [{"id": "red/circle-0"}], "attributes": ["painter"]}, 400),
        ({"positive": [{"id": "red/circle-0"}], "limit": 3}, 422),
        ({"positive": [{"image": base64.b64encode(b"no picture").decode()}]}, 415),
    ],
)
def test_what_is_wrong_is_said(client, body, status):
    is_problem(client.post(LOOKUP, json=body), status)


def test_an_unknown_collection_is_not_found(client):
    is_problem(client.post(LOOKUP.replace("drawings", "none"), json={}), 404)


def test_it_is_documented(client):
    schema = client.get("/openapi.json").json()
    assert "/v1/collections/{name}/lookup" in schema["paths"]
    assert {"LookUp", "LookedUp", "Finding", "Voter"} <= schema["components"]["schemas"].keys()

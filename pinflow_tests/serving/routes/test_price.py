"""The route of the snap price."""

import base64
import json

import pytest

from pinflow_tests.retrieval.releases import drawing
from pinflow_tests.serving.routes.test_lookup import client
from pinflow_tests.serving.test_app import is_problem

__all__ = ["client"]
PRICE = "/v1/collections/drawings/price"
RED = drawing("red", "square", 60)
BOX = {"box": [0, 0, 160, 120], "category": "red things"}


def test_a_photo_in_a_form_is_cut_up_and_priced(client):
    answer = client.post(PRICE, files={"file": ("a.png", RED, "image/png")}).json()
    (one,) = answer["segments"]
    assert one["found_by"] == "grabcut"
    assert one["box"][2] < 160
    assert one["price"] or one["why_not"]
    assert answer["release"] == "r1"


def test_a_drawn_box_is_priced_with_its_evidence(client):
    sent = {"query": json.dumps({"boxes": [BOX], "widest": 1000, "background": "keep"})}
    answer = client.post(PRICE, files={"file": ("a.png", RED, "image/png")}, data=sent).json()
    (one,) = answer["segments"]
    assert one["price"]["low"] < one["price"]["estimate"] < one["price"]["high"]
    assert one["price"]["currency"] == "EUR"
    assert one["evidence"][0]["thumb_url"].startswith("/v1/collections/drawings/thumbnails/")


IMAGE = {"image": base64.b64encode(RED).decode()}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"positive": [{"id": "red/circle-0"}]}, 400),
        ({"positive": [IMAGE], "boxes": [{"box": [500, 500, 10, 10]}]}, 400),
        ({"positive": [IMAGE], "category": "mauve"}, 400),
        ({"positive": [IMAGE], "segmenter": "magic"}, 422),
        ({"positive": [IMAGE, IMAGE]}, 422),
        ({"positive": [{"image": base64.b64encode(b"no picture").decode()}]}, 415),
        ({"positive": [IMAGE], "segmenter": "isnet"}, 503),
    ],
)
def test_what_is_wrong_is_said(client, body, status, monkeypatch, tmp_path):
    monkeypatch.setenv("PINFLOW_HOME", str(tmp_path))
    is_problem(client.post(PRICE, json=body), status)


def test_it_is_documented(client):
    schema = client.get("/openapi.json").json()
    assert "/v1/collections/{name}/price" in schema["paths"]
    assert {"PriceQuery", "PriceAnswer", "Priced", "Price"} <= schema["components"]["schemas"].keys()

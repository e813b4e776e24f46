"""The crowd: pins by formula, found like any others, with pictures that are all different."""

from __future__ import annotations

import http.client
import io
import json
from urllib.parse import urlencode

import pytest
from PIL import Image

from pinflow.sample import pinterest
from pinflow.sample.crowd import Crowd, drawn, signature
from pinflow.sample.crowd_site import CrowdSite


def whole(crowd: Crowd, path: str) -> bytes:
    parts = crowd.picture(path)
    assert parts is not None
    return b"".join(parts)


def test_every_label_has_all_its_pins_in_pages() -> None:
    crowd = Crowd(labels=3, per_label=120, distinct=7)
    options: dict[str, object] = {"query": "Crowd  002", "page_size": 50}
    rows = []
    for _ in range(3):
        answer = pinterest.answer(crowd, "http://site", "BaseSearch", options)
        rows += answer["resource_response"]["data"]["results"]
        options["bookmarks"] = answer["resource"]["options"]["bookmarks"]
    assert options["bookmarks"] == [pinterest.END]
    assert len({row["id"] for row in rows}) == len(rows) == 120
    assert len({row["images"]["orig"]["url"] for row in rows}) == 7


def test_ids_and_addresses_of_two_labels_differ() -> None:
    crowd = Crowd(labels=2, per_label=20, distinct=20)
    one, other = crowd.search("crowd 000"), crowd.search("crowd 001")
    assert not {pin.id for pin in one} & {pin.id for pin in other}
    assert not set(crowd.pictures(0)) & set(crowd.pictures(1))


def test_an_unknown_label_has_none() -> None:
    assert Crowd(labels=2, per_label=3).search("crowd 002") == []


def test_each_address_has_bytes_of_its_own() -> None:
    crowd = Crowd(labels=3, per_label=5, distinct=5, pool=[drawn(1), drawn(2)])
    found = {whole(crowd, path) for label in range(3) for path in crowd.pictures(label)}
    assert len(found) == 15
    for data in found:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("JPEG", crowd.pixels)


@pytest.mark.parametrize("name", ["", "x", signature(3)[:-1] + "4", "z" * 32, signature(3) + "0"])
def test_no_other_path_is_a_picture(name: str) -> None:
    assert Crowd(labels=1, per_label=10).picture(f"/originals/aa/bb/cc/{name}.jpg") is None


def test_the_site_answers_over_one_connection_and_counts() -> None:
    with CrowdSite(labels=2, per_label=60, distinct=4) as site:
        connection = http.client.HTTPConnection(site.base_url.removeprefix("http://"))

        def get(target: str) -> tuple[int, bytes]:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read()

        options = {"query": "crowd 001", "page_size": 50}
        query = urlencode({"data": json.dumps({"options": options})})
        status, body = get(f"/resource/BaseSearchResource/get/?{query}")
        rows = json.loads(body)["resource_response"]["data"]["results"]
        assert (status, len(rows)) == (200, 50)
        path = rows[9]["images"]["orig"]["url"].removeprefix(site.base_url)
        assert get(path) == (200, whole(Crowd(2, 60, 4), path))
        assert get("/robots.txt")[0] == 200
        assert get("/elsewhere")[0] == 404
        connection.close()
        assert site.counts() == {"search": 1, "picture": 1, "robots": 1, "other": 1}

"""Every route, its answer, its refusals."""

import json

import pytest
from starlette.testclient import TestClient

import pinflow
from pinflow.serving import bodies
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import GridTrunk, drawing
from pinflow_tests.serving.source import FolderSource

SEARCH = "/v1/collections/drawings/search"


def is_problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert body["status"] == status
    assert body["instance"] == response.url.path
    return body


def test_probes(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/version").json() == {"pinflow": pinflow.__version__}
    assert client.get("/readyz").json() == {"status": "ready", "releases": {"drawings": "r1"}, "problems": {}}


def test_collections(client):
    (listed,) = client.get("/v1/collections").json()["collections"]
    assert (listed["name"], listed["pictures"], listed["labels"], listed["release"]) == (
        "drawings",
        36,
        4,
        "r1",
    )
    about = client.get("/v1/collections/drawings").json()
    assert [label["slug"] for label in about["labels"]][:2] == ["red-things", "green-things"]
    for cover in listed["covers"]:
        assert client.get(cover["thumb_url"]).status_code == 200


def test_search_by_json(client):
    answer = client.post(SEARCH, json={"positive": [{"id": "red/circle-0"}], "limit": 3}).json()
    assert len(answer["results"]) == 3
    assert answer["release"] == "r1"
    assert answer["next_cursor"]
    page = client.post(
        SEARCH, json={"positive": [{"id": "red/circle-0"}], "limit": 3, "cursor": answer["next_cursor"]}
    )
    assert [result["rank"] for result in page.json()["results"]] == [4, 5, 6]


def test_every_result_says_where_it_is_from(client):
    answer = client.post("/v1/collections/drawings/search", json={"positive": [{"id": "red/bar-0"}]}).json()
    (one,) = [result for result in answer["results"] if result["id"] == "red/bar-1"]
    assert {name: one[name] for name in ("page_url", "creator", "licence", "fetched_at")} == {
        "page_url": "https://example.com/red/bar/1",
        "creator": "the test",
        "licence": "cc0",
        "fetched_at": "2026-11-02T10:00:00+00:00",
    }


def test_search_by_file(client):
    files = {"file": ("a.png", drawing("green", "bar", 2), "image/png")}
    answer = client.post(SEARCH, files=files, data={"query": json.dumps({"limit": 1})}).json()
    assert [result["id"] for result in answer["results"]] == ["green/bar-2"]
    fused = client.post(
        SEARCH, files=files, data={"query": json.dumps({"positive": [{"text": "red"}]})}
    ).json()
    assert fused["results"][0]["label"] == "red-things"


def test_a_pin_and_its_thumbnail(client):
    pin = client.get("/v1/collections/drawings/pins/red%2Fcircle-0").json()
    assert pin["title"] == "Red circle"
    webp = client.get(pin["thumb_url"])
    assert webp.headers["content-type"] == "image/webp"
    assert webp.content[8:12] == b"WEBP"
    assert webp.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = client.get(pin["thumb_url"], headers={"If-None-Match": webp.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    bare = client.get(pin["thumb_url"].partition("?")[0])
    assert bare.headers["cache-control"] == "public, no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/collections/nothing",
        "/v1/collections/drawings/pins/nobody",
        "/v1/collections/drawings/thumbnails/nobody",
        "/v1/collections/drawings/thumbnails/..%2F..%2Frelease.json",
        "/v1/collections/..%2Fdrawings",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/nowhere",
    ],
)
def test_what_is_not_there_is_a_404(client, path):
    is_problem(client.get(path), 404)


def test_search_in_an_unknown_collection_is_a_404(client):
    is_problem(client.post("/v1/collections/nothing/search", json={}), 404)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"positive": [{"id": "nobody"}]}, 400, "positive.id"),
        ({"positive": [{"url": "http://127.0.0.1/a.jpg"}]}, 400, "positive.url"),
        ({"label": "none such"}, 400, "label"),
        ({"space": "local"}, 400, "space"),
        ({"cursor": "zzz"}, 400, "cursor"),
        ({"limit": 1000}, 422, "limit"),
        ({"positive": [{"txt": "a"}]}, 422, "positive.0.txt"),
        ({"filter": {"price_min": 3, "price_max": 1}}, 422, "filter"),
        ([], 422, ""),
    ],
)
def test_bad_questions_name_the_field(client, body, status, field):
    assert is_problem(client.post(SEARCH, json=body), status)["errors"][0]["field"] == field


def test_what_is_not_json_is_a_400(client):
    is_problem(client.post(SEARCH, content=b"{", headers={"content-type": "application/json"}), 400)
    deep = b"[" * 100_000
    is_problem(client.post(SEARCH, content=deep, headers={"content-type": "application/json"}), 400)


@pytest.mark.parametrize("kind", ["text/plain", "image/png", ""])
def test_other_kinds_of_bodies_are_a_415(client, kind):
    is_problem(client.post(SEARCH, content=b"x", headers={"content-type": kind}), 415)


@pytest.mark.parametrize(
    ("data", "status"), [(b"<html>", 415), (drawing("red", "bar")[:200], 422), (b"", 415)]
)
def test_an_upload_that_is_no_picture(client, data, status):
    is_problem(client.post(SEARCH, files={"file": ("a.png", data)}), status)


def test_a_form_needs_its_parts(client):
    is_problem(client.post(SEARCH, files={"other": ("a.png", b"x")}), 422)
    is_problem(client.post(SEARCH, files={"file": ("a", drawing("red", "bar"))}, data={"query": "{"}), 400)
    two = [("file", ("a", b"x")), ("file", ("b", b"x"))]
    is_problem(client.post(SEARCH, files=two), 400)
    broken = {"content-type": "multipart/form-data; boundary=x"}
    is_problem(client.post(SEARCH, content=b"--y\r\n", headers=broken), 400)
    is_problem(client.post(SEARCH, content=b"", headers={"content-type": "multipart/form-data"}), 400)


def test_a_large_body_is_a_413(client):
    large = {"positive": [{"text": "a" * bodies.MAX_JSON_BYTES}]}
    is_problem(client.post(SEARCH, json=large), 413)
    picture = b"\x89PNG\r\n\x1a\n" + bytes(bodies.MAX_UPLOAD_BYTES)
    is_problem(client.post(SEARCH, files={"file": ("a.png", picture)}), 413)


def test_a_body_of_unannounced_length_is_cut_off(client):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 100 * 1024 * 1024:
            sent += 65536
            yield b" " * 65536

    is_problem(client.post(SEARCH, content=endless(), headers={"content-type": "application/json"}), 413)


def test_a_picture_bomb_is_refused_before_it_is_unpacked(client):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    problem = is_problem(client.post(SEARCH, files={"file": ("a.png", buffer.getvalue())}), 422)
    assert "bomb" in problem["detail"]


def test_a_wrong_method_is_a_405(client):
    is_problem(client.get(SEARCH), 405)


def test_a_bug_is_a_500_without_its_trace(client, releases, monkeypatch):
    def broken(self):
        raise RuntimeError("secret")

    monkeypatch.setattr(type(releases.get("drawings")), "about", broken)
    assert "secret" not in json.dumps(is_problem(client.get("/v1/collections/drawings"), 500))


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/search.js", "/healthz", "/v1/collections", "/nowhere"]
)
def test_security_headers_are_everywhere(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(client, path):
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    for forbidden in ("http://", "https://", "<script>", "<style", " style=", " onclick="):
        assert forbidden not in page.text.replace("https://example.com", "")


def test_openapi_lists_every_route_and_the_docs_show_them(client):
    schema = client.get("/openapi.json").json()
    docs = client.get("/docs").text
    for path in (
        "/v1/collections",
        "/v1/collections/{name}",
        SEARCH.replace("drawings", "{name}"),
        "/v1/collections/{name}/pins/{id}",
        "/v1/collections/{name}/thumbnails/{id}",
        "/healthz",
        "/readyz",
        "/version",
    ):
        assert path in schema["paths"]
        assert path in docs
    assert {"Query", "Answer", "Result", "PinDetail", "Problem", "Example", "Filter"} <= schema["components"][
        "schemas"
    ].keys()
    named = json.dumps(schema).count('"$ref"')
    found = [ref for ref in _refs(schema) if ref.rpartition("/")[2] in schema["components"]["schemas"]]
    assert len(found) == named


def _refs(node):
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


@pytest.fixture(scope="module")
def guarded(releases):
    return TestClient(make_app(releases, Settings(api_token="s3cret")))


@pytest.mark.parametrize(
    "path", ["/", "/v1/collections", "/docs", "/openapi.json", "/static/search.js", "/nowhere"]
)
def test_with_a_token_everything_asks_for_it(guarded, path):
    response = guarded.get(path)
    is_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Basic")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "given", ["Bearer wrong", "Bearer ", "Bearer", "s3cret", "Basic s3cret", "Basic !", "Bearer s3crét"]
)
def test_a_wrong_token_is_refused(guarded, given):
    is_problem(guarded.get("/v1/collections", headers={"authorization": given.encode()}), 401)


def test_the_token_opens(guarded):
    assert guarded.get("/v1/collections", headers={"authorization": "Bearer s3cret"}).status_code == 200
    assert guarded.get("/", auth=("anyone", "s3cret")).status_code == 200
    thumb = guarded.get("/v1/collections/drawings/thumbnails/red%2Fbar-0", auth=("x", "s3cret"))
    assert thumb.headers["cache-control"] == "private, no-cache"


def test_probes_need_no_token_and_tell_no_names_without_it(guarded):
    assert guarded.get("/healthz").status_code == guarded.get("/version").status_code == 200
    assert guarded.get("/readyz").json() == {"status": "ready"}
    assert "drawings" in guarded.get("/readyz", auth=("", "s3cret")).text


def test_not_ready_before_a_release_is_loaded(tmp_path):
    source = FolderSource(tmp_path)
    releases = Releases(source, load_trunk=lambda name: GridTrunk())
    client = TestClient(make_app(releases, Settings(api_token=None)))
    is_problem(client.get("/readyz"), 503)
    (tmp_path / "drawings").mkdir()
    releases.poll()
    assert is_problem(client.get("/readyz"), 503)["errors"][0]["message"] == "no release is published"
    is_problem(client.post(SEARCH, json={}), 503)
    assert client.get("/v1/collections").json() == {"collections": []}
    source.publish("drawings", "r1")
    releases.poll()
    assert client.get("/readyz").status_code == 200

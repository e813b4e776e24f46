"""What stands before every route: pace, size, origin, and what is noted."""

import asyncio
import gzip
import json

import pytest
from starlette.testclient import TestClient

from pinflow.errors import PinflowError
from pinflow.serving import bodies
from pinflow.serving.app import make_app
from pinflow.serving.rates import Rates
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import drawing
from pinflow_tests.serving.test_app import SEARCH, is_problem

WORDS = {"positive": [{"text": "red"}]}


def client_of(releases, address="198.51.100.7", only_this_machine=False, **settings):
    settings = {"api_token": None, **settings}
    app = make_app(releases, Settings(**settings), only_this_machine=only_this_machine)
    return TestClient(app, client=(address, 5000), raise_server_exceptions=False)


def test_every_answer_has_an_id_and_keeps_the_caller_s(client):
    first, second = (client.get("/healthz").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert client.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    strange = client.get("/nowhere", headers={"X-Request-ID": "a b\tc" + "d" * 100})
    assert is_problem(strange, 404)["request_id"] == strange.headers["x-request-id"]
    assert " " not in strange.headers["x-request-id"]


def test_a_bug_has_the_headers_of_every_other_answer(client, releases, monkeypatch):
    monkeypatch.setattr(type(releases.get("drawings")), "about", lambda self: 1 / 0)
    answer = client.get("/v1/collections/drawings")
    assert is_problem(answer, 500)["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_metrics_have_one_histogram_a_stage(releases):
    client = client_of(releases)
    client.post(SEARCH, json=WORDS)
    client.get("/v1/collections/nothing")
    client.request("STRANGE", "/a/path/nobody/knows")
    text = client.get("/metrics").text
    for stage in ("filter", "encode", "text", "knn", "hydrate", "total"):
        assert f'pinflow_stage_seconds_count{{stage="{stage}"}} 1.0' in text
    route = 'method="POST",route="/v1/collections/{name}/search",status="200"'
    assert f"pinflow_request_seconds_count{{{route}}} 1.0" in text
    assert "nobody/knows" not in text
    assert 'method="other"' in text
    assert "pinflow_requests_in_flight 1.0" in text


def test_metrics_are_not_for_everybody(releases):
    is_problem(client_of(releases, api_token="s3cret").get("/metrics"), 401)


def test_a_rate_limit_an_address(releases):
    client = client_of(releases, rate_limit="3/minute")
    assert [client.post(SEARCH, json=WORDS).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.post(SEARCH, json=WORDS)
    is_problem(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert client.get("/v1/collections").status_code == 200
    assert client.get("/v1/collections/drawings/thumbnails/red%2Fbar-0").status_code == 200
    other = TestClient(client.app, client=("198.51.100.8", 5000))
    assert other.post(SEARCH, json=WORDS).status_code == 200


def test_a_rate_limit_a_token(releases):
    client = client_of(releases, api_token="one,two", rate_limit="1/minute")
    for token, status in (("one", 200), ("one", 429), ("two", 200), ("none", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.post(SEARCH, json=WORDS, headers=headers).status_code == status


def test_this_machine_is_not_limited_unless_somebody_says_so(releases):
    scope = {"method": "POST", "path": SEARCH, "client": ("127.0.0.1", 1)}
    assert all(Rates(None).wait(scope, None) is None for _ in range(2000))
    said = Rates("1/second")
    assert [said.wait(scope, None) for _ in range(2)] == [None, 1]
    assert [Rates("off").wait({**scope, "client": ("198.51.100.1", 1)}, None) for _ in range(2)] == [None] * 2
    far = Rates(None)
    waits = [far.wait({**scope, "client": ("198.51.100.1", 1)}, None) for _ in range(1201)]
    assert waits[:1200] == [None] * 1200
    assert waits[1200] >= 1
    with pytest.raises(PinflowError, match="PINFLOW_RATE_LIMIT"):
        Rates("many")


@pytest.mark.parametrize("method", ["post", "delete"])
def test_a_page_of_another_site_changes_nothing(releases, method):
    client = client_of(releases)
    for site in ("cross-site", "same-site"):
        is_problem(getattr(client, method)("/v1/boards/x", headers={"Sec-Fetch-Site": site}), 403)
    assert client.get("/v1/boards", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    own = client.post("/v1/boards", json={"name": "x"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 201


def test_a_form_of_another_site_cannot_pass_as_json(releases):
    body = json.dumps({"name": "x"})
    answer = client_of(releases).post("/v1/boards", content=body, headers={"content-type": "text/plain"})
    is_problem(answer, 422)


def test_other_origins_may_ask_only_where_the_settings_say_so(releases):
    origin = "https://friend.example"
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert (
        "access-control-allow-origin"
        not in client_of(releases).get("/healthz", headers={"Origin": origin}).headers
    )
    open_ = client_of(releases, cors_origins=origin, api_token="s3cret")
    assert open_.options(SEARCH, headers=ask).headers["access-control-allow-origin"] == origin
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer s3cret"}
    answer = open_.post(SEARCH, json=WORDS, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    stranger = open_.options(SEARCH, headers={**ask, "Origin": "https://foe.example"})
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:80", 200), ("evil.example", 421), ("", 421)],
)
def test_a_name_that_somebody_points_here_is_not_answered_to(releases, host, status):
    client = client_of(releases, only_this_machine=True)
    assert client.get("/v1/collections", headers={"Host": host}).status_code == status


def test_large_answers_are_compressed_and_pictures_are_not(client):
    answer = client.post(SEARCH, json={"limit": 20}, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["results"]) == 20
    assert "accept-encoding" in answer.headers["vary"].lower()
    webp = client.get("/v1/collections/drawings/thumbnails/red%2Fbar-0", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in webp.headers


def test_bodies_of_every_route_are_limited(client):
    large = {"name": "a" * 2 * bodies.MAX_JSON_BYTES}
    is_problem(client.post("/v1/boards", json=large), 413)
    unannounced = (b" " * 65536 for _ in range(100))
    is_problem(
        client.post("/v1/boards", content=unannounced, headers={"content-type": "application/json"}), 413
    )
    ten = {"positive": [{"text": "a" * 10 * 1024 * 1024}]}
    is_problem(client.post(SEARCH, json=ten), 413)


def test_a_zip_bomb_is_not_unpacked(client):
    """Nobody asked for compressed bodies, so none is decompressed."""
    packed = gzip.compress(b" " * 100 * 1024 * 1024)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    is_problem(client.post(SEARCH, content=packed, headers=headers), 400)


def test_a_body_that_comes_too_slowly_is_a_408(client, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)

    async def call(path, kind):
        sent = []

        async def receive():
            await asyncio.sleep(0.15)
            return {"type": "http.request", "body": b"", "more_body": True}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"content-type", kind)],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await client.app(scope, receive, send)
        return sent[0]["status"]

    for path, kind in (
        (SEARCH, b"application/json"),
        (SEARCH, b"multipart/form-data; boundary=x"),
        ("/v1/boards", b"application/json"),
    ):
        assert asyncio.run(call(path, kind)) == 408


def test_there_is_room_for_so_much_and_no_more():
    room = bodies.Room(most=3, most_bytes=30 * 1024 * 1024)
    small, unknown = {"content-length": "1000"}, {}
    with room.kept(unknown) as first, room.kept(small) as second:
        assert (first, second) == (True, True)
        with room.kept(unknown) as third:
            assert third is False
        with room.kept(small) as fourth, room.kept(small) as fifth:
            assert (fourth, fifth) == (True, False)
    with room.kept(unknown) as again:
        assert again is True


def test_without_room_the_answer_is_a_503(releases, monkeypatch):
    monkeypatch.setattr(bodies, "AT_ONCE", 0)
    monkeypatch.setattr(
        bodies.Room, "__init__", lambda self: (setattr(self, "_left", 0), setattr(self, "_bytes_left", 0))[0]
    )
    client = client_of(releases)
    refused = client.post(SEARCH, files={"file": ("a.png", drawing("red", "bar"))})
    is_problem(refused, 503)
    assert refused.headers["retry-after"] == "1"
    assert client.get("/v1/collections").status_code == 200


@pytest.mark.parametrize("tokens", [",", " , "])
def test_a_token_of_nothing_is_no_token(releases, tokens):
    from pinflow.serving.run import check_address

    with pytest.raises(PinflowError, match="PINFLOW_API_TOKEN"):
        check_address("0.0.0.0", Settings(api_token=tokens))


def test_openapi_is_complete(client):
    """Every route has a summary, its errors as problems, and every body an example."""
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            where = f"{method} {path}"
            assert route["summary"], where
            for status, answer in route["responses"].items():
                if status[0] in "45":
                    assert "application/problem+json" in answer["content"], (where, status)
            for kind, body in route.get("requestBody", {}).get("content", {}).items():
                if kind == "application/json":
                    assert body.get("examples"), where


def test_what_openapi_shows_as_an_example_is_understood(client):
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        body = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        for name, example in (body or {}).get("examples", {}).items():
            url = path.replace("{name}", "drawings").replace("{id}", "red%2Fbar-0")
            if "url" in json.dumps(example["value"].get("positive", "")):
                continue  # nobody is asked from here
            answer = client.post(url, json=example["value"])
            assert answer.status_code not in (415, 422, 500), (path, name, answer.text)

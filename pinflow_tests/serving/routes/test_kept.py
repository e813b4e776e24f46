"""History, saved queries, evaluations and backups over HTTP; one owner a token; and the database away."""

import json

import pytest
from starlette.testclient import TestClient

from pinflow.serving.app import make_app
from pinflow.serving.services import Services
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import drawing
from pinflow_tests.serving.test_app import is_problem
from pinflow_tests.serving.test_releases import stones

SEARCH = "/v1/collections/drawings/search"
WORDS = {"positive": [{"text": "red circle"}]}
MARKS = "/v1/collections/drawings/evaluations"


@pytest.fixture
def people(releases, tmp_path):
    """Two people and the app that they share."""
    settings = Settings(api_token="first, second", home=tmp_path)
    app = make_app(releases, settings)
    with TestClient(app) as client:

        def person(token):
            found = TestClient(app, headers={"Authorization": f"Bearer {token}"})
            found.base_url = client.base_url
            return found

        yield person("first"), person("second")


def test_searches_are_remembered_for_who_asked(people):
    me, you = people
    for _ in range(2):
        me.post(SEARCH, json=WORDS)
    files = {"file": ("a.png", drawing("green", "bar", 2), "image/png")}
    page = me.post(SEARCH, files=files, data={"query": json.dumps({"limit": 2})}).json()
    me.post(
        SEARCH,
        json={
            **WORDS,
            "limit": 1,
            "cursor": me.post(SEARCH, json={**WORDS, "limit": 1}).json()["next_cursor"],
        },
    )
    me.post(SEARCH, json={})
    assert page["results"]
    found = me.get("/v1/history").json()["searches"]
    assert [(one["query"].get("positive", []), one["uploads"], one["times"]) for one in found] == [
        (WORDS["positive"], 0, 3),
        ([], 1, 1),
    ]
    assert you.get("/v1/history").json() == {"searches": []}
    assert me.get("/v1/history", params={"collection": "other"}).json() == {"searches": []}
    assert me.delete(f"/v1/history/{found[0]['id']}").status_code == 204
    is_problem(me.delete(f"/v1/history/{found[0]['id']}"), 404)
    assert me.delete("/v1/history").status_code == 204
    assert me.get("/v1/history").json() == {"searches": []}


def test_what_was_asked_can_be_asked_again(people):
    me, _ = people
    asked = {"positive": [{"text": "red circle"}], "filter": {"price_max": 11}, "limit": 5, "style": None}
    first = me.post(SEARCH, json=asked).json()
    (kept,) = me.get("/v1/history").json()["searches"]
    again = me.post(SEARCH, json=kept["query"]).json()
    assert again["results"][: len(first["results"])] == first["results"]


def test_saved_queries(people):
    me, you = people
    one = me.post("/v1/saved", json={"name": "Red", "url": "/?q=red"})
    assert one.status_code == 201
    is_problem(me.post("/v1/saved", json={"name": "Evil", "url": "//example.com"}), 422)
    is_problem(me.post("/v1/saved", json={"name": "Evil", "url": "javascript:alert(1)"}), 422)
    assert me.get("/v1/saved").json()["saved"] == [one.json()]
    assert you.get("/v1/saved").json() == {"saved": []}
    is_problem(you.delete(f"/v1/saved/{one.json()['id']}"), 404)
    assert me.delete(f"/v1/saved/{one.json()['id']}").status_code == 204


def test_marking_results(people):
    me, you = people
    results = me.post(SEARCH, json=WORDS).json()["results"]
    for result, good in zip(results[:3], (True, True, False), strict=True):
        mark = {"query": WORDS, "pin": result["id"], "good": good, "rank": result["rank"]}
        marks = me.post(MARKS, json=mark).json()
    assert list(marks["marks"].values()) == [True, True, False]
    assert me.post(f"{MARKS}/marks", json={**WORDS, "limit": 99}).json() == marks
    assert you.post(f"{MARKS}/marks", json=WORDS).json()["marks"] == {}
    (numbers,) = me.get("/v1/evaluations").json()["collections"]
    assert (numbers["good"], numbers["bad"], numbers["precision"]) == (2, 1, pytest.approx(2 / 3))
    assert numbers["low"] < numbers["precision"] < numbers["high"]
    lines = me.get("/v1/evaluations/pairs")
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    pairs = [json.loads(line) for line in lines.text.splitlines()]
    assert [(one["anchor"], one["alike"]) for one in pairs] == [
        ({"text": "red circle"}, g) for g in (True, True, False)
    ]
    pin = results[0]["id"].replace("/", "%2F")
    assert me.delete(f"{MARKS}/{marks['digest']}/{pin}").status_code == 204
    is_problem(me.delete(f"{MARKS}/{marks['digest']}/{pin}"), 404)
    is_problem(me.post(MARKS, json={"query": WORDS, "pin": "nobody", "good": True}), 400)


def test_backup_and_restore_are_for_the_first_token(people):
    me, you = people
    board = me.post("/v1/boards", json={"name": "kept"}).json()
    made = me.post("/v1/admin/backup")
    assert made.status_code == 201
    assert made.json()["rows"]["boards"] == 1
    me.delete(f"/v1/boards/{board['id']}")
    for path, body in (("backup", None), ("restore", {"name": made.json()["name"]})):
        is_problem(you.post(f"/v1/admin/{path}", json=body), 403)
    is_problem(you.get("/v1/admin/backups"), 403)
    assert [one["name"] for one in me.get("/v1/admin/backups").json()["backups"]] == [made.json()["name"]]
    assert me.post("/v1/admin/restore", json={"name": made.json()["name"]}).json() == made.json()
    assert me.get("/v1/boards").json()["boards"] == [board]
    for name in ("../state.db", "20261125T030000Z-0123456789abcdef.sqlite"):
        is_problem(me.post("/v1/admin/restore", json={"name": name}), 404)


def test_a_purged_pin_is_forgotten_with_the_next_poll_and_in_backups(source, releases, people):
    me, _ = people
    gone = "blue/bar-0"
    board = me.post("/v1/boards", json={"name": "b"}).json()
    me.post(f"/v1/boards/{board['id']}/pins", json={"pins": [{"collection": "drawings", "id": gone}]})
    me.post(SEARCH, json={"positive": [{"id": gone}]})
    held = me.post("/v1/admin/backup").json()["name"]
    source.stones["drawings"] = stones(gone)
    try:
        releases.poll()
        assert me.get(f"/v1/boards/{board['id']}").json()["content"] == []
        assert me.get("/v1/history").json() == {"searches": []}
        (left,) = me.get("/v1/admin/backups").json()["backups"]
        assert left["name"] != held
        me.post("/v1/admin/restore", json={"name": left["name"]})
        assert me.get(f"/v1/boards/{board['id']}").json()["content"] == []
    finally:
        del source.stones["drawings"]
        releases.poll()


def test_while_the_database_is_away_searching_goes_on(releases, tmp_path):
    settings = Settings(
        api_token=None, database_url="postgresql://nobody:secret@127.0.0.1:1/none", home=tmp_path
    )
    with TestClient(make_app(releases, settings), raise_server_exceptions=False) as client:
        assert client.post(SEARCH, json=WORDS).status_code == 200
        problem = is_problem(client.get("/v1/boards"), 503)
        assert "secret" not in json.dumps(problem)
        assert client.get("/readyz").status_code == 200


def test_storage_that_is_away_is_told(releases, tmp_path):
    (tmp_path / "file").write_text("no folder")
    settings = Settings(api_token=None, storage=str(tmp_path / "file"), home=tmp_path)
    services = Services.of(releases, settings)
    with TestClient(make_app(releases, settings, services=services), raise_server_exceptions=False) as client:
        is_problem(client.post("/v1/admin/backup"), 503)

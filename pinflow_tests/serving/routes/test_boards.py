"""Boards over HTTP."""

import pytest

from pinflow_tests.serving.test_app import is_problem

CIRCLE, BAR = "red/circle-0", "red/bar-0"


def pin(id, collection="drawings"):
    return {"collection": collection, "id": id}


@pytest.fixture
def board(client):
    return client.post("/v1/boards", json={"name": "Red <b>things</b>"}).json()


def test_a_board_from_its_beginning_to_its_end(client, board):
    assert board["pins"] == 0
    path = f"/v1/boards/{board['id']}"
    filled = client.post(f"{path}/pins", json={"pins": [pin(CIRCLE), pin(BAR)]}).json()
    assert (filled["name"], filled["pins"]) == ("Red <b>things</b>", 2)
    assert [(one["id"], one["pin"]["title"]) for one in filled["content"]] == [
        (BAR, "Red bar"),
        (CIRCLE, "Red circle"),
    ]
    assert client.get(filled["content"][0]["pin"]["thumb_url"]).status_code == 200
    assert client.patch(path, json={"name": "Red"}).json()["name"] == "Red"
    assert client.delete(f"{path}/pins/drawings/{BAR.replace('/', '%2F')}").status_code == 204
    assert board["id"] in {one["id"] for one in client.get("/v1/boards").json()["boards"]}
    assert client.get(path).json()["pins"] == 1
    assert client.delete(path).status_code == 204
    is_problem(client.get(path), 404)


def test_searching_by_a_whole_board(client, board):
    path = f"/v1/boards/{board['id']}"
    client.post(f"{path}/pins", json={"pins": [pin(CIRCLE), pin(BAR)]})
    asked = {"collection": "drawings", "query": {"limit": 4}}
    first = client.post(f"{path}/search", json=asked).json()
    assert {one["label"] for one in first["results"]} == {"red-things"}
    asked["query"]["cursor"] = first["next_cursor"]
    second = client.post(f"{path}/search", json=asked).json()
    assert [one["rank"] for one in second["results"]] == [5, 6, 7, 8]
    found = {one["id"] for page in (first, second) for one in page["results"]}
    assert len(found) == 8
    assert not found & {CIRCLE, BAR}
    blue = {"collection": "drawings", "query": {"positive": [{"text": "blue"}], "limit": 40}}
    colours = {one["label"] for one in client.post(f"{path}/search", json=blue).json()["results"]}
    assert "blue-things" in colours


def test_a_board_larger_than_a_query_may_be_is_searched_by_as_a_whole(client, board, releases):
    ids = releases.get("drawings").release.shared.ids
    path = f"/v1/boards/{board['id']}"
    client.post(f"{path}/pins", json={"pins": [pin(id) for id in ids[:-1]]})
    answer = client.post(f"{path}/search", json={"collection": "drawings"}).json()
    assert [one["id"] for one in answer["results"]] == [ids[-1]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("get", "/v1/boards/none", None, 404),
        ("patch", "/v1/boards/none", {"name": "x"}, 404),
        ("delete", "/v1/boards/none", None, 404),
        ("post", "/v1/boards/none/pins", {"pins": [pin(CIRCLE)]}, 404),
        ("delete", "/v1/boards/none/pins/drawings/x", None, 404),
        ("post", "/v1/boards/none/search", {"collection": "drawings"}, 404),
        ("post", "/v1/boards/none/search", {"collection": "nothing"}, 404),
        ("post", "/v1/boards", {"name": "  "}, 422),
        ("post", "/v1/boards", {"name": "a" * 201}, 422),
        ("post", "/v1/boards", {"name": "x", "owner": "you"}, 422),
        ("post", "/v1/boards", [], 422),
    ],
)
def test_refusals(client, method, path, body, status):
    options = {} if body is None else {"json": body}
    is_problem(getattr(client, method)(path, **options), status)


def test_an_unknown_pin_is_not_put_on_a_board(client, board):
    path = f"/v1/boards/{board['id']}"
    is_problem(client.post(f"{path}/pins", json={"pins": [pin("nobody")]}), 422)
    is_problem(client.post(f"{path}/pins", json={"pins": [pin(CIRCLE, "nothing")]}), 404)
    is_problem(client.post(f"{path}/pins", json={"pins": []}), 422)
    is_problem(client.post(f"{path}/search", json={"collection": "drawings"}), 400)

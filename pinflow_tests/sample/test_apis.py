"""The sample site's other APIs over real HTTP: boards, the official API, Openverse."""

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx2 as httpx
import pytest

from pinflow.sample import oddities
from pinflow.sample.boards import Board, boards
from pinflow.sample.made import make_samples
from pinflow.sample.pins import PINNERS, Pins
from pinflow.sample.pinterest_api import TOKEN
from pinflow.sample.samples import Samples
from pinflow.sample.site import SampleSite

HEADERS = {
    "X-Requested-With": "XMLHttpRequest",
    "X-Pinterest-AppState": "active",
    "X-Pinterest-PWS-Handler": "www/[username]/[slug].js",
    "Cookie": "csrftoken=0123456789abcdef",
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    return make_samples(tmp_path_factory.mktemp("samples"), labels=2, per_label=60)


@pytest.fixture(scope="module")
def client(samples) -> Iterator[httpx.Client]:
    with SampleSite(samples, port=0) as site, httpx.Client(base_url=site.base_url, headers=HEADERS) as client:
        yield client


@pytest.fixture(scope="module")
def pins(samples) -> Pins:
    return Pins(samples.market)


@pytest.fixture(scope="module")
def board(pins) -> Board:
    return next(board for board in boards(pins).values() if board.person == PINNERS[0])


def resource(client, name, **options) -> httpx.Response:
    data = json.dumps({"options": options})
    return client.get(f"/resource/{name}Resource/get/?{urlencode({'data': data})}")


# -- boards


def test_every_pin_is_on_one_board_and_says_so(client, pins):
    kept = [(pin, board) for board in boards(pins).values() for pin in board.pins]
    assert sorted(pin.id for pin, _ in kept) == sorted(pins.by_id)
    pin, board = next((pin, board) for pin, board in kept if not pin.opaque)
    said = resource(client, "Pin", id=pin.id).json()["resource_response"]["data"]["board"]
    assert (said["id"], said["url"]) == (board.id, f"/{board.user}/{board.slug}/")


def test_a_board_has_its_counts(client, board):
    said = resource(client, "Board", username=board.user, slug=board.slug).json()["resource_response"]["data"]
    assert (said["pin_count"], said["section_count"]) == (len(board.pins), len(board.sections))


def test_a_boards_feed_leaves_out_what_lies_in_its_sections(client, board):
    rows = resource(client, "BoardFeed", board_id=board.id).json()["resource_response"]["data"]
    assert [row["id"] for row in rows] == [pin.id for pin in board.loose]
    for section in board.sections:
        rows = resource(client, "BoardSectionPins", section_id=section.id).json()["resource_response"]["data"]
        assert [row["id"] for row in rows] == [pin.id for pin in section.pins]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Board", {"username": "nobody", "slug": "x"}),
        ("BoardFeed", {"board_id": "1"}),
        ("BoardSections", {"board_id": "1"}),
        ("BoardSection", {"section_id": "1"}),
        ("BoardContentRecommendation", {"id": "1"}),
    ],
)
def test_a_board_that_is_not_there_is_a_404(client, name, options):
    assert resource(client, name, **options).status_code == 404
    assert resource(client, name).status_code == 403


def test_one_search_finds_pins_of_every_sort(client):
    rows = resource(client, "BaseSearch", query=oddities.QUERY).json()["resource_response"]["data"]["results"]
    assert sum(bool(row["videos"]) for row in rows) == sum(row["is_promoted"] for row in rows) == 4
    assert sum(bool(row["carousel_data"]) for row in rows) == 4
    assert sum(bool(row["story_pin_data"]) for row in rows) == 8
    plain = resource(client, "BaseSearch", query="plain").json()["resource_response"]["data"]["results"]
    assert not any(row["videos"] or row["story_pin_data"] or row["carousel_data"] for row in plain)


# -- the official API


def own(client, path, token=TOKEN, **query) -> httpx.Response:
    return client.get(f"/v5/{path}", params=query, headers={"Authorization": f"Bearer {token}"})


def test_the_official_api_wants_its_token(client):
    reply = own(client, "boards", token="other")
    assert (reply.status_code, reply.json()) == (401, {"code": 2, "message": "Authentication failed."})
    assert client.get("/v5/boards").status_code == 401


def test_boards_are_those_of_the_token_owner_page_by_page(client, pins):
    mine = [board.id for board in boards(pins).values() if board.person == PINNERS[0]]
    found, mark = [], None
    while True:
        page = own(client, "boards", page_size=1, **({"bookmark": mark} if mark else {})).json()
        found += [board["id"] for board in page["items"]]
        mark = page["bookmark"]
        if mark is None:
            break
    assert (found, len(mine)) == (mine, 2)


def test_pins_of_a_board_have_pictures_that_are_there(client, board):
    [first, *_] = own(client, f"boards/{board.id}/pins").json()["items"]
    for image in first["media"]["images"].values():
        assert client.get(image["url"]).status_code == 200
    assert own(client, f"pins/{first['id']}").json() == first


@pytest.mark.parametrize("path", ["boards/1", "boards/1/pins", "pins/1", "else"])
def test_what_is_not_there_is_a_404(client, path):
    assert own(client, path).status_code == 404


@pytest.mark.parametrize(
    "query", [{"page_size": 0}, {"page_size": 251}, {"page_size": "x"}, {"bookmark": "é"}]
)
def test_a_strange_page_is_a_400(client, query):
    assert own(client, "boards", **query).status_code == 400


# -- Openverse


def images(client, **query) -> httpx.Response:
    return client.get("/v1/images/", params=query)


def test_images_come_twenty_a_page(client):
    pages = [images(client, q="plain red", page=n).json() for n in (1, 2, 3, 4)]
    assert {page["page_size"] for page in pages} == {20}
    assert pages[0]["page_count"] == 3
    ids = [row["id"] for page in pages for row in page["results"]]
    assert len(ids) == len(set(ids)) == pages[0]["result_count"]


def test_licences_are_filtered(client):
    rows = images(client, q="plain red", license="by,cc0").json()["results"]
    assert {row["license"] for row in rows} == {"by", "cc0"}


def test_mature_ones_are_shown_to_those_who_ask(client):
    tame, all_of_them = images(client, q="plain").json(), images(client, q="plain", mature="true").json()
    assert tame["result_count"] < all_of_them["result_count"] == 120
    assert not any(row["mature"] for row in tame["results"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"page_size": 21}, 401),
        ({"page_size": 20, "page": 13}, 400),
        ({"page": 0}, 400),
        ({"page": "x"}, 400),
        ({"license": "mit"}, 400),
    ],
)
def test_what_an_anonymous_caller_may_not_ask_for(client, query, status):
    reply = images(client, q="plain", **query)
    assert reply.status_code == status
    assert reply.json()["detail"]


def test_an_image_has_a_file_a_thumbnail_and_a_place_of_its_own(client):
    row = images(client, q="plain red").json()["results"][0]
    for key in ("url", "thumbnail", "detail_url", "foreign_landing_url"):
        assert client.get(row[key]).status_code == 200, key
    assert client.get(row["detail_url"]).json() == row
    assert client.get("/v1/images/no-such-image/").status_code == 404
    assert client.get("/v1/images/no-such-image/thumb/").status_code == 404

"""A new release is served without a restart; a broken one never is; no request is dropped."""

import shutil
import threading
import time

import pytest
from starlette.testclient import TestClient

from pinflow.errors import CorruptError, SearchError
from pinflow.retrieval.query import Example, Query
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow.tombstones import Tombstone, Tombstones
from pinflow_tests.retrieval.releases import GridTrunk, make_pins
from pinflow_tests.serving.source import FolderSource


@pytest.fixture
def source(tmp_path):
    source = FolderSource(tmp_path / "source")
    source.root.mkdir()
    source.publish("drawings", "r1")
    return source


@pytest.fixture
def releases(source):
    return Releases(source, load_trunk=lambda name: GridTrunk(), every=0.02)


def served(releases, name="drawings"):
    searcher = releases.get(name)
    return searcher and searcher.release.id


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def test_a_new_release_is_followed(source, releases):
    releases.poll()
    assert served(releases) == "r1"
    source.publish("drawings", "r2")
    releases.poll()
    assert served(releases) == "r2"
    source.point("drawings", "r1")  # a roll-back
    releases.poll()
    assert served(releases) == "r1"


def test_the_same_release_is_not_opened_twice(source, releases):
    releases.poll()
    first = releases.get("drawings")
    releases.poll()
    assert releases.get("drawings") is first


@pytest.mark.parametrize("missing", ["release.json", "vectors.npy", "labels/red-things/index.faiss"])
def test_a_half_written_release_is_never_served(source, releases, missing, caplog):
    releases.poll()
    folder = source.publish("drawings", "r2")
    (folder / missing).rename(folder / "aside")
    releases.poll()
    assert served(releases) == "r1"
    assert missing in releases.problems()["drawings"]
    assert missing in caplog.text
    (folder / "aside").rename(folder / missing)
    until(lambda: releases.poll() or served(releases) == "r2")
    assert releases.problems() == {}


def test_a_release_under_a_wrong_name_is_not_served(source, releases):
    releases.poll()
    shutil.copytree(source.root / "drawings" / "r1", source.root / "drawings" / "r9")
    source.point("drawings", "r9")
    releases.poll()
    assert served(releases) == "r1"
    assert "holds release r1" in releases.problems()["drawings"]


def test_a_broken_release_is_tried_again_ever_more_rarely(source, releases, monkeypatch):
    releases.poll()
    source.point("drawings", "gone")
    tries = []
    fetch = source.fetch
    monkeypatch.setattr(source, "fetch", lambda *names: tries.append(names) or fetch(*names))
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        releases.poll()
    assert 2 <= len(tries) <= 6


def test_one_broken_collection_leaves_the_others(source, releases):
    source.publish("other", "o1")
    source.point("drawings", "gone")
    releases.poll()
    assert releases.names() == ["other"]
    assert releases.known("drawings")


def test_storage_out_of_reach_keeps_what_is_loaded(source, releases):
    releases.poll()
    source.down = True
    releases.poll()
    assert served(releases) == "r1"
    assert releases.problem == "storage cannot be reached"
    source.down = False
    releases.poll()
    assert releases.problem is None


def test_a_removed_collection_is_no_longer_served(source, releases):
    releases.poll()
    shutil.rmtree(source.root / "drawings")
    releases.poll()
    assert releases.get("drawings") is None
    assert not releases.known("drawings")


def test_trunks_are_shared_and_loaded_ahead(source):
    loaded = []

    def load(name):
        loaded.append(name)
        return GridTrunk()

    source.publish("other", "o1")
    releases = Releases(source, load_trunk=load, every=0.02)
    releases.start()
    try:
        until(lambda: loaded)
        source.publish("other", "o2")
        until(lambda: served(releases, "other") == "o2")
    finally:
        releases.stop()
    assert loaded == ["grid"]


def test_a_swap_under_load_drops_no_request(source, releases):
    """Eight callers page through while the release changes under them twenty times."""
    pins = make_pins()
    source.publish("drawings", "r2", pins=pins[:20])
    ids = {"r1": {pin["id"] for pin in pins}, "r2": {pin["id"] for pin in pins[:20]}}
    source.point("drawings", "r1")
    app = make_app(releases, Settings(api_token=None))
    failures, seen, done = [], set(), threading.Event()

    with TestClient(app) as client:
        until(lambda: served(releases) == "r1")

        def call():
            while not done.is_set():
                response = client.post(
                    "/v1/collections/drawings/search", json={"positive": [{"text": "drawn"}], "limit": 200}
                )
                if response.status_code != 200:
                    failures.append(response.text)
                    continue
                body = response.json()
                seen.add(body["release"])
                if {result["id"] for result in body["results"]} != ids[body["release"]]:
                    failures.append(f"{body['release']} mixed with another")

        callers = [threading.Thread(target=call) for _ in range(8)]
        for caller in callers:
            caller.start()
        for turn in range(20):
            wanted = ("r2", "r1")[turn % 2]
            source.point("drawings", wanted)
            until(lambda wanted=wanted: served(releases) == wanted)
        done.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert seen == {"r1", "r2"}


def test_a_cursor_lasts_through_a_renewal_and_hides_what_is_removed_since(source, releases, monkeypatch):
    source.publish("drawings", "r2", pins=make_pins()[:20])
    source.point("drawings", "r1")
    releases.poll()
    query = Query(positive=[Example(text="drawn")], limit=30)
    first = releases.get("drawings").search(query)
    last = query.model_copy(update={"cursor": first.next_cursor})
    whole = releases.get("drawings").search(last)

    source.point("drawings", "r2")
    releases.poll()
    assert served(releases) == "r2"
    again = releases.paging("drawings", first.next_cursor).search(last)
    assert (again.release, again.results) == ("r1", whole.results)
    assert releases.paging("drawings", None).release.id == "r2"
    assert releases.paging("drawings", "nonsense").release.id == "r2"

    gone = whole.results[0].id
    source.stones["drawings"] = stones(gone)
    releases.poll()
    assert gone not in {one.id for one in releases.paging("drawings", first.next_cursor).search(last).results}

    monkeypatch.setattr("pinflow.serving.releases.time.monotonic", lambda: 1e9)
    releases.poll()
    with pytest.raises(SearchError, match="renewed since"):
        releases.paging("drawings", first.next_cursor).search(last)


def stones(*ids, pictures=(), digest="d1"):
    found = tuple(Tombstone(id=one, reason="purged", pictures=pictures) for one in ids)
    return Tombstones(found, digest)


@pytest.fixture
def client(releases):
    releases.poll()
    with TestClient(make_app(releases, Settings(api_token=None))) as client:
        yield client


GONE, LEFT = "red/circle-0", "red/circle-1"


def found(client, **query):
    answer = client.post("/v1/collections/drawings/search", json={"limit": 200, **query})
    assert answer.status_code == 200, answer.text
    return {result["id"] for result in answer.json()["results"]}


def test_a_removed_pin_is_served_nowhere_from_the_next_poll_on(source, releases, client):
    url = "/v1/collections/drawings"
    assert GONE in found(client)
    assert client.get(f"{url}/pins/{GONE}").status_code == 200
    before = client.get(url).json()
    first = releases.get("drawings")

    source.stones["drawings"] = stones(GONE)
    until(lambda: releases.get("drawings") is not first)

    for query in (
        {},
        {"positive": [{"id": LEFT}]},
        {"positive": [{"text": "red circle"}]},
        {"positive": [{"id": LEFT}], "space": "local", "label": "red-things"},
        {"positive": [{"id": LEFT}, {"text": "red circle"}]},
    ):
        assert GONE not in found(client, **query)
        assert len(found(client, **query)) >= 1
    for path in (f"{url}/pins/{GONE}", f"{url}/thumbnails/{GONE}"):
        assert client.get(path).status_code == 404
        assert client.get(path.replace(GONE, LEFT)).status_code == 200
    assert client.post(f"{url}/search", json={"positive": [{"id": GONE}]}).status_code == 400
    # `red/circle-3` names it as a related pin.
    assert client.get(f"{url}/pins/red/circle-3").json()["related"] == []
    about = client.get(url).json()
    assert about["pictures"] == before["pictures"] - 1
    assert about["labels"][0]["pictures"] == before["labels"][0]["pictures"] - 1
    assert GONE not in str(about)


def test_a_removed_cover_is_followed_by_another(source, releases, client):
    cover = client.get("/v1/collections/drawings").json()["labels"][0]["cover"]["id"]
    source.stones["drawings"] = stones(cover)
    releases.poll()
    assert client.get("/v1/collections/drawings").json()["labels"][0]["cover"]["id"] != cover


def test_the_bytes_of_a_removed_pin_are_served_under_no_id(source, releases, client):
    sha256 = client.get(f"/v1/collections/drawings/pins/{GONE}").json()["sha256"]
    source.stones["drawings"] = stones("another", pictures=(sha256,))
    releases.poll()
    assert GONE not in found(client)


def test_a_removed_pin_stays_hidden_in_a_new_release_and_comes_back_when_lifted(source, releases, client):
    source.stones["drawings"] = stones(GONE)
    releases.poll()
    source.publish("drawings", "r2")
    releases.poll()
    assert served(releases) == "r2"
    assert GONE not in found(client)
    assert ("drawings", "r1") in source.dropped  # copies are dropped, but never the one in use
    assert ("drawings", "r2") in source.dropped
    source.stones["drawings"] = Tombstones()
    releases.poll()
    assert GONE in found(client)


def test_a_removed_pin_is_hidden_also_while_a_new_release_cannot_be_opened(source, releases, client):
    folder = source.publish("drawings", "r2")
    (folder / "vectors.npy").unlink()
    source.stones["drawings"] = stones(GONE)
    releases.poll()
    assert served(releases) == "r1"
    assert GONE not in found(client)


def test_tombstones_that_cannot_be_read_leave_hidden_what_was_hidden(source, releases, client, monkeypatch):
    source.stones["drawings"] = stones(GONE)
    releases.poll()

    def damaged(collection):
        raise CorruptError("drawings/tombstones/x.json is damaged")

    monkeypatch.setattr(source, "removed", damaged)
    releases.poll()
    assert GONE not in found(client)
    assert "x.json is damaged" in releases.problems()["drawings"]

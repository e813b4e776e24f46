"""`pinflow purge`."""

import json

import pytest

from pinflow import releases
from pinflow.serving.state import boards
from pinflow.serving.state.backup import Backups
from pinflow.serving.state.database import Database
from pinflow.serving.state.owners import LOCAL
from pinflow.settings import Settings
from pinflow.store import open_store
from pinflow.tombstones import read


@pytest.fixture
def store(released):
    return open_store(Settings().storage_url)


@pytest.fixture
def rows(store):
    return store.table(store.manifest("shapes", "pins", "plain-red"), "pins.parquet").to_pylist()


def results(pinflow):
    said = pinflow("search", "shapes", "--text", "red", "--limit", 200, "--json")
    return {result["id"] for result in json.loads(said.out)["results"]}


def collected(id):
    """A board with that pin on it."""
    database = Database.of(Settings())
    board = boards.add(database, LOCAL, "kept")
    boards.collect(database, LOCAL, board.id, [boards.PinName(collection="shapes", id=id)])
    return board.id


def test_a_pin_is_gone_from_search_and_storage_and_stays_away(pinflow, store, rows):
    gone, kept = rows[0]["id"], rows[1]["id"]
    assert {gone, kept} <= results(pinflow)
    before = releases.current(store, "shapes")
    board, database = collected(gone), Database.of(Settings())
    backups = Backups(database, lambda: store)
    backups.make()

    said = pinflow("purge", "shapes", gone, "--why", "its author asked")

    assert said.code == 0, said.out + said.err
    now = releases.current(store, "shapes")
    assert said.out.splitlines()[0].startswith(f"shapes: nothing serves {gone} from now on")
    assert said.out.splitlines()[-1] == f"shapes: gone; release {now}"
    assert "shapes: gallery to release" in said.out  # how far it is
    assert set(releases.pins(store, "shapes")) == {now} != {before}
    assert not store.has("shapes", rows[0]["sha256"])
    (stone,) = read(store, "shapes").all
    assert (stone.id, stone.reason, stone.by, stone.why) == (
        gone,
        "purged",
        "command line",
        "its author asked",
    )
    assert gone not in results(pinflow)
    assert boards.pins(database, LOCAL, board) == []
    for one in backups.all():
        assert gone.encode() not in store.read(".backups", one.name)

    assert pinflow("run", "shapes").code == 0
    assert kept in results(pinflow)
    assert gone not in results(pinflow)

    again = pinflow("purge", "shapes", gone)
    assert again.code == 0, again.out + again.err
    assert releases.current(store, "shapes") == now
    assert [one.why for one in read(store, "shapes").all] == ["its author asked"]


def test_a_pin_can_be_named_by_the_address_of_its_picture_also_twice(pinflow, store, rows, monkeypatch):
    asked = []
    monkeypatch.setattr("pinflow.commands.purge._carry_out", lambda *_: asked.append(1) or 0)
    monkeypatch.setattr("pinflow.commands.purge.web_address", lambda name: "://" in name or None)
    for _ in range(2):
        assert pinflow("purge", "shapes", rows[2]["picture_url"]).code == 0
    assert read(store, "shapes").ids == {rows[2]["id"]}
    assert len(asked) == 2


def test_search_leaves_it_out_as_soon_as_the_tombstone_is_written(pinflow, store, rows, monkeypatch):
    monkeypatch.setattr("pinflow.commands.purge._carry_out", lambda *_: 0)
    before = releases.current(store, "shapes")
    pinflow("purge", "shapes", rows[0]["id"])
    assert releases.current(store, "shapes") == before
    assert rows[0]["id"] not in results(pinflow)
    assert rows[1]["id"] in results(pinflow)


def test_what_nothing_knows_is_bad_usage_that_names_the_nearest_and_removes_nothing(pinflow, store, rows):
    said = pinflow("purge", "shapes", rows[0]["id"], rows[1]["id"] + "x")

    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert rows[1]["id"] in said.err
    assert "opt-out list" in said.err
    assert read(store, "shapes").ids == set()


def test_what_failed_is_told_with_what_finishes_it(pinflow, store, rows, monkeypatch):
    from pinflow.pipeline import assets

    def broken(part, house):
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(assets.BODIES, "gallery", broken)
    said = pinflow("purge", "shapes", rows[0]["id"])
    assert said.code == 1
    assert "failed shapes/shapes__gallery" in said.out
    assert "pinflow run shapes finishes it" in said.out
    assert rows[0]["id"] not in results(pinflow)


def test_an_unknown_collection_names_the_known_ones(pinflow, released):
    said = pinflow("purge", "shape", "1")
    assert (said.code, said.err) == (2, "pinflow: no collection 'shape'; there are: shapes\n")


def test_doctor_tells_the_bad_lines_of_opt_out_lists(pinflow, store):
    store.write(b"domains:example.org\ncreator:Ada\n", "opt_outs", "mail.txt")
    said = pinflow("doctor")
    assert said.code == 1
    assert "FAIL opt-out list mail.txt: line 1: 'domains:example.org' skipped" in said.out
    assert "did you mean `domain:`" in said.out

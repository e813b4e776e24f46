"""Backups and purges, on SQLite and on PostgreSQL alike."""

import threading

import pytest

from pinflow.errors import StateError
from pinflow.retrieval.query import Example, Query
from pinflow.serving.state import boards, evaluations, history, saved
from pinflow.serving.state.backup import FOLDER, Backups
from pinflow.serving.state.boards import PinName
from pinflow.serving.state.database import Database
from pinflow.serving.state.evaluations import Mark
from pinflow.serving.state.forget import forget, leads_to
from pinflow.serving.state.saved import ToSave
from pinflow.store import open_store

APPLES = Query(positive=[Example(text="apples")])
LIKE_GONE = Query(positive=[Example(id="gone")], negative=[Example(id="b")])


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "storage"))


@pytest.fixture
def backups(database, store):
    return Backups(database, lambda: store)


def fill(database):
    board = boards.add(database, "me", "board")
    pins = [PinName(collection=c, id=i) for c, i in (("market", "gone"), ("market", "b"), ("shop", "gone"))]
    boards.collect(database, "me", board.id, pins)
    for query in (APPLES, LIKE_GONE):
        history.note(database, "me", "market", query)
    saved.add(database, "me", ToSave(name="1", url="/?collection=market&id=gone"))
    saved.add(database, "me", ToSave(name="2", url="/?q=apples"))
    for query, pin in ((APPLES, "gone"), (APPLES, "b"), (LIKE_GONE, "b")):
        evaluations.mark(database, "me", "market", Mark(query=query, pin=pin, good=True))
    return board


def content(database):
    (board,) = boards.all_of(database, "me")
    return (
        boards.pins(database, "me", board.id),
        history.latest(database, "me"),
        saved.all_of(database, "me"),
        list(evaluations.pairs(database, "me")),
    )


@pytest.mark.system
def test_a_backup_lies_in_a_bucket_as_well_as_in_a_folder(database, s3):
    board = fill(database)
    before, bucket = content(database), open_store(s3)
    made = Backups(database, lambda: bucket).make()
    boards.remove(database, "me", board.id)
    elsewhere = Backups(database, lambda: open_store(s3))
    assert [one.name for one in elsewhere.all()] == [made.name]
    assert elsewhere.restore(made.name, {}) is not None
    assert content(database) == before


def test_what_was_backed_up_comes_back_whole(database, backups):
    board = fill(database)
    before = content(database)
    made = backups.make()
    assert made.rows == {"boards": 1, "board_pins": 3, "searches": 2, "saved": 2, "judgements": 3}
    boards.remove(database, "me", board.id)
    boards.add(database, "you", "later")
    history.remove(database, "me")
    assert backups.restore(made.name, {}).rows == made.rows
    assert content(database) == before
    assert boards.all_of(database, "you") == []


def test_a_backup_of_one_kind_of_database_is_restored_into_another(database, backups, store, tmp_path):
    fill(database)
    made = backups.make()
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    Backups(other, lambda: store).restore(made.name, {})
    assert content(other) == content(database)


def test_backups_are_listed_newest_first_and_nothing_else_is(database, backups, store):
    fill(database)
    first = backups.make()
    store.write(b"x", FOLDER, "20990101T000000Z-note.txt")
    assert [one.name for one in backups.all()] == [first.name]
    assert FOLDER not in store.names()


@pytest.mark.parametrize("name", ["none", "../state.db", "20261125T030000Z-0123456789abcdef.sqlite", ""])
def test_there_is_no_such_backup(backups, name):
    assert backups.restore(name, {}) is None


def test_a_damaged_backup_is_refused_and_nothing_changes(database, backups, store):
    fill(database)
    name = backups.make().name
    before = content(database)
    data = store.read(FOLDER, name)
    store.write(data[:-1] + b"x", FOLDER, name)
    with pytest.raises(StateError, match="damaged"):
        backups.restore(name, {})
    assert content(database) == before


def test_a_restore_that_fails_half_way_changes_nothing(database, backups, monkeypatch):
    fill(database)
    name = backups.make().name
    board = boards.add(database, "me", "after")
    monkeypatch.setattr("pinflow.serving.state.backup._copy", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backups.restore(name, {})
    assert board in boards.all_of(database, "me")


def test_a_backup_while_others_write_is_one_moment(database, backups):
    """A board and its pin are written together: a backup never has one without the other."""
    stop = threading.Event()
    board = boards.add(database, "me", "busy")

    def write():
        number = 0
        while not stop.is_set():
            pair = [PinName(collection="market", id=f"{side}{number}") for side in "ab"]
            boards.collect(database, "me", board.id, pair[:2]) if number < 200 else stop.wait(0.01)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = [backups.make().rows["board_pins"] for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts)


def test_a_purge_is_forgotten_everywhere_it_is_named(database):
    fill(database)
    with database.begin() as connection:
        assert forget(connection, "market", ["gone"]) == 5
    pins, searches, addresses, pairs = content(database)
    assert [(one.collection, one.id) for one in pins] == [("shop", "gone"), ("market", "b")]
    assert [one.query for one in searches] == [{"positive": [{"text": "apples"}]}]
    assert [one.url for one in addresses] == ["/?q=apples"]
    assert [one["pin"] for one in pairs] == ["b"]


def test_backups_hold_no_purged_pin(database, backups, store):
    fill(database)
    held = backups.make()
    with database.begin() as connection:
        forget(connection, "market", ["gone"])
        forget(connection, "shop", ["gone"])
    clean = backups.make()
    assert backups.forget("market", ["gone"]) == [held.name]
    backups.forget("shop", ["gone"])
    assert clean.name in {one.name for one in backups.all()}
    for one in backups.all():
        assert b"gone" not in store.read(FOLDER, one.name)
    backups.restore(backups.all()[-1].name, {})
    assert len(history.latest(database, "me")) == 1


def test_a_backup_from_elsewhere_brings_no_purged_pin_back(database, backups):
    fill(database)
    name = backups.make().name
    backups.restore(name, {"market": ["gone"], "shop": ["gone"]})
    assert [one.id for one in content(database)[0]] == ["b"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("/?collection=market&id=e1%2Fx", True),
        ("/collections/market/pins/e1%2Fx", True),
        ("/?q=about+e1/x", False),
        ("/", False),
    ],
)
def test_addresses_that_lead_to_a_pin(url, told):
    assert leads_to(url, {"e1/x"}) is told

"""Boards, history, saved queries and evaluations, on SQLite and on PostgreSQL alike."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from pinflow.errors import StateError
from pinflow.retrieval.query import Example, Query
from pinflow.serving.state import boards, evaluations, history, saved
from pinflow.serving.state.boards import PinName, TooMany
from pinflow.serving.state.database import Database
from pinflow.serving.state.evaluations import Mark, wilson
from pinflow.serving.state.owners import LOCAL, owner_of
from pinflow.serving.state.saved import ToSave
from pinflow.serving.state.tables import metadata

APPLES = Query(positive=[Example(text="red apples")])
LIKE_A = Query(positive=[Example(id="a")])
HOSTILE = "'); DROP TABLE boards; -- <script>alert(1)</script> \u202e ü"


def pin(id, collection="market"):
    return PinName(collection=collection, id=id)


def test_a_board_collects_pins_of_any_collection_newest_first(database):
    board = boards.add(database, "me", HOSTILE)
    assert boards.collect(database, "me", board.id, [pin("a")])
    assert boards.collect(database, "me", board.id, [pin("b", "shop"), pin("a")])
    assert [(one.collection, one.id) for one in boards.pins(database, "me", board.id)] == [
        ("shop", "b"),
        ("market", "a"),
    ]
    assert boards.all_of(database, "me") == [board.model_copy(update={"pins": 2})]
    assert boards.drop(database, "me", board.id, pin("a"))
    assert not boards.drop(database, "me", board.id, pin("a"))
    assert boards.one(database, "me", board.id).pins == 1


def test_a_board_is_renamed_and_goes_with_all_that_is_on_it(database):
    board, other = boards.add(database, "me", "one"), boards.add(database, "me", "two")
    boards.collect(database, "me", board.id, [pin("a")])
    assert boards.rename(database, "me", board.id, "first")
    assert [one.name for one in boards.all_of(database, "me")] == ["two", "first"]
    assert boards.remove(database, "me", board.id)
    assert not boards.remove(database, "me", board.id)
    assert boards.all_of(database, "me") == [other]
    with database.begin() as connection:
        assert connection.scalar(text("select count(*) from board_pins")) == 0


def test_nobody_sees_or_touches_what_is_another_s(database):
    board = boards.add(database, "me", "mine")
    boards.collect(database, "me", board.id, [pin("a")])
    history.note(database, "me", "market", APPLES)
    kept = saved.add(database, "me", ToSave(name="n", url="/?q=x"))
    evaluations.mark(database, "me", "market", Mark(query=APPLES, pin="a", good=True))
    assert boards.all_of(database, "you") == saved.all_of(database, "you") == []
    assert boards.one(database, "you", board.id) is None
    assert boards.pins(database, "you", board.id) is None
    assert not boards.rename(database, "you", board.id, "x")
    assert not boards.collect(database, "you", board.id, [pin("b")])
    assert not boards.drop(database, "you", board.id, pin("a"))
    assert not boards.remove(database, "you", board.id)
    assert history.latest(database, "you") == []
    assert history.remove(database, "you") == 0
    assert not saved.remove(database, "you", kept.id)
    assert evaluations.numbers(database, "you") == []
    assert not evaluations.unmark(database, "you", "market", APPLES.digest(), "a")
    assert boards.one(database, "me", board.id).pins == 1


def test_a_board_has_an_end(database, monkeypatch):
    monkeypatch.setattr(boards, "MAX_PINS", 3)
    monkeypatch.setattr(boards, "MAX_BOARDS", 1)
    board = boards.add(database, "me", "full")
    boards.collect(database, "me", board.id, [pin("a"), pin("b")])
    with pytest.raises(TooMany, match="at most 3 pins"):
        boards.collect(database, "me", board.id, [pin("c"), pin("d")])
    assert boards.one(database, "me", board.id).pins == 2
    with pytest.raises(TooMany):
        boards.add(database, "me", "more")


def test_the_same_search_stands_once_in_the_history(database):
    history.note(database, "me", "market", APPLES)
    history.note(database, "me", "shop", APPLES)
    history.note(database, "me", "market", LIKE_A)
    history.note(database, "me", "market", APPLES.model_copy(update={"limit": 100}))
    last, *rest = history.latest(database, "me")
    assert (last.collection, last.query, last.times) == ("market", {"positive": [{"text": "red apples"}]}, 2)
    assert [one.times for one in rest] == [1, 1]
    assert [one.collection for one in history.latest(database, "me", collection="shop")] == ["shop"]
    assert len(history.latest(database, "me", limit=2)) == 2
    assert history.remove(database, "me", last.id) == 1
    assert history.remove(database, "me") == 2


def test_the_oldest_searches_go(database, monkeypatch):
    monkeypatch.setattr(history, "KEPT", 3)
    for number in range(5):
        history.note(database, "me", "market", Query(positive=[Example(text=str(number))]))
    history.note(database, "you", "market", APPLES)
    kept = [one.query["positive"][0]["text"] for one in history.latest(database, "me")]
    assert kept == ["4", "3", "2"]
    assert len(history.latest(database, "you")) == 1


def test_pictures_that_were_sent_are_not_kept_but_tell_searches_apart(database):
    for picture in (b"one", b"two", b"one"):
        query = Query(positive=[Example(image=picture), Example(text="blue")])
        history.note(database, "me", "market", query)
    found = history.latest(database, "me")
    assert [(one.uploads, one.times) for one in found] == [(1, 2), (1, 1)]
    assert all(one.query == {"positive": [{"text": "blue"}]} for one in found)


def test_a_saved_query_stands_once(database):
    first = saved.add(database, "me", ToSave(name="old", url="/?q=a"))
    other = saved.add(database, "me", ToSave(name="b", url="/?q=b"))
    again = saved.add(database, "me", ToSave(name="new", url="/?q=a"))
    assert again == first.model_copy(update={"name": "new"})
    assert saved.all_of(database, "me") == [other, again]
    assert saved.remove(database, "me", other.id)
    assert not saved.remove(database, "me", other.id)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "//example.com",
        "/\\example.com",
        "javascript:alert(1)",
        "",
        "/a\nb",
        "/" + "a" * 2000,
    ],
)
def test_an_address_of_elsewhere_is_not_saved(url):
    with pytest.raises(ValidationError):
        ToSave(name="n", url=url)


def test_precision_of_what_was_marked(database):
    for id, good in (("a", True), ("b", True), ("c", False), ("d", True)):
        evaluations.mark(database, "me", "market", Mark(query=APPLES, pin=id, good=good, rank=1))
    evaluations.mark(database, "me", "market", Mark(query=LIKE_A, pin="b", good=False))
    evaluations.mark(database, "me", "shop", Mark(query=LIKE_A, pin="z", good=True))
    market, shop = evaluations.numbers(database, "me")
    assert (market.collection, market.queries, market.good, market.bad) == ("market", 2, 3, 2)
    assert market.precision == pytest.approx(0.6)
    assert market.mean_precision == pytest.approx((0.75 + 0) / 2)
    assert (market.low, market.high) == pytest.approx((0.2307, 0.8824), abs=1e-4)
    assert [one.precision for one in market.by_query] == [0, 0.75]
    assert shop.precision == 1
    assert evaluations.numbers(database, "me", "shop") == [shop]


def test_a_mark_is_changed_and_taken_back(database):
    evaluations.mark(database, "me", "market", Mark(query=APPLES, pin="a", good=True))
    evaluations.mark(database, "me", "market", Mark(query=APPLES, pin="a", good=False))
    assert evaluations.marks(database, "me", "market", APPLES) == {"a": False}
    assert evaluations.unmark(database, "me", "market", APPLES.digest(), "a")
    assert evaluations.numbers(database, "me") == []


def test_marks_become_training_pairs(database):
    both = Query(
        positive=[Example(id="a"), Example(text="red"), Example(image=b"x")], negative=[Example(id="n")]
    )
    evaluations.mark(database, "me", "market", Mark(query=both, pin="b", good=True))
    upload = Query(positive=[Example(image=b"y")])
    evaluations.mark(database, "me", "market", Mark(query=upload, pin="c", good=False))
    found = list(evaluations.pairs(database, "me"))
    assert [(one["anchor"], one["pin"], one["alike"]) for one in found] == [
        ({"id": "a"}, "b", True),
        ({"text": "red"}, "b", True),
    ]
    assert json.loads(json.dumps(found)) == found


def test_wilson_at_the_ends():
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)


def test_one_owner_a_token():
    assert owner_of(None) == LOCAL
    assert owner_of("a") != owner_of("b")
    assert "secret" not in owner_of("secret")


def test_writers_at_once_wait_for_one_another(database):
    board = boards.add(database, "me", "busy")

    def write(start):
        for number in range(start, start + 10):
            boards.collect(database, "me", board.id, [pin(str(number))])
            history.note(database, "me", "market", APPLES)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(0, 80, 10)))
    assert boards.one(database, "me", board.id).pins == 80
    assert history.latest(database, "me")[0].times == 80


def test_the_migrations_make_the_tables_that_the_code_knows(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.begin() as connection:
        options = {
            "version_table": "pinflow_alembic_version",
            "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_servers_that_start_at_once_migrate_in_turn(tmp_path):
    url = f"sqlite:///{tmp_path / 'new' / 'state.db'}"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: boards.all_of(Database(url), "me"), range(4))) == [[]] * 4


def test_a_database_that_cannot_be_used_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(StateError, match="file is not a database"):
        boards.all_of(Database(f"sqlite:///{tmp_path / 'file'}"), "me")
    with pytest.raises(StateError) as told:
        boards.all_of(Database("postgresql://me:secret@127.0.0.1:1/none"), "me")
    assert "secret" not in str(told.value)
    with pytest.raises(StateError, match="not supported"):
        Database("mysql://localhost/x")


def test_a_database_of_a_newer_version_is_left_alone(database):
    boards.add(database, "me", "kept")
    with database.begin() as connection:
        connection.execute(text("update pinflow_alembic_version set version_num = '9999'"))
    newer = Database(database.url.render_as_string(hide_password=False))
    with pytest.raises(StateError, match="newer pinflow"):
        boards.all_of(newer, "me")
    with database.begin() as connection:
        connection.execute(text("update pinflow_alembic_version set version_num = '0001'"))

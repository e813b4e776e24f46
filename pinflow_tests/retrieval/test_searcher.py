"""What a person asks for and gets: by picture, by pin, by words, filtered, page by page."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pinflow.errors import PictureError, SearchError, TrunkError
from pinflow.retrieval import fusion
from pinflow.retrieval.filters import Filters
from pinflow.retrieval.query import Answer, Query
from pinflow.retrieval.searcher import Searcher
from pinflow.tombstones import Tombstone, Tombstones
from pinflow_tests.retrieval.releases import GRID, GridTrunk, drawing, make_pins, write_release

N = 36


def ids(answer):
    return [result.id for result in answer.results]


@pytest.fixture
def ask(searcher):
    return lambda **query: searcher.search(Query.model_validate(query))


def test_a_pin_finds_its_like_but_not_itself(ask):
    answer = ask(positive=[{"id": "red/circle-0"}], limit=5)
    assert "red/circle-0" not in ids(answer)
    assert all(id.startswith("red/") for id in ids(answer))
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True)
    assert [result.rank for result in answer.results] == [1, 2, 3, 4, 5]


def test_the_score_is_the_cosine(searcher, ask):
    best = ask(positive=[{"id": "red/circle-0"}], limit=1).results[0]
    space = searcher.release.shared
    cosine = space.vectors[space.row_of["red/circle-0"]] @ space.vectors[space.row_of[best.id]]
    assert best.score == pytest.approx(float(cosine), abs=1e-5)


def test_a_picture_takes_the_path_of_the_gallery(ask):
    answer = ask(positive=[{"image": drawing("green", "bar", 2)}], limit=3)
    assert ids(answer)[0] == "green/bar-2"
    assert answer.results[0].score == pytest.approx(1.0, abs=1e-5)


def test_a_vector_may_be_given(searcher, ask):
    vector = searcher.release.shared.vectors[7]
    answer = ask(positive=[{"vector": (3 * vector).tolist()}], limit=1)
    assert ids(answer) == [searcher.release.shared.ids[7]]


def test_words_find_only_pins_that_hold_them(ask):
    answer = ask(positive=[{"text": "blue circle"}])
    assert sorted(ids(answer)) == [f"blue/circle-{n}" for n in range(4)]
    assert answer.results[0].score == 1.0


def test_words_and_picture_together(ask):
    answer = ask(positive=[{"text": "square"}, {"id": "green/square-0"}], limit=3)
    assert all(id.startswith("green/square") for id in ids(answer))
    assert all(0 <= result.score <= 1 for result in answer.results)


def test_a_negative_example_pushes_its_like_down(ask):
    plain = ids(ask(positive=[{"text": "circle"}], limit=12))
    away = ids(ask(positive=[{"text": "circle"}], negative=[{"id": "red/square-0"}], limit=12))
    assert sorted(plain) == sorted(away)
    assert all(id.startswith("red/") for id in away[-4:])
    avoided = ids(ask(positive=[{"text": "circle"}], negative=[{"text": "green"}], limit=12))
    assert all(id.startswith("green/") for id in avoided[-4:])


def test_two_positives_meet_in_the_middle(searcher):
    vectors = searcher.release.shared.vectors[:2]
    middle = fusion.rocchio(vectors, vectors[:0])
    assert np.linalg.norm(middle) == pytest.approx(1.0, abs=1e-6)
    assert middle @ vectors[0] == pytest.approx(float(middle @ vectors[1]), abs=1e-5)


def test_without_an_example_the_most_typical_come_first(ask):
    answer = ask(label="red things", limit=200)
    assert len(answer.results) == 12
    assert all(result.label == "red-things" for result in answer.results)


@pytest.mark.parametrize(
    ("wanted", "keeps"),
    [
        ({"labels": ["red-things", "Blue things"]}, lambda p: not p["id"].startswith("green")),
        ({"price_max": 12}, lambda p: p["price"] is not None and p["price"] <= 12),
        ({"price_min": 12, "price_max": 20}, lambda p: p["price"] is not None and 12 <= p["price"] <= 20),
        ({"currency": "eur"}, lambda p: p["currency"] == "EUR"),
        ({"currency": "USD"}, lambda p: False),
        ({"attributes": {"shape": "bar"}}, lambda p: p["attributes"]["shape"] == "bar"),
        (
            {"attributes": {"shape": "bar", "seed": "1"}},
            lambda p: p["attributes"] == {"shape": "bar", "seed": "1"},
        ),
        ({"licence": ["cc0"]}, lambda p: p["licence"] == "cc0"),
        ({"labels": []}, lambda p: False),
        (
            {"label": "red things", "price": {"max": 12}},
            lambda p: p["labels"] == ["red-things"] and p["price"] is not None and p["price"] <= 12,
        ),
        ({"price": {"min": 20, "currency": "EUR"}}, lambda p: p["price"] is not None and p["price"] >= 20),
        ({"licence": "cc0"}, lambda p: p["licence"] == "cc0"),
        (
            {"shape": "bar", "seed": ["1", "2"]},
            lambda p: p["attributes"]["shape"] == "bar" and p["attributes"]["seed"] in "12",
        ),
        ({}, lambda p: True),
    ],
)
@pytest.mark.parametrize("example", [{"id": "red/circle-0"}, {"text": "drawn"}])
def test_a_filter_keeps_all_that_fit_and_nothing_else(ask, wanted, keeps, example):
    fitting = {pin["id"] for pin in make_pins() if keeps(pin)} - {example.get("id")}
    assert set(ids(ask(positive=[example], filter=wanted, limit=200))) == fitting


def test_the_label_of_the_query_is_the_label_shown(tmp_path):
    pins = make_pins(1)
    pins[0]["labels"] = ["blue-things", "red-things"]
    searcher = Searcher.open(write_release(tmp_path, pins=pins), trunk=GridTrunk())
    results = searcher.search(Query(label="red things")).results
    assert {result.label for result in results} == {"red-things"}


@pytest.mark.parametrize("example", [{"id": "red/circle-0"}, {"text": "drawn"}, {"text": "x", "id": None}])
def test_pages_follow_one_another_without_gap_or_repeat(ask, example):
    whole = ids(ask(positive=[example], limit=200))
    query = {"positive": [example], "limit": 7}
    pages, cursor = [], None
    while True:
        answer = ask(**query, cursor=cursor)
        pages += [(result.rank, result.id) for result in answer.results]
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert pages == list(enumerate(whole, 1))


def test_min_score_cuts_the_tail(ask):
    answer = ask(positive=[{"id": "red/circle-0"}], min_score=0.8, limit=200)
    assert answer.results
    assert all(result.score >= 0.8 for result in answer.results)
    assert len(answer.results) < N - 1


def test_the_local_space_searches_within_the_label(searcher, ask):
    answer = ask(positive=[{"id": "red/circle-0"}], space="local", label="red-things", limit=200)
    assert len(answer.results) == 11
    space = searcher.release.local["red-things"]
    cosine = space.vectors[space.row_of["red/circle-0"]] @ space.vectors[space.row_of[ids(answer)[0]]]
    assert answer.results[0].score == pytest.approx(float(cosine), abs=1e-5)
    picture = ask(positive=[{"image": drawing("red", "bar", 1)}], space="local", label="red-things", limit=1)
    assert ids(picture) == ["red/bar-1"]


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ({"positive": [{"id": "nobody"}]}, "positive.id", "no pin 'nobody'"),
        ({"positive": [{"url": "https://example.com/a.jpg"}]}, "positive.url", "must be followed"),
        ({"negative": [{"text": "red"}]}, "positive", "at least one example"),
        ({"label": "red thing"}, "label", "did you mean 'red things'"),
        ({"filter": {"labels": ["nothing like it"]}}, "filter.labels", "no label"),
        ({"filter": {"attributes": {"colour": "red"}}}, "filter.attributes", "there are seed, shape"),
        ({"filter": {"shap": "bar"}}, "filter.attributes", "there are seed, shape"),
        ({"space": "local"}, "space", "name it in `label`"),
        ({"space": "local", "label": "grey-things"}, "space", "no space of its own"),
        (
            {"space": "local", "label": "red-things", "positive": [{"id": "blue/bar-0"}]},
            "positive.id",
            "not under",
        ),
        ({"positive": [{"vector": [1.0, 2.0]}]}, "positive.vector", "has 2 numbers, the space has 48"),
        ({"positive": [{"vector": [0.0] * 48}]}, "positive.vector", "no direction"),
        ({"positive": [{"vector": [float("nan")] * 48}]}, "positive.vector", "no direction"),
        ({"cursor": "garbage"}, "cursor", "not one that this server gave"),
    ],
)
def test_what_cannot_be_answered_names_the_field(ask, query, field, says):
    with pytest.raises(SearchError, match=says) as caught:
        ask(**query)
    assert caught.value.field == field


def test_examples_that_cancel_out_are_refused(ask, searcher):
    vector = searcher.release.shared.vectors[0].astype(float)
    with pytest.raises(SearchError, match="cancel"):
        ask(positive=[{"vector": vector.tolist()}, {"vector": (-vector).tolist()}])


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"positive": [{}]},
        {"positive": [{"text": "a", "id": "b"}]},
        {"filter": {"price_min": 2, "price_max": 1}},
        {"filter": {"price_min": -1}},
        {"filter": {"price": {"above": 3}}},
        {"filter": {"price": {"min": 3}, "price_min": 4}},
        {"filter": {"shape": {"is": "bar"}}},
        {"filter": {"price_min": float("inf")}},
        {"colour": "red"},
        {"space": "elsewhere"},
        {"style": 1.5},
        {"positive": [{"image": "no base64!"}]},
        {"min_score": float("nan")},
        {"positive": [{"text": "a"}] * 51},
    ],
)
def test_a_query_of_the_wrong_shape_is_never_made(query):
    with pytest.raises(ValidationError):
        Query.model_validate(query)


def test_an_unusable_picture_says_why(ask):
    with pytest.raises(PictureError) as caught:
        ask(positive=[{"image": b"<html>"}])
    assert caught.value.reason == "not_a_picture"


def test_a_cursor_belongs_to_its_query_and_its_release(searcher, ask, tmp_path):
    query = {"positive": [{"text": "drawn"}], "limit": 5}
    cursor = ask(**query).next_cursor
    with pytest.raises(SearchError, match="another search"):
        ask(positive=[{"text": "red"}], cursor=cursor)
    other = Searcher.open(write_release(tmp_path, id="r2"), trunk=GridTrunk())
    with pytest.raises(SearchError, match="renewed"):
        other.search(Query.model_validate({**query, "cursor": cursor}))
    assert ask(**{**query, "limit": 9}, cursor=cursor).results[0].rank == 6


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100))
def test_any_cursor_is_answered_or_refused(ask, cursor):
    with pytest.raises(SearchError, match="cursor"):
        ask(positive=[{"text": "drawn"}], cursor=cursor)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.text(max_size=60))
def test_hostile_words_and_ids_are_answered_or_refused(ask, text, id):
    assert len(ask(positive=[{"text": text}]).results) <= 20
    with pytest.raises(SearchError):
        ask(positive=[{"id": "?" + id}])


def test_an_answer_is_its_json(ask):
    answer = ask(positive=[{"id": "red/bar-0"}], limit=2)
    assert Answer.model_validate_json(answer.model_dump_json()) == answer
    result = json.loads(answer.model_dump_json())["results"][0]
    wanted = "id score rank label title page_url image_url thumb_url attributes price licence creator"
    assert set(wanted.split()) <= result.keys()
    assert {"filter", "encode", "text", "knn", "hydrate", "total"} == answer.timings_ms.keys()
    assert answer.release == "r1"


def test_one_pin_in_full(searcher):
    pin = searcher.pin("red/bar-1")
    assert (pin.title, pin.labels, pin.related) == ("Red bar", ["red-things"], ["red/bar-2"])
    webp, digest = searcher.thumbnail("red/bar-1")
    assert webp[8:12] == b"WEBP"
    assert pin.thumb_url == f"/v1/collections/drawings/thumbnails/red%2Fbar-1?v={digest}"
    with pytest.raises(SearchError):
        searcher.pin("red")


def test_the_summary_counts_what_is_there(searcher):
    about = searcher.about()
    assert about["pictures"] == N
    assert about["prices"] == [{"currency": "EUR", "min": 10.0, "max": 23.0, "pictures": 24}]
    assert about["licences"] == ["cc-by", "cc0"]
    assert about["attributes"] == ["seed", "shape"]
    assert set(about["values"]["shape"]) == {"bar", "circle", "square"}
    by_slug = {label["slug"]: label for label in about["labels"]}
    assert by_slug["red-things"]["cover"]["id"].startswith("red/")
    assert by_slug["grey-things"]["cover"] is None
    assert by_slug["grey-things"]["status"] == "incomplete"


def test_the_trunk_is_loaded_at_the_first_picture_and_must_be_the_same(folder):
    loaded = []

    def load(name):
        loaded.append(name)
        return GridTrunk()

    searcher = Searcher.open(folder, load_trunk=load)
    searcher.search(Query.model_validate({"positive": [{"text": "red"}]}))
    assert loaded == []
    for _ in range(2):
        searcher.search(Query.model_validate({"positive": [{"image": drawing("red", "bar")}]}))
    assert loaded == ["grid"]

    class Other(GridTrunk):
        digest = "other"

    with pytest.raises(TrunkError, match="other weights"):
        Searcher.open(folder, trunk=Other())


@pytest.mark.parametrize("width", [GRID * GRID * 3, 0])
def test_an_empty_release_answers_with_nothing(tmp_path, width):
    """Where nothing was ever embedded, not even the width is known."""
    searcher = Searcher.open(write_release(tmp_path, pins=[], width=width), trunk=GridTrunk())
    for positive in ([], [{"text": "red"}], [{"image": drawing("red", "bar")}]):
        answer = searcher.search(Query.model_validate({"positive": positive}))
        assert (answer.results, answer.next_cursor) == ([], None)
    assert searcher.about()["pictures"] == 0


@pytest.mark.parametrize("share", [1.0, 0.6, 0.02])
def test_the_pages_of_a_large_index_fit_together(monkeypatch, share):
    """An approximate search for more finds other rows; what was shown already must not move."""
    from pinflow.retrieval import index as module

    monkeypatch.setattr(module, "FLAT_ROWS", 100)
    monkeypatch.setattr(module, "OVERHEAD_ROWS", 0)
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index, wanted = module.build(vectors), fusion.Wanted(picture=vectors[3])
    allowed = rng.random(2000) < share
    without = np.array([3, 5])
    whole = fusion.rank(index, vectors, wanted, 2000, allowed, without)[1]
    for k in (1, 20, fusion.DEPTH, fusion.DEPTH + 1, 700):
        np.testing.assert_array_equal(fusion.rank(index, vectors, wanted, k, allowed, without)[1], whole[:k])
    assert np.array_equal(np.sort(whole), np.setdiff1d(np.flatnonzero(allowed), without))


def test_the_pages_of_a_ranking_with_ties_fit_together():
    """Words often leave many pins equally relevant: whichever page they fall on, each is on one."""
    from pinflow.retrieval.index import build

    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((300, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = fusion.Wanted(text=rng.integers(0, 4, 300).astype(np.float32) / 3)
    index, allowed = build(vectors), np.ones(300, bool)
    scores, rows = fusion.rank(index, vectors, wanted, 300, allowed)
    assert sorted(zip(-scores, rows, strict=True)) == list(zip(-scores, rows, strict=True))
    for k in range(1, len(rows)):
        np.testing.assert_array_equal(fusion.rank(index, vectors, wanted, k, allowed)[1], rows[:k])


def test_a_filter_is_worked_out_once(folder, monkeypatch):
    searcher, asked = Searcher.open(folder, trunk=GridTrunk()), []
    mask = Filters.mask
    monkeypatch.setattr(Filters, "mask", lambda self, *given: asked.append(given) or mask(self, *given))
    query = {"positive": [{"text": "drawn"}], "filter": {"licence": "cc0"}}
    for more in ({}, {"limit": 5}, {"positive": [{"id": "red/bar-0"}]}):
        searcher.search(Query.model_validate({**query, **more}))
    assert len(asked) == 1
    searcher.without(Tombstones((Tombstone(id="red/bar-1", reason="purged"),))).search(Query(**query))
    assert len(asked) == 2


@pytest.mark.parametrize("n", [0, 30])
def test_ranking_a_large_selection_scores_a_pool_exactly(monkeypatch, n):
    """Above `EXACT_ROWS` not every row is scored; those that are get the same score as ever."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((400, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    text = np.where(rng.random(400) < 0.3, rng.random(400), 0).astype(np.float32)
    wanted = fusion.Wanted(picture=vectors[0], text=text)
    from pinflow.retrieval.index import build

    index, allowed = build(vectors), rng.random(400) < 0.9
    full = fusion.rank(index, vectors, wanted, 20, allowed)
    monkeypatch.setattr(fusion, "EXACT_ROWS", 10)
    monkeypatch.setattr(fusion, "POOL", 400 - n)
    pooled = fusion.rank(index, vectors, wanted, 20, allowed)
    np.testing.assert_array_equal(full[1], pooled[1])
    np.testing.assert_allclose(full[0], pooled[0])


def test_what_is_seen_of_many_pins_is_on_the_scale_of_all(monkeypatch):
    from pinflow.retrieval.index import build
    from pinflow.retrieval.selection import Selection

    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((4000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index, written = build(vectors), np.zeros(4000, np.float32)
    written[7] = 1
    allowed = Selection(rng.random(4000) < 0.5)
    whole = fusion.seen(index, vectors, vectors[0], written, allowed)
    monkeypatch.setattr(fusion, "EXACT_ROWS", 10)
    monkeypatch.setattr(fusion, "POOL", 500)
    part = fusion.seen(index, vectors, vectors[0], written, allowed)
    looked_at = np.flatnonzero(part)
    assert set(np.argsort(-np.where(allowed.mask, whole, 0))[:500]) == set(looked_at) - {7}
    np.testing.assert_allclose(part[looked_at], whole[looked_at], atol=0.02)

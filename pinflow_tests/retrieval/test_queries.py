"""What a person combines: several moods, variety, and "like this, but blue"."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pinflow.errors import CorruptError, SearchError
from pinflow.retrieval.query import Query
from pinflow.retrieval.searcher import Searcher
from pinflow_tests.retrieval.releases import GridTrunk, drawing, write_info, write_release


def found(searcher: Searcher, **query) -> list[str]:
    return [one.id for one in searcher.search(Query.model_validate(query)).results]


def colours(ids: list[str]) -> list[str]:
    return [one.split("/")[0] for one in ids]


@pytest.mark.parametrize(
    ("colour", "wanted"),
    [("#3366ff", "blue"), ("rgb(50, 80, 220)", "blue"), ("crimson", "red"), ("#28AA3C", "green")],
)
def test_like_this_but_in_another_colour(searcher, colour, wanted):
    answer = found(searcher, positive=[{"id": "green/circle-0"}], filter={"colour": colour}, limit=12)
    assert set(colours(answer)) == {wanted}
    assert len(answer) == 12 - (wanted == "green")


def test_how_near_a_colour_must_be_can_be_said(searcher):
    query = {"positive": [{"text": "drawn"}], "limit": 100}
    assert found(searcher, **query, filter={"colour": "navy", "colour_within": 1}) == []
    assert len(found(searcher, **query, filter={"colour": "navy", "colour_within": 200})) == 36
    assert len(found(searcher, **query, filter={"colour": "white"})) == 36  # the paper


def test_a_colour_goes_with_other_filters(searcher):
    both = {"colour": "#3250dc", "shape": "bar", "licence": "cc0"}
    assert found(searcher, filter=both) == found(searcher, filter={**both, "label": "blue things"})
    assert len(found(searcher, filter=both)) == 2


@pytest.mark.parametrize("colour", ["blu", "#12", "rgb(1,2)"])
def test_what_is_no_colour_is_refused(colour):
    with pytest.raises(ValueError, match="color"):
        Query.model_validate({"filter": {"colour": colour}})


def test_a_release_without_colours_says_so_and_one_with_others_is_corrupt(tmp_path):
    folder = write_release(tmp_path)
    info = json.loads((folder / "release.json").read_text())
    table = pq.read_table(folder / "colours.parquet")
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), folder / "colours.parquet")
    write_info(folder, info)
    with pytest.raises(CorruptError, match=r"other pictures than pins\.parquet"):
        Searcher.open(folder)
    (folder / "colours.parquet").unlink()
    write_info(folder, info)
    with pytest.raises(SearchError, match="has no colours yet"):
        found(Searcher.open(folder), filter={"colour": "red"})


def test_moods_take_turns(searcher):
    moods = [{"id": "red/circle-0"}, {"text": "green bar"}, {"image": drawing("blue", "square", 9)}]
    mixed = found(searcher, positive=moods, mix="interleave", limit=9)
    alone = [found(searcher, positive=[mood], limit=3) for mood in moods]
    assert mixed == [each[place] for place in range(3) for each in alone]
    assert mixed != found(searcher, positive=moods, limit=9)


def test_a_negative_holds_for_every_mood(searcher):
    moods = {"positive": [{"text": "circle"}, {"text": "square"}], "mix": "interleave", "limit": 30}
    away = found(searcher, **moods, negative=[{"text": "green"}])
    assert sorted(away) == sorted(found(searcher, **moods))
    assert set(colours(away[:16])) == {"red", "blue"}
    assert set(colours(away[16:])) == {"green"}


def test_variety_brings_other_kinds_to_the_first_page(searcher):
    query = {"positive": [{"id": "red/circle-0"}], "limit": 4}
    plain, varied = found(searcher, **query), found(searcher, **query, diversity=0.6)
    assert varied[0] == plain[0]
    vectors, row_of = searcher.release.shared.vectors, searcher.release.shared.row_of

    def likeness(ids: list[str]) -> float:
        rows = vectors[[row_of[one] for one in ids]]
        return float((rows @ rows.T)[~np.eye(len(ids), dtype=bool)].mean())

    assert likeness(varied) < likeness(plain) - 0.05
    assert sorted(found(searcher, **query | {"limit": 100})) == sorted(
        found(searcher, **query | {"limit": 100}, diversity=0.6)
    )


@pytest.mark.parametrize(
    "more",
    [
        {"diversity": 0.7},
        {"mix": "interleave"},
        {"mix": "interleave", "diversity": 0.3, "min_score": 0.2},
        {"filter": {"colour": "red"}, "negative": [{"id": "blue/bar-1"}]},
    ],
)
def test_the_pages_of_every_combination_fit_together(searcher, more):
    query = {"positive": [{"id": "red/circle-0"}, {"id": "green/bar-2"}], **more}
    whole, pages, cursor = found(searcher, **query, limit=200), [], None
    while True:
        answer = searcher.search(Query.model_validate({**query, "limit": 5, "cursor": cursor}))
        pages += [one.id for one in answer.results]
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert pages == whole
    assert len(set(whole)) == len(whole) > 5


def test_an_empty_release_has_no_moods(tmp_path):
    searcher = Searcher.open(write_release(tmp_path, pins=[], width=0), trunk=GridTrunk())
    moods = [{"text": "a"}, {"image": drawing("red", "bar")}]
    assert found(searcher, positive=moods, mix="interleave", diversity=0.5) == []

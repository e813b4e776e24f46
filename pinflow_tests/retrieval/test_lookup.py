"""Looking a picture up: attributes by the votes of its neighbours, with evidence, or a reason why not."""

import io

import numpy as np
import pytest
from PIL import Image

from pinflow.errors import CorruptError, SearchError
from pinflow.retrieval.lookup import LookUp, look_up
from pinflow.retrieval.query import Example, Filter
from pinflow.retrieval.release import Release
from pinflow.retrieval.searcher import Searcher
from pinflow.tombstones import Tombstone, Tombstones
from pinflow_tests.retrieval.releases import GridTrunk, drawing, write_info, write_release
from pinflow_tests.retrieval.voted import write_voted


@pytest.fixture(scope="module")
def searcher(tmp_path_factory):
    return Searcher.open(write_voted(tmp_path_factory.mktemp("voted")), trunk=GridTrunk())


def asked(searcher, **options):
    positive = options.pop("positive", [Example(image=drawing("red", "circle", 77))])
    found = look_up(searcher, LookUp(positive=positive, **options))
    return {one.attribute: one for one in found.attributes}


def test_a_picture_gets_the_value_of_its_neighbours_and_a_confidence(searcher):
    school = asked(searcher)["school"]
    assert school.value == "red school"
    assert 0.5 < school.confidence <= 1
    assert school.ranked[0].value == "red school"
    assert sum(one.share for one in school.ranked) == pytest.approx(1)


def test_the_label_is_voted_on_too(searcher):
    assert asked(searcher)["label"].value == "red-things"


def test_years_are_an_interval_around_those_of_the_neighbours(searcher):
    year = asked(searcher, attributes=["year"])["year"]
    assert year.low <= float(year.value) <= year.high
    assert 1480 < year.low < year.high < 1540
    assert year.confidence == 0.8
    assert year.evidence[0].value.endswith("10") or " to " in year.evidence[0].value


def test_evidence_is_the_voters_with_what_they_say_nearest_first(searcher):
    school = asked(searcher, evidence=4)["school"]
    assert len(school.evidence) == 4
    assert [one.score for one in school.evidence] == sorted((o.score for o in school.evidence), reverse=True)
    assert all(one.value == f"{one.id.split('/')[0]} school" for one in school.evidence)
    assert 0 < sum(one.weight for one in school.evidence) <= 1 + 1e-9
    assert school.evidence[0].thumb_url.startswith("/v1/collections/drawings/thumbnails/")


def test_how_the_votes_did_on_held_out_pictures_is_told(searcher):
    told = asked(searcher)["school"].calibration
    assert told["accuracy"]["value"] > told["majority"]
    assert 0 <= told["ece"]["value"] <= 1


def test_a_stranger_gets_a_reason_instead_of_a_value(searcher):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8) // 255 * 255
    dark = np.zeros_like(noise)
    dark[::2] = (255, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(dark).save(buffer, "PNG")
    school = asked(searcher, positive=[Example(image=buffer.getvalue())])["school"]
    assert school.value is None
    assert "nothing here is like it" in school.why_not


def test_too_few_voters_are_thin_evidence(searcher):
    few = Filter(attributes={"shape": "bar", "seed": "1"}, labels=["red things"])
    school = asked(searcher, filter=few)["school"]
    assert school.value is None
    assert "only 1 pictures" in school.why_not


def test_a_pin_does_not_vote_for_itself(searcher):
    found = asked(searcher, positive=[Example(id="red/circle-0")], evidence=50)["school"]
    assert "red/circle-0" not in {one.id for one in found.evidence}


def test_removed_pins_do_not_vote(searcher):
    first = asked(searcher)["school"].evidence[0].id
    without = searcher.without(Tombstones((Tombstone(id=first, reason="purged"),)))
    assert first not in {one.id for one in asked(without, evidence=50)["school"].evidence}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"positive": []}, "positive"),
        ({"positive": [Example(text="red")]}, "positive"),
        ({"positive": [Example(id="nobody")]}, "positive.id"),
        ({"attributes": ["shcool"]}, "attributes"),
        ({"filter": Filter(labels=["mauve things"])}, "filter.labels"),
    ],
)
def test_what_cannot_be_asked_names_its_field(searcher, options, field):
    with pytest.raises(SearchError) as failed:
        asked(searcher, **options)
    assert failed.value.field == field


def test_a_misspelt_attribute_names_the_nearest(searcher):
    with pytest.raises(SearchError, match="did you mean 'school'"):
        asked(searcher, attributes=["shcool"])


def test_a_release_of_an_older_pinflow_looks_nothing_up(tmp_path):
    searcher = Searcher.open(write_release(tmp_path), trunk=GridTrunk())
    assert asked(searcher) == {}


def test_a_damaged_calibration_is_refused(tmp_path):
    write_release(tmp_path)
    release = Release.open(tmp_path)
    (tmp_path / "lookup.json").write_text('{"school": {"kind": "facet"}}')
    write_info(tmp_path, release.info)
    with pytest.raises(CorruptError):
        Release.open(tmp_path)

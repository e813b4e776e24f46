"""What a collection declares to belong together, and batches of any mixture of it."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.errors import PinflowError
from pinflow.learning import splits
from pinflow.learning.dataset import Dataset, join
from pinflow.learning.positives import SOURCES, Positives, described
from pinflow.learning.sampler import batches
from pinflow_tests.learning.conftest import features, pictures

# Six paintings; the last has no style, and the first two are the same picture saved twice.
STYLES = {"a": "baroque", "b": "cubist", "c": "baroque", "d": "cubist", "e": "baroque"}
SCHOOLS = {"a": "dutch", "b": "dutch", "c": "dutch", "d": "french", "e": "french", "f": "french"}
IDS = "abcdef"


def paintings() -> Dataset:
    own = {i: {"school": SCHOOLS[i]} | ({"style": STYLES[i]} if i in STYLES else {}) for i in IDS}
    table = pictures(list(IDS), attributes=own, related={"a": ["f"]}, phash={"a": 1, "b": 3})
    vectors = np.random.default_rng(0).normal(size=(6, 8))
    return join(features(list(IDS), vectors), splits.assign(table, "art"))


def partners(positives: Positives, one: str) -> str:
    data, all_rows = paintings(), np.arange(6)
    of = {
        sha256: i
        for i, sha256 in zip(IDS, (features(list(IDS), np.eye(6))["sha256"]).to_pylist(), strict=True)
    }
    names = [of[sha256] for sha256 in data.sha256.tolist()]
    mask = positives.of(data, all_rows).mask(all_rows, all_rows)
    return "".join(sorted(names[j] for j in np.flatnonzero(mask[names.index(one)]) if names[j] != one))


@pytest.mark.parametrize(
    ("by", "match", "one", "found"),
    [
        (("attributes",), "all", "a", "bc"),  # same school and style; b is its near-duplicate
        (("attributes",), "all", "e", ""),
        (("attributes",), "all", "f", ""),  # what has no style shares none
        (("attributes",), "any", "a", "bce"),
        (("attributes",), "any", "f", "de"),
        (("related",), "all", "f", "a"),
        (("related",), "all", "c", ""),
        (("related",), "all", "b", "a"),
        (("related", "attributes"), "all", "f", "a"),
        (("label",), "all", "c", "abdef"),
    ],
)
def test_what_belongs_together(by: tuple[str, ...], match: str, one: str, found: str) -> None:
    assert partners(Positives(by, ("school", "style"), match), one) == found  # type: ignore[arg-type]


def test_sets_and_groupings_follow_the_declaration() -> None:
    data, rows = paintings(), np.arange(6)
    ideal = Positives(("attributes",), ("school", "style")).of(data, rows)
    assert [len(one) for one in ideal.sets()] == [2]
    loose = Positives(("attributes",), ("school", "style"), "any").of(data, rows)
    assert sorted(len(one) for one in loose.sets()) == [2, 3, 3, 3]
    assert len(loose.groupings) == 2
    assert len(Positives(("clusters",)).of(data, rows).groupings) == 1


@pytest.mark.parametrize(
    ("by", "attributes", "says"),
    [
        (["attributes"], [], "names no column"),
        (["captions"], [], "alone tunes no pictures"),
        ([], [], "add one of"),
    ],
)
def test_declarations_that_say_nothing_are_refused(by: list[str], attributes: list[str], says: str) -> None:
    with pytest.raises(PinflowError, match=says):
        described(by, attributes, "all")


def test_an_attribute_that_no_picture_has_is_named() -> None:
    with pytest.raises(PinflowError, match="'period'; what the source gives: school, style"):
        Positives(("attributes",), ("period",)).of(paintings(), np.arange(6))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_mixture_of_few_pictures_gives_batches(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    by = data.draw(
        st.lists(st.sampled_from([s for s in SOURCES if s != "captions"]), min_size=1, unique=True)
    )
    match = data.draw(st.sampled_from(["any", "all"]))
    rows = np.array(sorted(data.draw(st.permutations(range(6)))[:n]), dtype=np.int64)
    alike = Positives(tuple(by), ("school", "style"), match).of(paintings(), rows)
    size = data.draw(st.integers(1, 8))
    feed = batches(alike.groupings, np.random.default_rng(0), size=size, partners=alike.pairs)
    for batch in islice(feed, 4):
        assert 1 <= len(set(batch.tolist())) == len(batch) <= size
        mask = alike.mask(batch, batch)
        assert mask.shape == (len(batch), len(batch))
        np.testing.assert_array_equal(mask, mask.T)


def test_a_mixture_takes_its_groupings_in_turn() -> None:
    one, two = np.repeat([0, 1], 10), np.tile([0, 1], 10)
    feed = batches([one, np.where(two == 0, -1, two)], np.random.default_rng(0), size=4, per_class=4)
    first, second = next(feed), next(feed)
    assert len(set(one[first].tolist())) == 1
    assert set(two[second].tolist()) == {1}

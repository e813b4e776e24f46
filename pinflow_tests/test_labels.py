"""From what a person writes to a partition key, and lists of labels."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import LabelError
from pinflow.labels import SLUG, SLUG_LENGTH, normalise, parse_list, slug, slugs


def usable(query: str) -> bool:
    try:
        slug(query)
    except LabelError:
        return False
    return True


anything = st.text(st.characters(), max_size=80)
# Few letters, so that many queries share a slug; and all of Unicode.
alike = st.text("aAb é&,-", max_size=6).map(lambda text: "a" + text)
wild = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=80).map(lambda text: "x" + text)
queries = st.one_of(alike, wild).filter(usable)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("red sneakers", "red-sneakers"),
        ("  Red \t Sneakers\n", "red-sneakers"),
        ("Café crème", "cafe-creme"),
        ("Straßenbahn", "strassenbahn"),
        ("красные кроссовки", "krasnye-krossovki"),
        ("R&B / Soul", "r-b-soul"),
        ("100% cotton", "100-cotton"),
        ("--a--", "a"),
        ("x" * 80, "x" * 60),
        ("a" * 59 + " bcd", "a" * 59),
    ],
)
def test_a_slug_is_lower_case_ascii_words_joined_by_dashes(query, expected):
    assert slug(query) == expected


@pytest.mark.parametrize(
    "query", ["赤いスニーカー", "빨간 운동화", "أحذية حمراء", "κόκκινα", "लाल जूते", "สีแดง", "👟"]
)
def test_every_script_gets_a_slug(query):
    assert SLUG.match(slug(query))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "empty"),
        (" \t\n ", "empty"),
        ("../../x", "path"),
        ("..", "path"),
        ("..\\..\\x", "path"),
        ("/etc/passwd", "path"),
        ("a/../b", "path"),
        ("!!!", "no letter or digit"),
        ("red\x00sneakers", "control"),
        ("red\x1b[31m", "control"),
        ("red\x7f", "control"),
        ("red\x9b31m", "control"),
        ("half \ud800", "broken text"),
        ("x" * 501, "at most 500"),
    ],
)
def test_what_cannot_be_a_label_is_refused_with_the_reason(query, why):
    with pytest.raises(LabelError, match=why):
        slug(query)


@given(anything)
def test_a_slug_can_always_be_a_partition_key_and_a_folder(query):
    if usable(query):
        key = slug(query)
        assert SLUG.match(key)
        assert len(key) <= SLUG_LENGTH
        assert slug(key) == key
        normalise(query).encode()  # it can be written down


@given(st.lists(queries, max_size=12))
def test_every_query_gets_a_slug_of_its_own(written):
    given_out = slugs(written)
    assert len(given_out) == len({normalise(query).casefold() for query in written})
    assert all(SLUG.match(key) for key in given_out)


@given(st.lists(queries, max_size=6), st.lists(queries, max_size=6))
def test_slugs_never_change_as_labels_are_added(first, later):
    taken = slugs(first)
    fresh = slugs([*later, *first], taken)
    assert not fresh.keys() & taken.keys()
    assert slugs([*first, *later], taken | fresh) == {}


def test_two_queries_with_one_slug_get_a_short_hash_that_stays():
    first = slugs(["red sneakers", "red-sneakers!", "red, sneakers"])
    assert first.pop("red-sneakers") == "red sneakers"
    assert all(re.fullmatch(r"red-sneakers-[0-9a-f]{6}", key) for key in first)
    taken = {"red-sneakers": "red sneakers"}
    assert slugs(["red, sneakers", "red-sneakers!"], taken) == first


def test_a_long_slug_leaves_room_for_its_hash():
    a, b = slugs(["x" * 70, "x" * 71])
    assert a == "x" * 60
    assert len(b) == 60
    assert re.fullmatch(r"x{53}-[0-9a-f]{6}", b)


def test_a_hash_that_is_taken_too_grows():
    hashed = next(iter(slugs(["red, sneakers"], {"red-sneakers": "red sneakers"})))
    (longer,) = slugs(["red, sneakers"], {"red-sneakers": "red sneakers", hashed: hashed.replace("-", " ")})
    assert longer.startswith(hashed)
    assert longer != hashed


@pytest.mark.parametrize("same", ["Red Sneakers", " red  sneakers ", "RED SNEAKERS"])
def test_case_and_white_space_make_no_second_label(same):
    assert slugs(["red sneakers", same]) == {"red-sneakers": "red sneakers"}


def test_composed_and_decomposed_accents_are_one_label():
    assert slugs(["caf\u00e9", "cafe\u0301"]) == {"cafe": "caf\u00e9"}


TEXT = "# shoes\nred sneakers\n\n../../x\n  blue boots  \n!!!\n"
CSV = 'id,label\n1,red sneakers\n\n2,../../x\n3,"boots, blue"\n4\n'
YAML = "labels:\n  - red sneakers\n  - ../../x\n  - 2024\n  - yes\n  - [a]\n  - null\n"


@pytest.mark.parametrize(
    ("suffix", "text", "good", "bad_lines"),
    [
        (".txt", TEXT, ["red sneakers", "blue boots"], [4, 6]),
        (".csv", CSV, ["red sneakers", "boots, blue"], [4, 6]),
        (".csv", "red sneakers,1\nblue boots,2\n", ["red sneakers", "blue boots"], []),
        (".yaml", YAML, ["red sneakers", "2024"], [2, 4, 5, 6]),
        (".yml", "- a\n- b\n", ["a", "b"], []),
        (".txt", "", [], []),
        (".csv", "", [], []),
        (".yaml", "", [], []),
    ],
)
def test_a_list_gives_its_good_lines_and_the_numbers_of_the_bad_ones(suffix, text, good, bad_lines):
    found, bad = parse_list(text, suffix)
    assert found == good
    assert [line.line for line in bad] == bad_lines
    assert all(line.reason for line in bad)


@pytest.mark.parametrize(
    ("suffix", "text", "reason"),
    [
        (".xlsx", "anything", "is .txt, .csv or .yaml"),
        (".yaml", "a: [", "not YAML"),
        (".yaml", "labels: red", "expected a list"),
        (".csv", "x" * 200_000, "not CSV"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(suffix, text, reason):
    good, (bad,) = parse_list(text, suffix)
    assert good == []
    assert reason in bad.reason


def test_yaml_that_took_a_label_for_something_else_says_to_quote_it():
    _, (bad,) = parse_list("- no\n", ".yaml")
    assert "quotes" in bad.reason


@given(anything, st.sampled_from([".txt", ".csv", ".yaml"]))
def test_no_list_whatsoever_raises(text, suffix):
    good, _ = parse_list(text, suffix)
    assert all(usable(label) for label in good)

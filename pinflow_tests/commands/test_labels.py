"""`pinflow labels add|list|remove`."""

import json


def test_an_added_label_is_listed_and_can_be_removed_by_query(pinflow, released):
    assert pinflow("labels", "add", "shapes", "Blue Æther").out == "blue-aether\tBlue Æther\n"
    listed = pinflow("labels", "list", "shapes").out.splitlines()
    assert "blue-aether\tBlue Æther\tnot scraped\t0\t" in listed
    assert pinflow("labels", "remove", "shapes", "blue æther").out == "blue-aether\tremoved\n"
    assert "blue-aether" not in pinflow("labels", "list", "shapes").out


def test_the_list_as_json_says_how_each_label_stands(pinflow, released):
    said = pinflow("labels", "list", "shapes", "--json")

    assert said.code == 0
    assert {row["slug"]: row for row in json.loads(said.out)}["plain-red"] == {
        "slug": "plain-red",
        "query": "plain red",
        "status": "complete",
        "reason": None,
        "pictures": 6,
    }


def test_adding_a_label_twice_adds_nothing(pinflow, released):
    said = pinflow("labels", "add", "shapes", "plain red")

    assert (said.code, said.out) == (0, "")


def test_a_label_that_is_a_path_is_refused_and_none_of_the_others_added(pinflow, released):
    said = pinflow("labels", "add", "shapes", "fine", "../../x")

    assert said.code == 2
    assert "'../../x' looks like a path" in said.err
    assert "fine" not in pinflow("labels", "list", "shapes").out


def test_removing_an_unknown_label_names_the_known_ones(pinflow, released):
    said = pinflow("labels", "remove", "shapes", "plain blue")

    assert said.code == 2
    assert "no label 'plain blue'; it has: plain-green, plain-red" in said.err

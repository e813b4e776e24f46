"""Labels as the store knows them, on a disk and on S3."""

from __future__ import annotations

import json

import pytest

from pinflow import registry
from pinflow.errors import CorruptError, LabelError
from pinflow.store import Store


def test_a_label_is_one_small_file_with_its_raw_query(store: Store):
    registry.add(store, "shop", ["Red  Sneakers"], source="shoes.txt")
    content = json.loads(store.read("shop", "labels", "red-sneakers.json"))
    assert content["query"] == "Red Sneakers"
    assert content["source"] == "shoes.txt"
    assert content["removed"] is None
    assert content["added"].endswith("+00:00")


def test_labels_are_found_by_slug(store: Store):
    registry.add(store, "shop", ["red shoes", "blue shoes"], source="a")
    assert set(registry.live(store, "shop")) == {"red-shoes", "blue-shoes"}
    assert registry.find(store, "shop", "red-shoes") == registry.live(store, "shop")["red-shoes"]
    assert registry.find(store, "shop", "green-shoes") is None
    assert registry.live(store, "market") == {}


def test_adding_again_changes_nothing(store: Store):
    first = registry.add(store, "shop", ["red shoes"], source="a")
    assert registry.add(store, "shop", ["RED shoes", " red  shoes "], source="b") == []
    assert registry.live(store, "shop") == {"red-shoes": first[0]}


def test_two_labels_with_one_slug_are_two_labels_whose_slugs_never_change(store: Store):
    registry.add(store, "shop", ["cafe", "café", "Café!"], source="a")
    before = {slug: label.query for slug, label in registry.live(store, "shop").items()}
    assert len(before) == 3
    assert before["cafe"] == "cafe"
    registry.add(store, "shop", ["Café!", "café", "cafe"], source="b")
    assert {slug: label.query for slug, label in registry.live(store, "shop").items()} == before


def test_a_removed_label_is_marked_not_deleted(store: Store):
    registry.add(store, "shop", ["red shoes", "blue shoes"], source="a")
    (gone,) = registry.remove(store, "shop", ["Blue Shoes"])
    assert gone.removed
    assert set(registry.live(store, "shop")) == {"red-shoes"}
    assert set(registry.everything(store, "shop")) == {"red-shoes", "blue-shoes"}


def test_a_removed_label_comes_back_under_its_slug_when_a_person_adds_it(store: Store):
    registry.add(store, "shop", ["red shoes"], source="a")
    registry.remove(store, "shop", ["red-shoes"])
    (back,) = registry.add(store, "shop", ["red shoes"], source="b")
    assert (back.slug, back.removed) == ("red-shoes", None)
    assert set(registry.live(store, "shop")) == {"red-shoes"}


def test_removing_an_unknown_label_names_those_that_there_are(store: Store):
    registry.add(store, "shop", ["red shoes"], source="a")
    with pytest.raises(LabelError, match="no label 'green'; it has: red-shoes"):
        registry.remove(store, "shop", ["green"])
    assert set(registry.live(store, "shop")) == {"red-shoes"}


def test_a_damaged_label_file_is_named_with_what_to_do(store: Store):
    for damage in [b"", b"{", b"[]", b"{}", b"\xff", b'{"slug": "red-shoes"}']:
        registry.add(store, "shop", ["red shoes"], source="a")
        store.write(damage, "shop", "labels", "red-shoes.json")
        for look in (registry.live, lambda *place: registry.find(*place, "red-shoes")):
            with pytest.raises(
                CorruptError, match=r"shop/labels/red-shoes\.json is damaged .*add the label again"
            ):
                look(store, "shop")
        store.delete("shop", "labels", "red-shoes.json")
        registry.add(store, "shop", ["red shoes"], source="a")
        assert set(registry.live(store, "shop")) == {"red-shoes"}


def test_another_process_sees_the_change_at_once(url: str):
    mine, theirs = Store(url), Store(url)
    registry.add(mine, "shop", ["red shoes"], source="a")
    assert set(registry.live(theirs, "shop")) == {"red-shoes"}
    registry.remove(theirs, "shop", ["red-shoes"])
    assert registry.live(mine, "shop") == {}


def test_a_thousand_labels_are_added_and_read(store: Store):
    queries = [f"label {n}" for n in range(1000 if "://" not in store.url else 100)]
    assert len(registry.add(store, "shop", queries, source="a")) == len(queries)
    assert len(registry.live(store, "shop")) == len(queries)

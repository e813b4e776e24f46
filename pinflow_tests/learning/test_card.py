"""The model card: figures with their intervals, licences counted, and nothing that breaks its tables."""

from __future__ import annotations

from pinflow.learning.card import model_card

FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 12}
ABOUT = {
    "description": "Shoes of all kinds",
    "encoder": {
        "trunk": "tf_efficientnet_lite0",
        "trunk_digest": "ab" * 32,
        "kind": "affine",
        "digest": "cd" * 32,
    },
    "labels": {
        "red-shoes": {"query": "red | shoes", "pictures": 7, "status": "complete"},
        "boots": {"query": "boots", "pictures": 0, "status": "incomplete"},
    },
    "figures": {
        "frozen": {"recall@1": {**FIGURE, "value": 0.4}},
        "candidate": {"recall@1": {**FIGURE, "value": None, "low": None, "high": None}},
        "served": {"recall@1": FIGURE},
    },
    "queries": 12,
    "why": "the gain is above zero",
}


def card() -> str:
    return model_card(
        "shoes", ABOUT, licences=["cc0", None, "cc0", ""], splits=["train", "train", "val", "test"]
    )


def test_figures_stand_with_their_intervals_for_every_space() -> None:
    assert "| served | 0.500 [0.250, 0.750] |" in card()
    assert "| frozen | 0.400 [0.250, 0.750] |" in card()
    assert "| candidate | - |" in card()
    assert "12 queries" in card()


def test_licences_and_splits_are_counted_and_a_missing_licence_is_said() -> None:
    assert "| cc0 | 2 |" in card()
    assert "| not stated | 2 |" in card()
    assert "| train | 2 |" in card()


def test_a_label_cannot_break_the_table() -> None:
    assert "| red-shoes | red \\| shoes | 7 | complete |" in card()


def test_without_figures_it_says_that_there_are_none() -> None:
    assert "Nothing yet" in model_card("shoes", {**ABOUT, "figures": {}}, licences=[])


def test_words_and_tags_stand_beside_search_by_picture() -> None:
    recall = {"recall@1": {}, "recall@10": {"value": 0.75, "low": 0.5, "high": 1.0}}
    chance = {"recall@10": {"value": 0.1, "low": None, "high": None}}
    words = {"why": "it helps", "figures": {"unwritten": {"chance": chance, "served": recall}}}
    tags = {"why": "2 tags", "figures": {"ece": {"value": 0.04, "low": 0.02, "high": 0.06}}}
    card = model_card("pets", ABOUT | {"words": words, "tags": tags}, licences=[])
    assert "| unwritten | 0.100 | 0.750 [0.500, 1.000] |" in card
    assert "| ece | 0.040 [0.020, 0.060] |" in card
    none = {"why": "0 training pictures have words", "figures": {}}
    assert "Search by words: 0 training pictures have words." in model_card(
        "pets", ABOUT | {"words": none}, licences=[]
    )

"""Words find pins whatever their case and accents, and no string breaks the search."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.retrieval.captions import Captions

ROWS = [
    ("Red sneakers", ["shoes"], "A pair in red leather"),
    ("Blue sneakers", ["shoes"], None),
    ("Café crème", ["drinks"], "Served hot"),
    (None, ["marine-fish"], "A red snapper"),
    ("Catalogue", [], "cat"),
    ("Cat", [], None),
]


@pytest.fixture(scope="module")
def captions() -> Captions:
    titles, labels, texts = (list(column) for column in zip(*ROWS, strict=True))
    table = pa.table(
        {
            "title": pa.array(titles, pa.string()),
            "labels": pa.array(labels, pa.list_(pa.string())),
            "caption": pa.array(texts, pa.string()),
        }
    )
    return Captions(table, {"marine-fish": "Marine Fish"})


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("sneakers", {0, 1}),
        ("RED sneakers", {0}),  # every word, where a pin has them all
        ("red helicopter", {0, 3}),  # else any
        ("cafe", {2}),
        ("CRÈME", {2}),
        ("sneak", {0, 1}),  # the beginning of a word
        ("marine fish", {3}),  # a label by its query
        ("snea-kers", {0, 1}),
        ("helicopter", set()),
        ("", set()),
        ("  !? ", set()),
        ("hot NOT served", {2}),  # operators are words
        ('"red" AND *', {0, 3}),
    ],
)
def test_words_find_rows(captions, text, rows):
    assert set(captions.search(text)[1].tolist()) == rows


def test_the_best_hit_scores_one_and_the_rest_less(captions):
    scores, rows = captions.search("red")
    assert scores[0] == 1.0
    assert (np.diff(scores) <= 0).all()
    assert rows[0] == 0  # in title and caption


def test_a_whole_word_beats_a_longer_one_in_the_same_place(captions):
    assert captions.search("cat")[1][0] == 5


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet='"*()^:-+{}AND ORNOTEAR_\\%;\x00'), st.just("a " * 5000)))
def test_any_string_is_safe(captions, text):
    scores, rows = captions.search(text)
    assert len(scores) == len(rows)
    assert ((scores > 0) & (scores <= 1)).all()


def test_an_empty_table_finds_nothing():
    table = pa.table(
        {
            "title": pa.array([], pa.string()),
            "labels": pa.array([], pa.list_(pa.string())),
            "caption": pa.array([], pa.string()),
        }
    )
    assert len(Captions(table).search("red")[1]) == 0

"""Which attributes can be voted on, and as what."""

import numpy as np
import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.retrieval.attributes import Facet, Span, attributes, listings


def pins(rows):
    """RELEASE_PINS of (labels, attributes) pairs."""
    empty = dict.fromkeys(schema.RELEASE_PINS.names)
    made = [
        {
            **empty,
            "id": str(number),
            "labels": labels,
            "attributes": list(given.items()),
            "related": [],
            "sha256": "",
            "width": 1,
            "height": 1,
        }
        for number, (labels, given) in enumerate(rows)
    ]
    return pa.Table.from_pylist(made, schema=schema.RELEASE_PINS)


def test_what_many_pictures_share_is_a_facet_and_what_each_has_alone_is_not():
    found = attributes(
        pins([(["a"], {"school": f"s{i % 3}", "sku": f"x{i}", "constant": "same"}) for i in range(30)])
    )
    assert set(found) == {"school", "label"}
    school = found["school"]
    assert isinstance(school, Facet)
    assert [school.values[code] for code in school.codes[:4]] == ["s0", "s1", "s2", "s0"]


def test_a_picture_without_a_value_has_no_code():
    rows = [(["a"], {"school": f"s{i % 2}"} if i else {}) for i in range(30)]
    assert attributes(pins(rows))["school"].codes[0] == -1


def test_too_few_values_say_nothing_about_others():
    rows = [(["a"], {"school": f"s{i % 2}"} if i < 19 else {}) for i in range(40)]
    assert "school" not in attributes(pins(rows))


def test_the_first_label_is_a_facet_however_few_there_are():
    label = attributes(pins([(["b", "a"], {}), (["a"], {}), ([], {})]))["label"]
    assert [label.values[code] if code >= 0 else None for code in label.codes] == ["b", "a", None]


def test_a_beginning_and_an_end_are_one_span():
    rows = [(["a"], {"year_from": str(1500 + i), "year_to": str(1510 + i)}) for i in range(25)]
    found = attributes(pins(rows))
    assert set(found) == {"year", "label"}
    assert isinstance(found["year"], Span)
    assert (found["year"].first[3], found["year"].last[3]) == (1503, 1513)


def test_an_open_end_is_as_good_as_the_other():
    rows = [(["a"], {"year_from": str(1500 + i), "year_to": str(1510 + i)}) for i in range(25)]
    rows += [(["a"], {"year_from": "1700"}), (["a"], {"year_to": "1400"}), (["a"], {})]
    year = attributes(pins(rows))["year"]
    assert year.first[25:27].tolist() == year.last[25:27].tolist() == [1700, 1400]
    assert not year.known[27]


def test_a_number_alone_is_a_span_without_width_and_a_text_among_numbers_is_left_out():
    rows = [(["a"], {"height_cm": "tall" if i == 7 else f"{i}.5"}) for i in range(40)]
    height = attributes(pins(rows))["height_cm"]
    assert height.first[3] == height.last[3] == 3.5
    assert not height.known[7]


@pytest.mark.parametrize("text", ["1e5", "nan", "12 cm", "1,5"])
def test_what_is_mostly_no_plain_number_is_no_span(text):
    found = attributes(pins([(["a"], {"size": text if i % 2 else f"{i}"}) for i in range(40)]))
    assert not isinstance(found.get("size"), Span)


def test_no_pins_have_no_attributes():
    assert attributes(schema.empty(schema.RELEASE_PINS)) == {}


def test_pins_of_one_page_are_one_listing():
    table = pins([(["a"], {})] * 4)
    pages = pa.array(["p", None, "p", None], pa.string())
    table = table.set_column(table.schema.get_field_index("page_url"), "page_url", pages)
    codes = listings(table)
    assert codes[0] == codes[2]
    assert len(np.unique(codes)) == 3

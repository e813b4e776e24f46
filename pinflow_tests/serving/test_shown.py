"""How pages show numbers, days and addresses."""

import pytest

from pinflow.serving import shown


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({}, "/c/shop"),
        ({"positive": [{"text": "red lamp"}]}, "/c/shop?q=red+lamp"),
        ({"positive": [{"id": "a/1"}, {"id": "2"}]}, "/c/shop?id=a%2F1&id=2"),
        (
            {"positive": [{"id": "1"}], "negative": [{"id": "2"}, {"text": "old"}]},
            "/c/shop?without=old&id=1&not=2",
        ),
        (
            {"label": "lamps", "filter": {"price_min": 0.5, "price_max": 90.0}},
            "/c/shop?label=lamps&min=0.5&max=90",
        ),
        ({"filter": {"colour": "#3250dc", "licence": ["cc0"]}}, "/c/shop?colour=%233250dc&licence=cc0"),
        (
            {"filter": {"attributes": {"kind": "a b", "size": ["s", "m"]}}},
            "/c/shop?has=kind%3Da+b&has=size%3Ds&has=size%3Dm",
        ),
        ({"label": "lamps", "space": "local", "min_score": 0.5}, "/c/shop?label=lamps&score=0.5&local=1"),
        ({"positive": [{"id": "1"}], "style": 0.3, "diversity": 0.8}, "/c/shop?style=0.3&variety=0.8&id=1"),
        ({"positive": [{"url": "https://example.com/a b"}]}, "/c/shop?url=https%3A%2F%2Fexample.com%2Fa+b"),
    ],
)
def test_a_kept_search_has_an_address(query, path):
    assert shown.search_path("shop", query) == path


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("https://example.com/a", True),
        ("http://example.com", True),
        ("javascript:alert(1)", False),
        ("https:nowhere", False),
        ("http://[bad", False),
        ("/relative", False),
        (None, False),
    ],
)
def test_only_addresses_of_the_web_become_links(address, leads):
    assert (shown.web_address(address) is not None) == leads


def test_what_narrows_a_search_in_words():
    query = {
        "label": "lamps",
        "negative": [{"id": "1"}],
        "filter": {"price_min": 5.0, "price_max": 90.5, "attributes": {"kind": "desk"}},
    }
    assert shown.facts(query) == ["lamps", "without 1", "from 5", "up to 90.5", "desk"]


def test_counts_and_days():
    assert (shown.count(1, "picture"), shown.count(0, "picture")) == ("1 picture", "0 pictures")
    assert shown.count(2, "search", "searches") == "2 searches"
    assert shown.day("2026-11-02T10:00:00+00:00") == "2 Nov 2026"


def test_an_icon_has_no_name_of_its_own():
    assert 'aria-hidden="true"' in shown.icon("save")
    assert "<b>" not in shown.icon("<b>")

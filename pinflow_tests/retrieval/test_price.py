"""Pricing a photo: the things in it, each by its like, or a reason why not."""

import io

import numpy as np
import pytest
from PIL import Image

from pinflow.errors import PictureError, SearchError
from pinflow.imaging.segments.segment import Segment
from pinflow.retrieval.price import AskedBox, PriceQuery, price
from pinflow.retrieval.query import Example, Filter
from pinflow.retrieval.searcher import Searcher
from pinflow_tests.retrieval.releases import COLOURS, GridTrunk, drawing, write_release
from pinflow_tests.retrieval.voted import voted_pins, write_voted


class Corners:
    """Finds whatever is not white, left and right half apart."""

    name = "corners"

    def segments(self, picture):
        drawn = picture.min(axis=2) < 200
        halves = []
        for side in (slice(None, picture.shape[1] // 2), slice(picture.shape[1] // 2, None)):
            mask = np.zeros_like(drawn)
            mask[:, side] = drawn[:, side]
            if mask.any():
                halves.append(Segment.of(mask, 0.9, "thing"))
        return halves


def two_things(left="red", right="blue", size=(800, 300)):
    """A photo of two drawings side by side."""
    photo = Image.new("RGB", size, "white")
    for place, colour in enumerate((left, right)):
        with Image.open(io.BytesIO(drawing(colour, "square", 50))) as one:
            photo.paste(one.resize((400, 300)), (place * 400, 0))
    buffer = io.BytesIO()
    photo.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def searcher(tmp_path_factory):
    return Searcher.open(write_voted(tmp_path_factory.mktemp("priced")), trunk=GridTrunk())


def asked(searcher, photo=None, **options):
    options.setdefault("background", "keep")
    positive = [Example(image=two_things() if photo is None else photo)]
    return price(searcher, PriceQuery(positive=positive, **options), lambda name: Corners())


WHOLE = {"boxes": [AskedBox(box=(0, 0, 160, 120), category="red-things")], "widest": 1000}


def test_every_thing_in_a_photo_is_a_segment_with_its_box_in_pixels_of_the_photo(searcher):
    answer = asked(searcher)
    assert (answer.width, answer.height) == (800, 300)
    left, right = answer.segments
    assert left.found_by == "corners"
    assert left.name == "thing"
    assert left.box[0] + left.box[2] < 400 <= right.box[0]


def test_a_price_is_an_estimate_within_an_interval_in_one_currency(searcher):
    (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE).segments
    assert one.why_not is None
    assert one.price.low < one.price.estimate < one.price.high
    assert one.price.currency == "EUR"
    assert 10 <= one.price.estimate <= 28  # circles cost from 10, squares from 20
    assert one.price.level == 0.8


def test_evidence_is_of_the_category_priced_and_nearest_first(searcher):
    (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE, evidence=4).segments
    assert len(one.evidence) == 4
    assert all(seen.label == "red-things" and seen.price is not None for seen in one.evidence)
    scores = [seen.score for seen in one.evidence]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(seen.weight for seen in one.evidence) <= 1 + 1e-9


def test_the_category_is_guessed_where_it_is_not_given(searcher):
    boxes = [AskedBox(box=(0, 0, 160, 120))]
    (one,) = asked(searcher, drawing("blue", "square", 60), boxes=boxes).segments
    assert one.category == "blue-things"
    assert 0.5 < one.category_confidence < 1


def test_a_given_category_counts_whatever_the_thing_looks_like(searcher):
    boxes = [AskedBox(box=(0, 0, 160, 120), category="Green things")]
    (one,) = asked(searcher, drawing("red", "square", 60), boxes=boxes).segments
    assert (one.category, one.category_confidence) == ("green-things", 1)
    assert {seen.label for seen in one.evidence} == {"green-things"}


def test_boxes_of_a_person_take_the_place_of_what_was_found(searcher):
    boxes = [AskedBox(box=(410, 10, 300, 280)), AskedBox(box=(10, 10, 300, 280))]
    answer = asked(searcher, boxes=boxes)
    assert [one.found_by for one in answer.segments] == ["person", "person"]
    assert [one.box[0] for one in answer.segments] == pytest.approx([410, 10], abs=2)


def test_where_nothing_stands_out_the_whole_photo_is_priced(searcher):
    class Nothing:
        name = "nothing"

        def segments(self, picture):
            return []

    query = PriceQuery(positive=[Example(image=drawing("red", "bar"))])
    (one,) = price(searcher, query, lambda name: Nothing()).segments
    assert one.found_by == "whole"
    assert one.box == (0, 0, 160, 120)


class TestAbstaining:
    def test_an_interval_too_wide_to_help_is_no_price(self, searcher):
        (one,) = asked(searcher, drawing("red", "square", 60), **{**WHOLE, "widest": 1.01}).segments
        assert one.price is None
        assert "too far apart" in one.why_not
        assert one.evidence

    def test_too_few_comparables_are_no_price(self, searcher):
        few = Filter(price_max=12)
        (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE, filter=few).segments
        assert one.price is None
        assert one.why_not.startswith("only 3 listings")

    def test_a_currency_that_nothing_has_is_no_price_and_is_never_converted(self, searcher):
        (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE, currency="usd").segments
        assert one.price is None
        assert "currency" in one.why_not

    def test_a_stranger_is_no_price(self, searcher):
        photo = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 2, (90, 90, 1), np.uint8) * np.array(
            [255, 0, 255], np.uint8
        )
        Image.fromarray(noise).save(photo, "PNG")
        boxes = [AskedBox(box=(0, 0, 90, 90), category="red-things")]
        (one,) = asked(searcher, photo.getvalue(), boxes=boxes, widest=1e6).segments
        assert one.price is None
        assert "nothing here is like it" in one.why_not

    def test_a_release_without_calibrated_prices_has_none(self, tmp_path):
        plain = Searcher.open(write_release(tmp_path), trunk=GridTrunk())
        (one,) = asked(plain, drawing("red", "square", 60), **WHOLE).segments
        assert one.price is None


def test_currencies_are_never_mixed(tmp_path):
    pins = voted_pins()
    for number, pin in enumerate(pins):
        if pin["price"] is not None and number % 2:
            pin["price"], pin["currency"] = pin["price"] * 1000, "JPY"
    searcher = Searcher.open(write_voted(tmp_path, pins=pins), trunk=GridTrunk())
    for currency, least, most in (("EUR", 5, 60), ("JPY", 5_000, 60_000)):
        (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE, currency=currency).segments
        assert {seen.currency for seen in one.evidence} == {currency}
        assert one.price.currency == currency
        assert least < one.price.estimate < most


def test_several_pictures_of_one_listing_are_one_price(tmp_path):
    pins = voted_pins()
    for pin in pins:
        if "square" in pin["id"]:
            pin["page_url"] = "https://example.com/" + pin["id"].split("-")[0]
    searcher = Searcher.open(write_voted(tmp_path, pins=pins), trunk=GridTrunk())
    (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE, evidence=50).segments
    pages = [seen.page_url for seen in one.evidence]
    assert len(pages) == len(set(pages))


def test_the_labels_own_space_is_used_where_it_prices_better(tmp_path):
    import json

    from pinflow.retrieval.release import Release
    from pinflow_tests.retrieval.releases import write_info

    folder = write_voted(tmp_path)
    made = json.loads((folder / "price.json").read_text())
    made["local"] = {"red-things": made["shared"]}
    info = Release.open(folder).info
    (folder / "price.json").write_text(json.dumps(made))
    write_info(folder, info)
    searcher = Searcher.open(folder, trunk=GridTrunk())
    (one,) = asked(searcher, drawing("red", "square", 60), **WHOLE).segments
    assert one.space == "local"
    assert {seen.label for seen in one.evidence} == {"red-things"}


@pytest.mark.parametrize("colour", list(COLOURS))
def test_white_behind_a_thing_changes_nothing_where_it_was_white(searcher, colour):
    photo = drawing(colour, "square", 60)
    boxes = [AskedBox(box=(0, 0, 160, 120), category=f"{colour}-things")]
    found = [
        asked(searcher, photo, boxes=boxes, background=background, widest=1000).segments[0]
        for background in ("keep", "white")
    ]
    assert found[0].price.estimate == pytest.approx(found[1].price.estimate, rel=0.2)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"positive": []}, "positive"),
        ({"positive": [Example(id="red/circle-0")]}, "positive"),
        ({"boxes": [AskedBox(box=(900, 10, 20, 20))]}, "boxes"),
        ({"boxes": [AskedBox(box=(10, 10, 0, 20))]}, "boxes"),
        ({"category": "mauve things"}, "category"),
        ({"filter": Filter(labels=["mauve things"])}, "filter.labels"),
    ],
)
def test_what_cannot_be_asked_names_its_field(searcher, options, field):
    with pytest.raises(SearchError) as failed:
        price(
            searcher,
            PriceQuery(**{"positive": [Example(image=two_things())], **options}),
            lambda _: Corners(),
        )
    assert failed.value.field == field


def test_what_is_no_picture_is_refused(searcher):
    with pytest.raises(PictureError):
        asked(searcher, b"no picture")

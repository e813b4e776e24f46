"""Drawn samples: the same form as the fetched ones, distinct, repeatable, quick."""

import time
from itertools import combinations

import pytest

from pinflow.errors import PinflowError
from pinflow.sample.made import make_samples
from pinflow.sample.samples import read, write_set


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_sets_have_the_form_that_read_expects(tmp_path):
    made = make_samples(tmp_path, labels=3, per_label=8)
    assert read(tmp_path) == made
    assert made.market.labels == ["Plain Red", "Plain Green", "Plain Blue"]
    assert [len([r for r in made.market.rows if r.label == label]) for label in made.market.labels] == [8] * 3
    assert len(made.shop.rows) == 12
    assert all(row.price and row.price > 0 and row.currency == "USD" for row in made.shop.rows)
    assert all(row.price is None for row in made.market.rows)


def test_items_of_the_market_have_several_pictures_and_products_have_one(tmp_path):
    made = make_samples(tmp_path, labels=1, per_label=8)
    assert [row.item for row in made.market.rows].count("plain red disc") == 3
    assert len({row.item for row in made.shop.rows}) == len(made.shop.rows)


def test_no_two_pictures_are_near_duplicates(tmp_path):
    import imagehash
    from PIL import Image

    made = make_samples(tmp_path, labels=4, per_label=9)
    for each in (made.market, made.shop):
        hashes = [imagehash.phash(Image.open(each.path(row))) for row in each.rows]
        assert min(a - b for a, b in combinations(hashes, 2)) > 10


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_samples(tmp_path / name, labels=2, per_label=3, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_more_labels_than_colours_stay_distinct(tmp_path):
    assert len(make_samples(tmp_path, labels=60, per_label=1).market.labels) == 60


def test_the_default_set_is_drawn_quickly(tmp_path):
    start = time.process_time()
    make_samples(tmp_path)
    assert time.process_time() - start < 1.0


def test_a_set_that_is_not_there_says_so(tmp_path):
    with pytest.raises(PinflowError, match="no finished sample set"):
        read(tmp_path)


def test_a_marker_without_captions_says_what_to_do(tmp_path):
    make_samples(tmp_path, labels=1, per_label=1)
    (tmp_path / "shop" / "captions.csv").unlink()
    with pytest.raises(PinflowError, match=r"cannot be read .* delete"):
        read(tmp_path)


def test_an_interrupted_writing_leaves_the_old_set_whole_and_no_rubbish(tmp_path):
    made = make_samples(tmp_path, labels=1, per_label=2)

    def interrupted():
        yield made.market.rows[0], b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "market", interrupted(), {})
    assert read(tmp_path) == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["market", "shop"]

from __future__ import annotations

import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow import schema
from pinflow.learning import splits
from pinflow_tests.learning.conftest import pictures, sha, spread_hash


def split_of(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))


def group_of(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True))


def find(split: str, *, not_in: tuple[str, ...] = ()) -> str:
    """An id that lands in that split on its own."""
    for i in range(10_000):
        if f"s{i}" not in not_in and split_of(splits.assign(pictures([f"s{i}"]), "a"))[f"s{i}"] == split:
            return f"s{i}"
    raise AssertionError(split)


def test_result_is_a_valid_table_sorted_by_id() -> None:
    table = splits.assign(pictures(["b", "a", "c"]), "shoes")
    assert schema.problems(table, schema.SPLIT_ROWS) == []
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert set(table["label"].to_pylist()) == {"shoes"}


def test_empty_label_gives_an_empty_table() -> None:
    assert splits.assign(pictures([]), "a").num_rows == 0
    assert splits.resolve([]).num_rows == 0
    assert splits.leaks(schema.empty(schema.SPLIT_ROWS)) == []


def test_shares_are_about_70_15_15_and_folds_are_even() -> None:
    table = splits.assign(pictures([f"p{i}" for i in range(4000)]), "a")
    shares = {name: n / 4000 for name, n in Counter(table["split"].to_pylist()).items()}
    assert shares == pytest.approx({"train": 0.70, "val": 0.15, "test": 0.15}, abs=0.03)
    folds = Counter(table["fold"].to_pylist())
    assert sorted(folds) == list(range(schema.FOLDS))
    assert min(folds.values()) > 4000 / schema.FOLDS * 0.85


def test_salt_changes_the_splits() -> None:
    many = pictures([f"p{i}" for i in range(100)])
    assert split_of(splits.assign(many, "a")) != split_of(splits.assign(many, "a", salt="other"))


@pytest.mark.parametrize(
    "tie",
    [
        {"content": {"a": "same", "b": "same"}, "phash": {"a": 0, "b": 0}},
        {"origin": {"a": "o", "b": "o"}},
        {"phash": {"a": 0b0000, "b": 0b1111}},
        {"attributes": {"a": {"author": "Li"}, "b": {"author": "Li"}}},
    ],
    ids=["bytes", "origin", "near-duplicate", "group_by"],
)
def test_pictures_that_are_one_thing_share_a_group(tie: dict[str, dict[str, object]]) -> None:
    table = splits.assign(pictures(["a", "b", "c"], **tie), "x", group_by=["author"])  # type: ignore[arg-type]
    groups = group_of(table)
    assert groups["a"] == groups["b"] != groups["c"]


def test_group_by_ignores_pictures_without_the_attribute() -> None:
    groups = group_of(splits.assign(pictures(["a", "b"]), "x", group_by=["author"]))
    assert groups["a"] != groups["b"]


def test_five_bits_apart_is_another_picture() -> None:
    groups = group_of(splits.assign(pictures(["a", "b"], phash={"a": 0, "b": 0b11111}), "x"))
    assert groups["a"] != groups["b"]


def test_same_picture_under_two_labels_has_one_group_and_split() -> None:
    one, two = splits.assign(pictures(["a", "b"]), "x"), splits.assign(pictures(["a", "z"]), "y")
    assert group_of(one)["a"] == group_of(two)["a"]
    assert split_of(one)["a"] == split_of(two)["a"]


def test_new_picture_joins_its_old_group() -> None:
    test = find("test")
    before = splits.assign(pictures([test]), "a")
    # `!` sorts before everything, so a key of the new picture would name the group if it were new.
    after = splits.assign(pictures([test, "!"], origin={test: "o", "!": "o"}), "a", previous=before)
    assert group_of(after)["!"] == group_of(before)[test]
    assert split_of(after) == {test: "test", "!": "test"}


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (("train", "test"), ("held_out", "test", "test")),
        (("train", "val"), ("held_out", "val", "val")),
        (("val", "test"), ("held_out", "test", "test")),
        (("train", "train"), ("train", "train", "train")),
    ],
)
def test_picture_that_ties_two_splits_flips_none(old: tuple[str, str], expected: tuple[str, ...]) -> None:
    a = find(old[0])
    b = find(old[1], not_in=(a,))
    before = splits.assign(pictures([a, b]), "l")
    # Near both: the bridge shares an origin with one and is almost the other.
    hashes = {a: 0b1111, b: 0b1111_0000, "bridge": 0}
    after = splits.assign(pictures([a, b, "bridge"], phash=hashes), "l", previous=before)
    found = split_of(after)
    assert (found[a], found[b], found["bridge"]) == expected
    assert group_of(after)[a] == group_of(before)[a]
    assert splits.leaks(after) == []


def test_a_removed_picture_still_ties_its_group() -> None:
    before = splits.assign(pictures(["a", "b"], origin={"a": "o", "b": "o"}), "l")
    after = splits.assign(pictures(["a", "c"], content={"c": "b"}), "l", previous=before)
    assert after["id"].to_pylist() == ["a", "c"]
    assert group_of(after)["c"] == group_of(before)["b"]


def test_resolve_holds_out_the_train_copy_under_another_label() -> None:
    train, test = find("train"), find("test")
    one = splits.assign(pictures([train]), "a")
    two = splits.assign(pictures([test], phash={test: spread_hash(train) ^ 1}), "b")
    both = splits.resolve([one, two])
    assert split_of(both) == {train: "held_out", test: "test"}
    assert len(set(both["group"].to_pylist())) == 1
    assert splits.leaks(pa.concat_tables([one, two])) != []
    assert splits.leaks(both) == []


@pytest.mark.parametrize("by", ["sha256", "group"])
def test_what_an_encoder_was_trained_on_is_never_measured_with(by: str) -> None:
    test, val, train = find("test"), find("val"), find("train")
    rows = splits.assign(pictures([test, val, train]), "a")
    seen = {row[by] for row in rows.select(["id", by]).to_pylist() if row["id"] in (test, val)}
    assert split_of(splits.resolve([rows], trained_on=seen)) == {
        test: "held_out",
        val: "held_out",
        train: "train",
    }


def test_a_picture_tied_to_a_trained_one_is_not_measured_with() -> None:
    test = find("test")
    rows = splits.assign(pictures([test, "copy"], origin={test: "o", "copy": "o"}), "a")
    assert "test" not in split_of(splits.resolve([rows], trained_on={sha("copy")})).values()


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("group", "g", "group g"),
        ("sha256", "s", "picture s"),
        ("keys", ["k"], "key k"),
        ("phash", 7, "almost"),
    ],
)
def test_leaks_names_what_straddles(column: str, value: object, says: str) -> None:
    train, test = find("train"), find("test")
    rows = splits.assign(pictures([train, test]), "a")
    place = schema.SPLIT_ROWS.get_field_index(column)
    field = schema.SPLIT_ROWS.field(column)
    rows = rows.set_column(place, field, pa.array([value, value], field.type))
    assert any(says in line and "train" in line and "test" in line for line in splits.leaks(rows))
    held = rows.set_column(6, schema.SPLIT_ROWS.field("split"), pa.array(["held_out", "test"]))
    assert splits.leaks(held) == []


def test_leaks_names_bad_values() -> None:
    rows = splits.assign(pictures(["a"]), "l")
    assert any("twice" in line for line in splits.leaks(pa.concat_tables([rows, rows])))
    odd = rows.set_column(6, schema.SPLIT_ROWS.field("split"), pa.array(["training"]))
    assert any("'training'" in line for line in splits.leaks(odd))
    far = rows.set_column(7, schema.SPLIT_ROWS.field("fold"), pa.array([9], pa.int8()))
    assert any("folds [9]" in line for line in splits.leaks(far))


# A world of pictures with colliding bytes, origins, authors and nearly equal hashes.
@st.composite
def worlds(draw: st.DrawFn) -> pa.Table:
    n = draw(st.integers(1, 14))
    ids = [f"p{i:02}" for i in range(n)]
    content = {i: f"c{draw(st.integers(0, 10))}" for i in ids}
    return pictures(
        ids,
        content=content,
        phash={i: spread_hash(c) ^ draw(st.sampled_from([0, 1, 0b1011, 0x1F])) for i, c in content.items()}
        | {i: draw(st.integers(0, 40)) for i in ids if draw(st.integers(0, 4)) == 0},
        origin={i: f"o{draw(st.integers(0, 12))}" for i in ids if draw(st.booleans())},
        attributes={i: {"author": f"w{draw(st.integers(0, 8))}"} for i in ids if draw(st.booleans())},
    )


@settings(max_examples=40, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_order_does_not_matter(world: pa.Table, rng: random.Random) -> None:
    order = list(range(world.num_rows))
    rng.shuffle(order)
    mixed = world.take(pa.array(order))
    one = splits.assign(world, "a", group_by=["author"])
    assert one.equals(splits.assign(mixed, "a", group_by=["author"]))
    half = world.num_rows // 2
    tables = [splits.assign(world.slice(0, half + 1), "a"), splits.assign(world.slice(half), "b")]
    seen = one["sha256"].to_pylist()[:1]
    forwards, backwards = (splits.resolve(t, trained_on=seen) for t in (tables, tables[::-1]))
    assert forwards.equals(backwards)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.lists(st.integers(0, 14), min_size=1, max_size=4))
def test_growth_flips_nothing_and_never_leaks(world: pa.Table, cuts: list[int]) -> None:
    previous: pa.Table | None = None
    for cut in [*sorted(cuts), world.num_rows]:
        rows = splits.assign(world.slice(0, cut), "a", group_by=["author"], previous=previous)
        assert splits.leaks(rows) == []
        if previous is not None:
            before, after = split_of(previous), split_of(rows)
            assert all(after[i] in (split, "held_out") for i, split in before.items())
            assert all(after[i] == "test" for i, split in before.items() if split == "test")
            groups = group_of(rows)
            assert all(groups[i] == group for i, group in group_of(previous).items())
        previous = rows


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 14), st.integers(0, 14), st.booleans())
def test_labels_together_never_leak(world: pa.Table, a: int, b: int, trained: bool) -> None:
    tables = [
        splits.assign(world.slice(0, max(a, 1)), "a", group_by=["author"]),
        splits.assign(world.slice(min(b, world.num_rows - 1)), "b"),
        splits.assign(world, "c", salt="another history"),
    ]
    seen = set(tables[2]["group"].to_pylist()[:2]) if trained else set()
    rows = splits.resolve(tables, trained_on=seen)
    assert splits.leaks(rows) == []
    was = {
        (row["id"], row["label"]): row["split"]
        for table in tables
        for row in table.select(["id", "label", "split"]).to_pylist()
    }
    for row in rows.to_pylist():
        assert row["split"] in (was[row["id"], row["label"]], "held_out")

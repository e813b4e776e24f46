from __future__ import annotations

import numpy as np
import pyarrow as pa

from pinflow import schema
from pinflow.learning.embed import embed
from pinflow.learning.head import IDENTITY, Head
from pinflow_tests.learning.conftest import features, sha

VECTORS = np.random.default_rng(0).normal(size=(4, 6))
TABLE = features(["a", "b", "c", "d"], VECTORS)
HEAD = Head("linear", {"weight": np.eye(6, dtype=np.float32)[:2]})


def marked(table: pa.Table) -> pa.Table:
    """`table` with recognisable numbers, to see which rows were taken over."""
    flat = pa.array(np.full(table.num_rows * 2, 7, np.float32))
    column = pa.FixedSizeListArray.from_arrays(flat, 2)
    return table.set_column(4, table.schema.field("shared"), column)


def reused(table: pa.Table) -> list[str]:
    return [row["id"] for row in table.to_pylist() if row["shared"] == [7, 7]]


def test_embeddings_are_unit_vectors_of_both_spaces() -> None:
    table = embed(TABLE, HEAD, IDENTITY)
    assert schema.problems(table, schema.embeddings(2, 6)) == []
    assert table["id"].to_pylist() == ["a", "b", "c", "d"]
    assert set(table["encoder"].to_pylist()) == {HEAD.digest}
    np.testing.assert_allclose(np.linalg.norm(table["shared"].to_pylist(), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(table["local"].to_pylist(), axis=1), 1, rtol=1e-5)


def test_only_missing_rows_are_computed() -> None:
    known = marked(embed(TABLE.slice(0, 2), HEAD))
    table = embed(TABLE, HEAD, known=known)
    assert reused(table) == ["a", "b"]
    assert table["id"].to_pylist() == ["a", "b", "c", "d"]


def test_a_pin_whose_picture_changed_is_computed_anew() -> None:
    known = marked(embed(TABLE, HEAD))
    hashes = pa.array([sha("new"), *TABLE["sha256"].to_pylist()[1:]])
    changed = TABLE.set_column(1, TABLE.schema.field("sha256"), hashes)
    table = embed(changed, HEAD, known=known)
    assert reused(table) == ["b", "c", "d"]


def test_another_head_reuses_nothing() -> None:
    known = marked(embed(TABLE, HEAD))
    other = Head("linear", {"weight": np.eye(6, dtype=np.float32)[2:4]})
    assert reused(embed(TABLE, other, known=known)) == []
    assert reused(embed(TABLE, HEAD, HEAD, known=known)) == []


def test_removed_pins_disappear_and_no_pins_are_fine() -> None:
    known = embed(TABLE, HEAD)
    assert embed(TABLE.slice(2), HEAD, known=known)["id"].to_pylist() == ["c", "d"]
    assert embed(TABLE.slice(0, 0), HEAD).num_rows == 0

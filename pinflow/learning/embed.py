"""Embeddings: heads applied to cached features. One table for each encoder digest.

Two encoders may give vectors of different widths, and the previous digest only lives until every
label has the new one; so the current and the previous encoder each have their own table, with one
width throughout, and dropping a digest is dropping a table.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow import schema
from pinflow.learning.dataset import Floats
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.stages import beside
from pinflow.learning.style.whitening import Whitening


def embed(
    features: pa.Table,
    encoder: Head,
    label_encoder: Head = IDENTITY,
    *,
    tuned: pa.Table | None = None,
    known: pa.Table | None = None,
) -> pa.Table:
    """`schema.features` of a label -> its `schema.embeddings`, sorted by id. `tuned`: the same pictures as
    the encoder's trunk sees them, where that was tuned.

    Rows of `known` with the same id, sha256, encoder and label encoder are taken, not computed.
    """
    theirs = features if tuned is None else tuned.sort_by("id")
    features = features.sort_by("id")
    target = schema.embeddings(
        *(head.width(_width(of, head)) for of, head in ((theirs, encoder), (features, label_encoder)))
    )
    old = _reusable(features, encoder, label_encoder, known, target)
    new = pc.invert(pc.is_in(features["id"], value_set=old["id"].combine_chunks()))
    fresh, seen = features.filter(new), theirs.filter(new)
    assert fresh["id"].equals(seen["id"])
    n = fresh.num_rows
    computed = pa.table(
        [
            fresh["id"],
            fresh["sha256"],
            pa.array(np.repeat(encoder.digest, n), pa.string()),
            pa.array(np.repeat(label_encoder.digest, n), pa.string()),
            schema.vectors(in_space(seen, encoder)),
            schema.vectors(in_space(fresh, label_encoder)),
        ],
        schema=target,
    )
    return pa.concat_tables([old, computed]).sort_by("id").combine_chunks()


def _width(features: pa.Table, head: Head) -> int:
    columns = ("vector", "stages") if head.reads == "stages" else ("vector",)
    return sum(schema.width(features, column) for column in columns)


def in_space(features: pa.Table, head: Head) -> Floats:
    """Unit vectors (n, d) of `schema.features` in the head's space."""
    vectors = schema.matrix(features, "vector")
    if head.reads == "stages":
        vectors = beside(vectors, schema.matrix(features, "stages"))
    return head.apply(vectors)


def with_style(embeddings: pa.Table, statistics: pa.Table, whitening: Whitening) -> pa.Table:
    """Embeddings (`schema.embeddings` without a style) beside the style of each picture, from its statistics
    (`schema.features`, of at least the same pins). Raises `KeyError` for a pin that has none."""
    place = {one: row for row, one in enumerate(statistics["id"].to_pylist())}
    rows = np.array([place[one] for one in embeddings["id"].to_pylist()], dtype=np.int64)
    vectors = whitening.apply(schema.matrix(statistics, "vector")[rows])
    by = pa.array(np.repeat(whitening.digest, len(rows)), pa.string())
    table = embeddings.append_column("style_encoder", by).append_column("style", schema.vectors(vectors))
    widths = [table.schema.field(name).type.list_size for name in ("shared", "local", "style")]
    return schema.conform(table, schema.embeddings(*widths))


def without_style(embeddings: pa.Table) -> pa.Table:
    """What `embed` can go on from."""
    return embeddings.drop_columns([c for c in ("style_encoder", "style") if c in embeddings.column_names])


def _reusable(
    features: pa.Table, encoder: Head, label_encoder: Head, known: pa.Table | None, target: pa.Schema
) -> pa.Table:
    """The rows of `known` that are what `embed` would compute again."""
    if known is None or not known.schema.equals(target):
        return schema.empty(target)
    wanted = {*zip(features["id"].to_pylist(), features["sha256"].to_pylist(), strict=True)}
    made_of = zip(known["id"].to_pylist(), known["sha256"].to_pylist(), strict=True)
    same_picture = pa.array([one in wanted for one in made_of], pa.bool_())
    same_heads = pc.and_(
        pc.equal(known["encoder"], encoder.digest), pc.equal(known["label_encoder"], label_encoder.digest)
    )
    return known.filter(pc.and_(same_heads, same_picture))

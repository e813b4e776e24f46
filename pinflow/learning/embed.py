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
from pinflow.learning.dataset import Floats, to_numpy
from pinflow.learning.head import IDENTITY, Head


def embed(
    features: pa.Table,
    encoder: Head,
    label_encoder: Head = IDENTITY,
    *,
    known: pa.Table | None = None,
    known_features: pa.Table | None = None,
) -> pa.Table:
    """`schema.features` of a label -> its `schema.embeddings`, sorted by id.

    Rows of `known` with the same id, encoder digest and label encoder digest are taken, not computed.
    An embeddings row does not say which picture it was made of: give the features that `known` was
    made of as `known_features`, so that a pin whose picture changed is computed anew; without them
    nothing is reused.
    """
    width = features.schema.field("vector").type.list_size
    target = schema.embeddings(encoder.width(width), label_encoder.width(width))
    old = _reusable(features, encoder, label_encoder, known, known_features, target)
    fresh = features.filter(pc.invert(pc.is_in(features["id"], value_set=old["id"].combine_chunks())))
    vectors = to_numpy(fresh["vector"])
    n = fresh.num_rows
    computed = pa.table(
        [
            fresh["id"],
            pa.array(np.repeat(encoder.digest, n), pa.string()),
            pa.array(np.repeat(label_encoder.digest, n), pa.string()),
            _column(encoder.apply(vectors)),
            _column(label_encoder.apply(vectors)),
        ],
        schema=target,
    )
    return pa.concat_tables([old, computed]).sort_by("id").combine_chunks()


def _reusable(
    features: pa.Table,
    encoder: Head,
    label_encoder: Head,
    known: pa.Table | None,
    known_features: pa.Table | None,
    target: pa.Schema,
) -> pa.Table:
    """The rows of `known` that are what `embed` would compute again."""
    if known is None or known_features is None or not known.schema.equals(target):
        return schema.empty(target)
    made_of = dict(zip(known_features["id"].to_pylist(), known_features["sha256"].to_pylist(), strict=True))
    same = [
        id_
        for id_, sha256 in zip(features["id"].to_pylist(), features["sha256"].to_pylist(), strict=True)
        if made_of.get(id_) == sha256
    ]
    fitting = pc.and_(
        pc.and_(
            pc.equal(known["encoder"], encoder.digest), pc.equal(known["label_encoder"], label_encoder.digest)
        ),
        pc.is_in(known["id"], value_set=pa.array(same, pa.string())),
    )
    return known.filter(fitting)


def _column(vectors: Floats) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), vectors.shape[1])

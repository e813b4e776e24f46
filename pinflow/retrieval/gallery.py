"""From the labels' tables to one gallery: every pin once, with all the labels that it was found under."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow import schema


def assemble(
    pictures: Mapping[str, pa.Table], embeddings: Mapping[str, pa.Table]
) -> tuple[pa.Table, npt.NDArray[np.float32]]:
    """Labels' `schema.PICTURES` and `schema.embeddings` -> `schema.RELEASE_PINS`, sorted by id, and the
    shared vectors (n, d) float32, row i for pin i.

    A pin under several labels stands once, as the first label (by slug) describes it. A picture
    without an embedding is left out. Raises `ValueError` where labels bring vectors of different width
    or encoders.
    """
    described: dict[str, tuple[str, int]] = {}
    labels: dict[str, list[str]] = {}
    vectors: dict[str, tuple[str, int]] = {}
    encoders = {one for table in embeddings.values() for one in table["encoder"].unique().to_pylist()}
    if len(encoders) > 1:
        raise ValueError(f"embeddings of {len(encoders)} encoders cannot be searched together")
    for slug in sorted(set(pictures) & set(embeddings)):
        for row, one in enumerate(embeddings[slug]["id"].to_pylist()):
            vectors.setdefault(one, (slug, row))
        for row, one in enumerate(pictures[slug]["id"].to_pylist()):
            if one in vectors:
                described.setdefault(one, (slug, row))
                labels.setdefault(one, []).append(slug)
    ids = sorted(described)
    return _pins(ids, described, labels, pictures), _vectors(ids, vectors, embeddings, "shared")


def styles(pins: pa.Table, embeddings: Mapping[str, pa.Table]) -> tuple[npt.NDArray[np.float32], str] | None:
    """The style of each pin (n, d) float32, row i for pin i, and the digest of the map that made them; None
    while labels have styles of several maps, which cannot be compared."""
    maps = {one for table in embeddings.values() for one in table["style_encoder"].unique().to_pylist()}
    if len(maps) != 1:
        return None
    vectors: dict[str, tuple[str, int]] = {}
    for slug in sorted(embeddings):
        for row, one in enumerate(embeddings[slug]["id"].to_pylist()):
            vectors.setdefault(one, (slug, row))
    return _vectors(pins["id"].to_pylist(), vectors, embeddings, "style"), maps.pop()


def _pins(
    ids: list[str],
    described: Mapping[str, tuple[str, int]],
    labels: Mapping[str, list[str]],
    pictures: Mapping[str, pa.Table],
) -> pa.Table:
    wanted = [name for name in schema.RELEASE_PINS.names if name != "labels"]
    slugs = sorted({described[one][0] for one in ids})
    if not slugs:
        return schema.empty(schema.RELEASE_PINS)
    offsets = dict(zip(slugs, np.cumsum([0, *(pictures[slug].num_rows for slug in slugs)]), strict=False))
    together = pa.concat_tables([pictures[slug].select(wanted) for slug in slugs])
    rows = [offsets[described[one][0]] + described[one][1] for one in ids]
    table = together.take(pa.array(rows, pa.int64()))
    table = table.append_column("labels", pa.array([labels[one] for one in ids], schema.TEXTS))
    return schema.conform(table, schema.RELEASE_PINS)


def _vectors(
    ids: list[str], where: Mapping[str, tuple[str, int]], embeddings: Mapping[str, pa.Table], column: str
) -> npt.NDArray[np.float32]:
    arrays = {slug: schema.matrix(table, column) for slug, table in embeddings.items()}
    width = max((array.shape[1] for array in arrays.values()), default=0)
    found = np.empty((len(ids), width), np.float32)
    for row, one in enumerate(ids):
        slug, source = where[one]
        found[row] = arrays[slug][source]
    return found

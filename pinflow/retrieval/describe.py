"""What a release holds, summed up for people and pages: labels with covers, price ranges, licences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.retrieval.release import Release

MAX_VALUES = 100


def describe(release: Release) -> dict[str, Any]:
    """A JSON-able summary. A label's `cover` is the id of its most typical picture: the medoid."""
    info = release.info
    covers = _covers(release)
    return {
        "name": info["collection"],
        "description": info.get("description", ""),
        "release": info["id"],
        "created_at": info.get("created_at"),
        "pictures": release.pins.num_rows,
        "labels": [
            {"slug": slug, **about, "cover": covers.get(slug)} for slug, about in info["labels"].items()
        ],
        "prices": _prices(release.pins),
        "licences": _values(release.pins.column("licence")),
        "attributes": _attribute_names(release.pins),
        "encoder": info["encoder"],
        "figures": info.get("figures", {}),
    }


def _covers(release: Release) -> dict[str, str]:
    lists = release.pins.column("labels").combine_chunks()
    encoded = pc.dictionary_encode(lists.flatten())
    parents = pc.list_parent_indices(lists).to_numpy()
    codes = encoded.indices.to_numpy()
    covers = {}
    for code, slug in enumerate(encoded.dictionary.to_pylist()):
        rows = parents[codes == code]
        vectors = release.shared.vectors[rows]
        covers[slug] = release.shared.ids[rows[np.argmax(vectors @ vectors.mean(axis=0))]]
    return covers


def _prices(pins: pa.Table) -> list[dict[str, Any]]:
    priced = pins.select(["currency", "price"]).filter(pc.is_valid(pins.column("price")))
    ranges = priced.group_by("currency").aggregate([("price", "min"), ("price", "max"), ("price", "count")])
    named = ranges.rename_columns(["currency", "min", "max", "pictures"])
    listed: list[dict[str, Any]] = named.sort_by(
        [("pictures", "descending"), ("currency", "ascending")]
    ).to_pylist()
    return listed


def _values(column: pa.ChunkedArray) -> list[str]:
    return sorted(pc.unique(pc.drop_null(column)).to_pylist())[:MAX_VALUES]


def _attribute_names(pins: pa.Table) -> list[str]:
    maps = pins.column("attributes").combine_chunks()
    return sorted(pc.unique(maps.keys).to_pylist())[:MAX_VALUES]

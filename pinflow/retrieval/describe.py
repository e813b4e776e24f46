"""What a release holds, summed up for people and pages: labels with covers, price ranges, licences."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.retrieval.index import Mask
from pinflow.retrieval.release import Release

MAX_VALUES = 100
CHOOSABLE = 30  # values of an attribute that a person can choose from


def describe(release: Release, hidden: Mask | None = None) -> dict[str, Any]:
    """A JSON-able summary, of all but the `hidden` rows. A label's `cover` is the id of its most typical
    picture: the medoid."""
    info = release.info
    shown = np.ones(release.pins.num_rows, bool) if hidden is None else ~hidden
    pins = release.pins.filter(pa.array(shown))
    covers = _covers(release, shown)
    counts = (
        Counter(slug for slugs in pins["labels"].to_pylist() for slug in slugs) if hidden is not None else {}
    )
    return {
        "name": info["collection"],
        "description": info.get("description", ""),
        "release": info["id"],
        "created_at": info.get("created_at"),
        "pictures": pins.num_rows,
        "labels": [
            {
                "slug": slug,
                **about,
                **({"pictures": counts[slug]} if counts else {}),
                "cover": covers.get(slug),
                "own_space": slug in release.local,
            }
            for slug, about in info["labels"].items()
        ],
        "spaces": ["shared", *(["style"] if release.style is not None else [])],
        "prices": _prices(pins),
        "licences": _values(pins.column("licence")),
        "attributes": _attribute_names(pins),
        "values": _attribute_values(pins),
        "encoder": info["encoder"],
        "figures": info.get("figures", {}),
    }


def _covers(release: Release, shown: Mask) -> dict[str, str]:
    lists = release.pins.column("labels").combine_chunks()
    encoded = pc.dictionary_encode(lists.flatten())
    parents = pc.list_parent_indices(lists).to_numpy()
    codes = encoded.indices.to_numpy()
    covers = {}
    for code, slug in enumerate(encoded.dictionary.to_pylist()):
        rows = parents[(codes == code) & shown[parents]]
        if not len(rows):
            continue
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


def _attribute_values(pins: pa.Table) -> dict[str, list[str]]:
    """The values of each attribute that splits the pins into a few kinds, the most frequent first."""
    maps = pins.column("attributes").combine_chunks()
    pairs = pa.table({"name": maps.keys, "value": maps.items})
    counted = pairs.group_by(["name", "value"]).aggregate([([], "count_all")])
    order = [("name", "ascending"), ("count_all", "descending"), ("value", "ascending")]
    found: dict[str, list[str]] = {}
    for pair in counted.sort_by(order).to_pylist():
        found.setdefault(pair["name"], []).append(pair["value"])
    return {name: values for name, values in found.items() if 2 <= len(values) <= CHOOSABLE}

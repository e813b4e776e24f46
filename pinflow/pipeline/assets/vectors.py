"""Phase C, a label at a time: embeddings -> index, and projection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow import schema
from pinflow.errors import CorruptError
from pinflow.pipeline.assets.encoders import read_head, tuned_features, tuned_trunk
from pinflow.pipeline.assets.pictures import STYLE
from pinflow.pipeline.assets.previews import neighbour_strip
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.resources import House
from pinflow.store import File, Manifest

if TYPE_CHECKING:
    from pinflow.learning.head import Head
    from pinflow.projecting.layout import Layout
    from pinflow.retrieval.index import Index


Floats = npt.NDArray[np.float32]
Rows = tuple[list[str], Floats]  # ids, and the vector of each
Asked = Mapping[str, Floats]
ROWS = "rows.parquet"  # which pictures an index holds, to be looked at without its vectors


def table_of(encoder: str) -> str:
    """The embeddings of one encoder: a label holds those of the served and of the previous one, so
    that every label can be searched in one space while a new encoder reaches them one by one."""
    return f"encoder-{encoder[:16]}.parquet"


def make_embeddings(part: Partition, house: House) -> Manifest:
    """Apply the heads; rows that were embedded by the same heads are carried over."""
    from pinflow.learning.embed import embed, with_style, without_style
    from pinflow.learning.style.whitening import Whitening

    features = part.table(part.read("features"))
    encoder, label_encoder = part.read("encoder"), part.read("label_encoder")
    local = read_head(part, label_encoder, "served")
    statistics = part.table(part.read("features"), STYLE)
    style = Whitening.from_bytes(part.store.file(encoder, "style.safetensors"))
    names = [name for name in ("served", "previous") if f"{name}.safetensors" in encoder.files]
    files: dict[str, File] = {}
    for name in names:
        head = read_head(part, encoder, name)
        known = (
            part.last_table(file)
            if part.previous and (file := table_of(head.digest)) in part.previous.files
            else None
        )
        with part.timed("embed"):
            table = embed(
                features,
                head,
                local,
                tuned=_tuned(part, house, encoder, head) if head.trunk else None,
                known=None if known is None else without_style(known),
            )
            table = with_style(table, statistics, style)
        files[table_of(head.digest)] = part.put_table(table)
    return part.draft(
        files,
        facts={
            "encoders": [encoder.facts[name] for name in names],
            "label_encoder": label_encoder.facts["served"],
            "style": style.digest,
        },
        preview=lambda: neighbour_strip(part, table["id"].to_pylist(), schema.matrix(table, "shared")),
    )


def _tuned(part: Partition, house: House, encoder: Manifest, head: Head) -> pa.Table:
    """The label's pictures as the tuned trunk of a head sees them; only those are computed that came since
    it was fitted."""
    from pinflow.learning.features import extract

    known, _ = tuned_features(part, encoder, head)[head.trunk]
    images = part.read("images")
    shards = (part.table(images, name) for name in images.files if name.startswith("shard-"))
    return extract(shards, partial(tuned_trunk, part, house, encoder, head), known=known)


def make_index(part: Partition, _: House) -> Manifest:
    """Index the label's own space, and measure what the index finds of what is there."""
    embeddings = part.read("embeddings")
    table = part.table(embeddings, table_of(embeddings.facts["encoders"][0]))
    kept = part.tombstones.left(table)

    def last() -> Rows | None:
        old = part.last_table("local.parquet")
        return None if old is None else (old["id"].to_pylist(), schema.matrix(old, "local"))

    with part.timed("build"):
        index = indexed(part, "index", (kept["id"].to_pylist(), schema.matrix(kept, "local")), last)
        data, meta = index.to_bytes(), json.dumps(index.meta, sort_keys=True)
    return part.draft(
        {
            "index.faiss": part.put(data),
            "index.json": part.put(meta.encode()),
            "local.parquet": part.put_table(kept.select(["id", "local"])),
            ROWS: part.put_table(kept.select(["id", "sha256"])),
        },
        facts=index_facts(index, kept["label_encoder"], table.num_rows, table.num_rows - kept.num_rows),
        preview=lambda: neighbour_strip(part, kept["id"].to_pylist(), schema.matrix(kept, "local")),
    )


def indexed(
    part: Partition, name: str, now: Rows, last: Callable[[], Rows | None], asked: Asked | None = None
) -> Index:
    """An index over the rows, from the last one where that is large: `last` are the rows that it was made
    for. A damaged one is as good as none."""
    from pinflow.retrieval.changes import places, update
    from pinflow.retrieval.index import FLAT_ROWS, Index, build

    ids, vectors = now
    if len(ids) > FLAT_ROWS and part.previous is not None and f"{name}.faiss" in part.previous.files:
        try:
            before = last()
            if before is not None:
                data, meta = (part.store.file(part.previous, f"{name}.{end}") for end in ("faiss", "json"))
                old = Index.from_bytes(data, meta, before[1])
                return update(old, places(*before, ids, vectors), vectors, asked)
        except CorruptError:
            pass
    return build(vectors, asked)


def index_facts(index: Any, encoders: pa.ChunkedArray, embedded: int, tombstones: int) -> dict[str, Any]:
    """What the checks of an index compare."""
    return {
        "kind": index.kind,
        "indexed": index.n,
        "embedded": embedded,
        "tombstones": tombstones,
        "recall": index.recall,
        "encoders": sorted(encoders.unique().to_pylist()),
    }


def make_projection(part: Partition, _: House) -> Manifest:
    """The label's own map. New pictures are placed into the old one where it still fits."""
    from pinflow.projecting.draw import scatter

    embeddings = part.read("embeddings")
    table = part.table(embeddings, table_of(embeddings.facts["encoders"][0]))
    ids, space = table["id"].to_pylist(), embeddings.facts["label_encoder"]
    with part.timed("lay_out"):
        layout = place_on_map(part, ids, schema.matrix(table, "local"), space)
    return part.draft(
        map_files(part, ids, [str(part.label)] * len(ids), layout),
        facts=map_facts(layout, space),
        preview=lambda: scatter(
            layout.coordinates2, [str(c) if c >= 0 else "" for c in layout.clusters.tolist()]
        ),
    )


def place_on_map(part: Partition, ids: list[str], vectors: npt.NDArray[np.float32], space: str) -> Layout:
    """Lay out beside the last map of this partition, where that is a map of the same space."""
    from pinflow.projecting.layout import align, lay_out

    old = part.last_table("points.parquet")
    if old is None or part.previous is None or part.previous.facts["space"] != space:
        return lay_out(vectors)
    axes = [np.stack([old[f"{axis}{d}"].to_numpy() for axis in "xyz"[:d]], axis=1) for d in (2, 3)]
    return lay_out(vectors, previous=align(ids, old["id"].to_pylist(), *axes))


def map_files(part: Partition, ids: list[str], labels: list[str], layout: Layout) -> dict[str, File]:
    """The tables of a map: points (`schema.atlas`) and the neighbour graph (`schema.neighbours`)."""
    planes = {2: layout.coordinates2, 3: layout.coordinates3}
    axes = {f"{axis}{d}": plane[:, i] for d, plane in planes.items() for i, axis in enumerate("xyz"[:d])}
    key = pa.array(ids, pa.string())
    points = pa.table({"id": key, "label": pa.array(labels, pa.string()), **axes, "cluster": layout.clusters})
    k = layout.neighbours.shape[1]
    rows = pa.FixedSizeListArray.from_arrays(pa.array(layout.neighbours.ravel(), pa.int32()), k)
    edges = pa.table({"id": key, "neighbours": rows, "similarities": schema.vectors(layout.similarities)})
    return {
        "points.parquet": part.put_table(schema.conform(points, schema.atlas())),
        "neighbours.parquet": part.put_table(schema.conform(edges, schema.neighbours(k))),
    }


def map_facts(layout: Layout, space: str) -> dict[str, Any]:
    """What a map says of itself; `space` is the digest of what made its vectors."""
    clusters = layout.clusters
    return {"points": len(clusters), "clusters": len(set(clusters[clusters >= 0].tolist())), "space": space}

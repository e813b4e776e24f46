"""The comparison of taggers (phase B): made by hand, since it takes minutes and decides nothing by itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pinflow.pipeline.partition import Partition
from pinflow.pipeline.resources import House
from pinflow.store import Manifest

SEED = 0
REPORT, TABLE, CHART = "comparison.json", "comparison.md", "comparison.png"


def make_comparison(part: Partition, _: House) -> Manifest:
    """Baselines and transfer models on the same folds; of a collection that is too small, that it is."""
    from pinflow.learning.splits import resolve
    from pinflow.learning.tagging.chart import chart
    from pinflow.learning.tagging.compare import table
    from pinflow.learning.tagging.contest import choose, contest, remarks

    splits, images = part.read_all("splits"), part.read_all("images")
    labels = sorted(set(splits) & set(images))
    curated = pa.concat_tables([part.table(images[label], "pictures.parquet") for label in labels])
    rows = part.tombstones.left(resolve([part.table(splits[label]) for label in labels]))
    entries = choose(rows.filter(pc.is_in(rows["sha256"], value_set=curated["sha256"].combine_chunks())))
    pictures = _pictures(part, [images[label] for label in labels], entries.sha256)
    with part.timed("contest"):
        trunk = part.collection.encoder.trunk
        say = logging.getLogger(__name__).info
        report = contest(pictures, entries, trunk=trunk, seed=SEED, say=say)
    found, said = report["rows"], "; ".join(remarks(report))
    drawn = chart(found, f"{part.collection.name}: {entries.why}") if found else None
    return part.draft(
        {
            REPORT: part.put(json.dumps(report, sort_keys=True).encode()),
            TABLE: part.put((f"{table(found)}\n\n{said}\n" if found else f"{said}\n").encode()),
            **({CHART: part.put(drawn)} if drawn else {}),
        },
        facts={
            "accuracy": {row["name"]: row["accuracy"]["value"] for row in found},
            "pictures": report["pictures"],
            "folds": report["folds"],
            "served": report["served"],
            "why": said,
        },
        preview=lambda: drawn,
    )


def _pictures(part: Partition, images: Iterable[Manifest], wanted: Collection[str]) -> dict[str, bytes]:
    """JPEGs of the shards, by sha256."""
    found: dict[str, bytes] = {}
    value_set = pa.array(sorted(wanted), pa.string())
    for manifest in images:
        for name in manifest.files:
            if name.startswith("shard-"):
                shard = part.table(manifest, name)
                kept = shard.filter(pc.is_in(shard["sha256"], value_set=value_set))
                found.update(zip(kept["sha256"].to_pylist(), kept["jpeg"].to_pylist(), strict=True))
    return found

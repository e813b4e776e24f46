"""Phase A, a label at a time: pins -> images -> splits, and features."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pinflow import schema
from pinflow.errors import CorruptError
from pinflow.imaging.shards import keep
from pinflow.pipeline.assets.previews import neighbour_strip, strip
from pinflow.pipeline.io_managers import TABLE
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.planning import recipe
from pinflow.pipeline.removal import note_gone, settle
from pinflow.pipeline.resources import House
from pinflow.pipeline.stages import AUTOMATION, REMOVAL
from pinflow.store import File, Manifest

if TYPE_CHECKING:
    from pinflow.learning.trunk import Trunk

STYLE = "style.parquet"  # beside the features: what the early layers see of the same pictures
PINS, SIGHTINGS = "pins.parquet", "sightings.parquet"
SHEET = 24  # thumbnails on a contact sheet


def make_pins(part: Partition, house: House) -> Manifest:
    """Scrape. What the site did not give is an incomplete state with a reason, never an exception."""
    if part.trigger == REMOVAL or (part.trigger == AUTOMATION and not part.snapshot.scrape_due(part.label)):
        return _without_removed(part)
    from pinflow.scraping.crawler import shared
    from pinflow.scraping.scrape import scrape

    work = house.crawl_folder(part.collection.name, str(part.label))
    previous, sightings = _trusted_pins(part), _sightings(part)
    with part.timed("scrape"):
        result = scrape(
            part.collection.source,
            part.query or str(part.label),
            work=work,
            previous=previous,
            sightings=sightings,
            blocked=part.tombstones.erased,
            opt_outs=part.snapshot.opt_outs,
            token=house.pinterest_token,
            crawler=shared(house.contact),
        )
    note_gone(part, result.pins, result.gone)
    pins, files = settle(part, result.pins, result.files)
    part.store.adopt(part.collection.name, files)
    attempts = int(part.previous.stats.get("attempts", 0)) if part.previous else 0
    manifest = _drafted(
        part,
        pins,
        part.tombstones.erase(result.sightings),
        stats={**result.stats, "attempts": 0 if result.complete else attempts + 1},
        reason=None if result.complete else result.reason or "the source did not give everything",
    )
    part.after_commit.append(lambda: shutil.rmtree(work, ignore_errors=True))
    return manifest


def _drafted(part: Partition, pins: pa.Table, sightings: pa.Table, **about: Any) -> Manifest:
    """The state of a label. Sightings move every night, so they are neither counted nor in the version."""
    table = part.put_table(pins)
    return part.draft(
        {PINS: table, SIGHTINGS: replace(part.put_table(sightings), rows=None)},
        identity=table.sha256,
        preview=lambda: strip(_originals(part, pins)),
        **about,
    )


def _sightings(part: Partition) -> pa.Table:
    """When the pins of the label were seen, as far as that is known."""
    if part.previous is None or SIGHTINGS not in part.previous.files:
        return schema.empty(schema.SIGHTINGS)
    try:
        return part.table(part.previous, SIGHTINGS)
    except CorruptError:
        return schema.empty(schema.SIGHTINGS)


def _without_removed(part: Partition) -> Manifest:
    """The last scrape without the pins that were removed since. The source is not asked."""
    old = part.previous
    assert old is not None  # what was never scraped is due
    last, seen = part.table(old, PINS), _sightings(part)
    pins, _ = settle(part, last)
    sightings = part.tombstones.erase(seen)
    if pins is last and sightings is seen:
        return old
    about = {name: told for name, told in old.stats.items() if name not in ("preview", "seconds")}
    return _drafted(part, pins, sightings, stats=about, reason=old.reason)


def _trusted_pins(part: Partition) -> pa.Table | None:
    """The last scrape, where a picture that the store has lost counts as never fetched."""
    try:
        pins = part.table(part.previous, PINS) if part.previous else None
    except CorruptError:
        return None
    if pins is None:
        return None
    lost = part.store.missing(part.collection.name, pins["sha256"].drop_null().to_pylist())
    if not lost:
        return pins
    known = [None if sha256 in lost else sha256 for sha256 in pins["sha256"].to_pylist()]
    return pins.set_column(
        pins.schema.get_field_index("sha256"), pins.schema.field("sha256"), pa.array(known, pa.string())
    )


def _originals(part: Partition, pins: pa.Table) -> list[bytes]:
    digests = pins["sha256"].drop_null().to_pylist()[: SHEET // 2]
    return [part.store.get(part.collection.name, sha256) for sha256 in digests]


def make_images(part: Partition, _: House) -> Manifest:
    """Curate. Pictures that were curated before are carried over, not decoded again."""
    from pinflow.imaging.curate import curate

    pins = part.table(part.read("pins"), PINS)
    known, old_shards = _curated(part)
    with part.timed("curate"):
        curation = curate(
            pins,
            lambda sha256: part.store.get(part.collection.name, sha256),
            previous=known,
            tombstones=_removed(part, pins),
            looks=part.tombstones.looks,
        )
    fresh: list[dict[str, File]] = []
    shown: list[bytes] = []
    for number in range(len(curation.shards)):  # one in memory at a time
        with part.timed("thumbnails"):
            shard, thumbnails = curation.shards[number], curation.thumbnails[number]
        fresh.append({"shard": part.put_table(shard), "thumbnails": part.put_table(thumbnails)})
        shown += thumbnails["webp"].slice(0, SHEET - len(shown)).to_pylist()
    kept = set(curation.pictures["id"].to_pylist())
    carried = _carried(part, old_shards, kept)
    shards = [*carried, *fresh]
    rejected = Counter(curation.rejects["reason"].to_pylist())
    groups = sum(1 for copies in curation.pictures["duplicates"].to_pylist() if copies)
    return part.draft(
        {
            "pictures.parquet": part.put_table(curation.pictures),
            "rejects.parquet": part.put_table(curation.rejects),
            **{
                f"{kind}-{n:05d}.parquet": file
                for n, pair in enumerate(shards)
                for kind, file in pair.items()
            },
        },
        facts={
            "kept": len(kept),
            "rejected": dict(sorted(rejected.items())),
            "near_duplicate_groups": groups,
        },
        preview=lambda: strip(shown),
    )


def _removed(part: Partition, pins: pa.Table) -> frozenset[str]:
    """Digests of pictures that never come back: removed themselves, or by their pin."""
    removed = part.tombstones
    rows = zip(pins["id"].to_pylist(), pins["sha256"].to_pylist(), strict=True)
    return removed.pictures | {sha256 for one, sha256 in rows if one in removed.ids and sha256}


def _curated(part: Partition) -> tuple[pa.Table | None, Manifest | None]:
    """The pictures of the last state; none where it is damaged, so that they are curated anew."""
    if part.previous is None or part.previous.recipe != recipe(part.collection, "images"):
        return None, None
    try:
        return part.table(part.previous, "pictures.parquet"), part.previous
    except CorruptError:
        return None, None


def _carried(part: Partition, old: Manifest | None, kept: set[str]) -> Iterator[dict[str, File]]:
    """The old shards, as they are where all their pictures are still kept, else without the others."""
    names = [name for name in (old.files if old else ()) if name.startswith("shard-")]
    for name in names:
        assert old is not None
        pair = {"shard": name, "thumbnails": name.replace("shard", "thumbnails")}
        ids = set(part.table(old, pair["thumbnails"])["id"].to_pylist())
        if ids <= kept:
            yield {kind: old.files[one] for kind, one in pair.items()}
        elif ids & kept:
            yield {kind: part.put_table(keep(part.table(old, one), kept)) for kind, one in pair.items()}


def make_splits(part: Partition, _: House) -> Manifest:
    """Train, val and test by group; pictures keep the split that they were once given."""
    from pinflow.learning.splits import assign

    pictures = part.table(part.read("images"), "pictures.parquet")
    with part.timed("assign"):
        rows = assign(
            pictures,
            str(part.label),
            group_by=part.collection.group_by,
            previous=part.last_table(),
        )
    counts = Counter(rows["split"].to_pylist())
    return part.draft({TABLE: part.put_table(rows)}, facts={"splits": dict(sorted(counts.items()))})


def make_features(part: Partition, house: House) -> Manifest:
    """Trunk vectors of the pictures that have none yet."""
    from pinflow.learning.features import extract

    images = part.read("images")
    shards = [name for name in images.files if name.startswith("shard-")]
    # A table of before the stages were kept is made anew.
    known = part.last_table() if part.previous and "stages" in part.previous.facts else None
    old = part.previous.facts["trunk"] if part.previous and known is not None else None
    used: list[str] = []

    def trunk() -> Trunk:
        loaded = house.trunk(part.collection.encoder.trunk)
        used.append(loaded.digest)
        return loaded

    with part.timed("extract"):
        table = extract((part.table(images, name) for name in shards), trunk, known=known)
        if old and used and used[0] != old:  # other weights than last time: the old vectors are of no use
            table = extract((part.table(images, name) for name in shards), trunk)
    style, style_trunk = _style_statistics(part, house, images, shards)
    return part.draft(
        {TABLE: part.put_table(table), STYLE: replace(part.put_table(style), rows=None)},
        facts={
            "trunk": used[0] if used else old,
            "style_trunk": style_trunk,
            "stages": schema.width(table, "stages"),
        },
        preview=lambda: neighbour_strip(part, table["id"].to_pylist(), schema.matrix(table, "vector")),
    )


def _style_statistics(
    part: Partition, house: House, images: Manifest, shards: list[str]
) -> tuple[pa.Table, str | None]:
    """What the early layers see of the same pictures, and the digest of these layers. A pass of its own:
    the trunk is run by engines that show no early layers, and style needs a quarter of the pixels."""
    from pinflow.learning.features import extract

    known = part.last_table(STYLE)
    old = part.previous.facts.get("style_trunk") if part.previous and known is not None else None
    used: list[str] = []

    def early() -> Trunk:
        loaded = house.style(part.collection.encoder.trunk)
        used.append(loaded.digest)
        return loaded

    with part.timed("extract_style"):
        table = extract((part.table(images, name) for name in shards), early, known=known)
        if old and used and used[0] != old:
            table = extract((part.table(images, name) for name in shards), early)
    return table, used[0] if used else old

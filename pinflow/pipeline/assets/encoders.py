"""The encoders: one over all labels (phase B), one inside each label (phase C)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pinflow import schema
from pinflow.errors import PinflowError
from pinflow.pipeline.assets.previews import neighbour_strip
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.resources import House
from pinflow.pipeline.stages import AUTOMATION, STALE
from pinflow.store import File, Manifest

if TYPE_CHECKING:
    from pinflow.learning.encoder import EncoderFit
    from pinflow.learning.head import Head
    from pinflow.learning.style.whitening import Whitening
    from pinflow.learning.trunk import Trunk
    from pinflow.learning.tuner import Tuner

SEED = 0
CROPS = "crops.parquet"  # parts of some pictures, embedded


def read_head(part: Partition, manifest: Manifest, name: str) -> Head:
    """One of an encoder's heads: `served`, `candidate` or `previous`."""
    from pinflow.learning.head import Head

    return Head.from_bytes(part.store.file(manifest, f"{name}.safetensors"))


def one_trunk(features: dict[str, Manifest], fact: str = "trunk") -> str:
    """The trunk that made all features. Raises `PinflowError` where labels disagree."""
    trunks = {manifest.facts[fact] for manifest in features.values() if manifest.facts[fact]}
    if len(trunks) > 1:
        raise PinflowError(
            f"features of {len(trunks)} trunks stand side by side: materialise `features` of all labels"
        )
    return next(iter(trunks), "")


def make_encoder(part: Partition, house: House) -> Manifest:
    """Tune a candidate on all labels that are there; serve it only if the evidence says so."""
    if part.trigger in (AUTOMATION, STALE) and part.previous and not part.snapshot.tune_due("encoder"):
        seen = [name for name in part.previous.files if name.startswith("tuned-")]
        return without_removed(part, part.previous, ("rows.parquet", CROPS, *seen))
    from pinflow.learning.encoder import fit_encoder
    from pinflow.learning.report import plot
    from pinflow.learning.splits import resolve

    splits, features = part.read_all("splits"), part.read_all("features")
    labels = sorted(set(splits) & set(features))
    old = part.previous if part.previous and part.previous.facts.get("trunk") == one_trunk(features) else None
    keys = part.table(old, "trained_on.parquet") if old else None
    trained = keys["key"].to_pylist() if keys else []
    by_served = keys.filter(keys["served"])["key"].to_pylist() if keys else []
    rows = resolve([part.table(splits[label]) for label in labels], trained_on=trained)
    table = together(part, {label: features[label] for label in labels})
    with part.timed("extract_crops"):
        crops = _crops(part, house, rows, table, old)
    served = read_head(part, old, "served") if old else None
    with part.timed("extract_tuned"):
        tuned = _tuned(part, house, old, served, crops)
    with part.timed("fit_encoder"):
        fit = fit_encoder(
            table,
            rows,
            part.collection.encoder,
            served=served,
            trained_on=by_served,
            attributes=part.collection.attributes,
            crops=crops,
            tuned=tuned,
            tuner=_tuner(part, house),
            seed=SEED,
        )
    heads = {"served": fit.served, "candidate": fit.candidate}
    if old and old.facts["served"] != fit.served.digest:
        heads["previous"] = read_head(part, old, "served")
    elif old and "previous.safetensors" in old.files:
        heads["previous"] = read_head(part, old, "previous")
    digests = {name: head.digest for name, head in heads.items()}
    files = _of_tuned_trunks(part, old, fit, heads, rows, tuned)
    with part.timed("fit_whitening"):
        style = _style(part, {label: features[label] for label in labels}, rows)
    report = {**fit.report.to_json(), "promotion": asdict(fit.promotion), "notes": list(fit.notes)}
    return part.draft(
        {
            **{f"{name}.safetensors": part.put(head.to_bytes()) for name, head in heads.items()},
            "style.safetensors": part.put(style.to_bytes()),
            "rows.parquet": part.put_table(rows),
            "trained_on.parquet": part.put_table(_trained_on(rows, trained, fit.trained_on)),
            CROPS: replace(part.put_table(crops), rows=None),
            **files,
            "fit.json": _json(part, report),
        },
        facts={
            **digests,
            "kind": fit.served.kind,
            "reads": fit.served.reads,
            "tuned_trunk": fit.served.trunk,
            "trunk": one_trunk(features),
            "style": style.digest,
            "style_trunk": one_trunk(features, "style_trunk"),
            "promoted": fit.promotion.promoted,
            "why": fit.promotion.reason,
            "crop_recall": {name: one.value for name, one in fit.report.crops.items() if one.n},
            "rows": {label: features[label].rows for label in labels},
        },
        identity=[digests["served"], digests.get("previous"), style.digest],
        preview=lambda: plot(report),
    )


def trunk_file(head: Head) -> str:
    """The checkpoint of the tuned trunk of a head."""
    return f"trunk-{head.trunk[:16]}.safetensors"


def tuned_features(part: Partition, encoder: Manifest, head: Head) -> dict[str, tuple[pa.Table, pa.Table]]:
    """What the tuned trunk of a head saw of the pictures and of their parts at the last fit; empty for a head
    of the collection's own trunk."""
    if not head.trunk:
        return {}
    names = (f"tuned-{head.trunk[:16]}.parquet", f"tuned-crops-{head.trunk[:16]}.parquet")
    whole, parts = (part.table(encoder, name) for name in names)
    return {head.trunk: (whole, parts)}


def seen_by_all(rows: pa.Table, tuned: dict[str, tuple[pa.Table, pa.Table]]) -> pa.Table:
    """The rows whose pictures every tuned trunk has seen; what came since waits for the next fit."""
    import pyarrow.compute as pc

    for whole, _ in tuned.values():
        rows = rows.filter(pc.is_in(rows["id"], value_set=whole["id"].combine_chunks()))
    return rows


def tuned_trunk(part: Partition, house: House, encoder: Manifest, head: Head) -> Trunk:
    """The trunk of a head, from its checkpoint."""
    return house.tuned(head.trunk, part.store.file(encoder, trunk_file(head)))


def _tuned(
    part: Partition, house: House, old: Manifest | None, head: Head | None, crops: pa.Table
) -> dict[str, tuple[pa.Table, pa.Table]]:
    """What the tuned trunk of the served head sees, of pictures that came since too."""
    from pinflow.learning.crops import cut
    from pinflow.learning.features import extract

    if old is None or head is None or not head.trunk:
        return {}
    whole, parts = tuned_features(part, old, head)[head.trunk]
    trunk = partial(tuned_trunk, part, house, old, head)
    wanted = crops["sha256"].to_pylist()
    return {
        head.trunk: (
            extract(_shards(part), trunk, known=whole),
            extract(cut(_shards(part), wanted), trunk, known=parts),
        )
    }


def _tuner(part: Partition, house: House) -> Tuner | None:
    """What tunes the trunk, where the collection wants that."""
    from pinflow.learning.full import Course
    from pinflow.learning.tuner import Tuner

    encoder = part.collection.encoder
    if encoder.tune != "full":
        return None
    return Tuner(
        partial(_shards, part),
        partial(house.fresh_trunk, encoder.trunk),
        house.tuning_folder(part.collection.name),
        Course(grayscale=encoder.grayscale),
    )


def _of_tuned_trunks(
    part: Partition,
    old: Manifest | None,
    fit: EncoderFit,
    heads: dict[str, Head],
    rows: pa.Table,
    known: dict[str, tuple[pa.Table, pa.Table]],
) -> dict[str, File]:
    """Checkpoints and features of the tuned trunks of these heads."""
    from pinflow.learning.tuner import features

    files: dict[str, File] = {}
    for head in heads.values():
        if not head.trunk:
            continue
        tables = (f"tuned-{head.trunk[:16]}.parquet", f"tuned-crops-{head.trunk[:16]}.parquet")
        fresh = fit.trunk is not None and head.trunk == fit.candidate.trunk
        if fit.trunk is not None and fresh:
            files[trunk_file(head)] = part.put(fit.trunk)
            made = features(fit.data.others[head.trunk], rows)
        elif old is not None:
            files[trunk_file(head)] = old.files[trunk_file(head)]
            made = known.get(head.trunk) or tuned_features(part, old, head)[head.trunk]
        files |= {
            name: replace(part.put_table(one), rows=None) for name, one in zip(tables, made, strict=True)
        }
    return files


def _shards(part: Partition) -> Iterator[pa.Table]:
    """The pictures of all labels."""
    for manifest in part.read_all("images").values():
        yield from (part.table(manifest, name) for name in manifest.files if name.startswith("shard-"))


def _crops(
    part: Partition, house: House, rows: pa.Table, features: pa.Table, old: Manifest | None
) -> pa.Table:
    """Parts of the pictures, of all of them where two views of one belong together, embedded like these."""
    from pinflow.learning import crops
    from pinflow.learning.features import extract

    encoder = part.collection.encoder
    everything = encoder.tune != "none" and "augmentation" in encoder.positives
    wanted = crops.chosen(rows, rows.num_rows) if everything else crops.chosen(rows)
    known = part.table(old, CROPS) if old and CROPS in old.files else schema.empty(features.schema)
    if known.schema != features.schema:
        known = schema.empty(features.schema)
    there = set(known["sha256"].to_pylist())
    if wanted <= there:  # whoever was once cut stays, which a reader of these is glad of
        return known
    return extract(crops.cut(_shards(part), wanted), lambda: house.trunk(encoder.trunk), known=known)


def _style(part: Partition, features: dict[str, Manifest], rows: pa.Table) -> Whitening:
    """The map of styles, learned from the training pictures without being told whose hand is whose."""
    import pyarrow.compute as pc

    from pinflow.learning.style.whitening import fit_whitening

    statistics = together(part, features, "style.parquet")
    learned = rows.filter(pc.equal(rows["split"], "train"))["sha256"].unique()
    return fit_whitening(
        schema.matrix(statistics.filter(pc.is_in(statistics["sha256"], value_set=learned)), "vector")
    )


def without_removed(part: Partition, old: Manifest, names: Sequence[str]) -> Manifest:
    """The same weights, beside tables (`names`, those with pins) that no longer name the pins that were
    erased since. What was learned of them stays in the weights until the next tuning; their digests stay
    in `trained_on.parquet`, so that a copy of theirs never counts as unseen."""
    tables = {name: part.table(old, name) for name in names if name in old.files}
    left = {name: part.tombstones.erase(table) for name, table in tables.items()}
    if all(left[name] is tables[name] for name in tables):
        return old
    files = {**old.files, **{name: part.put_table(table) for name, table in left.items()}}
    inputs = {**old.inputs, **part.snapshot.removals(part.stage)}
    return replace(old, files=files, inputs=inputs, written_at="")


def together(part: Partition, features: dict[str, Manifest], name: str = "table.parquet") -> pa.Table:
    """The features of all labels as one table; an empty one only where every label is."""
    tables = [part.table(manifest, name) for manifest in features.values()]
    return pa.concat_tables([table for table in tables if table.num_rows] or tables[:1])


def _trained_on(rows: pa.Table, before: Iterable[str], by_served: Iterable[str]) -> pa.Table:
    """sha256 and group of every picture that any head of this collection was ever tuned on, and whether
    the served one was: neither may ever count as unseen again."""
    import pyarrow.compute as pc

    learned = rows.filter(pc.equal(rows["split"], "train"))
    served = set(by_served)
    keys = sorted({*before, *served, *learned["sha256"].to_pylist(), *learned["group"].to_pylist()})
    return pa.table(
        {"key": pa.array(keys, pa.string()), "served": pa.array([key in served for key in keys], pa.bool_())}
    )


def make_label_encoder(part: Partition, _: House) -> Manifest:
    """Tune a head inside the label on its related pins, by the same rule; else identity, and why."""
    from pinflow.learning.embed import in_space
    from pinflow.learning.label_encoder import fit_label_encoder
    from pinflow.learning.splits import resolve

    features, rows = part.table(part.read("features")), resolve([part.table(part.read("splits"))])
    with part.timed("fit_label_encoder"):
        fit = fit_label_encoder(features, rows, seed=SEED)
    report = {"promotion": asdict(fit.promotion), "test": asdict(fit.test) if fit.test else None}
    return part.draft(
        {"served.safetensors": part.put(fit.served.to_bytes()), "fit.json": _json(part, report)},
        facts={
            "served": fit.served.digest,
            "kind": fit.served.kind,
            "promoted": fit.promotion.promoted,
            "why": fit.promotion.reason,
        },
        preview=lambda: neighbour_strip(part, features["id"].to_pylist(), in_space(features, fit.served)),
    )


def _json(part: Partition, content: Any) -> File:
    return part.put(json.dumps(content, sort_keys=True).encode())

"""Phase D, over all labels: gallery, atlas, evaluation, and the release that serving follows."""

from __future__ import annotations

import io
import json
import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinflow import __version__, releases, schema
from pinflow.errors import CheckFailed, PinflowError
from pinflow.mapped import table_file
from pinflow.pipeline import checks
from pinflow.pipeline.assets.chapters import chapters
from pinflow.pipeline.assets.encoders import (
    CROPS,
    read_head,
    seen_by_all,
    together,
    trunk_file,
    tuned_features,
)
from pinflow.pipeline.assets.previews import read_thumbnails, strip
from pinflow.pipeline.assets.tagger import served_tagger
from pinflow.pipeline.assets.text import served_words, text_queries
from pinflow.pipeline.assets.vectors import (
    ROWS,
    index_facts,
    indexed,
    map_facts,
    map_files,
    place_on_map,
    table_of,
)
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.removal import finish
from pinflow.pipeline.resources import House
from pinflow.store import File, Manifest

SPRITE_CELL = 64  # px
REPORTS = ("evaluation.html", "evaluation.json", "evaluation.png")
SWEEP_SECONDS = 24 * 3600.0  # blobs that nothing names are looked for this often


def make_gallery(part: Partition, _: House) -> Manifest:
    """All labels in one index, in the newest space that every label has reached, and what its neighbours
    are worth as votes, measured on pictures that no training saw."""
    from pinflow.learning.splits import resolve
    from pinflow.retrieval.calibration import held_out, pricing, votes
    from pinflow.retrieval.gallery import assemble, styles

    images, embeddings = part.read_all("images"), part.read_all("embeddings")
    labels = sorted(set(images) & set(embeddings))
    encoder = prevailing([embeddings[label] for label in labels])
    labels = [label for label in labels if encoder in embeddings[label].facts["encoders"]]
    stored = {label: part.table(embeddings[label], table_of(encoder)) for label in labels}
    curated = {label: part.table(images[label], "pictures.parquet") for label in labels}
    tables, pictures = ({k: part.tombstones.left(t) for k, t in all.items()} for all in (stored, curated))
    with part.timed("assemble"):
        pins, vectors = assemble(pictures, tables)
        pins = part.tombstones.erase(pins)  # also as a related pin of another
        style = styles(pins, tables)
    colours = _colours(part, pins)
    ids = pins["id"].to_pylist()
    with part.timed("build"):
        asked = _asked(part, pins, encoder)
        index = indexed(part, "gallery", (ids, vectors), lambda: _last_rows(part, "vectors.npy"), asked)
        data, meta = index.to_bytes(), json.dumps(index.meta, sort_keys=True)
    with part.timed("calibrate"):
        rows = resolve([part.table(one) for one in part.read_all("splits").values()])
        judged = held_out(pins, rows, frozen=encoder == "identity")
        fitted = votes(pins, vectors, None if style is None else style[0], judged)
        priced = pricing(pins, vectors, judged, _own_spaces(tables))
    embedded = _ids_of_both(stored, curated)
    removed = embedded - _ids_of_both(tables, pictures)
    encoders = pa.chunked_array([table["encoder"].combine_chunks() for table in tables.values()], pa.string())
    return part.draft(
        {
            "pins.parquet": part.put_table(pins),
            "colours.parquet": replace(part.put_table(colours), rows=None),  # a pin is one row, not two
            "vectors.npy": part.put(_npy(vectors)),
            "gallery.faiss": part.put(data),
            "gallery.json": part.put(meta.encode()),
            "lookup.json": part.put(_json({name: vote.to_json() for name, vote in fitted.items()})),
            "price.json": part.put(_json(priced and priced.to_json())),
            **({} if style is None else _style_files(part, ids, style[0])),
        },
        facts={
            "style": None if style is None else style[1],
            **index_facts(index, encoders, len(embedded), len(removed)),
            "pictures": {label: pictures[label].num_rows for label in labels},
        },
        preview=lambda: strip(_sample(part, pins)),
    )


def _colours(part: Partition, pins: pa.Table) -> pa.Table:
    """The palette of each pin's picture (`schema.COLOURS`); a picture of the last gallery is not looked at
    again."""
    from pinflow.imaging.palette import palettes

    old = part.previous is not None and "colours.parquet" in part.previous.files
    known = (part.last_table("colours.parquet") if old else None) or schema.empty(schema.COLOURS)
    fresh = pins.filter(pc.invert(pc.is_in(pins["sha256"], value_set=known["sha256"].combine_chunks())))
    labels = {slug for slugs in fresh["labels"].to_pylist() for slug in slugs}
    thumbnails = _thumbnails(part, labels) if labels else {}
    rows = zip(fresh["sha256"].to_pylist(), fresh["id"].to_pylist(), strict=True)
    pictures = {sha256: thumbnails[one] for sha256, one in rows}
    with part.timed("palettes"):
        made = palettes(pictures.keys(), pictures.values())
    together = pa.concat_tables([known, made])
    row_of = {sha256: row for row, sha256 in enumerate(together["sha256"].to_pylist())}
    return together.take(pa.array([row_of[one] for one in pins["sha256"].to_pylist()], pa.int64()))


def _own_spaces(tables: Mapping[str, pa.Table]) -> dict[str, tuple[list[str], npt.NDArray[np.float32]]]:
    """The labels that have a space of their own: ids, and vectors there."""
    return {
        slug: (table["id"].to_pylist(), schema.matrix(table, "local"))
        for slug, table in tables.items()
        if table["label_encoder"].unique().to_pylist() not in ([], ["identity"])
    }


def _asked(part: Partition, pins: pa.Table, encoder: str) -> dict[str, npt.NDArray[np.float32]]:
    """What a large gallery is tuned to answer beside its own pictures: captions, as the text tower sees them.
    It moves the effort of a search alone, so the gallery neither waits for the tower nor goes stale
    with it."""
    from pinflow.retrieval.index import FLAT_ROWS

    state = part.snapshot.manifest("text_encoder") if pins.num_rows > FLAT_ROWS else None
    texts = None if state is None else text_queries(part, state, encoder, pins["caption"])
    return {} if texts is None else {"texts": texts}


def _last_rows(part: Partition, name: str) -> tuple[list[str], npt.NDArray[np.float32]] | None:
    """The ids of the last gallery, and their vectors in that file."""
    pins = part.last_table("pins.parquet")
    if pins is None or part.previous is None or name not in part.previous.files:
        return None
    stored = np.load(io.BytesIO(part.store.file(part.previous, name)), allow_pickle=False)
    return pins["id"].to_pylist(), stored


def _style_files(part: Partition, ids: list[str], vectors: npt.NDArray[np.float32]) -> dict[str, File]:
    with part.timed("build"):
        index = indexed(part, "style", (ids, vectors), lambda: _last_rows(part, "style.npy"))
        data, meta = index.to_bytes(), json.dumps(index.meta, sort_keys=True)
    return {
        "style.npy": part.put(_npy(vectors)),
        "style.faiss": part.put(data),
        "style.json": part.put(meta.encode()),
    }


def _ids_of_both(tables: Mapping[str, pa.Table], others: Mapping[str, pa.Table]) -> set[str]:
    return {
        one
        for label, table in tables.items()
        for one in set(table["id"].to_pylist()) & set(others[label]["id"].to_pylist())
    }


def prevailing(embeddings: list[Manifest]) -> str:
    """The encoder whose embeddings most labels have, the newest of equals: while a promoted encoder reaches
    the labels one by one, the previous one still answers for all. A label that has neither stays out
    until its embeddings are made again, and holds nobody up."""
    newest = max(embeddings, key=lambda manifest: manifest.written_at).facts["encoders"]
    held = Counter(encoder for manifest in embeddings for encoder in manifest.facts["encoders"])
    ranked = dict.fromkeys([*newest, *held])
    return str(max(ranked, key=lambda encoder: held[encoder]))


def make_atlas(part: Partition, _: House) -> Manifest:
    """The map of all labels, with the thumbnails that a page draws it with."""
    from pinflow.projecting.draw import draw_map
    from pinflow.projecting.sprites import sprite_sheets

    gallery = part.read("gallery")
    pins = part.table(gallery, "pins.parquet")
    vectors = np.load(io.BytesIO(part.store.file(gallery, "vectors.npy")), allow_pickle=False)
    ids, labels = pins["id"].to_pylist(), [slugs[0] for slugs in pins["labels"].to_pylist()]
    thumbnails = _thumbnails(part)
    ordered = [thumbnails[one] for one in ids]
    space = "".join(gallery.facts["encoders"])
    names = {slug: label.query for slug, label in part.snapshot.labels.items()}
    with part.timed("lay_out"):
        layout = place_on_map(part, ids, vectors, space)
        sheets = sprite_sheets(ordered, cell=SPRITE_CELL)
        picture = draw_map(layout.coordinates2, ordered, [names.get(label, label) for label in labels])
        small = draw_map(
            layout.coordinates2, ordered, [names.get(label, label) for label in labels], size=480
        )
    return part.draft(
        {
            **map_files(part, ids, labels, layout),
            "thumbnails.arrow": part.put(
                table_file(pa.table({"id": ids, "webp": ordered}, schema=schema.THUMBNAILS))
            ),
            **{f"sprites-{number:03d}.webp": part.put(sheet) for number, sheet in enumerate(sheets)},
            "map.png": part.put(picture),
        },
        facts={**map_facts(layout, space), "sprite_cell": SPRITE_CELL, "sprite_sheets": len(sheets)},
        preview=lambda: _as_jpeg(small),
    )


def make_evaluation(part: Partition, _: House) -> Manifest:
    """Frozen, candidate and served, on pictures that no training saw, with intervals."""
    from pinflow.learning.evaluate import report
    from pinflow.learning.head import IDENTITY
    from pinflow.learning.report import page, plot
    from pinflow.learning.splits import resolve

    splits, features, encoder = part.read_all("splits"), part.read_all("features"), part.read("encoder")
    labels = sorted(set(splits) & set(features))
    trained = part.table(encoder, "trained_on.parquet")["key"].to_pylist()
    rows = resolve([part.table(splits[label]) for label in labels], trained_on=trained)
    table = together(part, {label: features[label] for label in labels})
    crops = part.table(encoder, CROPS) if CROPS in encoder.files else None
    heads = {
        "frozen": IDENTITY,
        "candidate": read_head(part, encoder, "candidate"),
        "served": read_head(part, encoder, "served"),
    }
    tuned: dict[str, tuple[pa.Table, pa.Table]] = {}
    for head in heads.values():
        tuned |= tuned_features(part, encoder, head)
    with part.timed("report"):
        found = report(table, seen_by_all(rows, tuned), heads, crops=crops, tuned=tuned).to_json()
    picture = plot(found)
    why = {"promoted": encoder.facts["promoted"], "why": encoder.facts["why"]}
    left = part.tombstones.left(table)
    wanted = dict(zip(left["id"].to_pylist(), left["sha256"].to_pylist(), strict=True))
    seen = {wanted[one]: webp for one, webp in _thumbnails(part).items() if one in wanted}
    more = chapters(part, {label: features[label] for label in labels}, rows, seen)
    told = {**found, **why, **more.told}
    written = page(told, picture, part.collection.name, thumbnails=seen, chapters=more.html)
    return part.draft(
        {
            "evaluation.json": part.put(json.dumps(told, sort_keys=True).encode()),
            "evaluation.html": part.put(written.encode()),
            "evaluation.png": part.put(picture),
            **more.files,
        },
        facts={
            "queries": found["queries"],
            "crop_recall": {name: one["value"] for name, one in found["crops"].items() if one["n"]},
            **why,
        },
        preview=lambda: picture,
    )


def make_release(part: Partition, house: House) -> Manifest:
    """Verify what is taken once more, put it together, and swap the pointer. Then erase what older releases
    still hold of removed pins."""
    verify(part)
    gallery, atlas, evaluation = part.read("gallery"), part.read("atlas"), part.read("evaluation")
    encoder = part.read("encoder")
    with part.timed("publish"):
        reports = {name: evaluation.files[name] for name in REPORTS}
        files = {**gallery.files, **_renamed(atlas, "atlas"), **reports, **_label_files(part)}
        files |= {name: file for name, file in atlas.files.items() if _is_thumbnails(name)}
        files |= served_tagger(part.read("tagger"), encoder.facts["trunk"])
        name = _space(encoder, gallery)
        files["encoder.safetensors"] = encoder.files[f"{name}.safetensors"]
        head = read_head(part, encoder, name)
        if head.trunk:
            files["trunk.safetensors"] = encoder.files[trunk_file(head)]
        if gallery.facts["style"] == encoder.facts["style"]:
            files["style.safetensors"] = encoder.files["style.safetensors"]
        else:  # the gallery's styles are of an older map, or of none: they come with the next release
            files = {path: file for path, file in files.items() if not path.startswith("style.")}
        description = _describe(part, encoder, name)
        words, description["text"] = served_words(part.read("text_encoder"), encoder.facts[name])
        files |= words
        files["model_card.md"] = _card(part, description, gallery, evaluation)
        release = releases.publish(part.store, part.collection.name, description, files)
    swept = part.previous.stats.get("swept_at", 0.0) if part.previous else 0.0
    if time.time() - swept > SWEEP_SECONDS:
        swept = time.time()
        part.after_commit.append(partial(_sweep, part))
    part.after_commit.append(partial(finish, part.store, part.collection.name, Path(house.home)))
    statuses = [label["status"] for label in description["labels"].values()]
    return part.draft(
        files,
        facts={"release": release, "labels": {s: statuses.count(s) for s in sorted(set(statuses))}},
        stats={"swept_at": swept},
        identity=release,
        preview=lambda: strip(_sample(part, part.table(gallery, "pins.parquet"))),
    )


def _sweep(part: Partition) -> None:
    try:
        part.store.sweep(part.collection.name)
    except PinflowError as error:  # the release stands; what cannot be swept costs room alone
        logging.getLogger(__name__).warning("%s: %s", part.collection.name, error)


def verify(part: Partition) -> None:
    """Run every blocking check of every state that the release takes. Raises `CheckFailed` naming all
    that fail: a check that failed once does not stop a later run, this does."""
    failures: list[str] = []
    for stage in checks.CHECKS:
        states = part.read_all(stage).items() if checks.per_label(stage) else [(None, part.read(stage))]
        for label, manifest in states:
            other = Partition(part.store, part.collection, stage, label)
            failures += checks.blocking_failures(other, manifest)
    if failures:
        raise CheckFailed("no release, the last one stays: " + "; ".join(failures))


def _space(encoder: Manifest, gallery: Manifest) -> str:
    """Which of the encoder's heads made the gallery's vectors: queries must go through the same one."""
    made_by = gallery.facts["encoders"] or [encoder.facts["served"]]  # an empty gallery fits any
    for name in ("served", "previous"):
        if encoder.facts.get(name) in made_by:
            return name
    raise CheckFailed("no release, the last one stays: the gallery's encoder is gone; materialise `gallery`")


def _describe(part: Partition, encoder: Manifest, name: str) -> dict[str, Any]:
    evaluation = json.loads(part.store.file(part.read("evaluation"), "evaluation.json"))
    pins, shown = part.read_all("pins"), part.read("gallery").facts["pictures"]
    return {
        "pinflow": __version__,
        "description": part.collection.description,
        "encoder": {
            "digest": encoder.facts[name],
            "kind": encoder.facts["kind"],
            "trunk": part.collection.encoder.trunk,
            "trunk_digest": encoder.facts["trunk"],
            "style_digest": encoder.facts["style_trunk"],
            "tuned_trunk": read_head(part, encoder, name).trunk,
        },
        "labels": {
            slug: {
                "query": label.query,
                **_standing(pins.get(slug), slug in shown),
                "pictures": shown.get(slug, 0),
            }
            for slug, label in sorted(part.snapshot.labels.items())
        },
        "figures": evaluation["overall"],
    }


def _card(part: Partition, description: dict[str, Any], gallery: Manifest, evaluation: Manifest) -> File:
    from pinflow.learning.card import model_card

    found = json.loads(part.store.file(evaluation, "evaluation.json"))
    about = {**description, **{name: found.get(name) for name in ("why", "queries", "words", "tags")}}
    licences = part.table(gallery, "pins.parquet")["licence"].to_pylist()
    return part.put(model_card(part.collection.name, about, licences=licences).encode())


def _standing(pins: Manifest | None, shown: bool) -> dict[str, str | None]:
    """Whether all that a label has is in the release, and if not, why."""
    if pins is None:
        return {"status": "incomplete", "reason": "never scraped"}
    if pins.reason is None and not shown:
        return {"status": "incomplete", "reason": "scraped, but a stage after that failed: see its last run"}
    return {"status": pins.status, "reason": pins.reason}


def _label_files(part: Partition) -> dict[str, File]:
    """Each label's own index, head and map, under `labels/<slug>/`."""
    files: dict[str, File] = {}
    indexes, heads, maps = (part.read_all(stage) for stage in ("index", "label_encoder", "projection"))
    shown = set(part.table(part.read("gallery"), "pins.parquet")["id"].to_pylist())
    for slug, index in indexes.items():
        # A label encoder that is newer than the index speaks another space, and an index older than the
        # gallery may hold pins that are gone: the label's own space comes with the next release.
        fits = slug in heads and heads[slug].facts["served"] in index.facts["encoders"]
        if index.facts["indexed"] and fits and shown.issuperset(_ids(part, index, ROWS)):
            searched = {name: file for name, file in index.files.items() if name != ROWS}
            own = {**searched, "encoder.safetensors": heads[slug].files["served.safetensors"]}
            if slug in maps and shown.issuperset(_ids(part, maps[slug], "points.parquet")):
                own |= _renamed(maps[slug], "map")
            files.update({f"labels/{slug}/{name}": file for name, file in own.items()})
    return files


def _ids(part: Partition, manifest: Manifest, name: str) -> list[str]:
    found: list[str] = part.table(manifest, name)["id"].to_pylist()
    return found


def _renamed(manifest: Manifest, folder: str) -> dict[str, File]:
    return {f"{folder}/{name}": file for name, file in manifest.files.items() if not _is_thumbnails(name)}


def _is_thumbnails(name: str) -> bool:
    return name.startswith("thumbnails.")  # of an older atlas they are Parquet


def _thumbnails(part: Partition, labels: Collection[str] | None = None) -> dict[str, bytes]:
    """Pin id -> WebP, of all labels or of some: also of one that was removed since the gallery was made."""
    found: dict[str, bytes] = {}
    for label, manifest in part.store.manifests(part.collection.name, "images").items():
        if labels is None or label in labels:
            found.update(read_thumbnails(part, manifest))
    return found


def _sample(part: Partition, pins: pa.Table, most: int = 24) -> list[bytes]:
    """Thumbnails of a few pins, spread over the labels."""
    step = max(1, pins.num_rows // most)
    chosen = pins.take(list(range(0, pins.num_rows, step))[:most])
    thumbnails = _thumbnails(part, {slugs[0] for slugs in chosen["labels"].to_pylist()})
    return [thumbnails[one] for one in chosen["id"].to_pylist() if one in thumbnails]


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, allow_nan=False).encode()


def _as_jpeg(png: bytes) -> bytes:
    from pinflow.imaging.sheet import contact_sheet

    return contact_sheet([png], columns=1, cell=480, limit=1, max_bytes=60_000)

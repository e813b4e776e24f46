"""What the evaluation says beside search by picture: words, tags, style. Read from the states of the stages
that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pinflow import schema
from pinflow.pipeline.assets import comparison, tagger, text
from pinflow.pipeline.assets.encoders import read_head, seen_by_all, together, tuned_features
from pinflow.pipeline.assets.pictures import STYLE
from pinflow.pipeline.partition import Partition
from pinflow.store import File, Manifest

if TYPE_CHECKING:
    from pinflow.learning.dataset import Dataset

TRANSFER = "transfer.json"  # which pictures, by sha256, and how
CHOSEN_FROM = 40  # pictures at least, so that a small collection does not wait for it
DRAWN = ("content.png", "manner.png", "result.png")  # the pictures of the transfer, as they were used


@dataclass(frozen=True)
class Chapters:
    """`html`, in order; `told` for `evaluation.json`; `files` to keep."""

    html: list[str]
    told: dict[str, Any]
    files: dict[str, File]


def chapters(
    part: Partition, features: Mapping[str, Manifest], rows: pa.Table, thumbnails: Mapping[str, bytes]
) -> Chapters:
    """`features`: of all labels; `rows`: their split rows, resolved; `thumbnails`: WebP by sha256, of every
    picture that may be shown."""
    from pinflow.learning import chapters as written
    from pinflow.learning.dataset import join
    from pinflow.learning.style.compare import style_report
    from pinflow.learning.style.whitening import Whitening
    from pinflow.learning.tagging.draw import plot

    said = json.loads(part.store.file(part.read("text_encoder"), text.REPORT))
    tags = json.loads(part.store.file(part.read("tagger"), tagger.REPORT))
    doubted = part.tombstones.left(part.table(part.read("tagger"), tagger.SUSPECTS)).to_pylist()
    with part.timed("style_report"):
        encoder = part.read("encoder")
        head = read_head(part, encoder, "served")
        tuned = tuned_features(part, encoder, head)
        data = join(together(part, dict(features)), seen_by_all(rows, tuned), tuned=tuned)
        content = data.space(head)
        # Of columns that nobody declared, most are a site's own numbers and names.
        declared = {
            name: data.attributes[name] for name in part.collection.attributes if name in data.attributes
        }
        data = replace(data, attributes=declared)
        whitening = Whitening.from_bytes(part.store.file(encoder, "style.safetensors"))
        styles = whitening.apply(_styles(part, features, data))
        found = style_report(data, content, styles)
    files, drawn, advice = transferred(part, thumbnails)
    compared, of_comparison = _compared(part)
    return Chapters(
        [
            written.words(said),
            written.tags(tags, drawn=plot(tags), suspects=doubted, thumbnails=thumbnails),
            *of_comparison,
            written.style(found, thumbnails=thumbnails, transferred=drawn, advice=advice),
        ],
        {"words": said, "tags": tags, **compared, "style": found},
        files,
    )


def _compared(part: Partition) -> tuple[dict[str, Any], list[str]]:
    """The comparison of taggers, where somebody had it made."""
    from pinflow.learning.chapters import comparison as written
    from pinflow.learning.tagging.contest import remarks

    state = part.snapshot.manifest("comparison")
    if state is None:
        return {}, []
    report = json.loads(part.store.file(state, comparison.REPORT))
    drawn = part.store.file(state, comparison.CHART) if comparison.CHART in state.files else None
    return {"comparison": report}, [written(report, drawn=drawn, said=remarks(report))]


def transferred(part: Partition, thumbnails: Mapping[str, bytes]) -> tuple[dict[str, File], list[bytes], str]:
    """One picture of the collection in the manner of another: files, pictures, and, without them, why. It
    takes up to a minute, so the last state's stand as long as both pictures do."""
    from pinflow.learning.style import vgg
    from pinflow.learning.style.pair import choose_pair
    from pinflow.learning.style.transfer import Recipe, transfer

    if not vgg.available():
        return {}, [], f"Not drawn here: its weights are not installed. {vgg.ADVICE}"
    before = part.previous
    if before and TRANSFER in before.files:
        pair, recipe = json.loads(part.store.file(before, TRANSFER))
        if recipe == str(Recipe()) and all(one in thumbnails for one in pair):
            kept = {name: before.files[name] for name in (TRANSFER, *DRAWN)}
            return kept, [part.store.file(before, name) for name in DRAWN], ""
    chosen = choose_pair(thumbnails) if len(thumbnails) >= CHOSEN_FROM else None
    if chosen is None:
        return (
            {},
            [],
            (f"Not drawn here: it wants {CHOSEN_FROM} pictures to choose from, and a thing on quiet ground."),
        )
    content, manner = (thumbnails[one] for one in chosen)
    with part.timed("transfer"):
        drawn = [content, manner, transfer(content, manner, vgg.load_vgg())]
    files = {name: part.put(data) for name, data in zip(DRAWN, drawn, strict=True)}
    return {TRANSFER: part.put(json.dumps([chosen, str(Recipe())]).encode()), **files}, drawn, ""


def _styles(part: Partition, features: Mapping[str, Manifest], data: Dataset) -> Any:
    """The style statistics of the rows of `data`, in their order."""
    statistics = together(part, dict(features), STYLE)
    place = {sha256: row for row, sha256 in enumerate(statistics["sha256"].to_pylist())}
    return schema.matrix(statistics, "vector")[[place[one] for one in data.sha256.tolist()]]

"""What `tune: full` adds to a fit: a trunk tuned on the collection's own pictures, and judged like a head.

A network tuned on pictures cannot be asked about them. So it is tuned twice: once without a fold of the
pictures and without some labels, to be judged on these and on val against what would be served otherwise;
and, if it is promoted, on all of train.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pinflow import schema
from pinflow.errors import PinflowError
from pinflow.learning import checkpoint, full
from pinflow.learning.crops import cut
from pinflow.learning.dataset import Crops, Dataset, Ints, Mask
from pinflow.learning.evaluate import Estimate, bootstrap, found_again, paired_gain, per_query
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.promotion import MIN_LABELS, Choice, Gain, Promotion, decide
from pinflow.learning.tune import Recipe
from pinflow.learning.views import Pixels, pixel_cache

if TYPE_CHECKING:
    from pinflow.learning.trunk import Trunk

ASIDE = 5  # one label in so many is put aside to be judged on


@dataclass(frozen=True)
class Followed:
    """A tuned trunk with its head, the pictures as it sees them, and its checkpoint."""

    head: Head
    data: Dataset
    checkpoint: bytes
    note: str


@dataclass(frozen=True)
class Tuner:
    """Where the pictures are and what tunes. `load` gives a fresh trunk each time; `folder` is local."""

    shards: Callable[[], Iterable[pa.Table]]  # `schema.SHARD`
    load: Callable[[], Trunk]
    folder: Path
    course: full.Course

    def judged(
        self, data: Dataset, served: Head, recipe: Recipe, learned: Ints, seed: int
    ) -> tuple[Promotion, Followed | None]:
        """Whether a tuned trunk beats `served` on what it has not seen, and, if so, the one tuned on all of
        `learned`. Raises `PinflowError` where there is no room for the pixels."""
        pixels, parts = self._pixels(data)
        some, known, unseen = _put_aside(data, learned)
        trial = self._tune(data, pixels, parts, recipe, some, None, seed)
        if trial is None:
            return Promotion(False, "full tuning: no two sets of pictures to tell apart"), None
        both = replace(data, others={**data.others, trial.head.trunk: trial.data})
        choice = Choice(
            recipe, unseen=_gain(both, served, trial.head, unseen, seed) if unseen.any() else None
        )
        frozen, ours = (
            found_again(both, head, known | unseen, np.flatnonzero(~data.in_splits("test")))
            for head in (IDENTITY, trial.head)
        )
        gain = Gain(_gain(both, served, trial.head, known, seed), paired_gain(ours, frozen, seed=seed))
        promotion = decide(gain, choice)
        promotion = replace(promotion, reason=f"full tuning: {promotion.reason}")
        if not promotion.promoted:
            return promotion, None
        watch = np.flatnonzero(data.in_splits("val"))
        return promotion, self._tune(data, pixels, parts, recipe, learned, watch, seed)

    def _tune(
        self,
        data: Dataset,
        pixels: Pixels,
        parts: Pixels,
        recipe: Recipe,
        rows: Ints,
        watch: Ints | None,
        seed: int,
    ) -> Followed | None:
        trunk, every = self.load(), np.arange(len(data))
        name, preprocess, device = trunk.name, trunk.preprocess, trunk.device
        own = replace(data, **full.seen_by(trunk.take(), pixels, every, data, preprocess, device))
        state = self.folder / f"{hashlib.sha256(data.sha256[rows].tobytes()).hexdigest()[:32]}.safetensors"
        found = full.tune_fully(
            trunk, pixels, own, rows, recipe, self.course, watch=watch, state=state, seed=seed
        )
        if found.head.kind == "identity":
            return None
        from pinflow.learning.trunk import Trunk

        made = Trunk(name, found.model, found.preprocess, device)
        seen = full.seen_by(found.model, pixels, every, data, found.preprocess, device)
        crops = None
        if data.crops is not None:
            rows_of = np.arange(len(data.crops.rows))
            cut_out = full.seen_by(found.model, parts, rows_of, data, found.preprocess, device)
            crops = Crops(data.crops.rows, cut_out["vectors"], cut_out["stages"])
        head = replace(found.head, trunk=made.digest)
        about = {"steps": found.steps, "note": found.note}
        data_ = checkpoint.to_bytes(checkpoint.Checkpoint(name, found.model, found.preprocess, about))
        return Followed(head, replace(data, crops=crops, **seen), data_, found.note)

    def _pixels(self, data: Dataset) -> tuple[Pixels, Pixels]:
        """What the trunk is shown of every picture, and of the parts that were cut out of some."""
        trunk = self.load()
        wanted = data.sha256[data.crops.rows].tolist() if data.crops is not None else []
        size = trunk.preprocess.size
        return (
            _filled(trunk, self.shards(), data.sha256.tolist(), pixel_cache(self.folder, len(data), size)),
            _filled(
                trunk,
                cut(self.shards(), wanted) if wanted else (),
                wanted,
                pixel_cache(self.folder, len(wanted), size),
            ),
        )


def features(data: Dataset, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """A data set as `schema.features` of the pictures of `schema.SPLIT_ROWS`, and of their parts."""
    id_of = dict(zip(rows["sha256"].to_pylist(), rows["id"].to_pylist(), strict=True))
    inner = 0 if data.stages is None else data.stages.shape[1]
    place = {sha256: i for i, sha256 in enumerate(data.sha256.tolist())}
    pairs = sorted(set(zip(rows["id"].to_pylist(), rows["sha256"].to_pylist(), strict=True)))

    def table(ids: list[str], hashes: list[str], of: Dataset | Crops, at: list[int]) -> pa.Table:
        columns = [schema.vectors(of.vectors[at])]
        columns += [] if of.stages is None else [schema.vectors(of.stages[at])]
        return pa.table(
            [pa.array(ids, pa.string()), pa.array(hashes, pa.string()), *columns],
            schema=schema.features(data.vectors.shape[1], inner),
        )

    whole = table([i for i, _ in pairs], [h for _, h in pairs], data, [place[h] for _, h in pairs])
    if data.crops is None:
        return whole, schema.empty(whole.schema)
    hashes = data.sha256[data.crops.rows].tolist()
    return whole, table([id_of[h] for h in hashes], hashes, data.crops, list(range(len(hashes))))


def _put_aside(data: Dataset, learned: Ints) -> tuple[Ints, Mask, Mask]:
    """Rows to learn from, pictures of labels that these know, and pictures of labels that they do not."""
    usable = data.in_splits("train", "val")
    first = (data.fold == 0) & usable | data.in_splits("val")
    unseen = np.zeros(len(data), dtype=bool)
    names = sorted(
        range(len(data.label_names)), key=lambda i: hashlib.sha256(data.label_names[i].encode()).digest()
    )
    if len(names) >= MIN_LABELS:
        unseen = data.in_labels(np.array(names[::ASIDE])) & usable
    tied = np.isin(data.group, data.group[first | unseen])
    some = learned[~tied[learned]]
    return some, first & ~unseen, unseen


def _gain(data: Dataset, served: Head, ours: Head, asked: Mask, seed: int) -> Estimate:
    """In MAP@R, these pictures being queries and gallery."""
    rows = np.flatnonzero(asked)
    every = np.arange(len(rows))
    scores = [
        per_query(
            data.space(head, rows), every, every, lambda a, b: data.same_label(rows[a], rows[b])
        ).values["map@r"]
        for head in (ours, served)
    ]
    return bootstrap(scores[0] - scores[1], seed=seed)


def _filled(trunk: Trunk, shards: Iterable[pa.Table], wanted: list[str], cache: Pixels) -> Pixels:
    place = {sha256: i for i, sha256 in enumerate(wanted)}
    left = set(place)
    for shard in shards:
        for sha256, picture in zip(shard["sha256"].to_pylist(), shard["jpeg"].to_pylist(), strict=True):
            if sha256 in left:
                left.remove(sha256)
                cache[place[sha256]] = trunk.pixels([picture])[0]
    if left:
        raise PinflowError(
            f"{len(left)} pictures are in no shard, e.g. {min(left)[:12]}: materialise `images` again"
        )
    return cache

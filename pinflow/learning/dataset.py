"""Pictures to learn from and to measure with: features joined to split rows, by column.

A picture is its bytes: found under two labels or as two pins, it is one row with both labels, so it
is never its own negative and never its own neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow import schema
from pinflow.errors import PinflowError
from pinflow.learning.head import Head
from pinflow.learning.stages import Reads, beside

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_STRENGTH = ("held_out", "train", "val", "test")


@dataclass(frozen=True)
class Crops:
    """Parts of some of the pictures, which still have to find the picture that they were cut from."""

    rows: Ints  # (c,) of the pictures
    vectors: Floats  # (c, w)
    stages: Floats | None = None

    def view(self, reads: Reads) -> Floats:
        """What a head that reads that is given (c, w)."""
        if reads == "last":
            return self.vectors
        assert self.stages is not None
        return beside(self.vectors, self.stages)

    def space(self, head: Head) -> Floats:
        """Unit vectors (c, d) in the head's space."""
        return head.apply(self.view(head.reads))


@dataclass(frozen=True)
class Dataset:
    """n pictures, sorted by sha256. Arrays are parallel."""

    vectors: Floats  # (n, w) trunk vectors
    sha256: npt.NDArray[np.str_]
    group: npt.NDArray[np.str_]
    split: npt.NDArray[np.str_]
    fold: Ints
    label_names: tuple[str, ...]
    labels: Ints  # (n, k) indices into label_names, -1 where a picture has fewer than k labels
    related: Ints  # (p, 2) pairs of rows, each pair once, a < b
    # Of each attribute a code for each picture's value (n,), -1 where it has none.
    attributes: Mapping[str, Ints] = field(default_factory=dict)
    duplicates: Ints = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))  # pairs like `related`
    stages: Floats | None = None  # (n, v) of the trunk's inner stages, None for a trunk that hides them
    crops: Crops | None = None
    # The same pictures as tuned trunks see them, by digest.
    others: Mapping[str, Dataset] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sha256)

    @cached_property
    def _beside(self) -> Floats:
        if self.stages is None:
            raise PinflowError("the features hold no inner stages: materialise `features` again")
        return beside(self.vectors, self.stages)

    def view(self, reads: Reads) -> Floats:
        """What a head that reads that is given (n, w)."""
        return self.vectors if reads == "last" else self._beside

    def space(self, head: Head, rows: Ints | slice = slice(None)) -> Floats:
        """Unit vectors (len(rows), d) of pictures in the head's space."""
        return head.apply(self.seen_for(head).view(head.reads)[rows])

    def seen_for(self, head: Head) -> Dataset:
        """The pictures as the trunk sees them that the head was fitted to."""
        if head.trunk and head.trunk not in self.others:
            raise PinflowError("the features of the tuned trunk are not here: fit the encoder again")
        return self.others[head.trunk] if head.trunk else self

    def fits(self, head: Head) -> bool:
        """Whether the head was fitted to vectors like these."""
        if head.trunk and head.trunk not in self.others:
            return False
        seen = self.seen_for(head)
        if head.reads == "stages" and seen.stages is None:
            return False
        width = seen.view(head.reads).shape[1]
        return not width or head.fits(width)

    @cached_property
    def primary(self) -> Ints:
        """The first label of each picture."""
        first: Ints = self.labels[:, 0] if len(self) else np.zeros(0, dtype=np.int64)
        return first

    def in_splits(self, *splits: str) -> Mask:
        """Which pictures are in one of these splits."""
        return np.isin(self.split, splits)

    def in_labels(self, labels: Ints) -> Mask:
        """Which pictures have one of these labels."""
        found: Mask = np.asarray(np.isin(self.labels, labels).any(axis=1))
        return found

    def same_label(self, rows: Ints, others: Ints) -> Mask:
        """bool (len(rows), len(others)): do they share a label?"""
        same = np.zeros((len(rows), len(others)), dtype=np.bool_)
        for mine in self.labels[rows].T:
            for theirs in self.labels[others].T:
                # -1 means no label, which is nothing to share.
                np.logical_or(same, np.where(mine < 0, -2, mine)[:, None] == theirs[None, :], out=same)
        return same

    def are_related(self, rows: Ints, others: Ints) -> Mask:
        """bool (len(rows), len(others)): does the site recommend one beside the other?"""
        place = np.full(len(self), -1, dtype=np.int64)
        place[others] = np.arange(len(others))
        back = np.full(len(self), -1, dtype=np.int64)
        back[rows] = np.arange(len(rows))
        out = np.zeros((len(rows), len(others)), dtype=bool)
        for a, b in ((self.related[:, 0], self.related[:, 1]), (self.related[:, 1], self.related[:, 0])):
            inside = (back[a] >= 0) & (place[b] >= 0)
            out[back[a[inside]], place[b[inside]]] = True
        return out

    def related_within(self, rows: Ints) -> Ints:
        """The related pairs (p, 2) with both ends among `rows`."""
        return within(self.related, rows, len(self))


def within(pairs: Ints, rows: Ints, n: int) -> Ints:
    """The pairs (p, 2) of row numbers below `n` with both ends among `rows`."""
    chosen = np.zeros(n, dtype=bool)
    chosen[rows] = True
    return pairs[chosen[pairs].all(axis=1)]


def join(
    features: pa.Table,
    rows: pa.Table,
    crops: pa.Table | None = None,
    tuned: Mapping[str, tuple[pa.Table, pa.Table]] | None = None,
) -> Dataset:
    """`schema.features` and resolved `schema.SPLIT_ROWS` as one data set; `crops`: `schema.features` of
    parts of some of the pictures; `tuned`: both as tuned trunks see them, by digest.

    Raises `PinflowError` if a row has no features, or features that are not finite.
    """
    place = _places(features)
    ids, hashes, labels = (rows[name].to_pylist() for name in ("id", "sha256", "label"))
    missing = sorted({i for i, h in zip(ids, hashes, strict=True) if (i, h) not in place})
    if missing:
        raise PinflowError(
            f"{len(missing)} pictures have no features, e.g. {', '.join(missing[:3])}: "
            "materialise the features of their labels first"
        )
    unique = sorted(set(hashes))
    number = {sha256: i for i, sha256 in enumerate(unique)}
    of = np.array([number[h] for h in hashes], dtype=np.int64)
    n = len(unique)

    source, strength = np.zeros(n, dtype=np.int64), np.full(n, -1)
    group, fold = np.full(n, "", dtype=object), np.zeros(n, dtype=np.int64)
    names = sorted(set(labels))
    code = {name: i for i, name in enumerate(names)}
    own: list[set[int]] = [set() for _ in unique]
    row_columns = (rows[c].to_pylist() for c in ("split", "group", "fold"))
    order = sorted(zip(ids, labels, hashes, of.tolist(), *row_columns, strict=True))
    for id_, label, sha256, i, split, its_group, its_fold in order:
        own[i].add(code[label])
        if _STRENGTH.index(split) > strength[i]:
            strength[i] = _STRENGTH.index(split)
            source[i], group[i], fold[i] = place[id_, sha256], its_group, its_fold

    width = max((len(o) for o in own), default=1)
    table = np.full((n, width), -1, dtype=np.int64)
    for i, its_labels in enumerate(own):
        table[i, : len(its_labels)] = sorted(its_labels)
    every, inner = _matrices(features)
    vectors, stages = (one if one is None else one[source] if n else one[:0] for one in (every, inner))
    assert vectors is not None
    finite = np.isfinite(vectors).all(axis=1)
    if stages is not None:
        finite &= np.isfinite(stages).all(axis=1)
    if broken := [unique[i] for i in np.flatnonzero(~finite)]:
        named = [i for i, h in zip(ids, hashes, strict=True) if h in set(broken)]
        raise PinflowError(
            f"the features of {len(broken)} pictures are not finite, e.g. {', '.join(sorted(named)[:3])}: "
            "materialise the features of their labels again"
        )
    return Dataset(
        vectors=vectors,
        sha256=np.array(unique, dtype=np.str_),
        group=group.astype(np.str_),
        split=np.array([_STRENGTH[s] for s in strength], dtype=np.str_),
        fold=fold,
        label_names=tuple(names),
        labels=table,
        related=_pairs(ids, of, rows),
        attributes=_attributes(of, rows, n),
        duplicates=_duplicates(of, rows, n),
        stages=stages,
        crops=None if crops is None else _crops(crops, number),
        others={trunk: join(whole, rows, parts) for trunk, (whole, parts) in (tuned or {}).items()},
    )


def _matrices(features: pa.Table) -> tuple[Floats, Floats | None]:
    inner = schema.matrix(features, "stages") if schema.width(features, "stages") else None
    return schema.matrix(features, "vector"), inner


def _crops(table: pa.Table, number: dict[str, int]) -> Crops:
    """Of the pictures that are here, once each."""
    place = {sha256: i for i, sha256 in enumerate(table["sha256"].to_pylist()) if sha256 in number}
    of = np.array(list(place.values()), dtype=np.int64)
    vectors, stages = _matrices(table)
    rows = np.array([number[sha256] for sha256 in place], dtype=np.int64)
    return Crops(rows, vectors[of], None if stages is None else stages[of])


def _places(features: pa.Table) -> dict[tuple[str, str], int]:
    pairs = zip(features["id"].to_pylist(), features["sha256"].to_pylist(), strict=True)
    return {pair: i for i, pair in enumerate(pairs)}


def _pairs(ids: list[str], of: Ints, rows: pa.Table) -> Ints:
    """Related pins as pairs of pictures; ids that are not here are ignored."""
    where: dict[str, set[int]] = {}
    for id_, i in zip(ids, of.tolist(), strict=True):
        where.setdefault(id_, set()).add(i)
    pairs = {
        (min(i, j), max(i, j))
        for i, near in zip(of.tolist(), rows["related"].to_pylist(), strict=True)
        for other in near or ()
        for j in where.get(other, ())
        if i != j
    }
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _attributes(of: Ints, rows: pa.Table, n: int) -> dict[str, Ints]:
    """Codes of the values; of a picture with several rows the last row that has the attribute counts."""
    own: dict[str, dict[int, str]] = {}
    for i, pairs in zip(of.tolist(), rows["attributes"].to_pylist(), strict=True):
        for name, value in pairs or ():
            if value:
                own.setdefault(name, {})[i] = value
    codes = {}
    for name, values in own.items():
        number = {value: code for code, value in enumerate(sorted(set(values.values())))}
        codes[name] = np.full(n, -1, dtype=np.int64)
        codes[name][list(values)] = [number[value] for value in values.values()]
    return codes


def _duplicates(of: Ints, rows: pa.Table, n: int) -> Ints:
    """Pairs of pictures whose perceptual hashes say that they are one picture saved twice."""
    from pinflow.learning.splits import near

    phash = np.zeros(n, dtype=np.uint64)
    phash[of] = rows["phash"].to_numpy()
    pairs = np.stack(near(phash), axis=1) if n else np.zeros((0, 2), dtype=np.int64)
    return np.unique(np.sort(pairs, axis=1), axis=0)

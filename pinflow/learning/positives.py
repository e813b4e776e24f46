"""What belongs together, as a collection declares it: the one description that sampler and losses read.

============== ============================================================================
source         two pictures belong together if
============== ============================================================================
`related`      the site recommends one beside the other
`label`        they share a label
`attributes`   they share the value of every declared attribute (`match: all`: the ideal
               positives of school x style x type), or of one of them (`match: any`)
`clusters`     k-means on the frozen vectors puts them into one cluster (DeepCluster,
               Caron et al. 2018, arXiv 1807.05520)
`augmentation` they are two views of one picture (SimCLR, Chen et al. 2020, arXiv 2002.05709)
============== ============================================================================

Sources are joined: one is enough. Near-duplicates always belong together, whatever is declared, so
that no picture is pushed away from itself. Captions are for the text encoder.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from pinflow.errors import PinflowError
from pinflow.learning.dataset import Dataset, Ints, Mask, within

SOURCES = ("related", "label", "attributes", "captions", "augmentation", "clusters")
CLUSTER_SIZE = 8  # pictures in a cluster on average


@dataclass(frozen=True)
class Positives:
    """The sources that a collection declares. `attributes`: the columns that also mean "alike"."""

    by: tuple[str, ...] = ("related", "label")
    attributes: tuple[str, ...] = ()
    match: Literal["any", "all"] = "all"

    @property
    def augmented(self) -> bool:
        """Whether two views of one picture belong together."""
        return "augmentation" in self.by

    def of(self, data: Dataset, rows: Ints, *, seed: int = 0) -> Alike:
        """Who belongs together among `rows`, numbered 0..len(rows) - 1.

        Raises `PinflowError` where attributes are declared that no picture has.
        """
        codes = [data.labels[rows]] if "label" in self.by else []
        if "attributes" in self.by:
            codes += self._attributes(data, rows)
        if "clusters" in self.by and len(rows):
            codes.append(clusters(data.vectors[rows], seed=seed)[:, None])
        place = np.full(len(data), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        related = data.related if "related" in self.by else data.related[:0]
        pairs, same = (place[within(some, rows, len(data))] for some in (related, data.duplicates))
        return Alike(len(rows), tuple(codes), pairs, same, self.augmented)

    def relevance(self, data: Dataset) -> Any:
        """The same as a function of two sets of rows of `data`, for metrics."""
        alike = replace(self, by=tuple(s for s in self.by if s != "clusters")).of(data, np.arange(len(data)))
        return alike.mask

    def _attributes(self, data: Dataset, rows: Ints) -> list[Ints]:
        unknown = [name for name in self.attributes if name not in data.attributes]
        if unknown and len(rows):
            known = ", ".join(sorted(data.attributes)) or "none"
            raise PinflowError(f"no picture has the attribute {unknown[0]!r}; what the source gives: {known}")
        columns = [data.attributes[name][rows] for name in self.attributes if name in data.attributes]
        if not columns or self.match == "any":
            return [column[:, None] for column in columns]
        table = np.stack(columns, axis=1)
        _, code = np.unique(table, axis=0, return_inverse=True)
        return [np.where((table >= 0).all(axis=1), code.reshape(-1), -1)[:, None]]


@dataclass(frozen=True)
class Alike:
    """Who belongs together among n rows."""

    n: int
    codes: tuple[Ints, ...]  # each (n, k): rows that share a code >= 0 belong together
    pairs: Ints  # (p, 2) related rows
    duplicates: Ints  # (p, 2) rows that are one picture
    augmented: bool = False

    @cached_property
    def groupings(self) -> tuple[Ints, ...]:
        """For the sampler: classes (n,), -1 for none. One grouping without classes where only pairs count."""
        return tuple(code[:, 0] for code in self.codes) or (np.zeros(self.n, dtype=np.int64),)

    @cached_property
    def _adjacent(self) -> Any:
        return _matrix(self.pairs, self.n), _matrix(np.concatenate([self.pairs, self.duplicates]), self.n)

    def related(self, rows: Ints, others: Ints) -> Mask:
        """bool (len(rows), len(others)): related or duplicate pairs alone."""
        found: Mask = self._adjacent[1][rows][:, others].toarray() > 0
        return found

    def mask(self, rows: Ints, others: Ints) -> Mask:
        """bool (len(rows), len(others)): whether each two belong together."""
        found = self.related(rows, others)
        for code in self.codes:
            for mine in code[rows].T:
                for theirs in code[others].T:
                    found |= np.where(mine < 0, -2, mine)[:, None] == theirs[None, :]
        return found

    def sets(self) -> list[Ints]:
        """Rows that belong together, two or more in a set: one a code, else around each related row."""
        if self.codes:
            of = [np.flatnonzero((code == one).any(axis=1)) for code in self.codes for one in _present(code)]
        else:
            near = self._adjacent[0]
            beside = np.split(near.indices, near.indptr[1:-1])
            around = [np.append(rows, i) for i, rows in enumerate(beside) if len(rows)]
            # Where all of a set are related to each other, each of them gives the same set.
            of = [np.array(one) for one in dict.fromkeys(tuple(sorted(rows.tolist())) for rows in around)]
        return [rows for rows in of if len(rows) > 1]


def clusters(vectors: Any, *, seed: int = 0, number: int | None = None) -> Ints:
    """Pseudo-labels (n,): k-means on unit vectors (n, w), some `CLUSTER_SIZE` pictures in each."""
    from sklearn.cluster import KMeans

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distinct = len(np.unique(unit, axis=0))
    wanted = min(distinct, number or max(2, len(unit) // CLUSTER_SIZE))
    found: Ints = KMeans(wanted, n_init=3, random_state=seed).fit_predict(unit).astype(np.int64)
    return found


def described(by: Collection[str], attributes: Collection[str], match: Literal["any", "all"]) -> Positives:
    """The description, checked. Raises `PinflowError` where `attributes` has no column or nothing is left."""
    if "attributes" in by and not attributes:
        raise PinflowError("`encoder.positives` has `attributes`, but `attributes:` names no column")
    used = tuple(source for source in SOURCES if source in by and source != "captions")
    if not used:
        raise PinflowError(
            "`encoder.positives: [captions]` alone tunes no pictures: add one of "
            + ", ".join(source for source in SOURCES if source != "captions")
        )
    return Positives(used, tuple(attributes) if "attributes" in by else (), match)


def _present(code: Ints) -> list[int]:
    found: list[int] = np.unique(code[code >= 0]).tolist()
    return found


def _matrix(pairs: Ints, n: int) -> Any:
    from scipy.sparse import csr_array

    both = np.concatenate([pairs, pairs[:, ::-1]])
    return csr_array((np.ones(len(both), dtype=np.int8), (both[:, 0], both[:, 1])), shape=(n, n))

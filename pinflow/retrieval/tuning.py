"""How much of the truth an index finds, and the least work that finds enough of it.

Recall is measured on rows that took no part in training, and on other queries where there are any; the
settings are those whose recall is above the target with 99% confidence, so that new queries find as much.
Truth comes from plain numpy, not from FAISS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pinflow.retrieval import scan
from pinflow.retrieval.scan import Floats, Mask, Rows
from pinflow.retrieval.selection import Selection

if TYPE_CHECKING:
    from pinflow.retrieval.index import Index

K = 10  # recall is that of the first so many results
RECALL = 0.95
FILTERED_RECALL = 0.99
QUERIES = 1000
RERANKS = (2, 4, 10, 30, 100)  # candidates looked at exactly for each result wanted
RERANK_FILTERED = 10
SURE = 2.33  # standard errors that hold with 99% confidence
SHARE = 0.1  # of the rows that the filters let through that `reach` is tuned on
SEED = 0
_BLOCK = 1 << 15  # rows compared at once
_TIE = 1e-5  # a row as near as the true k-th counts as found


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries (q, d) and the truth about them: `kth` (q,), the score of the last row that should be found,
    and `there` (q,), how many should. `own` (q,): the row that a query is itself, which never counts."""

    queries: Floats
    own: Rows
    kth: Floats
    there: Rows

    @classmethod
    def of(
        cls,
        vectors: Floats,
        queries: Floats,
        own: Rows | None = None,
        k: int = K,
        allowed: Mask | None = None,
    ) -> Asked:
        """The truth by comparing everything."""
        own = np.full(len(queries), -1, np.int64) if own is None else own
        best = np.full((len(queries), k), -np.inf, np.float32)
        for start in range(0, len(vectors), _BLOCK):
            part = queries @ vectors[start : start + _BLOCK].T
            mine = np.flatnonzero((own >= start) & (own < start + _BLOCK))
            part[mine, own[mine] - start] = -np.inf
            if allowed is not None:
                part[:, ~allowed[start : start + _BLOCK]] = -np.inf
            best = np.partition(np.hstack([best, part]), -k, axis=1)[:, -k:]
        there = np.isfinite(best).sum(axis=1)
        return cls(
            queries, own, np.where(there > 0, np.where(np.isfinite(best), best, np.inf).min(1), 0), there
        )

    def found(self, scores: Floats, rows: Rows) -> Floats:
        """The share (q,) of what should be found that was, by a search for one more row than `k`."""
        good = (rows >= 0) & (rows != self.own[:, None]) & (scores >= self.kth[:, None] - _TIE)
        return np.where(
            self.there > 0, np.minimum(good.sum(axis=1), self.there) / np.maximum(self.there, 1), 1.0
        ).astype(np.float32)


@dataclass(frozen=True)
class Reach:
    """Allowed rows that must be met to find `FILTERED_RECALL` of `K` results: where a filter keeps `all`
    rows, and where it keeps a `tenth`. The fewer it keeps, the farther away are the best of them, so the
    larger is the share of them that must be met."""

    all: int
    tenth: int

    def at(self, share: float) -> float:
        """That for a filter that keeps this share of the rows, 0..1, along a power law through both."""
        return float(self.all * (self.tenth / self.all) ** -np.log10(share))


def held_out(n: int) -> Rows:
    """The rows that recall is measured on: at most `QUERIES`, the same for the same `n`."""
    chosen = np.random.default_rng(SEED).permutation(n)[:QUERIES]
    return np.sort(chosen).astype(np.int64)


def recall(index: Index, vectors: Floats, queries: Rows | None = None, k: int = K) -> float:
    """Share of the true `k` nearest rows that `index` finds, for `queries` (row numbers) of `vectors`.

    A query's own row is left out on both sides. 1.0 where there is nothing to find.
    """
    rows = held_out(len(vectors)) if queries is None else queries
    if len(vectors) < 2 or len(rows) == 0:
        return 1.0
    asked = Asked.of(vectors, np.ascontiguousarray(vectors[rows]), rows, min(k, len(vectors) - 1))
    return float(asked.found(*index.search(asked.queries, k + 1)).mean())


def tune(index: Index, vectors: Floats, others: Mapping[str, Floats]) -> Index:
    """`index` with the cheapest settings that find `RECALL` of everything asked, and of what a filter lets
    through `FILTERED_RECALL`; measured, and recorded by kind of query."""
    kinds = _kinds(vectors, others)
    best, cheapest = None, np.inf
    for rerank in RERANKS:
        one = replace(index, rerank=rerank)
        nprobe = _least_nprobe(one, kinds)
        if nprobe is None:
            continue
        cost = one.cost(nprobe, rerank * K)
        if cost < cheapest:
            best, cheapest = replace(one, nprobe=nprobe), cost
    best = best or replace(index, nprobe=index.lists, rerank=RERANKS[-1])
    return _tune_filters(_recorded(best, kinds), vectors, held_out(len(vectors)))


def confirm(index: Index, vectors: Floats, others: Mapping[str, Floats]) -> Index | None:
    """`index` with what its settings find now, where that is still enough; what they find behind a filter
    is not measured again."""
    kinds = _kinds(vectors, others)
    return _recorded(index, kinds) if _answers(index, kinds) else None


def _kinds(vectors: Floats, others: Mapping[str, Floats]) -> dict[str, Asked]:
    rows = held_out(len(vectors))
    kinds = {"pictures": Asked.of(vectors, np.ascontiguousarray(vectors[rows]), rows)}
    return kinds | {kind: Asked.of(vectors, queries) for kind, queries in others.items() if len(queries)}


def _recorded(index: Index, kinds: Mapping[str, Asked]) -> Index:
    found = {kind: float(_found(index, asked).mean()) for kind, asked in kinds.items()}
    kept = {kind: recall for kind, recall in index.recalls.items() if kind == "filtered"}
    return replace(index, recalls={**kept, **found}, recall=min(found.values()))


def _tune_filters(index: Index, vectors: Floats, rows: Rows) -> Index:
    """`reach`, tuned on all rows, on a tenth that stand anywhere, and on a tenth that stand only where the
    query does not."""
    rng = np.random.default_rng(SEED)
    odd = index.list_of % 2 == 1
    anywhere, elsewhere = rng.random(index.n) < SHARE, odd & (rng.random(index.n) < 2 * SHARE)
    every = _cases(vectors, [(np.ones(index.n, np.bool_), rows)])
    tenth = _cases(vectors, [(anywhere, rows), (elsewhere, rows[~odd[rows]])])
    met = [_reach(index, vectors, cases) for cases in (every, tenth)]
    if met[0] is None or met[1] is None:  # its codes are too coarse, so a filter means an exact scan
        return replace(index, reach=None)
    reach = Reach(met[0], met[1])
    shares = [_filtered(index, vectors, case, met[1]).mean() for case in tenth]
    return replace(index, reach=reach, recalls={**index.recalls, "filtered": float(min(shares, default=1.0))})


def _cases(vectors: Floats, filters: Sequence[tuple[Mask, Rows]]) -> list[tuple[Asked, Selection]]:
    return [
        (Asked.of(vectors, np.ascontiguousarray(vectors[asking]), asking, K, mask), Selection(mask))
        for mask, asking in filters
        if mask.any() and len(asking)
    ]


def _reach(index: Index, vectors: Floats, cases: Sequence[tuple[Asked, Selection]]) -> int | None:
    most = max((selection.count for _, selection in cases), default=K)
    return _least(
        _grid(K, max(K, most)),
        lambda wanted: all(
            _surely(_filtered(index, vectors, case, wanted)) >= FILTERED_RECALL for case in cases
        ),
    )


def _filtered(index: Index, vectors: Floats, case: tuple[Asked, Selection], wanted: int) -> Floats:
    asked, selection = case
    candidates = index.probed(asked.queries, K + 1, selection, min(wanted, selection.count))
    return asked.found(*scan.rerank(vectors, asked.queries, candidates, K + 1))


def _least_nprobe(index: Index, kinds: Mapping[str, Asked]) -> int | None:
    return _least(_grid(1, index.lists), lambda nprobe: _answers(replace(index, nprobe=nprobe), kinds))


def _answers(index: Index, kinds: Mapping[str, Asked]) -> bool:
    return all(_surely(_found(index, asked)) >= RECALL for asked in kinds.values())


def _found(index: Index, asked: Asked) -> Floats:
    return asked.found(*index.search(asked.queries, K + 1))


def _surely(found: Floats) -> float:
    """The mean that holds with 99% confidence; that of a share that is 1 throughout is 1."""
    return float(found.mean() - SURE * found.std() / np.sqrt(len(found)))


def _grid(least: int, most: int) -> list[int]:
    """From `least` to `most`, each a quarter more than the one before."""
    values = [least]
    while values[-1] < most:
        values.append(min(most, max(values[-1] + 1, round(values[-1] * 1.25))))
    return values


def _least(grid: Sequence[int], enough: Callable[[int], bool]) -> int | None:
    """The first value that is enough, of those that are the more so the larger they are; None for none."""
    low, high = 0, len(grid)
    while low < high:
        middle = (low + high) // 2
        if enough(grid[middle]):
            high = middle
        else:
            low = middle + 1
    return grid[low] if low < len(grid) else None

"""FAISS behind a tiny surface: build, search, to and from bytes, measured recall.

The metric is the inner product of unit vectors, i.e. cosine similarity, everywhere. Up to
`FLAT_ROWS` rows the index is exact. Above, it is an inverted file with fast-scan product
quantisation (`IVF,PQ<d/2>x4fsr`), stored bare: candidates are re-ranked from the embedding table that
the caller holds anyway (often memory-mapped), so scores are always exact cosines. The bare form also
keeps additions and removals possible, which FAISS's own refine wrapper does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import CorruptError

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FLAT_ROWS = 50_000  # exact search of so many rows takes about 10 ms on one core at d=256
EXACT_ROWS = 50_000  # a selection up to this size is scanned exactly, whatever the index
RECALL = 0.95  # recall@10 that `nprobe` is tuned to
TUNING_QUERIES = 500
TRAIN_ROWS_PER_LIST = 64  # FAISS asks for 39 at least
RERANK = 10  # candidates re-ranked for each result wanted
SEED = 0
_KINDS = ("flat", "ivf_pq")
# What a file may claim to hold before FAISS refuses it: a forged size must not eat the memory.
_MAX_BYTES = 1 << 37


@dataclass(frozen=True, eq=False)
class Index:
    """Unit vectors that can be searched. Make one with `build` or `Index.from_bytes`."""

    kind: str
    n: int
    d: int
    nprobe: int
    recall: float
    _faiss: Any = field(repr=False)
    _vectors: Floats = field(repr=False)

    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> tuple[Floats, Rows]:
        """The `k` rows nearest to each query, best first.

        `queries`: (q, d) float32 unit vectors. `allowed`: (n,) bool, the rows that may be returned.
        Returns scores (q, k) float32, cosine in [-1, 1], and rows (q, k) int64. Where fewer than `k`
        rows are allowed the rest is padded with score -inf and row -1; it is never padded while
        allowed rows are left. Equal scores are ordered by row. Raises `ValueError` for wrong shapes.
        """
        queries = _checked(queries, "queries", self.d)
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if allowed is not None and (allowed.shape != (self.n,) or allowed.dtype != np.bool_):
            raise ValueError(f"allowed must be ({self.n},) bool, not {allowed.shape} {allowed.dtype}")
        count = self.n if allowed is None else int(allowed.sum())
        if count == 0 or len(queries) == 0:
            return _padding(len(queries), k)
        if self.kind == "flat" and allowed is None:
            return _ordered(*self._faiss.search(queries, k))
        if count <= EXACT_ROWS:
            rows = np.arange(self.n) if allowed is None else np.flatnonzero(allowed)
            return exact(self._vectors, queries, k, rows)
        return self._approximate(queries, k, allowed, count)

    def _approximate(self, queries: Floats, k: int, allowed: Mask | None, count: int) -> tuple[Floats, Rows]:
        faiss = _library()
        nlist = self._faiss.nlist
        selector = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
        # A filter thins every list, so as many more lists must be probed to meet as many rows.
        nprobe = min(nlist, int(np.ceil(self.nprobe * self.n / count)))
        wanted = min(count, k * RERANK)
        while True:
            parameters = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
            _, found = self._faiss.search(_even(queries), wanted, params=parameters)
            if nprobe == nlist or (found[:, min(k, wanted) - 1] >= 0).all():
                return _rerank(self._vectors, queries, found, k)
            nprobe = min(nlist, nprobe * 2)

    def to_bytes(self) -> bytes:
        """The index as FAISS writes it. The same vectors give the same bytes."""
        faiss = _library()
        return bytes(faiss.serialize_index(self._faiss))

    @property
    def meta(self) -> dict[str, Any]:
        """What `from_bytes` needs beside the bytes, JSON-able; the sha256 is that of `to_bytes()`."""
        faiss = _library()
        data = self.to_bytes()
        return {
            "kind": self.kind,
            "n": self.n,
            "d": self.d,
            "metric": "cosine",
            "nprobe": self.nprobe,
            "recall": self.recall,
            "faiss": faiss.__version__,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    @classmethod
    def from_bytes(
        cls, data: bytes, meta: dict[str, Any] | str | bytes, vectors: Floats | None = None
    ) -> Index:
        """The index that `to_bytes()` and `meta` describe. `vectors`, (n, d), are those it was built from.

        An `ivf_pq` index needs `vectors`, for they carry the exact scores; a `flat` one holds its own.
        Raises `CorruptError` where bytes, meta and vectors do not belong together: FAISS itself would
        search a flipped bit without a word.
        """
        about = _read_meta(meta)
        if hashlib.sha256(data).hexdigest() != about["sha256"]:
            raise CorruptError("index: its bytes are not those its meta file promises; publish it again")
        index = _deserialize(data)
        n, d, kind = about["n"], about["d"], about["kind"]
        if index.ntotal != n or index.d != d + (d % 2 if kind == "ivf_pq" else 0):
            raise CorruptError(f"index: holds {index.ntotal} x {index.d}, its meta says {n} x {d}")
        if vectors is None:
            if kind != "flat":
                raise ValueError(f"an {kind} index needs the vectors it was built from")
            vectors = _stored(index)
        if vectors.shape != (n, d):
            raise CorruptError(f"index: made for {n} x {d} vectors, given {vectors.shape}")
        return cls(kind, n, d, about["nprobe"], about["recall"], index, vectors)


def build(vectors: Floats) -> Index:
    """An index over (n, d) float32 unit vectors, chosen by size, its recall measured and recorded.

    Above `FLAT_ROWS` rows, `nprobe` is tuned on rows kept out of training until recall@10 reaches
    `RECALL` (a query's own row never counts). n may be 0, and d too then. Raises
    `ValueError` for anything else than finite float32 unit vectors.
    """
    faiss = _library()
    vectors = _checked(vectors, "vectors")
    n, d = vectors.shape
    if n and not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise ValueError("vectors must have length 1: normalise them first")
    if n <= FLAT_ROWS:
        flat = faiss.IndexFlatIP(d)
        flat.add(vectors)
        index = Index("flat", n, d, 0, 1.0, flat, vectors)
        return replace(index, recall=recall(index, vectors))
    return _build_ivf(vectors)


def _build_ivf(vectors: Floats) -> Index:
    faiss = _library()
    n, d = vectors.shape
    # FAISS's guideline for n < 1M is 4..16 sqrt(n) lists; a power of two at the low end trains fast.
    nlist = 1 << int(np.ceil(np.log2(4 * np.sqrt(n))))
    queries = held_out(n)
    rest = np.setdiff1d(np.arange(n), queries)
    train = np.random.default_rng(SEED).permutation(rest)[: nlist * TRAIN_ROWS_PER_LIST]
    padded = _even(vectors)
    ivf = faiss.index_factory(
        padded.shape[1], f"IVF{nlist},PQ{padded.shape[1] // 2}x4fsr", faiss.METRIC_INNER_PRODUCT
    )
    ivf.train(np.ascontiguousarray(padded[np.sort(train)]))
    ivf.add(padded)
    nprobe, reached = 1, 0.0
    while True:
        index = Index("ivf_pq", n, d, nprobe, reached, ivf, vectors)
        reached = recall(index, vectors, queries)
        if reached >= RECALL or nprobe >= nlist:
            return replace(index, recall=reached)
        nprobe = min(nlist, nprobe * 2)


def recall(index: Index, vectors: Floats, queries: Rows | None = None, k: int = 10) -> float:
    """Share of the true `k` nearest rows that `index` finds, for `queries` (row numbers) of `vectors`.

    A query's own row is left out on both sides. A row as near as the true k-th counts as found, so
    that ties cost nothing. Truth comes from plain numpy, not from FAISS. 1.0 where there is nothing to find.
    """
    queries = held_out(len(vectors)) if queries is None else queries
    k = min(k, len(vectors) - 1)
    if k < 1 or len(queries) == 0:
        return 1.0
    asked = np.ascontiguousarray(vectors[queries])
    truth = asked @ vectors.T
    truth[np.arange(len(queries)), queries] = -np.inf
    kth = np.partition(truth, -k, axis=1)[:, -k]
    scores, rows = index.search(asked, k + 1)
    mine = np.isfinite(scores) & (rows != queries[:, None]) & (scores >= kth[:, None] - 1e-5)
    return float(np.minimum(mine.sum(axis=1), k).sum() / (k * len(queries)))


def held_out(n: int) -> Rows:
    """The rows that recall is measured on: at most `TUNING_QUERIES`, the same for the same `n`."""
    chosen = np.random.default_rng(SEED).permutation(n)[:TUNING_QUERIES]
    return np.sort(chosen).astype(np.int64)


def exact(vectors: Floats, queries: Floats, k: int, rows: Rows) -> tuple[Floats, Rows]:
    """The `k` best of `rows` by exact scan: scores and row numbers as `Index.search` returns them."""
    faiss = _library()
    if len(rows) == 0:
        return _padding(len(queries), k)
    subset = vectors if len(rows) == len(vectors) else vectors[rows]
    scores, places = faiss.knn(queries, np.ascontiguousarray(subset), k, metric=faiss.METRIC_INNER_PRODUCT)
    found = np.where(places >= 0, rows[np.maximum(places, 0)], -1)
    return _ordered(scores, found)


def _rerank(vectors: Floats, queries: Floats, found: Rows, k: int) -> tuple[Floats, Rows]:
    scores = np.full((len(queries), max(k, found.shape[1])), -np.inf, dtype=np.float32)
    rows = np.full(scores.shape, -1, dtype=np.int64)
    for i, candidates in enumerate(found):
        known = np.sort(candidates[candidates >= 0])
        scores[i, : len(known)] = vectors[known] @ queries[i]
        rows[i, : len(known)] = known
    scores, rows = _ordered(scores, rows)
    return scores[:, :k], rows[:, :k]


def _ordered(scores: Floats, rows: Rows) -> tuple[Floats, Rows]:
    scores = np.where(rows >= 0, scores, -np.inf).astype(np.float32)
    order = np.lexsort((rows, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1).astype(np.int64)


def _library() -> Any:
    """FAISS, imported where it is needed; its stubs know neither `nprobe` nor selectors, hence Any."""
    import faiss

    return faiss


def _padding(q: int, k: int) -> tuple[Floats, Rows]:
    return np.full((q, k), -np.inf, dtype=np.float32), np.full((q, k), -1, dtype=np.int64)


def _even(vectors: Floats) -> Floats:
    """One zero column more where d is odd: two dimensions share a 4-bit code."""
    return vectors if vectors.shape[1] % 2 == 0 else np.pad(vectors, ((0, 0), (0, 1)))


def _checked(vectors: Floats, name: str, d: int | None = None) -> Floats:
    vectors = np.asarray(vectors)
    if (
        vectors.ndim != 2
        or vectors.dtype != np.float32
        or vectors.shape[1] != (vectors.shape[1] if d is None else d)
    ):
        raise ValueError(f"{name} must be (n, {d or 'd'}) float32, not {vectors.shape} {vectors.dtype}")
    if len(vectors) and not vectors.shape[1]:
        raise ValueError(f"{name} have no numbers")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} hold numbers that are not finite")
    return np.ascontiguousarray(vectors)


def _stored(index: Any) -> Floats:
    """A view of a flat index's own vectors; valid as long as the index lives."""
    faiss = _library()
    flat = faiss.downcast_index(index)
    if index.ntotal == 0:
        return np.empty((0, index.d), dtype=np.float32)
    stored: Floats = faiss.rev_swig_ptr(flat.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
    return stored


def _deserialize(data: bytes) -> Any:
    faiss = _library()
    faiss.set_deserialization_vector_byte_limit(_MAX_BYTES)
    try:
        return faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError as error:
        raise CorruptError(f"index: FAISS cannot read it: {error}") from error


def _read_meta(meta: dict[str, Any] | str | bytes) -> dict[str, Any]:
    if not isinstance(meta, dict):
        try:
            meta = json.loads(meta)
        except (ValueError, UnicodeDecodeError) as error:
            raise CorruptError(f"index: its meta file is not JSON: {error}") from error
    types: dict[str, Callable[[Any], bool]] = {
        "kind": lambda v: v in _KINDS,
        "n": lambda v: isinstance(v, int) and v >= 0,
        "d": lambda v: isinstance(v, int) and v >= 0,
        "nprobe": lambda v: isinstance(v, int) and v >= 0,
        "recall": lambda v: isinstance(v, (int, float)),
        "sha256": lambda v: isinstance(v, str),
    }
    about: dict[str, Any] = meta if isinstance(meta, dict) else {}
    wrong = [name for name, good in types.items() if not good(about.get(name))]
    if wrong:
        raise CorruptError(f"index: its meta file has no valid {', '.join(wrong)}")
    return about

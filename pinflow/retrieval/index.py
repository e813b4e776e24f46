"""FAISS behind a tiny surface: build, search, to and from bytes, mapped from a file, measured recall.

The metric is the inner product of unit vectors, i.e. cosine similarity, everywhere. Up to
`FLAT_ROWS` rows the index is exact. Above, it is an inverted file with fast-scan product
quantisation (`IVF,PQ<d/2>x4fsr`), stored bare: candidates are re-ranked from the embedding table that
the caller holds anyway (often memory-mapped), so scores are always exact cosines. The bare form also
keeps additions and removals possible (`changes`), which FAISS's own refine wrapper does not.

HNSW is no third kind: measured beside it (`benchmarks/search.py`), the inverted file answers as fast
where clusters lie apart and more than twice as fast where they overlap, builds in a third of the time,
and does not lose results to a filter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import CorruptError
from pinflow.retrieval import halves, scan, tuning
from pinflow.retrieval.scan import Floats as Floats
from pinflow.retrieval.scan import Mask as Mask
from pinflow.retrieval.scan import Rows as Rows
from pinflow.retrieval.scan import library, padding
from pinflow.retrieval.selection import Selection
from pinflow.whole import file_digest

FLAT_ROWS = 50_000  # exact search of so many rows takes about 1 ms on one core at d=256
TRAIN_ROWS_PER_LIST = 64  # FAISS asks for 39 at least
# A code of the inverted file is compared in a ninth of the time that an exact row takes (d=256: 6 and 58 ns),
# and an approximate search costs as much as so many exact rows before the first code.
CODES_PER_ROW = 9
OVERHEAD_ROWS = 500
BATCHED_ROWS = 7  # exact rows in the time of one, where a matrix product compares many queries at once
SEED = 0
_KINDS = ("flat", "ivf_pq")
# What a file may claim to hold before FAISS refuses it: a forged size must not eat the memory or the time.
_MAX_BYTES = 1 << 37
_MAX_LOOPS = 1 << 24
# How FAISS scans (`IndexIVFFastScan.implem`): list by list with a reservoir, which answers a single query in
# 85% of the time that its own choice takes, with a filter too; that is quicker for a thousand at once alone.
_ONE_BY_ONE = 11


@dataclass(frozen=True, eq=False)
class Index:
    """Unit vectors that can be searched. Make one with `build`, `Index.from_bytes` or `Index.open`.

    `nprobe` lists are opened and `rerank` candidates looked at for each result wanted; with a filter, lists
    are opened until enough allowed rows are met, see `Reach` (None: a filter always means an exact scan).
    `recall` is the least of `recalls`, by kind of query. `changed`: rows added and removed since it was
    trained.
    """

    kind: str
    n: int
    d: int
    nprobe: int
    recall: float
    _faiss: Any = field(repr=False)
    _vectors: Floats = field(repr=False)
    rerank: int = 1
    reach: tuning.Reach | None = None
    recalls: Mapping[str, float] = field(default_factory=dict)
    changed: int = 0
    _parameters: dict[int, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.kind == "ivf_pq":
            self._faiss.implem = _ONE_BY_ONE

    def search(self, queries: Floats, k: int, allowed: Mask | Selection | None = None) -> tuple[Floats, Rows]:
        """The `k` rows nearest to each query, best first.

        `queries`: (q, d) float32 unit vectors. `allowed`: (n,) bool, the rows that may be returned, or a
        `Selection` of them. Returns scores (q, k) float32, cosine in [-1, 1], and rows (q, k) int64.
        Where fewer than `k` rows are allowed the rest is padded with score -inf and row -1; it is never
        padded while allowed rows are left. Equal scores are ordered by row. Raises `ValueError` for wrong
        shapes.
        """
        queries = _checked(queries, "queries", self.d)
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        selection = self._selection(allowed)
        count = self.n if selection is None else selection.count
        if count == 0 or len(queries) == 0:
            return padding(len(queries), k)
        if self._scans(len(queries), k, selection):
            if selection is None and self._halved(len(queries), k):
                return self._halves.exact(queries, k)
            return scan.exact(self._vectors, queries, k, None if selection is None else selection.rows)
        if selection is None:
            found = self._opened(queries, k)
        else:
            assert self.reach is not None  # or it would have been scanned
            found = self.probed(queries, k, selection, self._rows_to_meet(k, selection))
        scores, rows = scan.rerank(self._vectors, queries, found, k)
        short = rows[:, min(k, count) - 1] < 0
        if short.any():  # that there are no more is for an exact pass to say
            whole = None if selection is None else selection.rows
            scores[short], rows[short] = scan.exact(self._vectors, queries[short], k, whole)
        return scores, rows

    def warm(self) -> None:
        """Make now what the first search would have to wait for."""
        if self._halved(q=1, k=1):
            _ = self._halves
        elif self.kind != "flat":
            _ = self._centroids, self.list_of

    def _selection(self, allowed: Mask | Selection | None) -> Selection | None:
        if allowed is None:
            return None
        selection = allowed if isinstance(allowed, Selection) else Selection(allowed)
        mask = selection.mask
        if mask.shape != (self.n,) or mask.dtype != np.bool_:
            raise ValueError(f"allowed must be ({self.n},) bool, not {mask.shape} {mask.dtype}")
        return None if selection.count == self.n else selection

    def _scans(self, q: int, k: int, selection: Selection | None) -> bool:
        """Whether an exact scan is the only way, or the cheaper one."""
        if self.kind == "flat":
            return True
        if selection is None:  # where every row would be a candidate, lists only stand in the way
            return max(k, tuning.K) * self.rerank >= self.n
        if self.reach is None:
            return True
        wanted = self._rows_to_meet(k, selection)
        held = int(self._sizes[selection.by_list(self.list_of, self.lists) > 0].sum())
        probing = held * wanted / selection.count / CODES_PER_ROW + k * tuning.RERANK_FILTERED
        exactly = selection.count * (1 if q < scan.FEW else 2 / q + 1 / BATCHED_ROWS)
        return bool(exactly <= probing + OVERHEAD_ROWS)

    def _halved(self, q: int, k: int) -> bool:
        """Whether half precision first is worth it: many numbers, few queries, few results."""
        many = self.kind == "flat" and self.n * self.d >= halves.FROM_NUMBERS
        return many and q < scan.FEW and 16 * k <= self.n

    @cached_property
    def _halves(self) -> halves.Halves:
        return halves.Halves(self._vectors)

    def _rows_to_meet(self, k: int, selection: Selection) -> int:
        assert self.reach is not None
        wanted = self.reach.at(selection.count / self.n) * _times(k)
        return min(selection.count, max(k, int(wanted)))

    def _opened(self, queries: Floats, k: int) -> Rows:
        """Candidates (q, m) from the nearest lists; more of both for more results."""
        nprobe = min(self.lists, int(np.ceil(self.nprobe * _times(k))))
        if nprobe not in self._parameters:
            self._parameters[nprobe] = library().SearchParametersIVF(nprobe=nprobe)
        queries = even(queries)
        m = min(self.n, max(k, tuning.K) * self.rerank)
        scores, rows = np.empty((len(queries), m), np.float32), np.empty((len(queries), m), np.int64)
        at = library().swig_ptr
        self._faiss.search_c(len(queries), at(queries), m, at(scores), at(rows), self._parameters[nprobe])
        return rows

    def probed(self, queries: Floats, k: int, selection: Selection, wanted: int) -> Rows:
        """Candidates (q, m) from the nearest lists with allowed rows: as many lists as it takes to meet
        `wanted` of them. A list without any is never opened, so a filter whose rows lie far from the query
        costs no more than one around it."""
        faiss = library()
        queries = even(queries)
        held = selection.by_list(self.list_of, self.lists)
        nearness = queries @ self._centroids.T
        nearness[:, held == 0] = -np.inf
        order = np.argsort(-nearness, axis=1)
        opened = (np.cumsum(held[order], axis=1) < wanted).sum(axis=1) + 1
        width = min(int(np.count_nonzero(held)), int(opened.max()))
        order = order[:, :width]
        keys = np.where(np.arange(width) < opened[:, None], order, -1)
        nearness = np.ascontiguousarray(np.take_along_axis(nearness, order, 1), np.float32)
        m = min(selection.count, max(k, tuning.K) * tuning.RERANK_FILTERED)
        scores, rows = np.empty((len(queries), m), np.float32), np.empty((len(queries), m), np.int64)
        parameters = faiss.SearchParametersIVF(nprobe=width, sel=selection.selector)
        at = faiss.swig_ptr
        self._faiss.search_preassigned_c(
            len(queries), at(queries), m, at(keys), at(nearness), at(scores), at(rows), False, parameters
        )
        return rows

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        lists = self._faiss.invlists
        return np.array([lists.list_size(number) for number in range(self._faiss.nlist)], np.int64)

    @property
    def lists(self) -> int:
        """How many inverted lists there are."""
        return len(self._sizes)

    def cost(self, nprobe: int, candidates: int) -> float:
        """What a search costs, in exact rows: codes of `nprobe` average lists, and candidates."""
        return nprobe * self.n / self.lists / CODES_PER_ROW + candidates

    @cached_property
    def list_of(self) -> npt.NDArray[np.int32]:
        """(n,) the inverted list that each row stands in."""
        found, lists = np.empty(self.n, np.int32), self._faiss.invlists
        for number, size in enumerate(self._sizes.tolist()):
            if size:
                found[library().rev_swig_ptr(lists.get_ids(number), size)] = number
        return found

    @cached_property
    def _centroids(self) -> Floats:
        flat = library().downcast_index(self._faiss.quantizer)
        held: Floats = library().rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        return held.reshape(flat.ntotal, flat.d).copy()  # in a mapped file they stand at odd addresses

    def to_bytes(self) -> bytes:
        """The index as FAISS writes it. The same vectors give the same bytes."""
        return bytes(library().serialize_index(self._faiss))

    @property
    def meta(self) -> dict[str, Any]:
        """What `from_bytes` needs beside the bytes, JSON-able; the sha256 is that of `to_bytes()`."""
        data = self.to_bytes()
        return {
            "kind": self.kind,
            "n": self.n,
            "d": self.d,
            "metric": "cosine",
            "nprobe": self.nprobe,
            "rerank": self.rerank,
            "reach": None if self.reach is None else [self.reach.all, self.reach.tenth],
            "recall": self.recall,
            "recalls": dict(self.recalls),
            "changed": self.changed,
            "faiss": library().__version__,
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
        array = np.frombuffer(data, dtype=np.uint8)
        return cls._of(_read(lambda faiss: faiss.deserialize_index(array)), about, vectors)

    @classmethod
    def open(
        cls,
        path: Path,
        meta: dict[str, Any] | str | bytes,
        vectors: Floats | None = None,
        *,
        sha256: str | None = None,
    ) -> Index:
        """The same from a file that stays on disk: it is mapped, so that opening costs no memory and every
        process on the machine shares one copy. `sha256`: the file's digest, where it was just computed.
        Raises `CorruptError` too where the file cannot be read."""
        about = _read_meta(meta)
        try:
            found = sha256 or file_digest(path)
        except OSError as error:
            raise CorruptError(f"index: {path.name} cannot be read: {error}") from error
        if found != about["sha256"]:
            raise CorruptError(f"index: {path.name} is not what its meta file promises; publish it again")
        index = _read(
            lambda faiss: faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
        )
        return cls._of(index, about, vectors)

    @classmethod
    def _of(cls, index: Any, about: dict[str, Any], vectors: Floats | None) -> Index:
        n, d, kind = about["n"], about["d"], about["kind"]
        wanted = library().IndexFlatIP if kind == "flat" else library().IndexIVFPQFastScan
        if not isinstance(index, wanted):
            raise CorruptError(f"index: its meta says {kind}, the file holds a {type(index).__name__}")
        if index.ntotal != n or index.d != d + (d % 2 if kind == "ivf_pq" else 0):
            raise CorruptError(f"index: holds {index.ntotal} x {index.d}, its meta says {n} x {d}")
        if vectors is None:
            if kind != "flat":
                raise ValueError(f"an {kind} index needs the vectors it was built from")
            vectors = _stored(index)
        if vectors.shape != (n, d):
            raise CorruptError(f"index: made for {n} x {d} vectors, given {vectors.shape}")
        return cls(
            kind,
            n,
            d,
            about["nprobe"],
            about["recall"],
            index,
            vectors,
            rerank=about["rerank"],
            reach=None if about["reach"] is None else tuning.Reach(*about["reach"]),
            recalls=about["recalls"],
            changed=about["changed"],
        )


def build(vectors: Floats, asked: Mapping[str, Floats] | None = None) -> Index:
    """An index over (n, d) float32 unit vectors, chosen by size, its recall measured and recorded.

    Above `FLAT_ROWS` rows, `nprobe` and `rerank` are tuned on rows kept out of training until recall@10
    reaches `tuning.RECALL` (a query's own row never counts), and on `asked`: further unit vectors (m, d)
    by kind, e.g. of texts, which lie elsewhere than pictures and are harder to answer. n may be 0, and d
    too then. Raises `ValueError` for anything else than finite float32 unit vectors.
    """
    vectors = _unit(vectors, "vectors")
    n, d = vectors.shape
    if n <= FLAT_ROWS:
        flat = library().IndexFlatIP(d)
        flat.add(vectors)
        index = Index("flat", n, d, 0, 1.0, flat, vectors)
        return replace(index, recall=tuning.recall(index, vectors))
    checked = {kind: _unit(queries, kind, d) for kind, queries in (asked or {}).items()}
    return tuning.tune(Index("ivf_pq", n, d, 1, 0.0, _trained(vectors), vectors), vectors, checked)


def _trained(vectors: Floats) -> Any:
    """The inverted file with every row in it; rows that recall is measured on take no part in training."""
    n = len(vectors)
    # Fewer lists than FAISS's guideline of 4..16 sqrt(n): with fast-scan codes a list is compared about as
    # quickly as the centroids that would split it (100k x 256: 512 lists beat 256, 1024 and 2048).
    nlist = 1 << max(0, round(np.log2(1.6 * np.sqrt(n))))
    rest = np.setdiff1d(np.arange(n), tuning.held_out(n))
    train = np.random.default_rng(SEED).permutation(rest)[: nlist * TRAIN_ROWS_PER_LIST]
    width = vectors.shape[1] + vectors.shape[1] % 2
    faiss = library()
    ivf = faiss.index_factory(width, f"IVF{nlist},PQ{width // 2}x4fsr", faiss.METRIC_INNER_PRODUCT)
    ivf.train(even(np.ascontiguousarray(vectors[np.sort(train)])))
    for start in range(0, n, 1 << 16):  # in parts: a mapped table need not fit into memory twice
        ivf.add(even(np.ascontiguousarray(vectors[start : start + (1 << 16)])))
    return ivf


def _times(k: int) -> float:
    """How much more than for `tuning.K` results, and the query itself, must be looked at for `k`."""
    return max(1.0, (k - 1) / tuning.K)


def even(vectors: Floats) -> Floats:
    """One zero column more where d is odd: two dimensions share a 4-bit code."""
    return vectors if vectors.shape[1] % 2 == 0 else np.pad(vectors, ((0, 0), (0, 1)))


def _unit(vectors: Floats, name: str, d: int | None = None) -> Floats:
    vectors = _checked(vectors, name, d)
    if len(vectors) and not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise ValueError(f"{name} must have length 1: normalise them first")
    return vectors


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
    if index.ntotal == 0:
        return np.empty((0, index.d), dtype=np.float32)
    stored: Floats = library().rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return stored.reshape(index.ntotal, index.d)


def _read(read: Callable[[Any], Any]) -> Any:
    faiss = library()
    faiss.set_deserialization_vector_byte_limit(_MAX_BYTES)
    faiss.set_deserialization_loop_limit(_MAX_LOOPS)
    try:
        return read(faiss)
    except RuntimeError as error:
        raise CorruptError(f"index: FAISS cannot read it: {error}") from error


def _read_meta(meta: dict[str, Any] | str | bytes) -> dict[str, Any]:
    if not isinstance(meta, dict):
        try:
            meta = json.loads(meta)
        except (ValueError, UnicodeDecodeError) as error:
            raise CorruptError(f"index: its meta file is not JSON: {error}") from error

    def whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0

    types: dict[str, Callable[[Any], bool]] = {
        "kind": lambda v: v in _KINDS,
        "n": whole,
        "d": whole,
        "nprobe": whole,
        "rerank": lambda v: whole(v) and v >= 1,
        "reach": lambda v: v is None or (isinstance(v, list) and len(v) == 2 and all(map(whole, v))),
        "recall": lambda v: isinstance(v, (int, float)),
        "recalls": lambda v: isinstance(v, dict),
        "changed": whole,
        "sha256": lambda v: isinstance(v, str),
    }
    # A release from before these were tuned says nothing of them, and is still served.
    older: dict[str, Any] = {"rerank": 10, "reach": None, "recalls": {}, "changed": 0}
    about: dict[str, Any] = {**older, **meta} if isinstance(meta, dict) else {}
    wrong = [name for name, good in types.items() if not good(about.get(name))]
    if wrong:
        raise CorruptError(f"index: its meta file has no valid {', '.join(wrong)}")
    return about

"""The other indexes that answer the same questions, each behind one small surface, one thread each.

`faiss_hnsw`: FAISS's HNSW, M=16, efConstruction=64; with a filter, its own selector. `hnswlib` 0.8: the same
numbers; a filter is a Python function, the only one it takes. `usearch` 2.26: the same numbers, float32; its
Python has no filter, so more and more results are asked for until ten pass. `lsh`: FAISS's random
hyperplanes, 8 bits a dimension, best by Hamming distance, re-ranked by cosine; FAISS gives it no filter.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
M, EF_BUILD = 16, 64
# In an environment of their own beside numpy and FAISS of this one's versions; hnswlib is compiled there.
PACKAGES = ("faiss-cpu==1.15.1", "hnswlib==0.8.0", "numpy==2.4.6", "usearch==2.26.6")
LSH_BITS = 8  # a dimension


def install(folder: Path) -> Path:
    """The folder of the peers' packages, made where it is not there."""
    wanted = "\n".join(PACKAGES)
    ready = folder / "installed.txt"
    if not ready.is_file() or ready.read_text() != wanted:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        python = folder / "bin" / "python"
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
        ready.write_text(wanted)
    return folder / "bin" / "python"


class FaissHnsw:
    """`effort` is efSearch."""

    efforts: Sequence[int] = (10, 11, 12, 13, 14, 16, 20, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 384,
                              512, 1024, 2048, 4096, 8192)  # fmt: skip

    def __init__(self, vectors: Floats) -> None:
        import faiss

        self._index: Any = faiss.IndexHNSWFlat(vectors.shape[1], M, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = EF_BUILD
        self._index.add(vectors)

    def searcher(self, effort: int) -> Callable[[Floats, int], Rows]:
        self._index.hnsw.efSearch = effort
        return lambda queries, k: self._index.search(queries, k)[1]

    def filtered(self, effort: int, allowed: Mask) -> Callable[[Floats, int], Rows]:
        import faiss

        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        given = faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        return lambda queries, k: self._index.search(queries, k, params=given)[1]


class Hnswlib:
    """`effort` is ef."""

    efforts = FaissHnsw.efforts

    def __init__(self, vectors: Floats) -> None:
        import hnswlib

        self._index: Any = hnswlib.Index("ip", vectors.shape[1])
        self._index.init_index(len(vectors), M=M, ef_construction=EF_BUILD)
        self._index.set_num_threads(1)
        self._index.add_items(vectors)

    def searcher(self, effort: int) -> Callable[[Floats, int], Rows]:
        self._index.set_ef(effort)
        return lambda queries, k: self._index.knn_query(queries, k, num_threads=1)[0].astype(np.int64)

    def filtered(self, effort: int, allowed: Mask) -> Callable[[Floats, int], Rows]:
        self._index.set_ef(effort)
        passes = allowed.tolist().__getitem__

        def search(queries: Floats, k: int) -> Rows:
            try:
                found = self._index.knn_query(queries, k, num_threads=1, filter=passes)[0]
            except RuntimeError:  # "Cannot return the results in a contiguous 2D array": too few were met
                return np.full((len(queries), k), -1, np.int64)
            return np.asarray(found.astype(np.int64))

        return search


class Usearch:
    """`effort` is the expansion, and with a filter how many results are asked for."""

    efforts = FaissHnsw.efforts

    def __init__(self, vectors: Floats) -> None:
        from usearch.index import Index

        given = {"metric": "ip", "dtype": "f32", "connectivity": M, "expansion_add": EF_BUILD}
        self._index: Any = Index(ndim=vectors.shape[1], **given)
        self._index.add(np.arange(len(vectors)), vectors, threads=1)

    def searcher(self, effort: int) -> Callable[[Floats, int], Rows]:
        self._index.expansion_search = effort

        def search(queries: Floats, k: int) -> Rows:
            given = queries[0] if len(queries) == 1 else queries
            return np.asarray(self._index.search(given, k, threads=1).keys.astype(np.int64).reshape(-1, k))

        return search

    def filtered(self, effort: int, allowed: Mask) -> Callable[[Floats, int], Rows]:
        asked = self.searcher(effort)

        def search(queries: Floats, k: int) -> Rows:
            return first_allowed(asked(queries, min(max(effort, k), len(allowed))), allowed, k)

        return search


class Lsh:
    """`effort` is how many of the nearest by Hamming distance are re-ranked."""

    efforts: Sequence[int] = (10, 20, 40, 80, 160, 320, 640, 1280, 2560)

    def __init__(self, vectors: Floats) -> None:
        import faiss

        self._vectors = vectors
        self._index: Any = faiss.IndexLSH(vectors.shape[1], LSH_BITS * vectors.shape[1], True, False)
        self._index.add(vectors)

    def searcher(self, effort: int) -> Callable[[Floats, int], Rows]:
        import faiss

        def search(queries: Floats, k: int) -> Rows:
            _, found = self._index.search(queries, effort)
            scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
            at = faiss.swig_ptr
            faiss.knn_inner_products_by_idx(
                at(queries), at(self._vectors), at(found), queries.shape[1], len(queries),
                len(self._vectors), effort, k, at(scores), at(rows), effort,
            )  # fmt: skip
            return rows

        return search

    def filtered(self, effort: int, allowed: Mask) -> Callable[[Floats, int], Rows]:
        asked = self.searcher(effort)
        return lambda queries, k: first_allowed(asked(queries, effort), allowed, k)


def first_allowed(rows: Rows, allowed: Mask, k: int) -> Rows:
    """The first `k` allowed of each line, padded with -1."""
    found = np.full((len(rows), k), -1, np.int64)
    for line, given in zip(found, rows, strict=True):
        passed = given[(given >= 0) & allowed[np.maximum(given, 0)]][:k]
        line[: len(passed)] = passed
    return found


PEERS: dict[str, Callable[[Floats], Any]] = {
    "faiss_hnsw": FaissHnsw,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "lsh": Lsh,
}

"""An exact scan of all rows that reads half as much.

One query is compared with as many rows as memory delivers, so numbers of half the bytes take half the time.
What they cannot rule out is compared in full; where that may not be all, everything is.
"""

from __future__ import annotations

import numpy as np

from pinflow.retrieval import scan
from pinflow.retrieval.scan import Floats, Rows, library

FROM_NUMBERS = 1 << 22  # in all vectors; fewer stay in the processor's caches, where bytes do not count
_SPARE = 64  # rows looked at in full beyond those asked for
# How far an inner product of unit vectors may be off: each number of one of them is rounded to 11 bits, which
# by Cauchy and Schwarz is 2^-11 at most, and single precision adds up some thousand products.
_OFF = 2**-11 + 1e-4


class Halves:
    """Unit vectors (n, d) in half precision, beside those they were made of."""

    def __init__(self, vectors: Floats) -> None:
        faiss = library()
        d = vectors.shape[1]
        self._vectors = vectors
        self._codes = faiss.IndexScalarQuantizer(d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, len(vectors), 1 << 16):  # in parts: a mapped table need not fit into memory
            self._codes.add(np.ascontiguousarray(vectors[start : start + (1 << 16)]))

    def exact(self, queries: Floats, k: int) -> tuple[Floats, Rows]:
        """As `scan.exact` of all rows; `queries` (q, d) are unit vectors. Which of several as good as the
        last are returned is FAISS's choice."""
        m = min(k + _SPARE, len(self._vectors))
        about, near = self._codes.search(queries, m)
        scores, rows = scan.rerank(self._vectors, queries, near, k)
        if m < len(self._vectors):
            unsure = scores[:, -1] <= about[:, -1] + _OFF
            scores[unsure], rows[unsure] = scan.exact(self._vectors, queries[unsure], k)
        return scores, rows

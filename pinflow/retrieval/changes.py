"""An index brought up to date without training it again: rows taken out, moved and added.

The lists and codes that were trained on the old rows serve the new ones as long as few have changed; what
they still find is measured again, and where that is too little, or too much has changed, a new index is
built. The result is an index like any other: nothing in it remembers what was removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pinflow.retrieval import index as indexes
from pinflow.retrieval import tuning
from pinflow.retrieval.index import Index, build, even
from pinflow.retrieval.scan import Floats, Rows, library

MOST_CHANGED = 0.15  # of the rows, added and removed since training: above, it is trained again


def places(before: Sequence[str], old: Floats, ids: Sequence[str], vectors: Floats) -> Rows:
    """Where each old row stands now: (n,) int64 rows of `vectors`, -1 where it is gone or its vector is
    another. `before` and `ids` name the rows of `old` and of `vectors`."""
    row_of = {one: row for row, one in enumerate(ids)}
    now = np.array([row_of.get(one, -1) for one in before], np.int64)
    if old.shape[1:] != vectors.shape[1:]:
        return np.full(len(now), -1, np.int64)
    kept = np.flatnonzero(now >= 0)
    other = kept[(old[kept] != vectors[now[kept]]).any(axis=1)]
    now[other] = -1
    return now


def update(old: Index, now: Rows, vectors: Floats, asked: Mapping[str, Floats] | None = None) -> Index:
    """An index over `vectors` (n, d), made from `old` where that pays, else built.

    `now`: where each row of `old` stands in `vectors`, -1 where it does not, see `places`; rows of
    `vectors` that nothing points to are added. `asked`: as for `build`. `old` itself is left as it is.
    """
    fresh = np.setdiff1d(np.arange(len(vectors)), now)
    gone = np.flatnonzero(now < 0)
    changed = old.changed + len(fresh) + len(gone)
    if old.kind == "flat" or len(vectors) <= indexes.FLAT_ROWS or changed > MOST_CHANGED * len(vectors):
        return build(vectors, asked)
    if not changed - old.changed and np.array_equal(now, np.arange(len(vectors))):
        return old
    ivf = _moved(old, now, gone, fresh, vectors)
    index = replace(old, n=len(vectors), changed=changed, _faiss=ivf, _vectors=vectors)
    measured = tuning.confirm(index, vectors, asked or {}) or tuning.tune(index, vectors, asked or {})
    return measured if measured.recall >= tuning.RECALL else build(vectors, asked)


def _moved(old: Index, now: Rows, gone: Rows, fresh: Rows, vectors: Floats) -> Any:
    """A copy of the inverted file over the new rows: codes stay in their lists and take their new numbers."""
    faiss = library()
    ivf = faiss.deserialize_index(np.frombuffer(old.to_bytes(), np.uint8))
    if len(gone):
        ivf.remove_ids(gone)
        _emptied(ivf)
    for number in range(ivf.nlist):
        size = ivf.invlists.list_size(number)
        if size:
            held = faiss.rev_swig_ptr(ivf.invlists.get_ids(number), size)
            held[:] = now[held]
    if len(fresh):
        ivf.add_with_ids(even(np.ascontiguousarray(vectors[fresh])), fresh)
    return ivf


def _emptied(ivf: Any) -> None:
    """Zero the places behind the last row of each list. FAISS 1.15 leaves the codes of removed rows there and
    mixes them into the next that are added: a third of those could not be found again."""
    faiss = library()
    packer = ivf.get_CodePacker()
    none = np.zeros(packer.code_size, np.uint8)
    for number in range(ivf.nlist):
        used = ivf.invlists.list_size(number) % packer.nvec
        if used:
            blocks = ivf.invlists.list_size(number) // packer.nvec + 1
            codes = faiss.rev_swig_ptr(ivf.invlists.get_codes(number), blocks * packer.block_size)
            for place in range(used, packer.nvec):
                packer.pack_1_c(faiss.swig_ptr(none), place, faiss.swig_ptr(codes[-packer.block_size :]))

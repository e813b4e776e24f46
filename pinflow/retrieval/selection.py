"""The rows that a search may return, with what is worked out about them once and used by many searches."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.retrieval.scan import Mask, Rows, library


@dataclass(frozen=True, eq=False)
class Selection:
    """A mask (n,) bool over the rows of an index. A filter that is asked for again is best kept as one."""

    mask: Mask
    _by_list: dict[int, tuple[object, npt.NDArray[np.int64]]] = field(default_factory=dict, repr=False)

    @cached_property
    def count(self) -> int:
        """How many rows may be returned."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> Rows:
        """Those rows (m,) int64, ascending."""
        return np.flatnonzero(self.mask).astype(np.int64, copy=False)

    @cached_property
    def selector(self) -> Any:
        """The same for FAISS."""
        # FAISS keeps a pointer to the bits; the array must live as long as the selector.
        return library().IDSelectorBitmap(self._bits)

    @cached_property
    def _bits(self) -> npt.NDArray[np.uint8]:
        return np.packbits(self.mask, bitorder="little")

    def by_list(self, list_of: npt.NDArray[np.int32], lists: int) -> npt.NDArray[np.int64]:
        """How many of the rows stand in each inverted list (lists,); `list_of` (n,): the list of each row."""
        known = self._by_list.get(id(list_of))
        if known is None or known[0] is not list_of:
            counts = np.bincount(list_of[self.rows], minlength=lists)
            known = self._by_list[id(list_of)] = (list_of, counts)
        return known[1]

"""The rows that a search may return, with what is worked out about them once and used by many searches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.retrieval.scan import Mask, Rows, library

KEPT = 16  # up to 10 bytes a row each


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


class Selections:
    """The last few that were asked for, by what makes them. Safe to use from several threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._made: dict[str, Selection] = {}
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], Mask]) -> Selection:
        """That of the key, made where it is not remembered."""
        with self._lock:
            found = self._made.pop(key, None)
        found = found or Selection(make())
        with self._lock:
            self._made[key] = found  # the last used stands last
            while len(self._made) > self._kept:
                del self._made[next(iter(self._made))]
        return found

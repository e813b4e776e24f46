"""The pictures that a scrape brought, by digest, as long as its work folder stands."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

_DIGEST = np.dtype("S32")
_SPAN = np.dtype([("digest", _DIGEST), ("start", "<i8"), ("size", "<i8")])


def span(sha256: str, start: int, size: int) -> bytes:
    """Where the bytes of that digest are in `Bodies`, as `Files` takes it."""
    return struct.pack("<32sqq", bytes.fromhex(sha256), start, size)


class Files(Mapping[str, bytes]):
    """sha256 -> bytes in the file, read when asked for, from any thread. 56 bytes of memory a picture."""

    def __init__(self, path: Path, spans: bytes | bytearray) -> None:
        """`spans` are those of `span`, joined; of equal digests the first counts."""
        self._path = path
        rows = np.frombuffer(spans, _SPAN)
        _, first = np.unique(rows["digest"], return_index=True)
        self._rows = rows[np.sort(first)]
        self._order = np.argsort(self._rows["digest"], kind="stable")

    def __getitem__(self, sha256: str) -> bytes:
        row = self._row(sha256)
        if row is None:
            raise KeyError(sha256)
        start, size = int(self._rows["start"][row]), int(self._rows["size"][row])
        with self._path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, start)

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and self._row(sha256) is not None

    def __iter__(self) -> Iterator[str]:
        return (digest.ljust(_DIGEST.itemsize, b"\0").hex() for digest in self._rows["digest"])

    def __len__(self) -> int:
        return len(self._rows)

    def _row(self, sha256: str) -> int | None:
        try:
            digest = np.array(bytes.fromhex(sha256), _DIGEST)
        except ValueError:
            return None
        place = int(np.searchsorted(self._rows["digest"], digest, sorter=self._order))
        if place == len(self._rows) or self._rows["digest"][self._order[place]] != digest:
            return None
        return int(self._order[place])

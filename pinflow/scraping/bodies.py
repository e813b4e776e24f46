"""The bytes of a crawl's pictures, one after the other in one file: making a file costs more than fetching
what goes into it.

Whoever appends says afterwards where the bytes begin (`spool`), so what a kill cuts short is never spoken of.
"""

from __future__ import annotations

import os
from pathlib import Path


class Bodies:
    """The file, for one writer at a time; made at the first `append`. Raises `OSError` where it cannot be
    written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def append(self, body: bytes) -> int:
        """Write the bytes at the end, all or none of them; where they begin."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        start = os.lseek(self._file, 0, os.SEEK_END)
        rest = memoryview(body)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, start)
            raise
        return start

    @property
    def size(self) -> int:
        """Bytes so far; what a row says of bytes beyond is not true."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Let go of the file; `append` opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

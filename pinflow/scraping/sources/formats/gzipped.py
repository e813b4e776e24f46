"""Gzip, told by its first bytes and never by a name, unpacked as a stream and only so far."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO, TYPE_CHECKING

from pinflow.errors import ScrapeError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"\x1f\x8b"
MAX_UNPACKED_BYTES = 2 * 2**30
# Feeds shrink 10 to 30 times, a run of zeros 1,032 times (zlib's own figure).
MAX_RATIO = 200
_FREE_BYTES = 16 * 2**20  # a small feed may shrink as much as it likes
# A server that packs what is packed already is common enough: eBay's documentation warns of its own.
_LAYERS = 2
_BUFFER_BYTES = 64 * 1024


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """The file itself, or what is inside where it is gzip. It must be seekable and stand at its start.

    Reading it raises `ScrapeError` where it is damaged, breaks off, or unpacks to more than
    `MAX_UNPACKED_BYTES` or `MAX_RATIO` times its size. Nothing is unpacked ahead of the reader.
    """
    for layer in range(_LAYERS + 1):
        head = file.read(len(MAGIC))
        file.seek(0)
        if head != MAGIC:
            return file
        if layer < _LAYERS:
            file = io.BufferedReader(_Unpacked(file), _BUFFER_BYTES)
    raise ScrapeError(f"the file is packed with gzip more than {_LAYERS} times over")


class _Unpacked(io.RawIOBase):
    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._gzip = gzip.GzipFile(fileobj=packed, mode="rb")
        self._count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if (offset, whence) != (0, io.SEEK_SET):
            raise io.UnsupportedOperation("only back to the start")
        self._count = 0
        return self._gzip.seek(0)

    def tell(self) -> int:
        return self._count

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._gzip.read(len(view))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ScrapeError(f"the gzip file is damaged or breaks off: {error}") from error
        self._count += len(data)
        if self._count > _FREE_BYTES and self._count > MAX_RATIO * self._packed.tell():
            raise ScrapeError(f"the gzip file unpacks to more than {MAX_RATIO} times its size: refused")
        if self._count > MAX_UNPACKED_BYTES:
            size = f"{MAX_UNPACKED_BYTES // 2**20:,} MiB"
            raise ScrapeError(f"the gzip file unpacks to more than {size}: refused")
        view[: len(data)] = data
        return len(data)

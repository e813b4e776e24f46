"""What is sent to the server: how large, how slowly, and how much of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import Message, Receive

MAX_UPLOAD_BYTES = 20 * 1024 * 1024
MAX_JSON_BYTES = 1024 * 1024
BODY_SECONDS = 30.0
METHODS = frozenset({"POST", "PUT", "PATCH"})
AT_ONCE = 256  # being read or answered
AT_ONCE_BYTES = 256 * 1024 * 1024  # of them together, as announced


class Room:
    """Room for what is being sent: a thousand uploads at once must not fill the memory."""

    def __init__(self, most: int = AT_ONCE, most_bytes: int = AT_ONCE_BYTES) -> None:
        self._left, self._bytes_left = most, most_bytes

    @contextmanager
    def kept(self, headers: Headers) -> Iterator[bool]:
        """Whether there is room, which is kept meanwhile. A body of unknown length counts as a large one."""
        announced = headers.get("content-length", "")
        size = min(int(announced), MAX_UPLOAD_BYTES) if announced.isdigit() else MAX_UPLOAD_BYTES
        if self._left < 1 or self._bytes_left < size:
            yield False
            return
        self._left, self._bytes_left = self._left - 1, self._bytes_left - size
        try:
            yield True
        finally:
            self._left, self._bytes_left = self._left + 1, self._bytes_left + size


def largest(headers: Headers) -> int:
    """The most bytes that a body of this kind may have: pictures come as forms, all else is small."""
    form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    return MAX_UPLOAD_BYTES + MAX_JSON_BYTES if form else MAX_JSON_BYTES


def too_large(headers: Headers) -> bool:
    """Whether the body announces itself as too large."""
    announced = headers.get("content-length", "")
    return announced.isdigit() and int(announced) > largest(headers)


def told_too_large(headers: Headers) -> str:
    """What to say then."""
    return f"the body is larger than {largest(headers) / 1024 / 1024:g} MiB"


def limited(receive: Receive, headers: Headers) -> Receive:
    """The same body, which ends in a 413 beyond its largest size, announced or not, and in a 408 where it
    takes longer than `BODY_SECONDS` to arrive."""
    most, received, whole = largest(headers), 0, False
    until = asyncio.get_running_loop().time() + BODY_SECONDS

    async def next_message() -> Message:
        nonlocal received, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body took longer than {BODY_SECONDS:g} s to arrive") from None
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413, told_too_large(headers))
        whole = not message.get("more_body", False)
        return message

    return next_message

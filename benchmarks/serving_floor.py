"""What a request costs whoever answers it: a server that reads it and sends back, at once, what it was given.

The load generator, loopback and the system's waking of two processes take part in every latency; measured
against this, with pinflow's own answers, they can be told from pinflow.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def recorded(url: str, body: bytes) -> bytes:
    """The answer to a POST of JSON, packed as it was sent, as bytes that can be sent again."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        sent = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        connection.request("POST", parts.path, body, sent)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{url}: {answer.status}")
    head = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + data


@contextmanager
def replaying(answer: bytes) -> Iterator[str]:
    """A server on loopback, its own thread and event loop, that answers every request so: its address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Replay(answer), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


class _Replay(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if found and len(body) >= (int(length[1]) if length else 0):
            self._read = b""
            assert isinstance(self._transport, asyncio.Transport)
            self._transport.write(self._answer)

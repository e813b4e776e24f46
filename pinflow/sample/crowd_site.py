"""The crowd's site: as little work a request as Python allows, in a process of its own.

Made for measuring clients: a server that shares their cores must not be what is measured. It answers
searches, pictures and robots.txt, checks no headers, and tells at `/counts` what it was asked. For a site
that behaves (and misbehaves) like a real one see `site`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

from pinflow.sample import pinterest
from pinflow.sample.crowd import Crowd
from pinflow.sample.site import ROBOTS

_SEND_BUFFER = 2**20  # bytes: a picture leaves in one call
_WAIT_SECONDS = 10.0


class CrowdSite:
    """The site as a process, while in a `with` block. `pool` is a folder of JPEGs to serve."""

    def __init__(
        self,
        labels: int = 200,
        per_label: int = 1000,
        distinct: int | None = 10,
        pool: Path | None = None,
    ) -> None:
        self._line = [sys.executable, "-m", "pinflow.sample.crowd_site", f"--labels={labels}"]
        self._line += [f"--per-label={per_label}", f"--distinct={distinct or per_label}"]
        self._line += [f"--pool={pool}"] if pool else []
        self.base_url = ""

    def __enter__(self) -> CrowdSite:
        self._process = subprocess.Popen(self._line, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()
        if not self.base_url:
            raise RuntimeError(f"the crowd's site does not start (exit code {self._process.wait()})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_WAIT_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def counts(self) -> Counter[str]:
        """Requests so far by kind: robots, search, picture, other."""
        with urlopen(f"{self.base_url}/counts", timeout=_WAIT_SECONDS) as answer:  # noqa: S310 our own address
            return Counter(json.load(answer))


class _Connection(asyncio.Protocol):
    """One client's connection, kept open as long as it likes."""

    def __init__(self, crowd: Crowd, counts: Counter[str]) -> None:
        self._crowd, self._counts, self._unread = crowd, counts, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        plug = self._transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        host, port = plug.getsockname()[:2]
        self._base_url = f"http://{host}:{port}"

    def data_received(self, data: bytes) -> None:
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for request in requests:
            line, _, headers = request.partition(b"\r\n")
            self._transport.write(self._answer(line.split(b" ")[1].decode("latin-1")))
            if b"connection: close" in headers.lower():
                self._transport.close()

    def _answer(self, target: str) -> bytes:
        parts = self._crowd.picture(target)
        if parts:
            self._counts["picture"] += 1
            return _message(b"image/jpeg", *parts)
        if target == "/robots.txt":
            self._counts["robots"] += 1
            return _message(b"text/plain", ROBOTS)
        if target == "/counts":
            return _message(b"application/json", json.dumps(self._counts).encode())
        if target.startswith("/resource/BaseSearchResource/get/"):
            self._counts["search"] += 1
            options: dict[str, Any] = json.loads(parse_qs(urlsplit(target).query)["data"][0])["options"]
            found = pinterest.answer(self._crowd, self._base_url, "BaseSearch", options)
            return _message(b"application/json", json.dumps(found).encode())
        self._counts["other"] += 1
        return _message(b"text/plain", b"nothing here\n", status=b"404 Not Found")


def _message(kind: bytes, *body: bytes | memoryview, status: bytes = b"200 OK") -> bytes:
    length = sum(map(len, body))
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, length)
    return b"".join((head, *body))


async def _serve(crowd: Crowd) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    counts: Counter[str] = Counter()
    server = await loop.create_server(lambda: _Connection(crowd, counts), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()


def main() -> None:
    """Serve a crowd on a free port of loopback, told on standard output, until stopped."""
    parser = argparse.ArgumentParser(prog="python -m pinflow.sample.crowd_site", description="A crowd's site")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--per-label", type=int, default=1000)
    parser.add_argument("--distinct", type=int, default=10, help="picture addresses a label")
    parser.add_argument("--pool", type=Path, help="folder of JPEGs of one size; drawn where there is none")
    given = parser.parse_args()
    pool, more = None, {}
    if given.pool:
        from PIL import Image

        files = sorted(given.pool.glob("*.jpg"))
        pool = [file.read_bytes() for file in files]
        with Image.open(files[0]) as first:
            more["pixels"] = first.size
    asyncio.run(_serve(Crowd(given.labels, given.per_label, given.distinct, pool, **more)))


if __name__ == "__main__":
    main()

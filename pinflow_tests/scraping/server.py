"""A small real site on loopback with Pinterest's resource API, which can be told to misbehave."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NEEDED = ("X-Requested-With", "X-Pinterest-AppState", "X-Pinterest-PWS-Handler")


class Site:
    """Pins by query; `page_size` a page. Everything a test may want to break is an attribute."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.asked: list[str] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.cookies: set[str] = set()
        self.reset()

    def reset(self) -> None:
        self.pins: dict[str, list[dict[str, Any]]] = {}
        self.on_search: Callable[[dict[str, Any]], bool] = lambda options: True  # False: no answer
        self.hidden: list[dict[str, Any]] = []
        self.headers: dict[str, dict[str, str]] = {}  # path prefix -> headers of its answers
        self.page_size = 5
        self.robots = (200, "User-agent: *\nDisallow: /private/\n")
        self.end = "-end-"
        self.never_ends = False
        self.faults: dict[str, list[int]] = {}  # path prefix -> statuses to give first
        self.always: dict[str, int] = {}  # path prefix -> status
        self.huge: set[str] = set()
        self.drips: set[str] = set()
        self.slow: dict[str, float] = {}  # path prefix -> seconds
        self.redirects: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.asked.clear()
        self.times.clear()
        self.agents.clear()
        self.cookies.clear()

    def add(self, query: str, count: int, start: int = 0) -> list[dict[str, Any]]:
        rows = [self.row(f"{query}-{n}") for n in range(start, start + count)]
        self.pins.setdefault(query, []).extend(rows)
        return rows

    def row(self, key: str, **more: Any) -> dict[str, Any]:
        images = {
            size: {"url": f"{self.base}/{folder}/{key}.jpg", "width": 10, "height": 10}
            for size, folder in (("orig", "originals"), ("736x", "736x"), ("236x", "236x"))
        }
        row = {
            "type": "pin",
            "id": key,
            "title": f"Pin {key}",
            "description": f"About {key}",
            "images": images,
        }
        return row | {"image_signature": hashlib.md5(key.encode()).hexdigest()} | more

    def hide(self, query: str, at: int) -> dict[str, Any]:
        """The search no longer shows that pin; the pin itself is still there."""
        row = self.pins[query].pop(at)
        self.hidden.append(row)
        return row

    def delete(self, row: dict[str, Any]) -> None:
        self.hidden.remove(row)

    def pictures_asked(self) -> Counter[str]:
        return Counter(path for path in self.asked if path.endswith(".jpg"))

    def resources_asked(self, name: str) -> int:
        resource = name.removesuffix("Resource")
        return sum(path == f"/resource/{resource}Resource/get/" for path in self.asked)

    def body_of(self, path: str) -> bytes:
        # The size folder does not matter: the bytes are the pin's own.
        return b"\xff\xd8" + hashlib.sha256(path.rsplit("/", 1)[-1].encode()).digest() * 20


def _search(site: Site, options: dict[str, Any]) -> dict[str, Any]:
    rows = site.pins.get(options["query"], [])
    at = int(options.get("bookmarks", ["p0"])[0][1:])
    size = site.page_size
    page = rows[at * size : (at + 1) * size]
    more = (at + 1) * size < len(rows)
    if site.never_ends:
        page, more = page or rows[:size], True
    mark = f"p{at + 1}" if more else site.end
    return {
        "resource_response": {"status": "success", "data": {"results": page}},
        "resource": {"name": "BaseSearchResource", "options": options | {"bookmarks": [mark]}},
    }


def _related(site: Site, options: dict[str, Any]) -> dict[str, Any]:
    key = options["pin"]
    for rows in site.pins.values():
        ids = [row["id"] for row in rows]
        if key in ids:
            at = ids.index(key)
            beside = [rows[(at + step) % len(rows)] for step in (1, 2, 0)]
            return {"resource_response": {"data": beside}, "resource": {"options": {"bookmarks": ["-end-"]}}}
    return {"resource_response": {"data": []}, "resource": {"options": {"bookmarks": ["-end-"]}}}


def _pin(site: Site, options: dict[str, Any]) -> dict[str, Any] | None:
    rows = [row for rows in (*site.pins.values(), site.hidden) for row in rows if row["id"] == options["id"]]
    return {"resource_response": {"data": rows[0]}} if rows else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up, or do not trust us, are what is tested

    request_queue_size = 64  # the default of 5 drops connections, and each drop costs a second


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for an acknowledgement
    site: Site

    def do_GET(self) -> None:
        site, url = self.site, urlsplit(self.path)
        site.asked.append(url.path)
        site.times.append(time.monotonic())
        site.agents.add(self.headers.get("User-Agent", ""))
        site.cookies.update(self.headers.get_all("Cookie", []))
        for prefix, seconds in site.slow.items():
            if url.path.startswith(prefix):
                time.sleep(seconds)
        for prefix, statuses in site.faults.items():
            if url.path.startswith(prefix) and statuses:
                return self.answer(statuses.pop(0), b"not now")
        for prefix, status in site.always.items():
            if url.path.startswith(prefix):
                return self.answer(status, b"no")
        if url.path in site.redirects:
            return self.answer(302, b"", {"Location": site.redirects[url.path]})
        if url.path == "/robots.txt":
            return self.answer(site.robots[0], site.robots[1].encode())
        if url.path in site.files:
            return self.answer(200, site.files[url.path])
        if url.path in site.huge:
            return self.huge()
        if url.path in site.drips:
            return self.drip()
        if url.path.startswith("/resource/"):
            return self.resource(url)
        if url.path.endswith(".jpg"):
            return self.answer(200, site.body_of(url.path))
        return self.answer(404, b"nothing here")

    def resource(self, url: Any) -> None:
        cookie = self.headers.get("Cookie", "")
        if not all(self.headers.get(name) for name in NEEDED) or "csrftoken=" not in cookie:
            return self.answer(403, b'{"resource_response": {"message": "Invalid Resource Request"}}')
        options = json.loads(parse_qs(url.query)["data"][0])["options"]
        if "BaseSearch" in url.path and not self.site.on_search(options):
            time.sleep(5)
        makers = {"BaseSearch": _search, "PinResource": _pin}
        make = next((one for name, one in makers.items() if name in url.path), _related)
        made = make(self.site, options)
        return self.answer(200 if made else 404, json.dumps(made).encode())

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        said = [more for prefix, more in self.site.headers.items() if self.path.startswith(prefix)]
        for more in (headers or {}, *said):
            for name, value in more.items():
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def huge(self) -> None:
        """More bytes than anybody wants, without saying so first."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for _ in range(64):
                self.wfile.write(b"\0" * 2**20)
        except OSError:
            pass
        self.close_connection = True

    def drip(self) -> None:
        """An answer that never stops coming, a byte at a time."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serve(name: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A site of one's own under that host name, until the block ends."""
    handler: Any = type("Handler", (_Handler,), {})
    with _Server((name, 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls else "http"
        site = handler.site = Site(f"{scheme}://{name}:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield site
        finally:
            server.shutdown()

"""The sample site: a small HTTP server on loopback that answers as Pinterest and as a shop would.

What is answered is decided in `pinterest` and `shopfront`, and HTTP is spoken by `server`; here are the
addresses, the request log, and the knobs that make the site misbehave. Run it alone with
`python -m pinflow.sample.site --port 8765 --folder FOLDER`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import signal
import sys
import threading
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from mimetypes import guess_type
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pinflow.errors import PinflowError
from pinflow.sample import openverse, pinterest, pinterest_api, shopfront, wga
from pinflow.sample.fetch import fetch
from pinflow.sample.pins import WIDTHS, Pins, scaled
from pinflow.sample.samples import Samples, read
from pinflow.sample.server import Answer, Server, not_modified

PORT = 8765
LOG_LENGTH = 100_000
RESIZED_QUALITY = 85  # JPEG
FEED_CHANGED = datetime(2025, 1, 1, tzinfo=UTC)
REQUIRED_HEADERS = ("X-Requested-With", "X-Pinterest-AppState", "X-Pinterest-PWS-Handler")
ROBOTS = b"""User-agent: *
Allow: /resource/*/get/
Disallow: /resource/
Disallow: /search/
Disallow: /_/
Disallow: /oauth/
"""


@dataclass(frozen=True)
class Hit:
    """One answered request. `kind` is robots, search, related, pin, board, own, openverse, picture, feed,
    catalogue, page or other."""

    kind: str
    path: str
    status: int


@dataclass
class Fault:
    """A misbehaviour: `status` for whatever `what` matches, `times` more times (None: for ever)."""

    what: str
    status: int
    times: int | None

    def matches(self, path: str, query: str | None) -> bool:
        """A `what` with a leading `/` is a prefix of the path, any other is a search query."""
        if self.what.startswith("/"):
            return path.startswith(self.what)
        return query is not None and query.strip().casefold() == self.what.strip().casefold()


class SampleSite:
    """The site on a thread of its own, while in a `with` block. Port 0 takes a free one.

    `requests` counts requests by kind, refused ones included, and `log` keeps the newest of them.
    """

    def __init__(self, samples: Samples, port: int = PORT, host: str = "127.0.0.1") -> None:
        self.samples = samples
        self.requests: Counter[str] = Counter()
        self.log: deque[Hit] = deque(maxlen=LOG_LENGTH)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._delay_seconds = 0.0
        self._closing = threading.Event()
        self._pins = Pins(samples.market)
        self._gallery = wga.Gallery(samples.market)
        self._products = {row.item: row for row in samples.shop.rows}
        self._product_pictures = {shopfront.picture_name(row): row for row in samples.shop.rows}
        self._resized = lru_cache(maxsize=2000)(_resize)
        try:
            self._server = Server((host, port), self.answer)
        except OSError as error:
            raise PinflowError(
                f"the sample site cannot listen on {host}:{port} ({error}): "
                "stop what uses that port, or choose another"
            ) from error
        self.port = int(self._server.server_address[1])
        self.base_url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> SampleSite:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, what: str, status: int = 503, times: int | None = None) -> None:
        """Answer `status` to every path with prefix `what` (leading `/`) or to the search for `what`.

        After `times` failures it works again; None fails until `heal`.
        """
        with self._lock:
            self._faults.append(Fault(what, status, times))

    def heal(self) -> None:
        """Take back every `fail` and `delay`."""
        with self._lock:
            self._faults.clear()
            self._delay_seconds = 0.0

    def delay(self, seconds: float) -> None:
        """Wait so long before every answer."""
        self._delay_seconds = seconds

    def answer(self, target: str, headers: Message) -> Answer:
        """The answer to a GET of `target` with those request headers, logged."""
        url = urlsplit(target)
        kind, reply = self._route(url, headers)
        if self._delay_seconds:
            self._closing.wait(self._delay_seconds)
        reply = not_modified(reply, headers)
        with self._lock:
            self.requests[kind] += 1
            self.log.append(Hit(kind, target, reply.status))
        return reply

    def _route(self, url: SplitResult, headers: Message) -> tuple[str, Answer]:
        path = unquote(url.path)
        parts = path.strip("/").split("/")
        options = _options(url) if parts[0] == "resource" else None
        kind = self._kind(parts)
        fault = self._fault(path, str((options or {}).get("query")) if kind == "search" else None)
        if fault:
            return kind, Answer(b"Sorry, something is broken here.\n", "text/plain", fault)
        if kind in ("search", "related", "pin", "board", "other") and parts[0] == "resource":
            return kind, self._resource(parts, options, headers)
        if kind in ("own", "openverse"):
            return kind, self._api(kind, parts[1:], url, headers)
        handler = {"robots": self._robots, "picture": self._picture, "feed": self._feed, "page": self._page}
        handler["catalogue"] = self._catalogue
        found = handler[kind](parts) if kind in handler else None
        return kind, found or Answer(shopfront.page("Not found", path), "text/html; charset=utf-8", 404)

    def _kind(self, parts: list[str]) -> str:
        match parts:
            case ["robots.txt"]:
                return "robots"
            case [name] if shopfront.feed_type(name):
                return "feed"
            case ["resource", name, "get"]:
                known = {"BaseSearchResource": "search", "PinResource": "pin"}
                if name.startswith(("Related", "Board")):
                    return "related" if name.startswith("Related") else "board"
                return known.get(name, "other")
            case ["v5", *_]:
                return "own"
            case ["v1", "images", _, "thumb"]:
                return "picture"
            case ["v1", "images", *_]:
                return "openverse"
            case ["originals" | "736x" | "474x" | "236x", _, _, _, _]:
                return "picture"
            case ["database", "download", "data_txt.zip"]:
                return "catalogue"
            case ["art" | "detail" | "preview", *_]:
                return "picture"
            case ["html", *_]:
                return "page"
            case ["products", name]:
                return "picture" if name in self._product_pictures else "page"
            case [""] | ["pin", _]:
                return "page"
        return "other"

    def _fault(self, path: str, query: str | None) -> int | None:
        with self._lock:
            for fault in self._faults:
                if fault.times != 0 and fault.matches(path, query):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault.status
        return None

    def _resource(self, parts: list[str], options: dict[str, Any] | None, headers: Message) -> Answer:
        name = parts[1].removesuffix("Resource")
        try:
            if options is None or not _has_required(headers):
                raise pinterest.InvalidRequest
            body, status = pinterest.answer(self._pins, self.base_url, name, options), 200
        except pinterest.InvalidRequest:
            return Answer(b"Invalid Resource Request", "text/plain; charset=utf-8", 403)
        except pinterest.ResourceError as error:
            body, status = pinterest.failure(error, name), error.status
        return Answer(
            json.dumps(body, ensure_ascii=False).encode(), "application/json; charset=utf-8", status
        )

    def _api(self, kind: str, parts: list[str], url: SplitResult, headers: Message) -> Answer:
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if kind == "own":
            token = headers.get("Authorization")
            status, body = pinterest_api.answer(self._pins, self.base_url, parts, query, token)
        else:
            status, body = openverse.answer(self._pins, self.base_url, parts[1:], query)
        return Answer(json.dumps(body).encode(), "application/json", status)

    def _robots(self, _: list[str]) -> Answer:
        return Answer(ROBOTS, "text/plain; charset=utf-8", tag=_digest(ROBOTS))

    def _feed(self, parts: list[str]) -> Answer:
        body = shopfront.feed(self.samples.shop, self.base_url, parts[0])
        kind = shopfront.feed_type(parts[0]) or ""
        return Answer(body, kind, tag=_digest(body), changed=FEED_CHANGED)

    def _catalogue(self, _: list[str]) -> Answer:
        body = self._gallery.catalogue(self.base_url)
        return Answer(body, "application/zip", tag=_digest(body), changed=FEED_CHANGED)

    def _picture(self, parts: list[str]) -> Answer | None:
        if parts[0] in wga.FOLDERS:
            painting = self._gallery.picture("/".join(parts))
            return Answer(painting, "image/jpeg", tag=_digest(painting)) if painting else None
        if parts[0] == "v1":
            small = openverse.picture(self._pins, parts[2])
            parts = small.address("474x").strip("/").split("/") if small else parts
        if parts[0] == "products":
            path = self.samples.shop.path(self._product_pictures[parts[1]])
            content = path.read_bytes()
            return Answer(content, _type(path), tag=_digest(content), changed=FEED_CHANGED)
        pin = self._pins.by_signature.get(parts[-1].partition(".")[0])
        if pin is None or pin.address(parts[0]) != "/" + "/".join(parts):
            return None
        if parts[0] == "originals":
            return Answer(pin.path.read_bytes(), _type(pin.path), tag=pin.signature, changed=pin.created_at)
        content = self._resized(pin.path, WIDTHS[parts[0]])
        return Answer(content, "image/jpeg", tag=f"{pin.signature}-{parts[0]}", changed=pin.created_at)

    def _page(self, parts: list[str]) -> Answer | None:
        headers: dict[str, str] = {}
        if parts == [""]:
            body = shopfront.page("Sample site", "Pictures for trying pinflow: a market and a shop.")
            headers["Set-Cookie"] = f"csrftoken={_digest(self.base_url.encode())}; Path=/"
        elif parts[0] == "pin" and parts[1] in self._pins.by_id:
            body = shopfront.pin_page(self._pins.by_id[parts[1]])
        elif parts[0] == "products" and parts[1] in self._products:
            body = shopfront.product_page(self._products[parts[1]])
        elif work := self._gallery.page("/".join(parts)):
            body = work
        else:
            return None
        return Answer(body, "text/html; charset=utf-8", headers=headers)


def _options(url: SplitResult) -> dict[str, Any] | None:
    data = parse_qs(url.query).get("data", [""])[0]
    try:
        options = json.loads(data)["options"]
    except (ValueError, KeyError, TypeError):
        return None
    return options if isinstance(options, dict) else None


def _has_required(headers: Message) -> bool:
    try:
        cookies = SimpleCookie(headers.get("Cookie", ""))
    except CookieError:
        return False
    return "csrftoken" in cookies and all(headers.get(name) for name in REQUIRED_HEADERS)


def _resize(path: Path, width: int) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        size = scaled(picture.size, width)
        if size == picture.size and picture.format == "JPEG":
            return path.read_bytes()
        out = io.BytesIO()
        resized = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        resized.save(out, "JPEG", quality=RESIZED_QUALITY)
    return out.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _type(path: Path) -> str:
    return guess_type(path.name)[0] or "application/octet-stream"


def main(arguments: list[str] | None = None) -> int:
    """Serve the samples of a folder, fetched first where they are not there, until stopped."""
    parser = argparse.ArgumentParser(prog="python -m pinflow.sample.site", description="The sample site")
    parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one (default %(default)s)")
    parser.add_argument("--folder", type=Path, required=True, help="where the sample pictures are or go")
    given = parser.parse_args(arguments)
    try:
        site = SampleSite(_samples(given.folder), given.port)
    except PinflowError as error:
        print(error, file=sys.stderr)
        return 1
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    with site:
        print(f"sample site on {site.base_url}", flush=True)
        stopped.wait()
    return 0


def _samples(folder: Path) -> Samples:
    try:
        return read(folder)
    except PinflowError:
        return fetch(folder)


if __name__ == "__main__":
    sys.exit(main())

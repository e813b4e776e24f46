"""The sample site's HTTP: a threading server, what an answer is, and conditional requests (RFC 9110)."""

from __future__ import annotations

import socketserver
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IDLE_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What goes back. With a `tag` the answer can be asked for conditionally."""

    body: bytes
    content_type: str
    status: int = 200
    tag: str | None = None
    changed: datetime | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """Answers every GET and HEAD with what `answer` says to (target, request headers)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[str, Message], Answer]) -> None:
        self.answer = answer
        self.closing = False
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """As in the base class, but without asking DNS for our own name: offline that takes seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def shutdown(self) -> None:
        """Stop listening, and answer no more on connections that are kept open."""
        self.closing = True
        super().shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up is everyday life here; anything else is a bug and is shown.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    timeout = IDLE_SECONDS
    protocol_version = "HTTP/1.1"
    server_version = "sample-site"
    # Headers and body leave as two writes: with Nagle's algorithm the second would wait 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Headers and body."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Headers only."""
        self._send(with_body=False)

    def _send(self, *, with_body: bool) -> None:
        if self.server.closing:
            self.close_connection = True
            return
        reply = self.server.answer(self.path, self.headers)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.tag:
            self.send_header("ETag", f'"{reply.tag}"')
        if reply.changed:
            self.send_header("Last-Modified", format_datetime(reply.changed, usegmt=True))
        for name, text in reply.headers.items():
            self.send_header(name, text)
        self.end_headers()
        if with_body and reply.status != 304:
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the site keeps its own log."""


def not_modified(reply: Answer, headers: Message) -> Answer:
    """A 304 where the caller has this very answer already (RFC 9110, section 13)."""
    if reply.status != 200 or reply.tag is None:
        return reply
    tags = headers.get("If-None-Match")
    since = headers.get("If-Modified-Since")
    if tags is not None:
        known = {tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")}
        fresh = "*" in known or reply.tag in known
    else:
        fresh = bool(since and reply.changed and _not_after(reply.changed, since))
    return Answer(b"", reply.content_type, 304, reply.tag, reply.changed) if fresh else reply


def _not_after(changed: datetime, since: str) -> bool:
    try:
        return changed <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False  # not a date, or one without a time zone: the header is to be ignored

"""What guards every request: the token, the size of its body, and the headers of the answer."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinflow.serving.problems import problem

T = TypeVar("T")

MAX_UPLOAD_BYTES = 20 * 1024 * 1024
MAX_JSON_BYTES = 1024 * 1024
BODY_SECONDS = 60.0

# Probes must work without a secret; they tell nothing about the collections.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/version"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware: refuses requests without the token and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["path"] in OPEN_PATHS or authorised(Headers(scope=scope), self._token):
            await self._app(scope, receive, secured)
            return
        # Basic makes a browser ask; the token is the password, the user name may be anything.
        answer = problem(
            Request(scope),
            401,
            "send the token: `Authorization: Bearer TOKEN`, or as the password of Basic authentication",
            headers={"WWW-Authenticate": 'Basic realm="pinflow", charset="UTF-8"'},
        )
        await answer(scope, receive, secured)


def authorised(headers: Headers, token: str | None) -> bool:
    """Whether the request may pass: no token is set, or it carries it. Compared in constant time."""
    if token is None:
        return True
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    return hmac.compare_digest(given.strip().encode(), token.encode())


def capped(request: Request, most: int) -> Request:
    """The same request, whose body ends in a 413 beyond `most` bytes, announced or not."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise _too_large(most)
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _too_large(most)
        return message

    return Request(request.scope, receive)


async def in_time(reading: Callable[[], Awaitable[T]]) -> T:
    """The body, or a 408 where it takes longer than `BODY_SECONDS` to arrive."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await reading()
    except TimeoutError:
        raise HTTPException(408, f"the body took longer than {BODY_SECONDS:g} s to arrive") from None


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {most / 1024 / 1024:g} MiB")

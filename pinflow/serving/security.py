"""What guards every request: the token, the origin, the pace and the body."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Sequence

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pinflow.serving import bodies
from pinflow.serving.problems import problem
from pinflow.serving.rates import Rates
from pinflow.serving.state.owners import owner_of

# Probes must work without a secret; they tell nothing about the collections.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/version"})


class Guard:
    """ASGI middleware: who may ask, how often and how much at once.

    Leaves in the request's state: `owner`, whose boards and history it is about, and `admin`.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Sequence[str] = (),
        rates: Rates | None = None,
        origins: Sequence[str] = (),
        only_this_machine: bool = False,
    ) -> None:
        """`origins`: pages of elsewhere that may change things. `only_this_machine`: refuse names of other
        machines, so that no page can reach the app by a name that it points here (DNS rebinding)."""
        self._app = app
        self._tokens = tokens
        self._rates = rates
        self._origins = frozenset(origins)
        self._only_this_machine = only_this_machine
        self._room = bodies.Room()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send)
        elif scope["method"] not in bodies.METHODS:
            await self._app(scope, receive, send)
        else:
            headers = Headers(scope=scope)
            with self._room.kept(headers) as room:
                if room:
                    await self._app(scope, bodies.limited(receive, headers), send)
                else:
                    await _no_room(Request(scope))(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to a request that goes no further; None for one that does."""
        headers, request = Headers(scope=scope), Request(scope)
        if self._only_this_machine and not is_loopback(_host(headers)):
            return problem(request, 421, "this server answers to localhost and 127.0.0.1 only")
        token = matching(headers, self._tokens)
        state = scope.setdefault("state", {})
        state["owner"] = owner_of(token)
        state["admin"] = not self._tokens or token == self._tokens[0]
        if (
            self._tokens
            and token is None
            and scope["path"] not in OPEN_PATHS
            and not _preflight(scope, headers)
        ):
            # Basic makes a browser ask; the token is the password, the user name may be anything.
            return problem(
                request,
                401,
                "send the token: `Authorization: Bearer TOKEN`, or as the password of Basic authentication",
                headers={"WWW-Authenticate": 'Basic realm="pinflow", charset="UTF-8"'},
            )
        if self._from_elsewhere(scope, headers):
            return problem(request, 403, "a page of another site may not do that")
        if scope["method"] in bodies.METHODS and bodies.too_large(headers):
            return problem(request, 413, bodies.told_too_large(headers))
        wait = self._rates.wait(scope, token) if self._rates is not None else None
        if wait is not None:
            return problem(
                request,
                429,
                f"too many requests; the limit is {self._rates}",
                headers={"Retry-After": str(wait)},
            )
        return None

    def _from_elsewhere(self, scope: Scope, headers: Headers) -> bool:
        """Whether a browser says that another site's page sends this: it would bring the person's log-in."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or headers.get("origin") in self._origins:
            return False
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _no_room(request: Request) -> Response:
    told = "more is being sent at once than there is room for; ask again in a moment"
    return problem(request, 503, told, headers={"Retry-After": "1"})


def matching(headers: Headers, tokens: Sequence[str]) -> str | None:
    """The token that the request carries, if it is one of them. Compared in constant time."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    found = None
    for token in tokens:  # all of them, whichever fits: the time must not tell
        if hmac.compare_digest(given.strip().encode(), token.encode()):
            found = token
    return found


def authorised(headers: Headers, tokens: Sequence[str]) -> bool:
    """Whether the request may pass: no token is set, or it carries one."""
    return not tokens or matching(headers, tokens) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`. A name other than localhost counts as outside."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host(headers: Headers) -> str:
    """The name that the request was sent to, without the port."""
    given = headers.get("host", "")
    return given[1 : given.find("]")] if given.startswith("[") else given.partition(":")[0]


def _preflight(scope: Scope, headers: Headers) -> bool:
    """A browser's question whether a page may ask; it never carries the token."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers

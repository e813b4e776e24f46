"""Links as examples: the picture behind any address, or the own picture of a page, such as a Pinterest pin.

Everything comes through the scraping room's guarded fetcher, which checks the address that it connects to, so
that nobody can have this server ask its own network. A link to a pin that is here needs no web at all.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pinflow.errors import BusyError, LinkError, SearchError
from pinflow.retrieval.query import Example
from pinflow.retrieval.searcher import Searcher

SECONDS = 25.0  # for the page, its picture, and the pauses that manners ask for
MAX_PAGE_BYTES = 4 * 1024 * 1024
RENEWED_SECONDS = 900.0  # then robots.txt is read again, and hosts are forgotten
AT_ONCE = 16
KEPT_BYTES = 64 * 1024 * 1024  # of pictures that links led to

MakeFetcher = Callable[[], Any]  # `scraping.fetching.fetcher.Fetcher`, not yet entered


class Links:
    """One a server. Belongs to the event loop that it is first used in."""

    def __init__(self, make_fetcher: MakeFetcher | None = None, contact: str | None = None) -> None:
        self._make = make_fetcher or (lambda: _polite(contact))
        self._fetcher: Any = None
        self._until = 0.0
        self._users: dict[int, int] = {}
        self._fetched: OrderedDict[str, bytes] = OrderedDict()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def follow(self, example: Example, side: str, searcher: Searcher | None) -> Example:
        """The example with the picture that its link leads to; any other as it is.

        Raises `SearchError` for an address that is not asked, `LinkError` where no picture came of it.
        """
        if example.url is None:
            return example
        known = searcher.linked(example.url) if searcher is not None else None
        if known is not None:
            return Example(image=known)
        fetched = self._fetched.get(example.url)
        if fetched is not None:
            return Example(image=fetched)
        if self._turn.locked():
            raise BusyError("many links are being followed already")
        try:
            async with self._turn, asyncio.timeout(SECONDS), self._open() as fetcher:
                picture = await _picture(fetcher, example.url, f"{side}.url")
        except TimeoutError:
            raise LinkError(f"{side}.url: no answer within {SECONDS:g} s", 504) from None
        self._keep(example.url, picture)
        return Example(image=picture)

    def _keep(self, url: str, picture: bytes) -> None:
        """For the next page of the same search, which must be of the same picture."""
        self._fetched[url] = picture
        while sum(map(len, self._fetched.values())) > KEPT_BYTES:
            self._fetched.popitem(last=False)

    async def close(self) -> None:
        """Close what is open; it opens again when it is used again."""
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            await fetcher.__aexit__(None, None, None)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Any]:
        if self._fetcher is None or time.monotonic() > self._until:
            old = self._fetcher
            self._fetched.clear()
            self._fetcher = await self._make().__aenter__()
            self._until = time.monotonic() + RENEWED_SECONDS
            if old is not None and not self._users.get(id(old)):
                await old.__aexit__(None, None, None)
        fetcher = self._fetcher
        self._users[id(fetcher)] = self._users.get(id(fetcher), 0) + 1
        try:
            yield fetcher
        finally:
            self._users[id(fetcher)] -= 1
            if not self._users[id(fetcher)]:
                del self._users[id(fetcher)]
                if fetcher is not self._fetcher:
                    await fetcher.__aexit__(None, None, None)


def _polite(contact: str | None) -> Any:
    from pinflow.scraping.fetching.fetcher import Fetcher
    from pinflow.scraping.fetching.pace import Pace

    return Fetcher(Pace(), contact=contact)


async def _picture(fetcher: Any, url: str, where: str) -> bytes:
    from pinflow.scraping.pages.own_picture import own_picture

    body, address, is_page = await _get(fetcher, url, where)
    if not is_page:
        return body
    picture = own_picture(body[:MAX_PAGE_BYTES], address)
    if picture is None:
        raise LinkError(f"{where}: the page names no picture of its own; copy the picture's address", 415)
    body, _, is_page = await _get(fetcher, picture, where)
    if is_page:
        raise LinkError(f"{where}: the page's own picture is none", 415)
    return body


async def _get(fetcher: Any, url: str, where: str) -> tuple[bytes, str, bool]:
    """The body, where redirects led, and whether it is a page."""
    from pinflow.scraping.fetching.errors import FetchError, Refused

    try:
        answer = await fetcher.get(url)
    except Refused as error:
        raise SearchError(f"{where}: {error}", where) from error
    except FetchError as error:
        status = 504 if "timed out" in str(error) else 502
        raise LinkError(f"{where}: {error}", status) from error
    if answer.status != 200:
        raise LinkError(f"{where}: the site answered {answer.status}", 502)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_page = kind in ("text/html", "application/xhtml+xml") or answer.body[:256].lstrip()[:1] == b"<"
    return answer.body, answer.url, is_page

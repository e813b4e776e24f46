"""What Scrapy does not do by itself: fail closed on robots.txt, back off, and refuse private addresses."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import defaultdict
from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    UnsupportedURLSchemeError,
)
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Response
from scrapy.resolver import CachingThreadedResolver
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet import defer
from twisted.internet.error import DNSLookupError

from pinflow.scraping.job import MAX_PICTURE_BYTES, host_of
from pinflow.scraping.worker import manners


class AddressRefused(IgnoreRequest):
    """The host's address is not a public one, and the collection does not name the host as its own."""


class RobotsRefused(IgnoreRequest):
    """robots.txt says no."""


class RobotsUnreadable(IgnoreRequest):
    """robots.txt could not be had, which counts as a no until it can."""


class AddressGuard(CachingThreadedResolver):
    """Resolves host names, and gives out only addresses that may be connected to.

    Every connection goes through here with its host, whatever its form (a name, `127.1`, `0x7f000001`),
    and goes to exactly the address that was checked. One guard serves the reactor for its life; `own_host`
    is set before each crawl. IPv4 only, as its base class. `refused` says why, by host.
    """

    own_host: str | None = None

    def __init__(self, reactor: Any, cache_size: int, timeout: float) -> None:
        super().__init__(reactor, cache_size, timeout)
        self.refused: dict[str, str] = {}

    def getHostByName(self, name: str, timeout: Any = ()) -> Any:
        """Scrapy's look-up (cached), with the answer checked each time it is given out."""
        if ":" in name:
            self.refused[name.lower()] = f"{name} is an IPv6 address, which cannot be checked yet"
            return defer.fail(DNSLookupError(name))
        return super().getHostByName(name, timeout).addCallback(self._check, name)

    def _check(self, address: str, name: str) -> str:
        found = ipaddress.ip_address(address)
        if name.lower() != self.own_host and (not found.is_global or found.is_multicast):
            self.refused[name.lower()] = (
                f"{name} has the address {address}, which is not public: only a host that `base_url` names "
                "may have one"
            )
            raise DNSLookupError(name)
        return address


class FailClosedRobots(RobotsTxtMiddleware):
    """robots.txt as RFC 9309 has it: 4xx means no rules, anything unreadable means no (section 2.3.1.4)."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self._unreadable: dict[str, Exception] = {}
        self._one_by_one: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def robot_parser(self, request: Request) -> Any:
        """The host's rules. Scrapy 2.19 hands them to the first of several waiting requests only."""
        async with self._one_by_one[urlparse_cached(request).netloc]:
            return await super().robot_parser(request)

    def process_request_2(self, rp: Any, request: Request) -> None:
        """Let the request through or raise, saying why not."""
        where = request.url.split("?")[0]
        if rp is None:
            cause = self._unreadable[urlparse_cached(request).netloc]
            if isinstance(cause, AddressRefused):
                raise cause
            raise RobotsUnreadable(f"{_robots_url(request)} could not be read ({explain(cause)[0]})")
        try:
            super().process_request_2(rp, request)
        except IgnoreRequest as error:
            raise RobotsRefused(f"refused by robots.txt: {where}") from error

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if response.status == 429 or response.status >= 500:
            self._robots_error(RobotsUnreadable(f"HTTP {response.status}"), netloc)
            return
        if response.status >= 400:
            response = response.replace(body=b"")
        await super()._parse_robots(response, netloc, request)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        self._unreadable[netloc] = exc
        super()._robots_error(exc, netloc)


class BackoffRetry(RetryMiddleware):
    """Scrapy retries at once; this waits first: doubling, or as long as Retry-After says, within bounds."""

    async def process_response(self, request: Request, response: Response) -> Any:  # type: ignore[override]
        """The response, or after a wait the request again."""
        result = super().process_response(request, response)
        if isinstance(result, Request):
            await self._wait(result, response.headers.get("Retry-After"))
        return result

    async def process_exception(self, request: Request, exception: Exception) -> Any:  # type: ignore[override]
        """None, or after a wait the request again. A refused address is final."""
        if isinstance(exception, CannotResolveHostError):
            spider: Any = self.crawler.spider
            refused = spider.refused_hosts
            host = host_of(request.url) or ""
            if host in refused:
                raise AddressRefused(refused[host]) from exception
        result = super().process_exception(request, exception)
        if isinstance(result, Request):
            await self._wait(result, None)
        return result

    async def _wait(self, request: Request, retry_after: bytes | None) -> None:
        own = host_of(request.url) in self.crawler.settings.getdict("DOWNLOAD_SLOTS")
        base = manners.OWN_BACKOFF_SECONDS if own else manners.BACKOFF_SECONDS
        pause = base * 2 ** (request.meta["retry_times"] - 1)
        if retry_after and retry_after.isdigit():
            pause = max(pause, float(retry_after))
        await asyncio.sleep(min(pause, 10 * base if own else manners.BACKOFF_LIMIT_SECONDS))


class PublicAutoThrottle(AutoThrottle):
    """AutoThrottle for every host but those with a slot of their own."""

    def _get_slot(self, request: Request, spider: Any) -> Any:
        key, slot = super()._get_slot(request, spider)
        own = key in self.crawler.settings.getdict("DOWNLOAD_SLOTS")
        return (key, None) if own else (key, slot)


class KeepAlive(HTTP11DownloadHandler):
    """Scrapy keeps as many idle connections a host as it makes requests to a *strange* host at once: one.

    A site of one's own gets several at once, and reconnecting each time overruns small servers' backlogs.
    """

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self._pool.maxPersistentPerHost = manners.OWN_REQUESTS_AT_ONCE


def explain(error: BaseException) -> tuple[str, bool]:
    """Why a request failed, for a person, and whether a later try may succeed."""
    if isinstance(error, IgnoreRequest):
        return str(error), isinstance(error, RobotsUnreadable)
    if isinstance(error, UnsupportedURLSchemeError):
        return "not an http(s) address", False
    if isinstance(error, DownloadCancelledError):
        return f"larger than {MAX_PICTURE_BYTES // 2**20} MiB", False
    if isinstance(error, DownloadConnectionRefusedError):
        return "connection refused", True
    if isinstance(error, CannotResolveHostError):
        return "unknown host", True
    if isinstance(error, DownloadTimeoutError):
        return "timed out", True
    if isinstance(error, DownloadFailedError):
        return "connection lost", True
    if isinstance(error, ValueError):
        return "not a usable address", False
    return f"{type(error).__name__}: {error}", True


def _robots_url(request: Request) -> str:
    url = urlparse_cached(request)
    return f"{url.scheme}://{url.netloc}/robots.txt"

"""The one way to the web: asks for one address with every rule of this folder kept.

aiohttp, because it asks five times as many pictures a CPU-second as Scrapy's downloader does, lets a resolver
decide what may be connected to, and gives an answer piece by piece, so that too much can be cut off.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urljoin, urlsplit

import aiohttp

from pinflow.scraping.fetching import manners, robots, signals
from pinflow.scraping.fetching.address import GuardedResolver, check_literal
from pinflow.scraping.fetching.errors import (
    FetchError,
    HostResting,
    Refused,
    RobotsUnreadable,
    TooLarge,
)
from pinflow.scraping.fetching.pace import Pace
from pinflow.scraping.fetching.robots import Robots
from pinflow.scraping.fetching.signals import Signals
from pinflow.scraping.job import MAX_PICTURE_BYTES, host_of, is_loopback

_REDIRECTS = {301, 302, 303, 307, 308}
_READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class Fetched:
    """An answer, whatever its status. `url` is where redirects led."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    signals: Signals


def try_later(status: int) -> bool:
    """Whether a later try may bring another status."""
    return status >= 500 or status in (408, 425, 429)


class Fetcher:
    """One crawl's way to the web, as an asynchronous context.

    async with Fetcher(pace, own_url="http://127.0.0.1:8765") as fetcher:
        answer = await fetcher.get("http://127.0.0.1:8765/feed.csv")
    """

    def __init__(self, pace: Pace, *, own_url: str | None = None, contact: str | None = None) -> None:
        """`own_url` names the only host that may have a non-public address; on loopback it is asked without
        delay. `contact` goes into the user agent. `counts` are what was asked and answered."""
        self.counts: Counter[str] = Counter()
        self._pace = pace
        self._own_host = host_of(own_url)
        self._agent = manners.user_agent(contact)
        self._robots: dict[str, Robots | FetchError] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def __aenter__(self) -> Fetcher:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=GuardedResolver(self._own_host),
                use_dns_cache=True,
                ttl_dns_cache=60,
                limit=64,
                # Abandoned connections must not keep a crawl from ending.
                enable_cleanup_closed=False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._agent},
            timeout=aiohttp.ClientTimeout(
                total=manners.TIMEOUT_SECONDS,
                sock_connect=manners.SILENCE_SECONDS,
                sock_read=manners.SILENCE_SECONDS,
            ),
            trust_env=False,  # through a proxy the address guard would see nothing
            read_bufsize=_READ_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._session.close()

    def slow_down(self, url: str, seconds: float) -> None:
        """Ask the host of `url` no more often than every so many seconds; a site of one's own aside."""
        self._pace.slow_down(_host(url), seconds)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_PICTURE_BYTES,
        method: str = "GET",
    ) -> Fetched:
        """The answer to `url` after redirects and retries, whatever its status.

        Every hop passes the address guard, robots.txt and the host's pace. Raises `FetchError`, whose `later`
        says whether another try may bring it.
        """
        for _ in range(manners.REDIRECTS + 1):
            said = (await self._rules(url)).check(url)
            answer = await self._ask(method, url, headers, max_bytes, said)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            url = _joined(url, answer.headers["Location"])
        raise Refused(f"more than {manners.REDIRECTS} redirects")

    async def _rules(self, url: str) -> Robots:
        """The robots.txt of the address's host, read once a crawl."""
        self._check(url)
        where = robots.address(url)
        async with self._reading.setdefault(where, asyncio.Lock()):
            if where not in self._robots:
                self._robots[where] = await self._read_rules(where)
        found = self._robots[where]
        if isinstance(found, FetchError):
            self.counts["robots_unreadable"] += 1
            raise found
        return found

    async def _read_rules(self, where: str) -> Robots | FetchError:
        hop = where
        try:
            for _ in range(manners.REDIRECTS + 1):
                answer = await self._ask("GET", hop, None, robots.MAX_BYTES, Signals())
                if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                    found = Robots.of(answer.status, answer.body, where)
                    self._pace.slow_down(_host(where), found.delay)
                    return found
                hop = _joined(hop, answer.headers["Location"])
            return RobotsUnreadable(f"{where} could not be read (too many redirects)")
        except (Refused, RobotsUnreadable, HostResting) as error:
            return error
        except FetchError as error:
            return RobotsUnreadable(f"{where} could not be read ({error})")

    def _check(self, url: str) -> None:
        """Whether the address is one that we ask at all."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise Refused("not a usable address") from error
        if parts.scheme not in ("http", "https") or not host:
            raise Refused("not an http(s) address")
        check_literal(host, self._own_host)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None, max_bytes: int, said: Signals
    ) -> Fetched:
        """One address, no redirect, tried again after a pause where the host is busy or silent."""
        self._check(url)
        host = _host(url)
        own = host == self._own_host and is_loopback(host)
        base = manners.OWN_BACKOFF_SECONDS if own else manners.BACKOFF_SECONDS
        for attempt in range(manners.RETRIES + 1):
            last = attempt == manners.RETRIES
            asked: float | None = None
            try:
                async with self._pace.turn(host, own=own):
                    answer = await self._once(method, url, headers, max_bytes, said, own)
                if last or not try_later(answer.status):
                    return answer
                asked = _retry_after(answer.headers.get("Retry-After"))
            except FetchError as error:
                if last or not error.later or isinstance(error, HostResting):
                    raise
            wait = max(base * 2**attempt, asked or 0.0)
            if wait > manners.PATIENCE_SECONDS:
                self._pace.rest(host, wait)
                raise HostResting(f"{host} asked for a pause of {wait:.0f} seconds")
            self.counts["retries"] += 1
            if own:
                await asyncio.sleep(min(wait, 10 * base))
            else:
                self._pace.pause(host, wait)
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        max_bytes: int,
        said: Signals,
        own: bool,
    ) -> Fetched:
        self.counts["requests"] += 1
        started = time.monotonic()
        try:
            async with self._session.request(method, url, headers=headers, allow_redirects=False) as response:
                latency = time.monotonic() - started
                if not own:
                    self._pace.answered(_host(url), latency, fine=response.status == 200)
                self.counts[f"status_{response.status}"] += 1
                body = await _read(response, max_bytes)
                heard = signals.of_headers(response.headers.items())
                return Fetched(url, response.status, response.headers, body, said.also(heard))
        except FetchError:
            raise
        except TimeoutError as error:
            raise FetchError("timed out") from error
        except aiohttp.InvalidURL as error:
            raise Refused("not a usable address") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise FetchError(f"its certificate is not valid: {error.certificate_error}") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchError("unknown host") from error
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, ConnectionRefusedError)
            raise FetchError("connection refused" if refused else "no connection") from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError("connection lost") from error
        except ValueError as error:  # an address that only the HTTP client cannot take
            raise Refused("not a usable address") from error


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body, decompressed. Raises `TooLarge` as soon as it is clear."""
    if (response.content_length or 0) > max_bytes:
        raise _too_large(response, max_bytes)
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > max_bytes:
            raise _too_large(response, max_bytes)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(response: aiohttp.ClientResponse, max_bytes: int) -> TooLarge:
    response.close()  # else the rest would be read before the connection is used again
    most = f"{max_bytes // 2**20} MiB" if max_bytes >= 2**20 else f"{max_bytes // 2**10} KiB"
    return TooLarge(f"larger than {most}")


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, or a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Refused("not a usable address") from error


def _host(url: str) -> str:
    return (host_of(url) or "").lower()

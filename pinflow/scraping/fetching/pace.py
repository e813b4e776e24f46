"""Turns: who may ask which host when. One `Pace` for the life of a process, so that a pause holds from one
crawl to the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pinflow.scraping.fetching import manners
from pinflow.scraping.fetching.errors import HostResting


@dataclass
class _Host:
    """What is known of one host. Times are those of `Pace.clock`, in seconds."""

    at_once: asyncio.Semaphore
    least_delay: float = manners.DELAY_SECONDS
    delay: float = manners.DELAY_SECONDS
    free_at: float = 0.0
    rests_until: float = 0.0


@dataclass
class Pace:
    """One request at a time a host, and at least a second between two; as slow again as the host is slow.

    `clock` and `sleep` are there for tests.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    _hosts: dict[str, _Host] = field(default_factory=dict)
    _own: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    @asynccontextmanager
    async def turn(self, host: str, *, own: bool) -> AsyncIterator[None]:
        """Wait for one's turn at the host, and hold it. `own`: a site of one's own on loopback, which is
        asked without delay. Raises `HostResting` where the host asked for more patience than we have."""
        if own:
            limit = self._own.setdefault(host, asyncio.Semaphore(manners.OWN_REQUESTS_AT_ONCE))
            async with limit:
                yield
            return
        state = self._host(host)
        async with state.at_once:
            rest = state.rests_until - self.clock()
            if rest > 0:
                raise HostResting(f"{host} asked for a pause: {rest:.0f} more seconds")
            await self.sleep(max(0.0, state.free_at - self.clock()))
            try:
                yield
            finally:
                state.free_at = max(state.free_at, self.clock() + state.delay)

    def slow_down(self, host: str, seconds: float) -> None:
        """The host's own word (Crawl-delay, Request-rate, the limits of its API): never faster than that."""
        state = self._host(host)
        state.least_delay = max(state.least_delay, seconds)
        state.delay = max(state.delay, state.least_delay)

    def answered(self, host: str, latency: float, *, fine: bool) -> None:
        """An answer took `latency` seconds. As Scrapy's AutoThrottle at a target concurrency of 1: the delay
        goes half-way to the latency, and an error never makes it shorter
        (docs.scrapy.org, topics/autothrottle, "Throttling algorithm")."""
        state = self._host(host)
        delay = max(latency, (state.delay + latency) / 2)
        if fine or delay > state.delay:
            state.delay = min(max(delay, state.least_delay), max(manners.PATIENCE_SECONDS, state.least_delay))

    def pause(self, host: str, seconds: float) -> None:
        """Nobody asks the host before so many seconds have passed."""
        state = self._host(host)
        state.free_at = max(state.free_at, self.clock() + seconds)

    def rest(self, host: str, seconds: float) -> None:
        """The host wants nothing from us for so long (Retry-After)."""
        state = self._host(host)
        state.rests_until = max(state.rests_until, self.clock() + seconds)

    def _host(self, host: str) -> _Host:
        if host not in self._hosts:
            self._hosts[host] = _Host(asyncio.Semaphore(manners.REQUESTS_AT_ONCE))
        return self._hosts[host]

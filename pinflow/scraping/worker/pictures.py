"""Fetches pictures into the spool, several at a time; how many a host is the fetcher's business.

Scrapy has no part in it: its engine costs more a picture than everything else here together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from pinflow.scraping.fetching.errors import FetchError
from pinflow.scraping.fetching.fetcher import Fetched, Fetcher, try_later
from pinflow.scraping.pin import web_address
from pinflow.scraping.spool import Spool
from pinflow.scraping.worker.ledger import GivenUp, Ledger

AT_ONCE = 16  # over all hosts
_ACCEPT = {"Accept": "image/*,*/*;q=0.8"}


class Pictures:
    """A queue of pictures and the tasks that empty it, as an asynchronous context.

    async with Pictures(fetcher, spool, ledger) as pictures:
        pictures.add(["https://i.example/original.jpg", "https://i.example/736.jpg"])
        await pictures.finish()
    """

    def __init__(self, fetcher: Fetcher, spool: Spool, ledger: Ledger) -> None:
        self._fetcher, self._spool, self._ledger = fetcher, spool, ledger
        self._queue: asyncio.Queue[Sequence[str]] = asyncio.Queue()
        self._asked: set[str] = set()
        self._missing: Counter[str] = Counter()

    async def __aenter__(self) -> Pictures:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def add(self, urls: Sequence[str]) -> None:
        """One picture, by its addresses, best first; nothing where it is here or was asked for already."""
        if not urls or urls[0] in self._asked or self._spool.has_picture(*urls):
            return
        self._asked.add(urls[0])
        self._queue.put_nowait(urls)

    async def finish(self) -> None:
        """Wait until the queue is empty, or the crawl given up. Raises our own errors (a full disk)."""
        done = asyncio.create_task(self._queue.join())
        try:
            await asyncio.wait([done, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            done.cancel()
        for task in self._tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error
        if self._missing:
            causes = ", ".join(f"{cause} ({n})" for cause, n in self._missing.most_common(3))
            self._ledger.reasons.append(f"{self._missing.total()} pictures did not come: {causes}")

    async def _work(self) -> None:
        while not self._ledger.given_up:
            urls = await self._queue.get()
            try:
                await self._picture(urls)
            except GivenUp:
                return
            finally:
                self._queue.task_done()

    async def _picture(self, urls: Sequence[str]) -> None:
        """By the first of its addresses that is not refused for good."""
        refusal: str | None = None
        for url in urls:
            if web_address(url) is None:
                self._spool.add_failure(url, "not an http(s) address")
                continue
            try:
                answer = await self._fetcher.get(url, headers=_ACCEPT)
            except FetchError as error:
                self._spool.add_failure(url, str(error))
                if error.later:
                    self._missed(str(error))
                    return
                continue
            cause = self._keep(url, answer)
            if cause is None or answer.signals.against_pictures:
                break  # a no is a no to every size of it
            if try_later(answer.status):
                self._missed(cause)
                return
            if answer.status in (401, 403):
                refusal = cause
        else:
            if refusal:
                # One picture may be refused by itself; a row of them is a site that wants us gone.
                self._ledger.trouble(f"it refuses pictures ({refusal})")
                return
        self._ledger.answered()

    def _keep(self, url: str, answer: Fetched) -> str | None:
        """Keep the bytes, or say why not."""
        refused = answer.signals.against_pictures
        if answer.status == 200 and answer.body and refused:
            cause = f"refused by {refused}"
            self._ledger.counts["refused_by_signal"] += 1
        elif answer.status == 200 and answer.body:
            self._spool.add_picture(url, answer.body, answer.signals.text)
            self._ledger.counts["fetched"] += 1
            self._ledger.counts["bytes"] += len(answer.body)
            return None
        else:
            cause = f"HTTP {answer.status}" if answer.status != 200 else "empty answer"
        self._spool.add_failure(url, cause, answer.signals.text)
        return cause

    def _missed(self, cause: str) -> None:
        self._missing[cause] += 1
        self._ledger.trouble(cause)

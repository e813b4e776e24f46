"""The spider: follows any listing of `pages` from page to page, and writes what comes into the spool at once.

What answers mean is decided in `pages/`; what is missing at the end is said in the ledger.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider
from scrapy.http import Response

from pinflow.errors import ScrapeError
from pinflow.scraping.fetching.errors import FetchError
from pinflow.scraping.fetching.fetcher import Fetcher, try_later
from pinflow.scraping.job import ListPins, host_of
from pinflow.scraping.optout import OptOuts
from pinflow.scraping.pages.listing import Page, Step
from pinflow.scraping.pin import Pin
from pinflow.scraping.spool import Spool
from pinflow.scraping.worker.ledger import GivenUp, Ledger
from pinflow.scraping.worker.pictures import Pictures

STALE_PAGES = 3  # without a new id, after which a listing without an end is taken to be over


class ListingSpider(Spider):
    """A listing page by page; for each pin its picture and, if wanted, the ids of its related pins.

    A crawl that was killed goes on with the page that it was about to ask for.
    """

    name = "listing"

    def __init__(
        self,
        task: ListPins,
        fetcher: Fetcher,
        spool: Spool,
        ledger: Ledger,
        pictures: Pictures,
        opt_outs: OptOuts,
    ) -> None:
        super().__init__()
        self.task, self.listing = task, task.listing
        self.fetcher, self.spool, self.ledger, self.pictures = fetcher, spool, ledger, pictures
        self.opt_outs = opt_outs
        self.error: BaseException | None = None
        self._cursors: set[str] = set()
        self._stale = 0
        self._pages = 0
        # A site whose pages hold next to nothing must end too.
        self._max_pages = 20 + task.per_label
        self._related_missing: Counter[str] = Counter()

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> Any:
        """Scrapy's constructor; also listens for exceptions in our own callbacks."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.on_bug, signals.spider_error)
        return spider

    def on_bug(self, failure: Any) -> None:
        """An exception in a callback is ours (or a full disk), so the crawl ends and the parent raises."""
        self.error = self.error or failure.value
        self.logger.error("bug: %s", "".join(traceback.format_exception(failure.value)))
        self._ending = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="bug"))

    async def start(self) -> AsyncIterator[Request]:
        """The page to go on with, and what the pins listed so far still lack."""
        step = self.spool.next_step()
        if step is None and not self.spool.listed_whole:
            step = self.listing.first()
        if step is not None:
            yield self._request(step)
        for pin in self.spool.pins():
            for request in self._follow(pin):
                yield request

    def _request(self, step: Step) -> Request:
        return self._ask(step, self.on_page, self.on_page_error, priority=10)

    def _ask(self, step: Step, callback: Any, errback: Any, priority: int = 0, **more: Any) -> Request:
        return Request(
            step.url,
            callback=callback,
            errback=errback,
            headers=self.listing.headers(step),
            priority=priority,
            cb_kwargs={"step": step, **more},
            dont_filter=True,
        )

    def on_page(self, response: Response, step: Step) -> Iterator[Request]:
        """A page of the listing: its pins, then the page after it."""
        page = self._page(response, step)
        self._pages += 1
        self.ledger.counts.update({f"skipped_{kind}": n for kind, n in page.skipped.items()})
        taken = self._taken(page.pins)
        after = page.next
        if self.spool.pin_count + len(taken) >= self.task.per_label or (
            after is not None and after.cursor is not None and after.cursor in self._cursors
        ):
            after = None
        fresh = self.spool.add_page(taken, page.ids, after)
        for pin in taken:
            yield from self._follow(pin)
        self._stale = 0 if fresh else self._stale + 1
        if after is None:
            return
        if self._stale >= STALE_PAGES:
            self.spool.add_page(())
            return
        if self._pages >= self._max_pages:
            raise self._stop(f"the listing did not end after {self._pages} pages")
        if after.cursor is not None:
            self._cursors.add(after.cursor)
        yield self._request(after)

    def _taken(self, pins: Any) -> list[Pin]:
        """The pins that we take, each once, no more than wanted."""
        room = self.task.per_label - self.spool.pin_count
        taken: dict[str, Pin] = {}
        for pin in pins:
            if len(taken) >= room:
                break
            if pin.id in taken or self.spool.has_pin(pin.id):
                continue
            if not self.spool.refuses(pin, self.opt_outs):
                taken[pin.id] = pin
        return list(taken.values())

    def on_page_error(self, failure: Any) -> None:
        """Without its listing a crawl cannot go on."""
        raise self._stop(self._told(failure))

    def _follow(self, pin: Pin) -> Iterator[Request]:
        self.pictures.add(pin.pictures)
        step = self.listing.related(pin.id) if self.task.related else None
        if step is not None and not self.spool.has_related(pin.id):
            yield self._ask(step, self.on_related, self.on_related_error, pin=pin.id)

    def on_related(self, response: Response, step: Step, pin: str) -> None:
        """The ids beside a pin, in the site's order."""
        if try_later(response.status):
            self._related_missed(f"HTTP {response.status}")
            return
        if 400 <= response.status < 500 and response.status not in (401, 403):
            # The site does not show this pin by itself (signed-out searches give such ids): not our loss.
            self.ledger.answered()
            self.ledger.counts["related_refused"] += 1
            return
        ids = dict.fromkeys(found.id for found in self._page(response, step).pins if found.id != pin)
        self.ledger.counts["related"] += len(ids)
        self.spool.add_related(pin, list(ids))

    def on_related_error(self, failure: Any) -> None:
        """Related pins that did not come leave the crawl incomplete, but do not end it."""
        error = failure.value
        if not isinstance(error, FetchError):
            self.on_bug(failure)
        elif error.later:
            self._related_missed(str(error))
        else:
            self._related_missing[str(error).split(":")[0]] += 1

    def _related_missed(self, cause: str) -> None:
        self._related_missing[cause] += 1
        try:
            self.ledger.trouble(cause)
        except GivenUp as error:
            raise CloseSpider(str(error)) from error

    def _page(self, response: Response, step: Step) -> Page:
        where = host_of(response.url)
        refused = response.request.meta["signals"].against_listings if response.request else None
        if refused:
            raise self._stop(f"{where}: refused by {refused}")
        if response.status in (401, 403):
            raise self._stop(f"{where} refused us (HTTP {response.status}): not asked again in this crawl")
        if response.status != 200:
            raise self._stop(f"{where} answered HTTP {response.status}")
        self.ledger.answered()
        try:
            return self.listing.read(step, response.body)
        except ScrapeError as error:
            raise self._stop(f"{where}: {error}") from error

    def _told(self, failure: Any) -> str:
        if not isinstance(failure.value, FetchError):
            self.on_bug(failure)
        site = failure.request.url.split("/resource/")[0].split("?")[0]
        return f"{site}: {failure.value}"

    def _stop(self, reason: str) -> CloseSpider:
        self.ledger.give_up(reason)
        return CloseSpider(reason)

    def closed(self, reason: str) -> None:  # noqa: ARG002 - Scrapy's signature
        """Says whose related pins did not come."""
        for cause, n in self._related_missing.most_common():
            hint = "; set `related: false` to do without" if "robots" in cause else ""
            self.ledger.reasons.append(f"the related pins of {n} pins did not come: {cause}{hint}")

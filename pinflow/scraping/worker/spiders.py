"""The spiders: each turns one `job` task into requests, and writes what comes into the spool as it comes.

What answers mean is decided in `pages/`; what is missing at the end is said in `Ledger.reasons`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider
from scrapy.http import Response

from pinflow.errors import ScrapeError
from pinflow.scraping.job import MAX_DOCUMENT_BYTES, FetchDocument, FetchPictures, Job, SearchPins, host_of
from pinflow.scraping.pages import pinterest
from pinflow.scraping.pin import Pin, web_address
from pinflow.scraping.spool import Spool
from pinflow.scraping.worker.guards import explain

STALE_PAGES = 3  # without a new id, after which a listing without an end is taken to be over
TROUBLES = 10  # requests in a row without an answer, after which the site is taken to be down
_LATER = {408, 429}  # besides 5xx: statuses that a later try may change


class JobSpider(Spider):
    """What all spiders share: the spool, giving up, and telling our own errors from the site's."""

    name = "job"
    priority_listing = 10

    def __init__(self, job: Job, refused_hosts: dict[str, str]) -> None:
        super().__init__()
        self.job = job
        self.refused_hosts = refused_hosts
        self.spool = Spool(job.work)
        self.reasons: list[str] = []
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._troubles = 0

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

    def stop(self, reason: str) -> CloseSpider:
        """Note why the crawl cannot go on; the caller raises what this returns."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return CloseSpider(reason)

    def answered(self) -> None:
        """The site gave an answer, whatever it was."""
        self._troubles = 0

    def trouble(self, cause: str) -> None:
        """The site gave no answer, after all retries. Too many in a row end the crawl."""
        self._troubles += 1
        if self._troubles >= TROUBLES:
            raise self.stop(f"the site stopped answering: {cause}")

    def closing(self) -> None:
        """Called at the end: adds to `reasons` what a later crawl may still get."""


class PicturesSpider(JobSpider):
    """Fetches pictures. Also the base of spiders that find the pictures themselves."""

    name = "pictures"

    def __init__(self, job: Job, refused_hosts: dict[str, str]) -> None:
        super().__init__(job, refused_hosts)
        self._known = {*job.pictures_known, *self.spool.pictures()[0]}
        self._asked: set[str] = set()
        self._missing: Counter[str] = Counter()

    async def start(self) -> AsyncIterator[Request]:
        """One request a picture."""
        task = self.job.task
        assert isinstance(task, FetchPictures)
        for urls in task.pictures:
            for request in self.picture(urls):
                yield request

    def picture(self, urls: Sequence[str], at: int = 0) -> Iterator[Request]:
        """The request for a picture by its `at`-th address; none where we have it or asked already."""
        if at == 0 and (not urls or urls[0] in self._asked or any(url in self._known for url in urls)):
            return
        self._asked.add(urls[at])
        if web_address(urls[at]) is None:
            self.spool.add_failure(urls[at], "not an http(s) address")
            return
        again = {"urls": list(urls), "at": at}
        yield Request(
            urls[at],
            callback=self.on_picture,
            errback=self.on_picture_error,
            cb_kwargs=again,
            headers={"Accept": "image/*,*/*;q=0.8"},
            dont_filter=True,
        )

    def on_picture(self, response: Response, urls: list[str], at: int) -> Iterator[Request]:
        """Keep the bytes, or try the next address where this one is refused for good."""
        if response.status == 200 and response.body:
            self.answered()
            self.spool.add_picture(urls[at], response.body)
            self.counts["fetched"] += 1
            self.counts["bytes"] += len(response.body)
            return
        cause = f"HTTP {response.status}" if response.status != 200 else "empty answer"
        if response.status >= 500 or response.status in _LATER:
            self._missed(urls[at], cause)
            return
        self.answered()
        self.spool.add_failure(urls[at], cause)
        if at + 1 < len(urls):
            yield from self.picture(urls, at + 1)

    def on_picture_error(self, failure: Any) -> None:
        """No answer: a refusal of our own (robots, address, size) or a site in trouble."""
        cause, later = explain(failure.value)
        again = failure.request.cb_kwargs
        url = again["urls"][again["at"]]
        if later:
            self._missed(url, cause)
        else:
            self.spool.add_failure(url, cause)

    def _missed(self, url: str, cause: str) -> None:
        self.spool.add_failure(url, cause)
        self._missing[cause] += 1
        self.trouble(cause)

    def closing(self) -> None:
        """Says which pictures a later crawl may still get."""
        if self._missing:
            causes = ", ".join(f"{cause} ({n})" for cause, n in self._missing.most_common(3))
            self.reasons.append(f"{self._missing.total()} pictures did not come: {causes}")


class SearchSpider(PicturesSpider):
    """A search page by page; for each pin its picture and, if wanted, the ids of its related pins."""

    name = "search"

    def __init__(self, job: Job, refused_hosts: dict[str, str]) -> None:
        super().__init__(job, refused_hosts)
        assert isinstance(job.task, SearchPins)
        self.task: SearchPins = job.task
        self._csrf = secrets.token_hex(16)
        self._ids: set[str] = set()
        self._bookmarks: set[str] = set()
        self._stale = 0
        self._pages = 0
        # A site whose pages hold next to nothing must end too.
        self._max_pages = 20 + self.task.per_label
        self._related_known = {*self.task.related_known, *self.spool.related()}
        self._related_missing: Counter[str] = Counter()

    async def start(self) -> AsyncIterator[Request]:
        """The first page."""
        yield self._search(None)

    def _search(self, bookmark: str | None) -> Request:
        url = pinterest.search_url(self.task.site, self.task.query, bookmark, int(time.time() * 1000))
        return Request(
            url,
            callback=self.on_search,
            errback=self.on_search_error,
            headers=pinterest.headers(self._csrf, pinterest.SEARCH_HANDLER),
            priority=self.priority_listing,
            dont_filter=True,
        )

    def on_search(self, response: Response) -> Iterator[Request]:
        """A page of the listing: its pins, then the page after it."""
        page = self._page(response)
        self._pages += 1
        self.counts.update({f"skipped_{kind}": n for kind, n in page.skipped.items()})
        before = len(self._ids)
        for pin in page.pins:
            if self.counts["listed"] >= self.task.per_label:
                return
            if pin.id not in self._ids:
                self._ids.add(pin.id)
                yield from self._take(pin)
        self._ids.update(page.ids)
        self._stale = 0 if len(self._ids) > before else self._stale + 1
        mark = page.bookmark
        if pinterest.is_end(mark) or mark in self._bookmarks or self._stale >= STALE_PAGES:
            return
        if self._pages >= self._max_pages:
            raise self.stop(f"the listing did not end after {self._pages} pages")
        self._bookmarks.add(str(mark))
        yield self._search(mark)

    def on_search_error(self, failure: Any) -> None:
        """Without its listing a search cannot go on."""
        raise self.stop(f"{self.task.site}: {explain(failure.value)[0]}")

    def _take(self, pin: Pin) -> Iterator[Request]:
        self.counts["listed"] += 1
        self.spool.add_pin(self.job.run, pin)
        yield from self.picture(pin.pictures)
        if self.task.related and pin.id not in self._related_known:
            yield Request(
                pinterest.related_url(self.task.site, pin.id, int(time.time() * 1000)),
                callback=self.on_related,
                errback=self.on_related_error,
                cb_kwargs={"pin": pin.id},
                headers=pinterest.headers(self._csrf, pinterest.RELATED_HANDLER),
                dont_filter=True,
            )

    def on_related(self, response: Response, pin: str) -> None:
        """The ids beside a pin, in the site's order."""
        if 400 <= response.status < 500 and response.status not in (401, 403, *_LATER):
            # The site does not show this pin by itself (signed-out searches give such ids): not our loss.
            self.answered()
            self.counts["related_refused"] += 1
            return
        if response.status >= 500 or response.status in _LATER:
            self._related_missed(f"HTTP {response.status}")
            return
        ids = dict.fromkeys(found.id for found in self._page(response).pins if found.id != pin)
        self.counts["related"] += len(ids)
        self.spool.add_related(pin, list(ids))

    def on_related_error(self, failure: Any) -> None:
        """Related pins that did not come leave the crawl incomplete, but do not end it."""
        cause, later = explain(failure.value)
        if later:
            self._related_missed(cause)
        else:
            self._related_missing[cause.split(":")[0]] += 1

    def _related_missed(self, cause: str) -> None:
        self._related_missing[cause] += 1
        self.trouble(cause)

    def _page(self, response: Response) -> pinterest.Page:
        where = host_of(response.url)
        if response.status in (401, 403):
            raise self.stop(f"{where} refused us (HTTP {response.status}): not asked again in this crawl")
        if response.status != 200:
            raise self.stop(f"{where} answered HTTP {response.status}")
        self.answered()
        try:
            return pinterest.listing(json.loads(response.body), self.task.site)
        except (ValueError, RecursionError):
            raise self.stop(f"{where}: unknown answer, not JSON: {response.body[:60]!r}") from None
        except ScrapeError as error:
            raise self.stop(f"{where}: {error}") from error

    def closing(self) -> None:
        """Also says whose related pins did not come."""
        super().closing()
        for cause, n in self._related_missing.most_common():
            hint = "; set `related: false` to do without" if "robots" in cause else ""
            self.reasons.append(f"the related pins of {n} pins did not come: {cause}{hint}")


class DocumentSpider(JobSpider):
    """Fetches one document, whole."""

    name = "document"

    async def start(self) -> AsyncIterator[Request]:
        """The one request."""
        task = self.job.task
        assert isinstance(task, FetchDocument)
        yield Request(
            task.url,
            callback=self.on_document,
            errback=self.on_error,
            meta={"download_maxsize": MAX_DOCUMENT_BYTES},
        )

    def on_document(self, response: Response) -> None:
        """Keep it."""
        if response.status != 200:
            raise self.stop(f"{response.url} answered HTTP {response.status}")
        self.spool.write(self.spool.work / "document", response.body)

    def on_error(self, failure: Any) -> None:
        """Say why it did not come."""
        raise self.stop(f"{failure.request.url}: {explain(failure.value)[0]}")


SPIDERS: dict[type, type[JobSpider]] = {
    SearchPins: SearchSpider,
    FetchPictures: PicturesSpider,
    FetchDocument: DocumentSpider,
}

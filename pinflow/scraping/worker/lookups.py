"""Asks for pins that a search no longer lists, each by itself: that alone says whether one is gone."""

from __future__ import annotations

from pinflow.scraping.fetching.errors import FetchError
from pinflow.scraping.fetching.fetcher import Fetcher, try_later
from pinflow.scraping.job import ListPins
from pinflow.scraping.spool import Before, Spool
from pinflow.scraping.worker.ledger import GivenUp, Ledger

LOOKUPS = 100  # a crawl; the rest has its turn another night
_GONE = (404, 410)


async def look_up(fetcher: Fetcher, spool: Spool, ledger: Ledger, task: ListPins) -> None:
    """Ask for the pins of the last scrape that this listing does not show. An error is never "gone"."""
    for before in spool.unlisted(LOOKUPS):
        try:
            await _one(fetcher, spool, ledger, task, before)
        except GivenUp:
            return


async def _one(fetcher: Fetcher, spool: Spool, ledger: Ledger, task: ListPins, before: Before) -> None:
    step = task.listing.lookup(before.id)
    if step is None and before.url is None:
        return
    ledger.counts["looked_up"] += 1
    try:
        if step is not None:
            answer = await fetcher.get(step.url, headers=task.listing.headers(step))
        else:
            answer = await fetcher.get(str(before.url), method="HEAD")
    except FetchError as error:
        if error.later:
            _failed(ledger, str(error))
        return
    if try_later(answer.status):
        _failed(ledger, f"HTTP {answer.status}")
        return
    ledger.answered()
    if answer.status in _GONE:
        spool.add_looked_up(before.id, gone=True)
    elif answer.status < 300:
        spool.add_looked_up(before.id, gone=False)


def _failed(ledger: Ledger, cause: str) -> None:
    ledger.counts["lookups_failed"] += 1
    ledger.trouble(cause)

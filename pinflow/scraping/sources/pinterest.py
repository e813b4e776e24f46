"""Pinterest, or a site that speaks its resource API: search by query, with related pins.

Pins whose related pins the last scrape knows are not asked about again: what a site shows beside a pin moves
daily, so asking would cost a request a pin each night and change the data version each time.
"""

from __future__ import annotations

import re

from pinflow.errors import ScrapeError
from pinflow.scraping.job import SearchPins, host_of
from pinflow.scraping.pages import pinterest
from pinflow.scraping.sources.base import Listing, Task

_REAL = re.compile(r"(^|\.)(pinterest\.[a-z.]+|pinimg\.com)$")


def listing(task: Task) -> Listing:
    """Search and fetch. Raises `ScrapeError` for the real site without `accept_terms`."""
    site = task.source.base_url or pinterest.SITE
    if _REAL.search(host_of(site) or "") and not task.source.accept_terms:
        raise ScrapeError(
            "Pinterest's terms may forbid scraping: read them and set `accept_terms: true` in the source, "
            "or use `kind: openverse`, whose pictures are openly licensed"
        )
    report = task.crawl(
        SearchPins(
            site=site.rstrip("/"),
            query=task.query,
            per_label=task.source.per_label,
            related=task.source.related,
            related_known=task.previous.related_known(),
        )
    )
    # An interrupted crawl may have been stopped before where an earlier one in this folder got to.
    pins = task.spool.pins(task.run if not report.reasons else None)[: task.source.per_label]
    related = task.spool.related() if task.source.related else None
    return Listing(pins, report.reasons, report.stats, related)

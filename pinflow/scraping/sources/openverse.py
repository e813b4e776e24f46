"""Openverse: openly licensed pictures that anybody may search, with licence and creator."""

from __future__ import annotations

from pinflow.scraping.pages.openverse import SITE, OpenverseSearch
from pinflow.scraping.sources.base import Listing, Task


def listing(task: Task) -> Listing:
    """Search for the label. A search shows the most relevant pictures alone, so it is never exhaustive."""
    wanted = OpenverseSearch(
        site=task.source.base_url or SITE, query=task.query, licences=tuple(task.source.licences)
    )
    return task.follow(wanted, exhaustive=False)

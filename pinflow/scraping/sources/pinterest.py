"""Pinterest, or a site that speaks its resource API: what a label names there, with related pins. Where
`base_url` ends in `/v5` it is the official API instead, and the labels are boards of one's own.

Pins whose related pins the last scrape knows are not asked about again: what a site shows beside a pin moves
daily, so asking would cost a request a pin each night and change the data version each time.
"""

from __future__ import annotations

from pinflow.errors import LabelError, ScrapeError
from pinflow.labels import normalise, slug
from pinflow.scraping.job import ListPins, host_of
from pinflow.scraping.pages.pinterest import SITE, PinterestBoard, is_real
from pinflow.scraping.pages.pinterest_api import PinterestOwnBoard, PinterestOwnBoards
from pinflow.scraping.pages.pinterest_target import target
from pinflow.scraping.sources.base import Listing, Task

_BOARDS = 10_000  # more than anybody has


def listing(task: Task) -> Listing:
    """Follow what the label names. Raises `ScrapeError` for the real site without `accept_terms`, for a label
    that names nothing, and for the official API without a token."""
    site = _site(task)
    if task.source.official_api:
        own = PinterestOwnBoard(site=site, board=task.query, token=_token(task))
        return task.follow(own, exhaustive=True)
    wanted = target(task.query, site)
    return task.follow(wanted, exhaustive=isinstance(wanted, PinterestBoard), related=task.source.related)


def labels(task: Task) -> list[str]:
    """The names of one's own boards, which the official API alone lists."""
    site = _site(task)
    if not task.source.official_api:
        raise ScrapeError("Pinterest's site does not list its labels: write them under `labels:`")
    boards = PinterestOwnBoards(site=site, token=_token(task))
    report = task.crawl(ListPins(listing=boards, per_label=_BOARDS, related=False, check_unlisted=False))
    if report.reasons:
        raise ScrapeError("; ".join(report.reasons))
    return [name for board in task.spool.pins() if (name := _label(board.title))]


def _site(task: Task) -> str:
    site = (task.source.base_url or SITE).rstrip("/")
    if is_real(host_of(site)) and not task.source.accept_terms:
        raise ScrapeError(
            "Pinterest's terms may forbid scraping: read them and set `accept_terms: true` in the source, "
            "or use `kind: openverse`, whose pictures are openly licensed"
        )
    return site


def _token(task: Task) -> str:
    if not task.token:
        raise ScrapeError(
            "Pinterest's official API wants a token of yours: make an app on its developers' pages, give it "
            "`boards:read` and `pins:read`, and set PINFLOW_PINTEREST_TOKEN"
        )
    return task.token


def _label(name: str | None) -> str | None:
    try:
        slug(name or "")
    except LabelError:
        return None
    return normalise(name or "")

"""What the parent asks of the worker process and what it hears back: one JSON line each way."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from pinflow.scraping.pages.openverse import OpenverseSearch
from pinflow.scraping.pages.pinterest import (
    PinterestBoard,
    PinterestPin,
    PinterestRecommended,
    PinterestSearch,
)
from pinflow.scraping.pages.pinterest_api import PinterestOwnBoard, PinterestOwnBoards

MAX_PICTURE_BYTES = 20 * 1024 * 1024
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024  # a feed is held in memory while it is fetched


Listing = Annotated[
    PinterestSearch
    | PinterestBoard
    | PinterestRecommended
    | PinterestPin
    | PinterestOwnBoards
    | PinterestOwnBoard
    | OpenverseSearch,
    Field(discriminator="kind"),
]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListPins(_Message):
    """Follow a listing page by page; fetch the pictures of what it lists, and what stands beside each pin."""

    task: Literal["list"] = "list"
    listing: Listing
    per_label: int
    related: bool
    check_unlisted: bool = Field(
        True, description="ask for pins of the last scrape that the listing does not show"
    )


class FetchPictures(_Message):
    """Fetch the pictures of the pins in the spool."""

    task: Literal["pictures"] = "pictures"


class FetchDocument(_Message):
    """Fetch one document to `to`, unless what is there is still what the site has."""

    task: Literal["document"] = "document"
    url: str
    to: Path


class Job(_Message):
    """One crawl. `own_url` names the only host that may have a non-public address."""

    work: Path
    own_url: str | None = None
    contact: str | None = None
    opt_outs: dict[str, dict[str, str]] = Field(default_factory=dict, description="`OptOuts`, by kind")
    task: ListPins | FetchPictures | FetchDocument = Field(discriminator="task")


class Report(_Message):
    """How a crawl went. `reasons` say what is missing; none means that it is complete."""

    reasons: list[str] = Field(default_factory=list)
    stats: dict[str, int] = Field(default_factory=dict)
    bug: str | None = Field(None, description="traceback of an error that is ours")
    errno: int | None = Field(None, description="the spool could not be written")


def host_of(url: str | None) -> str | None:
    """The host that an address names, lower case; None for no address."""
    try:
        return urlsplit(url).hostname if url else None
    except ValueError:
        return None


def is_loopback(host: str | None) -> bool:
    """True for a host that can only be this machine."""
    if not host:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

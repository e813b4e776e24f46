"""What the parent asks of the worker process and what it hears back: one JSON line each way."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

MAX_PICTURE_BYTES = 20 * 1024 * 1024
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024  # a feed is held in memory while it is fetched


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchPins(_Message):
    """Search a Pinterest-like site and fetch the pictures of what it lists."""

    spider: Literal["search"] = "search"
    site: str
    query: str
    per_label: int
    related: bool
    related_known: list[str] = Field(default_factory=list, description="ids not to ask related pins for")


class FetchPictures(_Message):
    """Fetch pictures; each entry lists the addresses of one picture, best first."""

    spider: Literal["pictures"] = "pictures"
    pictures: list[list[str]]


class FetchDocument(_Message):
    """Fetch one document into `work/document`."""

    spider: Literal["document"] = "document"
    url: str


class Job(_Message):
    """One crawl. `own_url` names the only host that may have a non-public address."""

    run: str
    work: Path
    own_url: str | None = None
    contact: str | None = None
    pictures_known: list[str] = Field(default_factory=list, description="addresses not to fetch again")
    task: SearchPins | FetchPictures | FetchDocument = Field(discriminator="spider")


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

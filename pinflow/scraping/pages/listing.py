"""What a paged listing is to the crawler: parameters, steps from page to page, and pins.

One class a listing, a pydantic model: its fields are the parameters, its methods pure functions from an
answer to pins. The worker's spider knows nothing else of any site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from pinflow.scraping.pin import Pin


class Step(BaseModel):
    """One page to ask for. `kind` says which answer to expect where a listing has several; a `cursor` that
    comes a second time ends the listing. It is written down between pages, so it holds no secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    kind: str = "page"
    cursor: str | None = None
    pending: tuple[str, ...] = ()  # ids of further parts, listed one after the other when this one ends


@dataclass(frozen=True)
class Page:
    """What one answer holds. `ids` are all ids on it, also of the rows that are no pins for us."""

    pins: Sequence[Pin]
    ids: Sequence[str]
    next: Step | None = None
    skipped: Counter[str] = field(default_factory=Counter)


class ListingParameters(BaseModel):
    """Base of every listing. A subclass adds `kind: Literal[...]`, its parameters, and the pure functions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delay_seconds: ClassVar[float] = 0.0  # between two requests, where a site wants more than we keep

    def first(self) -> Step:
        """The first page."""
        raise NotImplementedError

    def read(self, step: Step, body: bytes) -> Page:
        """The answer (HTTP 200) to `step` as pins, and the step after it. Raises `ScrapeError` for an
        answer of another shape, with the site's own message if there is one."""
        raise NotImplementedError

    def headers(self, step: Step) -> dict[str, str]:
        """What the site asks of every request, a token among it."""
        raise NotImplementedError

    def related(self, pin: str) -> Step | None:  # noqa: ARG002 - for those who have it
        """Where the site shows what it recommends beside a pin; None where it does not."""
        return None

    def lookup(self, pin: str) -> Step | None:  # noqa: ARG002 - for those who have it
        """Where the site shows the pin by itself, so that 404 or 410 there means that it is gone; None where
        there is no such place (its picture's own address is asked then)."""
        return None

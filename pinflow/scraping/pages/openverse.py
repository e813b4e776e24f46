"""Openverse: openly licensed pictures, with licence and creator.

The public API answers anybody, 20 results a page and the first 240 of a query (a key makes pages larger, not
the query deeper), 20 requests a minute and 200 a day. Related pictures would cost a request each, so they are
not asked for. Reference: the API's own serializers (github.com/WordPress/openverse, `api/`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.answers import decode, sequence
from pinflow.scraping.pages.listing import ListingParameters, Page, Step
from pinflow.scraping.pages.pinterest import Site
from pinflow.scraping.pin import Pin, clean, identifier, link_key, web_address

SITE = "https://api.openverse.org"
PAGE_SIZE = 20  # more without a key is answered 401
DEPTH = 240  # results of a query that can be reached
_PUBLIC_DOMAIN = ("cc0", "pdm")


class OpenverseSearch(ListingParameters):
    """What a search finds, of the licences wanted (the API's codes); all where none is named."""

    kind: Literal["openverse"] = "openverse"
    site: Site = SITE
    query: str
    licences: tuple[str, ...] = ()
    delay_seconds: ClassVar[float] = 3.0

    def first(self) -> Step:
        """The first page."""
        return self._page(1)

    def headers(self, step: Step) -> dict[str, str]:  # noqa: ARG002 - one answer for all
        """Nothing but what is wanted back."""
        return {"Accept": "application/json"}

    def lookup(self, pin: str) -> Step:
        """The picture by itself."""
        return Step(url=f"{self.site}/v1/images/{quote(pin, safe='')}/", kind="image")

    def read(self, step: Step, body: bytes) -> Page:
        """A page of pictures, in order of relevance. Raises `ScrapeError` for an answer of another shape.

        What is marked as mature, or under another licence than the wanted ones, is counted in `skipped`; so
        is what lies beyond the depth that the API gives, as `beyond_depth` (at least so many).
        """
        answer = decode(body)
        if step.kind == "image":
            return self._pins([answer])
        if not isinstance(answer, Mapping) or not isinstance(answer.get("results"), list):
            raise ScrapeError(f"unknown answer: no `results` in it{_said(answer)}")
        page = self._pins(sequence(answer, "results"))
        number = int(step.cursor or 1)
        last = min(_count(answer, "page_count"), DEPTH // PAGE_SIZE)
        if page.ids and number < last:
            return Page(page.pins, page.ids, self._page(number + 1), page.skipped)
        if number >= DEPTH // PAGE_SIZE:
            # The API says 240 for whatever lies beyond, so one is the least that was left out.
            page.skipped["beyond_depth"] = max(1, _count(answer, "result_count") - DEPTH)
        return page

    def _page(self, number: int) -> Step:
        query: dict[str, Any] = {"q": self.query}
        if self.licences:
            query["license"] = ",".join(self.licences)
        query |= {"page": number, "page_size": PAGE_SIZE}
        return Step(url=f"{self.site}/v1/images/?{urlencode(query)}", cursor=str(number))

    def _pins(self, rows: list[Any]) -> Page:
        pins: list[Pin] = []
        ids: list[str] = []
        skipped: Counter[str] = Counter()
        for row in rows:
            key = identifier(row.get("id")) if isinstance(row, Mapping) else None
            if key is None:
                skipped["other"] += 1
                continue
            ids.append(key)
            kind = self._unwanted(row)
            if kind:
                skipped[kind] += 1
            else:
                pins.append(_pin(key, row))
        return Page(pins, ids, None, skipped)

    def _unwanted(self, row: Mapping[str, Any]) -> str | None:
        if row.get("mature") or row.get("unstable__sensitivity"):
            return "mature"
        return "licence" if self.licences and _code(row) not in self.licences else None


def licence(code: str | None, version: str | None) -> str | None:
    """The full name of a licence: `CC BY-SA 4.0`, `CC0 1.0`, `Public Domain Mark 1.0`."""
    if not code:
        return None
    name = "Public Domain Mark" if code == "pdm" else code.upper().replace("SAMPLING", "Sampling")
    full = name if code in _PUBLIC_DOMAIN else f"CC {name}"
    return f"{full} {version}" if version else full


def _pin(key: str, row: Mapping[str, Any]) -> Pin:
    page = web_address(row.get("foreign_landing_url"))
    pictures = (web_address(row.get("url")), web_address(row.get("thumbnail")))
    return Pin(
        id=key,
        pictures=tuple(dict.fromkeys(url for url in pictures if url)),
        page_url=page,
        title=clean(row.get("title")),
        creator=clean(row.get("creator")),
        licence=licence(_code(row), clean(row.get("license_version"))),
        attributes=_attributes(row),
        origin_keys=link_key(page),
    )


def _attributes(row: Mapping[str, Any]) -> dict[str, str]:
    tags = (clean(tag.get("name")) for tag in sequence(row, "tags") if isinstance(tag, Mapping))
    found = {
        "attribution": clean(row.get("attribution")),
        "category": clean(row.get("category")),
        "creator_url": web_address(row.get("creator_url")),
        "licence_url": web_address(row.get("license_url")),
        "provider": clean(row.get("provider")),
        "source": clean(row.get("source")),
        "tags": clean(", ".join(dict.fromkeys(tag for tag in tags if tag))),
    }
    return {key: value for key, value in found.items() if value}


def _code(row: Mapping[str, Any]) -> str | None:
    return (clean(row.get("license")) or "").lower() or None


def _count(answer: Mapping[str, Any], key: str) -> int:
    value = answer.get(key)
    return value if isinstance(value, int) else 0


def _said(answer: object) -> str:
    said = clean(answer.get("detail")) if isinstance(answer, Mapping) else None
    return f"; it says {said[:200]!r}" if said else ""

"""Pinterest's official API, version 5: the boards of the account that a token was given to.

It lists nothing of anybody else, so its pins are the user's own to keep. Reference: the OpenAPI description
that the official clients are generated from (`/boards`, `/boards/{id}/pins`, `/pins/{id}`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field

from pinflow.errors import ScrapeError
from pinflow.scraping.pages import pinterest
from pinflow.scraping.pages.answers import decode, mapping, sequence
from pinflow.scraping.pages.listing import ListingParameters, Page, Step
from pinflow.scraping.pages.pinterest import Site, is_real
from pinflow.scraping.pages.pinterest_pin import page_url
from pinflow.scraping.pin import Pin, clean, identifier, link_key, web_address

SITE = "https://api.pinterest.com/v5"
PAGE_SIZE = 100  # the most that the API gives; the least that it is asked for saves requests
_SIZES = ("originals", "1200x", "600x", "400x300", "150x150")
_CANDIDATES = 2
# By media type, or creative type where there is none.
_NO_PICTURES = {
    "video": "video",
    "max_video": "video",
    "multiple_videos": "video",
    "multiple_mixed": "story",
    "idea": "story",
}


class OwnListing(ListingParameters):
    """What both listings share."""

    site: Site = SITE
    token: str = Field(repr=False, description="OAuth access token of the boards' owner, never written down")

    def first(self) -> Step:
        """The first page of the owner's boards."""
        return self._step("boards", "boards", None)

    def headers(self, step: Step) -> dict[str, str]:  # noqa: ARG002 - one answer for all
        """The token."""
        return {"Accept": "application/json", "Authorization": f"Bearer {self.token}"}

    def _step(self, kind: str, path: str, cursor: str | None) -> Step:
        query = {"page_size": PAGE_SIZE} | ({"bookmark": cursor} if cursor else {})
        return Step(url=f"{self.site}/{path}?{urlencode(query)}", kind=kind, cursor=cursor)


class PinterestOwnBoards(OwnListing):
    """The owner's boards, each as a pin without a picture: its id, and its name as the title."""

    kind: Literal["pinterest_own_boards"] = "pinterest_own_boards"

    def read(self, step: Step, body: bytes) -> Page:  # noqa: ARG002 - all its pages are alike
        """A page of boards."""
        rows, cursor = _page(body)
        boards = [Pin(key, title=_name(row)) for key, row in _named(rows)]
        following = self._step("boards", "boards", cursor) if cursor else None
        return Page(boards, [board.id for board in boards], following)


class PinterestOwnBoard(OwnListing):
    """The pins of one of the owner's boards, named as on the site or by its id."""

    kind: Literal["pinterest_own_board"] = "pinterest_own_board"
    board: str

    def read(self, step: Step, body: bytes) -> Page:
        """A page of boards until the wanted one is found, then a page of its pins.

        Raises `ScrapeError` for an answer of another shape, and where there is no such board.
        """
        if step.kind == "boards":
            return self._find(*_page(body))
        if step.kind == "pin":
            row = decode(body)
            if not isinstance(row, Mapping) or identifier(row.get("id")) is None:
                raise ScrapeError(f"unknown answer: no pin in it{_said(row)}")
            return self._pins([row], None)
        rows, cursor = _page(body)
        path = urlsplit(step.url).path.rpartition("/boards/")[2]
        return self._pins(rows, self._step("pins", f"boards/{path}", cursor) if cursor else None)

    def lookup(self, pin: str) -> Step:
        """The pin by itself."""
        return Step(url=f"{self.site}/pins/{quote(pin, safe='')}", kind="pin")

    def _find(self, rows: list[Any], cursor: str | None) -> Page:
        boards = _named(rows)
        for key, row in boards:
            if self.board == key or (_name(row) or "").casefold() == self.board.casefold():
                return Page([], [], self._step("pins", f"boards/{quote(key, safe='')}/pins", None))
        if cursor:
            return Page([], [key for key, _ in boards], self._step("boards", "boards", cursor))
        names = ", ".join(repr(name) for _, row in boards if (name := _name(row)))
        raise ScrapeError(f"no board {self.board!r} of your own; there are: {names[:500] or 'none'}")

    def _pins(self, rows: list[Any], following: Step | None) -> Page:
        found: list[Pin] = []
        skipped: Counter[str] = Counter(other=len(rows) - len(_named(rows)))
        for key, row in _named(rows):
            kind = _not_a_picture(row)
            if kind:
                skipped[kind] += 1
            else:
                found.append(self._pin(key, row))
        return Page(found, [key for key, _ in _named(rows)], following, +skipped)

    def _pin(self, key: str, row: Mapping[str, Any]) -> Pin:
        link = web_address(row.get("link"))
        site = pinterest.SITE if is_real(urlsplit(self.site).hostname) else self.site.removesuffix("/v5")
        return Pin(
            id=key,
            pictures=_pictures(row),
            page_url=page_url(site, key),
            title=clean(row.get("title")),
            caption=clean(row.get("description")) or clean(row.get("alt_text")),
            creator=clean(mapping(row, "board_owner").get("username")),
            attributes=_attributes(row, link),
            origin_keys=link_key(link),
        )


def _page(body: bytes) -> tuple[list[Any], str | None]:
    answer = decode(body)
    rows = answer.get("items") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise ScrapeError(f"unknown answer: no `items` in it{_said(answer)}")
    mark = answer.get("bookmark") if isinstance(answer, Mapping) else None
    return rows, clean(mark) if isinstance(mark, str) else None


def _said(answer: object) -> str:
    said = clean(answer.get("message")) if isinstance(answer, Mapping) else None
    return f"; it says {said[:200]!r}" if said else ""


def _named(rows: list[Any]) -> list[tuple[str, Mapping[str, Any]]]:
    maps = [row for row in rows if isinstance(row, Mapping)]
    return [(key, row) for row in maps if (key := identifier(row.get("id"))) is not None]


def _name(row: Mapping[str, Any]) -> str | None:
    return " ".join((clean(row.get("name")) or "").split()) or None


def _not_a_picture(row: Mapping[str, Any]) -> str | None:
    media = mapping(row, "media")
    # Older answers have the type of the pin alone.
    said = media.get("media_type") or row.get("creative_type")
    return _NO_PICTURES.get((clean(said) or "").lower())


def _pictures(row: Mapping[str, Any]) -> tuple[str, ...]:
    media = mapping(row, "media")
    for images in [mapping(media, "images"), *(mapping(item, "images") for item in sequence(media, "items"))]:
        found = [web_address(mapping(images, size).get("url")) for size in _SIZES]
        urls = tuple(dict.fromkeys(url for url in found if url))[:_CANDIDATES]
        if urls:
            return urls
    return ()


def _attributes(row: Mapping[str, Any], link: str | None) -> dict[str, str]:
    found = {
        "board_id": identifier(row.get("board_id")),
        "carousel": clean(len(sequence(row.get("media"), "items")) or None),
        "created_at": clean(row.get("created_at")),
        "creative_type": clean(row.get("creative_type")),
        "dominant_color": clean(row.get("dominant_color")),
        "link": link,
    }
    return {key: value for key, value in found.items() if value}

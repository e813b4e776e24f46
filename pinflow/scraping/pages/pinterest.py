"""Pinterest's resource API, one class a listing: search, board, what it recommends for a board, pin.

The shapes are those that gallery-dl and pinterest-dl read. Ids are opaque (`e1_...` too). Rows stand in
`resource_response.data`, a list or a mapping with `results`; the cursor in `resource.options.bookmarks`.
What a row says is the business of `pinterest_pin`, what a label means that of `pinterest_target`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from pydantic import AfterValidator, Field

from pinflow.errors import ScrapeError
from pinflow.scraping.pages import pinterest_pin
from pinflow.scraping.pages.answers import decode, mapping
from pinflow.scraping.pages.listing import ListingParameters, Page, Step
from pinflow.scraping.pin import Pin, clean, identifier

SITE = "https://www.pinterest.com"
PAGE_SIZE = 50  # the most that the site gives
OPAQUE = "e1_"  # ids of signed-out searches begin so, and the site does not look them up
_REAL = re.compile(r"(^|\.)(pinterest\.[a-z.]+|pinimg\.com)$")

# By the step's kind: the page of the site that would ask. Without it the API answers 403.
_HANDLERS = {
    "search": "www/search/[scope].js",
    "board": "www/[username]/[slug].js",
    "feed": "www/[username]/[slug].js",
    "sections": "www/[username]/[slug].js",
    "section": "www/[username]/[slug]/[section_slug].js",
    "recommended": "www/[username]/[slug].js",
    "pin": "www/pin/[id].js",
    "related": "www/pin/[id].js",
}

Site = Annotated[str, AfterValidator(lambda site: site.rstrip("/"))]


def is_real(host: str | None) -> bool:
    """True for a host of Pinterest's own, in any country."""
    return bool(host and _REAL.search(host.lower()))


class PinterestListing(ListingParameters):
    """What all listings of the site share."""

    site: Site = SITE
    csrf: str = Field(
        default_factory=lambda: secrets.token_hex(16),
        repr=False,
        description="made up by the client; the site only wants it twice, so it is one a crawl",
    )

    def headers(self, step: Step) -> dict[str, str]:
        """What the API asks of every request; without them it answers 403."""
        return {
            "Accept": "application/json, text/javascript, */*, q=0.01",
            "X-Requested-With": "XMLHttpRequest",
            "X-Pinterest-AppState": "active",
            "X-Pinterest-PWS-Handler": _HANDLERS[step.kind],
            "X-CSRFToken": self.csrf,
            "Cookie": f"csrftoken={self.csrf}",
        }

    def read(self, step: Step, body: bytes) -> Page:
        """A page of pins. Raises `ScrapeError` for an answer of another shape.

        Videos, stories, promoted pins and rows that are no pins (boards, users, guides) are counted in
        `skipped`.
        """
        answer = decode(body)
        if step.kind == "pin":
            return self._one(answer)
        pins: list[Pin] = []
        ids: list[str] = []
        skipped: Counter[str] = Counter()
        for row in _rows(answer):
            key = identifier(row.get("id")) if isinstance(row, Mapping) else None
            if key is None:
                skipped["other"] += 1
                continue
            ids.append(key)
            kind = pinterest_pin.not_a_picture(row)
            if kind:
                skipped[kind] += 1
            else:
                pins.append(pinterest_pin.pin(key, row, self.site))
        return Page(pins, ids, _next(step, answer), skipped)

    def _one(self, answer: object) -> Page:
        row = mapping(mapping(answer, "resource_response"), "data")
        key = identifier(row.get("id"))
        if key is None:
            raise ScrapeError(f"unknown answer: no pin in it{_said(answer)}")
        kind = pinterest_pin.not_a_picture(row)
        pins = [] if kind else [pinterest_pin.pin(key, row, self.site)]
        return Page(pins, [key], None, Counter({kind: 1} if kind else {}))

    def related(self, pin: str) -> Step:
        """The first page of what the site shows beside a pin."""
        options = {"pin": pin, "add_vase": True, "pins_only": True}
        return self._step("related", "RelatedPinFeed", f"/pin/{quote(pin, safe='')}/", options)

    def lookup(self, pin: str) -> Step | None:
        """The pin by itself; None for opaque ids, which the site rejects whether the pin is there or not."""
        if pin.startswith(OPAQUE):
            return None
        options = {"id": pin, "field_set_key": "detailed"}
        return self._step("pin", "Pin", f"/pin/{quote(pin, safe='')}/", options)

    def _step(
        self, kind: str, resource: str, source_url: str, options: dict[str, Any], pending: Sequence[str] = ()
    ) -> Step:
        url = _address(self.site, resource, source_url, options)
        return Step(url=url, kind=kind, pending=tuple(pending))


class PinterestSearch(PinterestListing):
    """What a signed-out search for words finds."""

    kind: Literal["pinterest_search"] = "pinterest_search"
    query: str

    def first(self) -> Step:
        """The first page of the search."""
        options = {"query": self.query, "scope": "pins", "rs": "typed", "page_size": PAGE_SIZE}
        return self._step("search", "BaseSearch", f"/search/pins/?q={quote(self.query)}&rs=typed", options)


class _OfBoard(PinterestListing):
    """A listing whose first answer is the board, which gives the id that the pages are asked for by."""

    user: str
    slug: str

    @property
    def _path(self) -> str:
        return f"/{quote(self.user, safe='')}/{quote(self.slug, safe='')}/"

    def first(self) -> Step:
        """The board itself."""
        options = {"slug": self.slug, "username": self.user, "field_set_key": "detailed"}
        return self._step("board", "Board", self._path, options)

    def read(self, step: Step, body: bytes) -> Page:
        """The board, or a page of pins."""
        if step.kind != "board":
            return super().read(step, body)
        answer = decode(body)
        board = mapping(mapping(answer, "resource_response"), "data")
        key = identifier(board.get("id"))
        if key is None:
            raise ScrapeError(f"unknown answer: no board in it{_said(answer)}")
        return Page([], [key], self._listed_in(key, board))

    def _listed_in(self, key: str, board: Mapping[str, Any]) -> Step:
        raise NotImplementedError


class PinterestBoard(_OfBoard):
    """The pins of a board, or of one section of it.

    A board's feed leaves out what lies in its sections, so they are listed after it, one by one.
    """

    kind: Literal["pinterest_board"] = "pinterest_board"
    section: str | None = None

    def first(self) -> Step:
        """The board, or the section, by its name in the address."""
        if self.section is None:
            return super().first()
        options = {"board_slug": self.slug, "section_slug": self.section, "username": self.user}
        path = f"{self._path}{quote(self.section, safe='')}/"
        return self._step("board", "BoardSection", path, options)

    def read(self, step: Step, body: bytes) -> Page:
        """The board, its sections, or a page of pins."""
        if step.kind == "sections":
            return self._sections(step, decode(body))
        page = super().read(step, body)
        # A section without pins is no sign that the listing is over, so it counts as something new.
        ids = [*page.ids, f"section:{_asked(step)['section_id']}"] if step.kind == "section" else page.ids
        return Page(page.pins, ids, page.next or self._section(step.pending), page.skipped)

    def _listed_in(self, key: str, board: Mapping[str, Any]) -> Step:
        if self.section is not None:
            return self._step("section", "BoardSectionPins", self._path, {"section_id": key})
        if board.get("section_count"):
            return self._step("sections", "BoardSections", self._path, {"board_id": key})
        return self._feed(key, ())

    def _sections(self, step: Step, answer: object) -> Page:
        found = [identifier(row.get("id")) for row in _rows(answer) if isinstance(row, Mapping)]
        keys = [key for key in found if key]
        sections = tuple(dict.fromkeys((*step.pending, *keys)))
        following = _next(step, answer)
        if following is None or sections == step.pending:
            return Page([], keys, self._feed(_asked(step)["board_id"], sections))
        return Page([], keys, following.model_copy(update={"pending": sections}))

    def _feed(self, board: str, sections: Sequence[str]) -> Step:
        options = {"board_id": board, "field_set_key": "react_grid_pin", "prepend": False}
        return self._step("feed", "BoardFeed", self._path, options | {"page_size": PAGE_SIZE}, sections)

    def _section(self, pending: Sequence[str]) -> Step | None:
        if not pending:
            return None
        return self._step("section", "BoardSectionPins", self._path, {"section_id": pending[0]}, pending[1:])


class PinterestRecommended(_OfBoard):
    """What the site recommends to whoever keeps a board."""

    kind: Literal["pinterest_recommended"] = "pinterest_recommended"

    def _listed_in(self, key: str, board: Mapping[str, Any]) -> Step:  # noqa: ARG002 - the id will do
        options = {"id": key, "type": "board", "add_vase": True}
        return self._step("recommended", "BoardContentRecommendation", self._path, options)


class PinterestPin(PinterestListing):
    """A pin, then what the site shows beside it. Of a pin with an opaque id only the latter can be had."""

    kind: Literal["pinterest_pin"] = "pinterest_pin"
    pin: str

    def first(self) -> Step:
        """The pin itself where the site looks it up, else its related pins."""
        return self.lookup(self.pin) or self.related(self.pin)

    def read(self, step: Step, body: bytes) -> Page:
        """The pin, followed by its related pins page by page."""
        page = super().read(step, body)
        if step.kind != "pin":
            return page
        return Page(page.pins, page.ids, self.related(self.pin), page.skipped)


def is_end(bookmark: str | None) -> bool:
    """True where a cursor says that no page follows: none, `-end-`, or base 64 of `b":None"`."""
    return not bookmark or bookmark == "-end-" or bookmark.startswith("Y2JOb25lO")


def _rows(answer: object) -> list[Any]:
    data = mapping(answer, "resource_response").get("data")
    rows = data.get("results") if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        raise ScrapeError(f"unknown answer: no list of pins in it{_said(answer)}")
    return rows


def _said(answer: object) -> str:
    response = mapping(answer, "resource_response")
    said = clean(mapping(response, "error").get("message")) or clean(response.get("message"))
    return f"; it says {said[:200]!r}" if said else ""


def _next(step: Step, answer: object) -> Step | None:
    """The same resource asked again with the cursor of this answer."""
    marks = mapping(mapping(answer, "resource"), "options").get("bookmarks")
    mark = marks[0] if isinstance(marks, list) and marks else marks
    mark = mark or mapping(answer, "resource_response").get("bookmark")
    cursor = clean(mark) if isinstance(mark, str) else None
    if cursor is None or is_end(cursor):
        return None
    asked = urlsplit(step.url)
    resource = asked.path.rsplit("/", 3)[-3].removesuffix("Resource")
    site = step.url.partition("/resource/")[0]
    source_url = parse_qs(asked.query)["source_url"][0]
    url = _address(site, resource, source_url, _asked(step) | {"bookmarks": [cursor]})
    return step.model_copy(update={"url": url, "cursor": cursor})


def _asked(step: Step) -> dict[str, Any]:
    """The options that a step asks with."""
    found: dict[str, Any] = json.loads(parse_qs(urlsplit(step.url).query)["data"][0])["options"]
    return found


def _address(site: str, resource: str, source_url: str, options: dict[str, Any]) -> str:
    data = json.dumps({"options": options, "context": {}}, separators=(",", ":"))
    return f"{site}/resource/{resource}Resource/get/?{urlencode({'source_url': source_url, 'data': data})}"

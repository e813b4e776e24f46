"""Pinterest's resource API over the sample pins: `BaseSearchResource` and its kin.

A further resource is one more function in `RESOURCES`. What a pin looks like is the business of `pins`,
HTTP that of `site`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pinflow.sample import oddities
from pinflow.sample.boards import Board, Section, boards
from pinflow.sample.pins import Json, Pin, Pins, node_id, pin_json, short

_Row = TypeVar("_Row")
END = "-end-"
PAGE_SIZE = 25
MAX_PAGE_SIZE = 50


class ResourceError(Exception):
    """A request that the API refuses, with its HTTP status and Pinterest's own error code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class InvalidRequest(Exception):
    """Headers or options are missing: the site answers 403 with a line of plain text, not JSON."""


def answer(pins: Pins, base_url: str, name: str, options: Mapping[str, Any]) -> Json:
    """The JSON answer of resource `name` (without "Resource") to a request with these options.

    Raises `InvalidRequest` or `ResourceError`.
    """
    if name not in RESOURCES:
        raise ResourceError(404, 0, f"Resource {name}Resource not found")
    endpoint, data, bookmark = RESOURCES[name](pins, base_url, options)
    response: Json = {**_status(200), "endpoint_name": endpoint, "data": data}
    echoed = dict(options)
    if bookmark is not None:
        response["bookmark"] = bookmark
        echoed["bookmarks"] = [bookmark]
    return {
        "resource_response": response,
        "client_context": {"is_authenticated": False, "locale": "en-US", "country": "US"},
        "resource": {"name": f"{name}Resource", "options": echoed},
        "request_identifier": short(f"{name} {sorted(echoed.items())!r}"),
    }


def failure(error: ResourceError, name: str) -> Json:
    """The JSON answer to a request that failed."""
    message = str(error)
    response: Json = {**_status(error.status), "status": "failure", "code": error.code, "message": message}
    response |= {
        "data": None,
        "error": {"status": "failure", "http_status": error.status, "message": message},
    }
    return {"resource_response": response, "resource": {"name": f"{name}Resource", "options": {}}}


def _status(http_status: int) -> Json:
    return {"status": "success", "code": 0, "message": "ok", "http_status": http_status}


def _search(pins: Pins, base_url: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    query = options.get("query")
    if not isinstance(query, str) or not query.strip() or options.get("scope", "pins") != "pins":
        raise InvalidRequest
    odd = oddities.asked_for(query)
    found = oddities.pins(pins) if odd else pins.search(query)
    page, start, bookmark = _page(found, _size(options), f"search {query}", options)
    results = [pin_json(pin, base_url, pins.credit) for pin in page]
    if odd:
        results = [oddities.dress(row, start + number) for number, row in enumerate(results)]
    if results and start == 0 and options.get("rs") == "typed":
        results.insert(len(results) // 2, _module(query))
    return "v3_search_pins", {"nag": {}, "should_append_global_search": False, "results": results}, bookmark


def _lookup(pins: Pins, base_url: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    pin = _known(pins, options.get("id"))
    if pin.opaque:
        raise ResourceError(404, 50, "Sorry! We couldn't find that Pin.")
    return "v3_get_pin", pin_json(pin, base_url, pins.credit, detailed=True), None


def _related(pins: Pins, base_url: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    pin = _known(pins, options.get("pin") or options.get("pin_id"))
    page, _, bookmark = _page(pins.related(pin), _size(options), f"related {pin.id}", options)
    return "v3_related_pins_feed", [pin_json(other, base_url, pins.credit) for other in page], bookmark


def _board(pins: Pins, _: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    named = options.get("username"), options.get("slug")
    if not all(named):
        raise InvalidRequest
    found = [board for board in boards(pins).values() if (board.user, board.slug) == named]
    if not found:
        raise ResourceError(404, 40, "Sorry! We couldn't find that board.")
    return "v3_get_board_by_username_slug", found[0].as_json(), None


def _board_feed(pins: Pins, base_url: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    board = _known_board(pins, options.get("board_id"))
    page, _, bookmark = _page(board.loose, _size(options), f"board {board.id}", options)
    return "v3_get_board_feed", [pin_json(pin, base_url, pins.credit) for pin in page], bookmark


def _board_more(pins: Pins, base_url: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    board = _known_board(pins, options.get("id"))
    others = [pin for pin in pins.search(board.label) if pin not in board.pins]
    page, _, bookmark = _page(others, _size(options), f"more {board.id}", options)
    rows = [pin_json(pin, base_url, pins.credit) for pin in page]
    return "v3_board_content_recommendation", rows, bookmark


def _board_sections(pins: Pins, _: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    board = _known_board(pins, options.get("board_id"))
    page, _start, bookmark = _page(board.sections, _size(options), f"sections {board.id}", options)
    return "v3_get_board_sections", [section.as_json() for section in page], bookmark


def _section(pins: Pins, _: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    board, section = _known_section(pins, options)
    return "v3_get_board_section", section.as_json() | {"board": board.as_json()}, None


def _section_pins(pins: Pins, base_url: str, options: Mapping[str, Any]) -> tuple[str, Any, str | None]:
    _, section = _known_section(pins, options)
    page, _, bookmark = _page(section.pins, _size(options), f"section {section.id}", options)
    rows = [pin_json(pin, base_url, pins.credit) for pin in page]
    return "v3_get_board_section_pins", rows, bookmark


RESOURCES: dict[str, Callable[[Pins, str, Mapping[str, Any]], tuple[str, Any, str | None]]] = {
    "BaseSearch": _search,
    "Board": _board,
    "BoardContentRecommendation": _board_more,
    "BoardFeed": _board_feed,
    "BoardSection": _section,
    "BoardSectionPins": _section_pins,
    "BoardSections": _board_sections,
    "Pin": _lookup,
    "RelatedPinFeed": _related,
    "RelatedModules": _related,
}


def _known(pins: Pins, pin_id: object) -> Pin:
    if pin_id is None or pin_id == "":
        raise InvalidRequest
    pin = pins.by_id.get(str(pin_id))
    if pin is None:
        raise ResourceError(404, 50, "Sorry! We couldn't find that Pin.")
    return pin


def _known_board(pins: Pins, board_id: object) -> Board:
    if not board_id:
        raise InvalidRequest
    board = boards(pins).get(str(board_id))
    if board is None:
        raise ResourceError(404, 40, "Sorry! We couldn't find that board.")
    return board


def _known_section(pins: Pins, options: Mapping[str, Any]) -> tuple[Board, Section]:
    named = options.get("username"), options.get("board_slug"), options.get("section_slug")
    key = options.get("section_id")
    if not key and not all(named):
        raise InvalidRequest
    for board in boards(pins).values():
        for section in board.sections:
            if section.id == key or (board.user, board.slug, section.slug) == named:
                return board, section
    raise ResourceError(404, 40, "Sorry! We couldn't find that board section.")


def _size(options: Mapping[str, Any]) -> int:
    return min(_page_size(options), MAX_PAGE_SIZE)


def _page_size(options: Mapping[str, Any]) -> int:
    size = options.get("page_size") or PAGE_SIZE
    try:
        return max(1, int(size))
    except (TypeError, ValueError):
        raise ResourceError(400, 1, "Parameter 'page_size' is invalid.") from None


def _page(
    found: Sequence[_Row], size: int, feed: str, options: Mapping[str, Any]
) -> tuple[Sequence[_Row], int, str]:
    """One page of a feed, where it starts, and the bookmark of the next: opaque, good for this feed only."""
    start = _start(feed, options)
    end = start + size
    token = base64.b64encode(f"P:{end}:{short(feed)}".encode()).decode()
    return found[start:end], start, token if end < len(found) else END


def _start(feed: str, options: Mapping[str, Any]) -> int:
    bookmarks = options.get("bookmarks") or [""]
    token = bookmarks[0] if isinstance(bookmarks, list) else bookmarks
    if not token:
        return 0
    if token == END:
        return 10**9
    try:
        _, start, owner = base64.b64decode(str(token), validate=True).decode().split(":")
        if owner != short(feed):
            raise ValueError("a bookmark of another feed")
        return int(start)
    except ValueError:
        raise ResourceError(400, 1, "Parameter 'bookmarks' is invalid.") from None


def _module(query: str) -> Json:
    """What else people search for: such rows stand among the pins of a typed search."""
    number = str(10**15 + int(short(f"module {query}"), 16) % 10**14)
    return {
        "node_id": node_id("story", number),
        "id": number,
        "type": "story",
        "story_type": "unified_related_searches",
        "title": {"format": "Searches to try", "text": None},
        "objects": [],
    }

"""Pinterest's official API (v5) over the sample pins, for one account: the boards of the first pinner."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from pinflow.sample.boards import Board, boards
from pinflow.sample.pins import PINNERS, Json, Pin, Pins, board_json, pin_json, scaled

TOKEN = "sample-token"  # noqa: S105 - what the sample account is asked for by
PAGE_SIZE = 25
MAX_PAGE_SIZE = 250
_SIZES = {"150x150": 150, "400x300": 400, "600x": 600, "1200x": 1200}  # width in pixels


def answer(
    pins: Pins, base_url: str, parts: Sequence[str], query: Mapping[str, str], authorization: str | None
) -> tuple[int, Json]:
    """Status and JSON for the path behind `/v5/`."""
    if authorization != f"Bearer {TOKEN}":
        return 401, {"code": 2, "message": "Authentication failed."}
    own = {key: board for key, board in boards(pins).items() if board.person == PINNERS[0]}
    match parts:
        case ["boards"]:
            return _page([_board(board) for board in own.values()], query)
        case ["boards", key] if key in own:
            return 200, _board(own[key])
        case ["boards", key, "pins"] if key in own:
            return _page([_pin(pin, base_url) for pin in own[key].pins], query)
        case ["pins", key] if any(pin.id == key for board in own.values() for pin in board.pins):
            return 200, _pin(pins.by_id[key], base_url)
    return 404, {"code": 50, "message": "Not found."}


def _page(rows: list[Json], query: Mapping[str, str]) -> tuple[int, Json]:
    try:
        size = int(query.get("page_size", PAGE_SIZE))
        start = int(base64.urlsafe_b64decode(query.get("bookmark", "") or "MA=="))
    except ValueError:
        return 400, {"code": 1, "message": "Invalid request: page_size or bookmark"}
    if not 1 <= size <= MAX_PAGE_SIZE:
        return 400, {"code": 1, "message": f"Invalid request: {size} is greater than the maximum"}
    end = start + size
    mark = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(rows) else None
    return 200, {"items": rows[start:end], "bookmark": mark}


def _board(board: Board) -> Json:
    known = board_json(board.person, board.label)
    return {
        "id": board.id,
        "name": board.label,
        "description": "",
        "owner": {"username": board.user},
        "privacy": "PUBLIC",
        "pin_count": len(board.pins),
        "board_url": known["url"],
    }


def _pin(pin: Pin, base_url: str) -> Json:
    known = pin_json(pin, base_url)
    images = {name: _image(pin, base_url, width) for name, width in _SIZES.items()}
    return {
        "id": pin.id,
        "created_at": pin.created_at.strftime("%Y-%m-%dT%H:%M:%S"),
        "link": known["link"],
        "title": known["title"] or None,
        "description": known["description"],
        "alt_text": known["auto_alt_text"],
        "dominant_color": pin.dominant_color,
        "creative_type": "REGULAR",
        "board_id": known["board"]["id"],
        "board_section_id": None,
        "board_owner": {"username": known["pinner"]["username"]},
        "is_owner": True,
        "is_standard": False,
        "has_been_promoted": False,
        "parent_pin_id": None,
        "note": "",
        "media": {"media_type": "image", "images": images},
    }


def _image(pin: Pin, base_url: str, width: int) -> Json:
    # The site keeps the sizes of its own pages; the nearest of them stands in.
    size = "originals" if width >= 1200 else "736x" if width >= 600 else "474x" if width >= 400 else "236x"
    pixels = pin.size if size == "originals" else scaled(pin.size, width)
    return {"url": base_url + pin.address(size), "width": pixels[0], "height": pixels[1]}

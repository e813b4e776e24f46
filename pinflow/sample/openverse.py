"""Openverse's image search over the sample pins, as an anonymous caller sees it.

Licences, creators and what is mature follow from the picture's bytes, as all that is invented about a pin.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from pinflow.sample.pins import PINNERS, Json, Pin, Pins

MAX_PAGE_SIZE = 20
DEPTH = 240
LICENCES = {
    **{"cc0": "1.0", "by": "4.0", "by-sa": "4.0", "by-nd": "2.0", "by-nc": "2.0", "pdm": "1.0"},
    **{"by-nc-sa": "2.0", "by-nc-nd": "4.0"},
}
ALL_LICENCES = {*LICENCES, "sampling+", "nc-sampling+"}


def answer(pins: Pins, base_url: str, parts: Sequence[str], query: Mapping[str, str]) -> tuple[int, Json]:
    """Status and JSON for the path behind `/v1/images/`."""
    if not parts:
        return _search(pins, base_url, query)
    found = picture(pins, parts[0])
    if found is None or len(parts) > 1:
        return 404, {"detail": "Not found."}
    return 200, _image(found, base_url)


def picture(pins: Pins, key: str) -> Pin | None:
    """The pin with that id of Openverse's."""
    try:
        return pins.by_signature.get(uuid.UUID(key).hex)
    except ValueError:
        return None


def _search(pins: Pins, base_url: str, query: Mapping[str, str]) -> tuple[int, Json]:
    try:
        page, size = int(query.get("page", 1)), int(query.get("page_size", MAX_PAGE_SIZE))
    except ValueError:
        return 400, {"detail": {"page": ["A valid integer is required."]}}
    if size > MAX_PAGE_SIZE:
        said = f"Ensure this value is less than or equal to {MAX_PAGE_SIZE}."
        return 401, {"detail": said}
    wanted = set(filter(None, query.get("license", "").lower().split(",")))
    for unknown in sorted(wanted - ALL_LICENCES):
        return 400, {"detail": {"license": [f"License '{unknown}' does not exist."]}}
    if page < 1 or size < 1 or page * size > DEPTH:
        return 400, {"detail": {"page": [f"Only the first {DEPTH} results can be reached."]}}
    found = [pin for pin in pins.search(query.get("q", "")) if not wanted or _licence(pin) in wanted]
    if query.get("mature", "false").lower() != "true":
        found = [pin for pin in found if not _mature(pin)]
    count = min(len(found), DEPTH)
    rows = [_image(pin, base_url) for pin in found[:DEPTH][(page - 1) * size : page * size]]
    return 200, {
        "result_count": count,
        "page_count": -(-count // size),
        "page_size": size,
        "page": page,
        "results": rows,
    }


def _licence(pin: Pin) -> str:
    return list(LICENCES)[pin.number // 7 % len(LICENCES)]


def _mature(pin: Pin) -> bool:
    return pin.number % 29 == 3


def _image(pin: Pin, base_url: str) -> Json:
    code, key = _licence(pin), str(uuid.UUID(pin.signature))
    creator = PINNERS[pin.number % len(PINNERS)]
    here = f"{base_url}/v1/images/{key}/"
    deed = (
        f"publicdomain/{'zero' if code == 'cc0' else 'mark'}"
        if code in ("cc0", "pdm")
        else f"licenses/{code}"
    )
    return {
        "id": key,
        "title": pin.sample.title,
        "indexed_on": pin.created_at.isoformat(),
        "foreign_landing_url": f"{base_url}/pin/{pin.id}/",
        "url": base_url + pin.address("originals"),
        "creator": creator,
        "creator_url": None,
        "license": code,
        "license_version": LICENCES[code],
        "license_url": f"https://creativecommons.org/{deed}/{LICENCES[code]}/",
        "provider": "sample",
        "source": "sample",
        "category": "photograph",
        "filesize": None,
        "filetype": None,
        "tags": [{"name": word, "accuracy": None} for word in pin.sample.item.split()],
        "attribution": f'"{pin.sample.title}" by {creator} is licensed under {code.upper()}.',
        "fields_matched": ["title"],
        "mature": _mature(pin),
        "height": pin.size[1],
        "width": pin.size[0],
        "thumbnail": f"{here}thumb/",
        "detail_url": here,
        "related_url": f"{here}related/",
        "unstable__sensitivity": [],
    }

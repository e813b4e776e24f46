"""One search of the sample site, `all sorts`, finds what stands among the pictures of the real one: videos,
stories, carousels and advertisements. Every other search finds pictures alone."""

from __future__ import annotations

from typing import Any

from pinflow.sample.pins import Json, Pin, Pins

QUERY = "all sorts"
SORTS = ("picture", "video", "carousel", "story", "promoted", "picture_story")
_COUNT = 24


def asked_for(query: str) -> bool:
    """Whether this is the one search."""
    return " ".join(query.casefold().split()) == QUERY


def pins(found: Pins) -> list[Pin]:
    """The pins that it finds."""
    return list(found.all[:_COUNT])


def dress(row: Json, number: int) -> Json:
    """The pin's description as that of a pin of another sort, by its place in the listing."""
    match SORTS[number % len(SORTS)]:
        case "video":
            return row | {"is_video": True, "videos": _video(row)}
        case "carousel":
            return row | {"carousel_data": _carousel(row)}
        case "story":
            return row | {"story_pin_data_id": row["id"], "story_pin_data": _story(row, 3)}
        case "picture_story":
            return row | {"story_pin_data_id": row["id"], "story_pin_data": _story(row, 1)}
        case "promoted":
            return row | {"is_promoted": True, "promoter": row["pinner"]}
    return row


def _video(row: Json) -> dict[str, Any]:
    stream = {"url": row["images"]["orig"]["url"], "width": 240, "height": 180, "duration": 9000}
    return {"id": row["id"], "video_list": {"V_720P": stream}}


def _carousel(row: Json) -> dict[str, Any]:
    slots = [{"id": f"{row['id']}{n}", "images": {"736x": row["images"]["736x"]}} for n in range(3)]
    return {"id": row["id"], "index": 0, "carousel_slots": slots}


def _story(row: Json, pages: int) -> dict[str, Any]:
    image = {"images": {"originals": row["images"]["orig"]}}
    block = {"type": "story_pin_image_block", "image": image, "image_signature": row["image_signature"]}
    return {"id": row["id"], "pages": [{"id": f"{row['id']}{n}", "blocks": [block]} for n in range(pages)]}

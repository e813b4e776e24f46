"""The pins of the sample site: which there are, how they are found, and how Pinterest describes one.

Fields follow what the site is known to answer, quirks included (blank descriptions, titles that only
`grid_title` has), whatever that means for whoever parses them. All that is invented about a pin follows
from the bytes of its picture.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pinflow.labels import slug
from pinflow.sample.samples import Sample, SampleSet

Json = dict[str, Any]

# Width in pixels of each size, by the name that Pinterest gives it; originals have none.
WIDTHS = {"170x": 236, "236x": 236, "474x": 474, "736x": 736}
PINNERS = ("Asha Rao", "Bela Novak", "Chidi Okafor", "Dana Levi", "Emre Kaya", "Fenna de Vries")


@dataclass(frozen=True)
class Pin:
    """A sample picture as the site knows it."""

    sample: Sample
    path: Path
    signature: str  # MD5 of the picture's bytes, 32 hex digits

    @cached_property
    def id(self) -> str:
        """Digits for most, as ever; about one in forty has the newer opaque form `e1_...`."""
        if self.opaque:
            return "e1_" + base64.urlsafe_b64encode(bytes.fromhex(self.signature)[:12]).decode()
        return str(10**17 + self.number % (9 * 10**17))

    @property
    def opaque(self) -> bool:
        """Whether the id has the form that detail lookups reject."""
        return self.number % 40 == 7

    @cached_property
    def number(self) -> int:
        """A large number made of the picture alone, from which everything invented about it follows."""
        return int(self.signature, 16)

    @property
    def person(self) -> str:
        """Who pinned it."""
        return PINNERS[self.number % len(PINNERS)]

    @property
    def created_at(self) -> datetime:
        """Some time in the five years before 2025."""
        return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=self.number % (5 * 365 * 86400))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        from PIL import Image

        with Image.open(self.path) as picture:
            return picture.size

    @cached_property
    def dominant_color(self) -> str:
        """The mean colour as `#rrggbb`."""
        from PIL import Image

        with Image.open(self.path) as picture:
            picture.draft("RGB", (32, 32))
            mean = picture.convert("RGB").resize((1, 1), Image.Resampling.BOX).tobytes()
        return f"#{mean.hex()}"

    def address(self, size: str) -> str:
        """Path of the picture on the site: `/originals/ab/cd/ef/<signature>.jpg`, `/736x/...`."""
        sig = self.signature
        suffix = self.path.suffix if size == "originals" else ".jpg"
        return f"/{size}/{sig[:2]}/{sig[2:4]}/{sig[4:6]}/{sig}{suffix}"


def scaled(size: tuple[int, int], width: int) -> tuple[int, int]:
    """`size` reduced to at most that width in pixels, never enlarged."""
    if size[0] <= width:
        return size
    return width, max(1, round(size[1] * width / size[0]))


class Pins:
    """All pins of a sample set, and how they are found."""

    def __init__(self, samples: SampleSet) -> None:
        self.credit = samples.credit
        self.all = tuple(_pin(samples, row) for row in samples.rows)
        self.by_id = {pin.id: pin for pin in self.all}
        self.by_signature = {pin.signature: pin for pin in self.all}
        self._items: dict[str, list[Pin]] = defaultdict(list)
        self._labels: dict[str, list[Pin]] = defaultdict(list)
        for pin in self.all:
            self._items[pin.sample.item.casefold()].append(pin)
            self._labels[pin.sample.label.casefold()].append(pin)

    def search(self, query: str) -> list[Pin]:
        """A whole label or item by its name; else the pins with every word of the query in their texts."""
        wanted = " ".join(query.casefold().split())
        named = self._labels.get(wanted) or self._items.get(wanted)
        if named:
            return named
        words = set(re.findall(r"\w+", wanted))
        return [pin for pin in self.all if words and words <= _words(pin.sample)]

    def related(self, pin: Pin) -> list[Pin]:
        """The other pictures of the same item, wherever they are filed."""
        return [other for other in self._items[pin.sample.item.casefold()] if other is not pin]


def _pin(samples: SampleSet, row: Sample) -> Pin:
    path = samples.path(row)
    return Pin(row, path, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())


@lru_cache(maxsize=100_000)
def _sample_words(*texts: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", " ".join(texts).casefold()))


def _words(sample: Sample) -> frozenset[str]:
    return _sample_words(sample.label, sample.item, sample.title)


def pin_json(pin: Pin, base_url: str, credit: str = "", *, detailed: bool = False) -> Json:
    """The pin as Pinterest describes it; the `detailed` form also counts its saves."""
    sample, number = pin.sample, pin.number
    person = pin.person
    images: Json = {
        name: _image(pin, base_url, name if name != "170x" else "236x", scaled(pin.size, width))
        for name, width in WIDTHS.items()
    }
    images["orig"] = _image(pin, base_url, "originals", pin.size)
    aggregated: Json = {"node_id": node_id("aggregatedpindata", pin.id), "has_xy_tags": False}
    aggregated["id"] = str(5 * 10**18 + number % 10**17)
    aggregated["aggregated_stats"] = {"saves": number % 5000, "done": number % 7}
    link = f"https://market.example/{slug(sample.item)}/{pin.path.stem.lower()}"
    uploaded = number % 9 == 0
    return {
        "node_id": node_id("pin", pin.id),
        "id": pin.id,
        "type": "pin",
        # Many real pins have no title of their own, or a description of one blank.
        "title": "" if number % 13 == 0 else sample.title,
        "grid_title": sample.title,
        "description": " " if number % 11 == 0 else _description(sample),
        "auto_alt_text": f"a picture of {sample.item}",
        "alt_text": None,
        "image_signature": pin.signature,
        "images": images,
        "dominant_color": pin.dominant_color,
        "link": None if uploaded else link,
        "domain": "Uploaded by user" if uploaded else "market.example",
        "is_uploaded": uploaded,
        "rich_summary": None if uploaded else _rich_summary(sample, link),
        "created_at": pin.created_at.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        "pinner": _user(person),
        "native_creator": _user(person) if uploaded else None,
        "board": board_json(person, sample.label),
        "attribution": _attribution(credit, sample.title),
        "aggregated_pin_data": aggregated,
        "reaction_counts": {"1": number % 700},
        "repin_count": number % 5000 if detailed else 0,
        "is_promoted": False,
        "promoter": None,
        "is_video": False,
        "videos": None,
        "story_pin_data": None,
        "story_pin_data_id": None,
        "carousel_data": None,
        "embed": None,
        "access": [],
        "shopping_flags": [],
        "tracking_params": short(f"tracking {pin.id}"),
    }


def _description(sample: Sample) -> str:
    local = sample.extra.get("local")
    return f"{sample.caption}. Also called: {local}" if local else sample.caption


def _image(pin: Pin, base_url: str, size: str, pixels: tuple[int, int]) -> Json:
    return {"url": base_url + pin.address(size), "width": pixels[0], "height": pixels[1]}


def _user(name: str) -> Json:
    username = slug(name).replace("-", "")
    number = str(3 * 10**17 + int(short(name), 16) % 10**16)
    return {
        "node_id": node_id("user", number),
        "id": number,
        "username": username,
        "full_name": name,
        "follower_count": len(name) * 21,
        "is_verified_merchant": False,
    }


def board_json(person: str, label: str) -> Json:
    """The board on which a person keeps the pins of a label, as Pinterest describes it."""
    number = str(4 * 10**17 + int(short(f"{person} {label}"), 16) % 10**16)
    return {
        "node_id": node_id("board", number),
        "id": number,
        "name": label,
        "url": f"/{slug(person).replace('-', '')}/{slug(label)}/",
        "privacy": "public",
        "owner": _user(person),
    }


def _rich_summary(sample: Sample, link: str) -> Json:
    return {
        "id": short(link),
        "type": "richpingriddata",
        "type_name": "article",
        "display_name": sample.title,
        "display_description": sample.caption,
        "site_name": "Market",
        "url": link,
        "products": [],
    }


def _attribution(credit: str, title: str) -> Json | None:
    return {"author_name": credit, "title": title, "provider_name": "npm"} if credit else None


def node_id(kind: str, number: str) -> str:
    """The relay id that Pinterest gives everything beside its own id."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def short(text: str) -> str:
    """16 hex digits that stand for the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]

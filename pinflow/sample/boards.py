"""The boards of the sample site: each person keeps the pins of a label on a board of its name, and those of
some items in sections of it, which a board's own feed leaves out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pinflow.labels import slug
from pinflow.sample.pins import Json, Pin, Pins, board_json, node_id, short

_IN_SECTIONS = 3  # every so many items have a section of their own


@dataclass(frozen=True)
class Section:
    """A part of a board: the pins of one item."""

    board: str
    item: str
    pins: tuple[Pin, ...]

    @property
    def id(self) -> str:
        """Digits."""
        return str(5 * 10**17 + int(short(f"{self.board} {self.item}"), 16) % 10**16)

    @property
    def slug(self) -> str:
        """The section's name in the address."""
        return slug(self.item)

    def as_json(self) -> Json:
        """The section as Pinterest describes it."""
        return {
            "node_id": node_id("boardsection", self.id),
            "id": self.id,
            "type": "board_section",
            "slug": self.slug,
            "title": self.item,
            "pin_count": len(self.pins),
        }


@dataclass(frozen=True)
class Board:
    """One board: the pins on it and in its sections, in the order of the samples."""

    person: str
    label: str
    loose: tuple[Pin, ...]
    sections: tuple[Section, ...]

    @property
    def pins(self) -> tuple[Pin, ...]:
        """All its pins, those in sections last."""
        return (*self.loose, *(pin for section in self.sections for pin in section.pins))

    @property
    def id(self) -> str:
        """Digits."""
        return str(board_json(self.person, self.label)["id"])

    @property
    def user(self) -> str:
        """The owner's name in the address."""
        return str(board_json(self.person, self.label)["owner"]["username"])

    @property
    def slug(self) -> str:
        """The board's name in the address."""
        return slug(self.label)

    def as_json(self) -> Json:
        """The board as Pinterest describes it when asked for by itself."""
        counts = {"pin_count": len(self.pins), "section_count": len(self.sections)}
        return board_json(self.person, self.label) | counts


@lru_cache(maxsize=8)
def boards(pins: Pins) -> dict[str, Board]:
    """All boards, by id."""
    kept: dict[tuple[str, str], list[Pin]] = defaultdict(list)
    for pin in pins.all:
        kept[pin.person, pin.sample.label].append(pin)
    found = [_board(person, label, own) for (person, label), own in kept.items()]
    return {board.id: board for board in found}


def _board(person: str, label: str, pins: Sequence[Pin]) -> Board:
    items: dict[str, list[Pin]] = defaultdict(list)
    loose = []
    for pin in pins:
        item = pin.sample.item
        if int(short(item), 16) % _IN_SECTIONS:
            loose.append(pin)
        else:
            items[item].append(pin)
    board = str(board_json(person, label)["id"])
    sections = [Section(board, item, tuple(own)) for item, own in items.items()]
    return Board(person, label, tuple(loose), tuple(sections))

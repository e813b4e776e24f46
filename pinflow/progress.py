"""The one progress reporter. Rooms call it; what it looks like is the caller's business."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Told what is going on, in order. Every method is cheap enough to call per item."""

    def start(self, what: str, total: int | None = None) -> None:
        """A piece of work begins; `total` items if that is known."""

    def advance(self, by: int = 1) -> None:
        """`by` items of the current piece are done."""

    def note(self, text: str) -> None:
        """Something a person should read."""


class Quiet:
    """Says nothing: the default for library use and tests."""

    def start(self, what: str, total: int | None = None) -> None:
        pass

    def advance(self, by: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def track(items: Iterable[T], progress: Progress, what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` one by one, reporting each to `progress`."""
    progress.start(what, total)
    for item in items:
        yield item
        progress.advance()

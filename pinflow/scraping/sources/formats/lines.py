"""Lines of a text that somebody else wrote: a line without an end is passed over, never held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import IO

MAX_ROW = 2**20  # characters; no product and no caption is longer


def lines(text: IO[str], counts: Counter[str]) -> Iterator[str]:
    """The lines with their ends. One longer than `MAX_ROW` is counted as `bad_rows` and left out."""
    while line := text.readline(MAX_ROW):
        if _whole(line):
            yield line
            continue
        counts["bad_rows"] += 1
        while (rest := text.readline(MAX_ROW)) and not _whole(rest):
            pass


def _whole(line: str) -> bool:
    return len(line) < MAX_ROW or line.endswith(("\n", "\r"))

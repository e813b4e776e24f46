"""JSON: an object a line, or one list of objects, read as a stream either way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from pinflow.errors import ScrapeError
from pinflow.scraping.sources.formats.lines import MAX_ROW, lines

_CHUNK = 64 * 1024  # characters
_BLANK = " \t\r\n"


def json_lines(text: IO[str], counts: Counter[str]) -> Iterator[dict[str, str]]:
    """A row a line; a line that is no JSON object is counted as `bad_rows`.

    Raises `ScrapeError` for one object on several lines: none of them would be a row.
    """
    begun = False
    for line in lines(text, counts):
        if not line.strip():
            continue
        if not begun and line.strip() == "{":
            raise ScrapeError("the JSON is one object on several lines: give one a line, or a list")
        begun = True
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield from _row(value, counts)


def json_list(text: IO[str], counts: Counter[str]) -> Iterator[dict[str, str]]:
    """A row an element; one that is no object is counted as `bad_rows`.

    Raises `ScrapeError` where the list itself is broken: what follows cannot be told apart then.
    """
    window = _Window(text)
    if window.sign() != "[":
        raise ScrapeError("the JSON does not start with a list")
    window.step()
    number = 0
    while window.sign() != "]":
        if number:
            window.expect(",", number)
        number += 1
        yield from _row(window.value(number), counts)


def _row(value: Any, counts: Counter[str]) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        yield {str(name): _text(inner) for name, inner in value.items()}
    else:
        counts["bad_rows"] += 1


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value):
        return ",".join(str(one) for one in value)
    if isinstance(value, dict) and value.keys() == {"value", "currency"}:
        # Google's own JSON writes prices so.
        return f"{value['value']} {value['currency']}"
    return json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value)


class _Window:
    """The part of the text that is looked at, never longer than a row and a chunk."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._held = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def sign(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._held):
                if self._held[self._at] not in _BLANK:
                    return self._held[self._at]
                self._at += 1
            if not self._more():
                return ""

    def step(self) -> None:
        self._at += 1

    def expect(self, sign: str, number: int) -> None:
        found = self.sign()
        if found != sign:
            what = f"has {found!r}" if found else "breaks off"
            raise ScrapeError(f"the JSON list {what} after row {number}")
        self.step()

    def value(self, number: int) -> Any:
        self.sign()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._held, self._at)
            except RecursionError:
                raise ScrapeError(f"row {number} of the JSON list is nested too deeply") from None
            except ValueError as error:
                if len(self._held) - self._at > MAX_ROW:
                    raise ScrapeError(
                        f"row {number} of the JSON list is broken or longer than {MAX_ROW:,} characters"
                    ) from error
                if not self._more():
                    raise ScrapeError(f"the JSON list breaks off in row {number}: {error}") from error
                continue
            # A number at the end of the window may go on in the next chunk.
            if end == len(self._held) and self._more():
                continue
            self._at = min(end, len(self._held))
            return value

    def _more(self) -> bool:
        chunk = self._text.read(_CHUNK)
        self._held, self._at = self._held[self._at :] + chunk, 0
        return bool(chunk)

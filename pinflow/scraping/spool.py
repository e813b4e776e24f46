"""What a crawl leaves in its work folder, so that a kill loses nothing: pictures and append-only indexes.

`pictures/<sha256>` holds bytes, complete or absent (written aside, then renamed). Index lines follow the
file that they speak of, so whatever a line names is there. A line torn by a kill is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pinflow.scraping.pin import Pin


@dataclass(frozen=True)
class Picture:
    """A picture in the spool, and when its bytes were fetched (UTC, whole seconds)."""

    sha256: str
    size: int
    fetched_at: datetime


class Spool:
    """The work folder of one label's crawl. Raises `OSError` where it cannot be written."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._pictures = work / "pictures"
        self._pictures.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """The file that holds the bytes of that digest."""
        return self._pictures / sha256

    def add_picture(self, url: str, body: bytes) -> Picture:
        """Keep the bytes that came from `url`."""
        picture = Picture(
            hashlib.sha256(body).hexdigest(), len(body), datetime.now(UTC).replace(microsecond=0)
        )
        self.write(self.path(picture.sha256), body)
        self._append(
            "pictures.jsonl",
            {
                "url": url,
                "sha256": picture.sha256,
                "bytes": picture.size,
                "fetched_at": int(picture.fetched_at.timestamp()),
            },
        )
        return picture

    def add_failure(self, url: str, error: str) -> None:
        """Remember why nothing came from `url`."""
        self._append("pictures.jsonl", {"url": url, "error": error})

    def add_pin(self, run: str, pin: Pin) -> None:
        """Remember a pin that crawl `run` found in the listing."""
        self._append("pins.jsonl", {"run": run, "pin": pin.as_json()})

    def add_related(self, pin: str, related: Sequence[str]) -> None:
        """Remember the ids that the site shows beside `pin`."""
        self._append("related.jsonl", {"id": pin, "related": list(related)})

    def write(self, path: Path, body: bytes) -> None:
        """Write a whole file or none."""
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_bytes(body)
        aside.replace(path)

    def pictures(self) -> tuple[dict[str, Picture], dict[str, str]]:
        """What came, by address, and why the others did not; a later line wins over an earlier one."""
        came: dict[str, Picture] = {}
        failed: dict[str, str] = {}
        for line in self._lines("pictures.jsonl"):
            url = line["url"]
            if "error" in line:
                failed[url] = line["error"]
            elif self._is_whole(line["sha256"], line["bytes"]):
                stamp = datetime.fromtimestamp(line["fetched_at"], UTC)
                came[url] = Picture(line["sha256"], line["bytes"], stamp)
        return came, failed

    def pins(self, run: str | None) -> list[Pin]:
        """The pins of crawl `run` in listing order, or of all crawls, each once."""
        found: dict[str, Pin] = {}
        for line in self._lines("pins.jsonl"):
            if run in (None, line["run"]):
                pin = Pin.from_json(line["pin"])
                found[pin.id] = pin
        return list(found.values())

    def related(self) -> dict[str, list[str]]:
        """Related ids by pin id, for the pins that were asked about."""
        return {line["id"]: line["related"] for line in self._lines("related.jsonl")}

    def _is_whole(self, sha256: str, size: int) -> bool:
        path = self.path(sha256)
        return path.is_file() and path.stat().st_size == size

    def _append(self, name: str, value: dict[str, Any]) -> None:
        # The newline comes first, so that a line torn by a kill cannot swallow the next one.
        with (self.work / name).open("ab") as file:
            file.write(b"\n" + json.dumps(value).encode())

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        path = self.work / name
        if not path.is_file():
            return
        with path.open("rb") as file:
            for line in file:
                try:
                    value = json.loads(line)
                except ValueError:
                    continue
                yield value
